//! Decides what follows from each set of peers that a source has found: who is dialled, and who no longer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// What is to be done about one peer of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    /// Dial it no more; it is not connected.
    Stop,
    /// Let its connection go on, and dial it no more when that has ended.
    Release,
    /// It is back before its connection has ended: dial it again when that ends.
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DialState {
    /// Its dialer has yet to start.
    Waiting,
    Dialled,
    /// No longer in the set, and connected when it vanished.
    Released,
}

/// The peers of one source.
#[derive(Debug)]
pub(crate) struct DiscoveredSet<P> {
    members: HashMap<P, DialState>,
    /// The members that have yet to be dialled, in the order in which they were found.
    waiting: VecDeque<P>,
    limit: usize,
}

/// Summary of a set beside the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SetChange {
    /// Peers in the set now.
    pub(crate) found: usize,
    pub(crate) new: usize,
    pub(crate) gone: usize,
    /// Peers above the limit, which are not dialled.
    pub(crate) ignored: usize,
}

impl<P: Clone + Eq + Hash> DiscoveredSet<P> {
    /// Nobody is known. Of each set, as many peers as `limit` are dialled.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            members: HashMap::new(),
            waiting: VecDeque::new(),
            limit,
        }
    }

    /// The source has found this whole set. An empty one changes nothing: that a name has no address is far more
    /// often a fault of the directory than the end of everybody.
    pub(crate) fn handle_set(
        &mut self,
        found: impl IntoIterator<Item = P>,
        is_connected: impl Fn(&P) -> bool,
    ) -> (SetChange, Vec<(P, Following)>) {
        let found: Vec<P> = found.into_iter().collect();
        let (mut set, mut ignored) = (HashSet::new(), 0);
        for peer in &found {
            if set.len() < self.limit {
                set.insert(peer);
            } else if !set.contains(peer) {
                ignored += 1;
            }
        }
        let mut steps = Vec::new();
        if set.is_empty() {
            return (SetChange::default(), steps);
        }
        let mut change = SetChange {
            found: set.len(),
            ignored,
            ..SetChange::default()
        };
        self.members.retain(|peer, standing| {
            let stays = match (set.contains(peer), *standing) {
                (true, DialState::Released) if is_connected(peer) => {
                    *standing = DialState::Dialled;
                    change.new += 1;
                    steps.push((peer.clone(), Following::Keep));
                    return true;
                }
                // It has ended meanwhile: it is dialled anew below.
                (true, DialState::Released) => false,
                (true, _) => return true,
                (false, DialState::Dialled) if is_connected(peer) => {
                    *standing = DialState::Released;
                    change.gone += 1;
                    steps.push((peer.clone(), Following::Release));
                    return true;
                }
                (false, DialState::Released) if is_connected(peer) => return true,
                (false, DialState::Released) => false,
                (false, DialState::Dialled | DialState::Waiting) => {
                    change.gone += 1;
                    false
                }
            };
            if *standing != DialState::Waiting {
                steps.push((peer.clone(), Following::Stop));
            }
            stays
        });
        self.waiting.retain(|peer| set.contains(peer));
        for peer in &found {
            if set.contains(peer) && !self.members.contains_key(peer) {
                change.new += 1;
                self.members.insert(peer.clone(), DialState::Waiting);
                self.waiting.push_back(peer.clone());
            }
        }
        (change, steps)
    }

    /// True if peers wait to be dialled.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The peer to be dialled next; it counts as dialled from now on.
    pub(crate) fn next_to_dial(&mut self) -> Option<P> {
        let peer = self.waiting.pop_front()?;
        if let Some(state) = self.members.get_mut(&peer) {
            *state = DialState::Dialled;
        }
        Some(peer)
    }
}

#[cfg(test)]
#[path = "discovered_set_tests.rs"]
mod tests;
