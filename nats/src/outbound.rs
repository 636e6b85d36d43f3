//! From the socket to NATS: which subject a message goes to.

use std::collections::HashMap;

use actix_aiomsg::Identity;

use crate::held::Held;
use crate::route::Outbound;

/// Says where messages go.
#[derive(Debug)]
pub(crate) enum Subjects {
    One(String),
    ByPeer(HashMap<Identity, String>),
}

impl Subjects {
    pub(crate) fn of(route: &Outbound) -> Self {
        let Some(peers) = &route.peers else {
            return Self::One(route.subject.clone());
        };
        let subject = |(peer, name)| (peer, format!("{}.{name}", route.subject));
        Self::ByPeer(peers.by_identity().into_iter().map(subject).collect())
    }

    /// The subject of a message; its sender is told if there is none.
    pub(crate) fn route<'a, 'b>(&'b self, held: Held<'a>) -> Option<(Held<'a>, &'b str)> {
        let subject = match self {
            Self::One(subject) => Some(subject),
            Self::ByPeer(subjects) => subjects.get(&held.peer),
        };
        match subject {
            Some(subject) => Some((held, subject)),
            None => {
                held.refuse("its sender has no subject: it is not on the list of peers");
                None
            }
        }
    }
}

/// Why a part of a session has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Nothing is left to do.
    Done,
    /// It goes on with a new session.
    Lost(crate::BridgeError),
}
