//! The connected peers (WIRE §4.3): one connection for each identity, the older one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::id::Identity;

/// The roster's answer to the identity of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enrolment {
    /// The peer was not connected; now it is, by this connection.
    Accepted,
    /// The peer is connected already: close the new connection, keep the old one.
    Duplicate,
    /// The identity is our own: the socket connected to itself.
    Itself,
}

/// The meaning of the end of a connection for its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The peer was connected by that connection and is no longer connected.
    Left,
    /// The peer was not connected by that connection: it had been refused.
    NeverAdmitted,
}

/// The identities connected to one socket. `C` names a connection.
#[derive(Debug)]
pub(crate) struct Roster<C> {
    ours: Identity,
    connected: HashMap<Identity, C>,
}

impl<C: Copy + Eq> Roster<C> {
    /// An empty roster of the socket with this identity.
    pub(crate) fn new(ours: Identity) -> Self {
        Self {
            ours,
            connected: HashMap::new(),
        }
    }

    /// `connection` has read a HELLO with `identity`. Asking again for the connection that the
    /// identity has is accepted again.
    pub(crate) fn admit(&mut self, identity: Identity, connection: C) -> Enrolment {
        if identity == self.ours {
            return Enrolment::Itself;
        }
        match self.connected.entry(identity) {
            Entry::Occupied(kept) if *kept.get() != connection => Enrolment::Duplicate,
            entry => {
                entry.or_insert(connection);
                Enrolment::Accepted
            }
        }
    }

    /// `connection`, whose peer said it was `identity`, has ended. A refused duplicate that ends
    /// takes nothing from the connection that stayed.
    pub(crate) fn leave(&mut self, identity: Identity, connection: C) -> Departure {
        match self.connected.entry(identity) {
            Entry::Occupied(entry) if *entry.get() == connection => {
                entry.remove();
                Departure::Left
            }
            Entry::Occupied(_) | Entry::Vacant(_) => Departure::NeverAdmitted,
        }
    }

    /// The connection of a peer.
    pub(crate) fn connection(&self, identity: Identity) -> Option<C> {
        self.connected.get(&identity).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn peer(n: u8) -> Identity {
        Identity::from_bytes([n; 16])
    }

    #[test]
    fn the_older_connection_stays() {
        let mut roster = Roster::new(peer(0));
        assert_eq!(roster.admit(peer(1), 'a'), Enrolment::Accepted);
        let refused = roster.admit(peer(1), 'b');
        assert_eq!(refused, Enrolment::Duplicate);
        assert_eq!(roster.leave(peer(1), 'b'), Departure::NeverAdmitted);
        assert_eq!(roster.connection(peer(1)), Some('a'));
        assert_eq!(roster.leave(peer(1), 'a'), Departure::Left);
        assert_eq!(roster.admit(peer(1), 'b'), Enrolment::Accepted);
    }

    #[test]
    fn a_socket_does_not_connect_to_itself() {
        let mut roster = Roster::new(peer(7));
        assert_eq!(roster.admit(peer(7), 'a'), Enrolment::Itself);
        assert_eq!(roster.connection(peer(7)), None);
    }

    #[derive(Debug, Clone, Copy)]
    enum RosterEvent {
        Hello(u8, u8),
        End(u8, u8),
    }

    fn events() -> impl Strategy<Value = Vec<RosterEvent>> {
        let one = (any::<bool>(), 0..4_u8, 0..6_u8);
        let event = one.prop_map(|(hello, peer, connection)| match hello {
            true => RosterEvent::Hello(peer, connection),
            false => RosterEvent::End(peer, connection),
        });
        prop::collection::vec(event, 0..60)
    }

    proptest! {
        /// The model is a list of (peer, connection), searched from its front.
        #[test]
        fn the_roster_agrees_with_a_list(events in events()) {
            let mut roster = Roster::new(peer(0));
            let mut list: Vec<(u8, u8)> = Vec::new();
            for event in events {
                match event {
                    RosterEvent::Hello(who, connection) => {
                        let kept = list.iter().find(|(p, _)| *p == who).map(|(_, c)| *c);
                        let expected = match kept {
                            _ if who == 0 => Enrolment::Itself,
                            Some(kept) if kept != connection => Enrolment::Duplicate,
                            Some(_) => Enrolment::Accepted,
                            None => {
                                list.push((who, connection));
                                Enrolment::Accepted
                            }
                        };
                        prop_assert_eq!(roster.admit(peer(who), connection), expected);
                    }
                    RosterEvent::End(who, connection) => {
                        let before = list.len();
                        list.retain(|entry| *entry != (who, connection));
                        let expected = match list.len() < before {
                            true => Departure::Left,
                            false => Departure::NeverAdmitted,
                        };
                        prop_assert_eq!(roster.leave(peer(who), connection), expected);
                    }
                }
                for who in 0..4 {
                    let expected = list.iter().find(|(p, _)| *p == who).map(|(_, c)| *c);
                    prop_assert_eq!(roster.connection(peer(who)), expected);
                }
            }
        }
    }
}
