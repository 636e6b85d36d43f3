//! The instances of a service that is followed, and what its consumer remembers of them.

use std::time::Duration;

use super::event::ServiceEvent;
use super::member::Member;
use super::returned::ReturnedTells;
use crate::engine::service::{KeyHash, KeyHolders, MissingService, RetryBudget};

/// Time after which the keys of an instance that is gone move, if it is not said.
const REHOME: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct View {
    pub(super) members: Vec<Member>,
    pub(super) keys: KeyHolders<u64>,
    pub(super) budget: RetryBudget,
    /// Messages that their instances have not handled.
    pub(super) returned: ReturnedTells,
    /// Keys of those that are being sent, and so not among the ones that wait.
    pub(super) resending: Vec<Option<KeyHash>>,
    /// A tell was kept back because of them.
    pub(super) kept_back: bool,
    /// A peer offers it, or has offered it.
    pub(super) was_offered: bool,
    /// Calls that wait for an instance.
    pub(super) waiting: usize,
    pub(super) missing: MissingService,
    random: u64,
}

impl View {
    /// No instances yet. The seed decides which of equal ones are asked.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            members: Vec::new(),
            keys: KeyHolders::new(REHOME),
            budget: RetryBudget::new(),
            returned: ReturnedTells::default(),
            resending: Vec::new(),
            kept_back: false,
            was_offered: false,
            waiting: 0,
            missing: MissingService::default(),
            random: seed | 1,
        }
    }

    pub(super) fn member(&mut self, serial: u64) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.link.serial() == serial)
    }

    /// True if a new tell with this key has to wait for those that have come back. One without a key waits for all of them, as long as
    /// there is one instance for all.
    pub(super) fn keeps_back(&self, key: Option<KeyHash>) -> bool {
        match key {
            _ if self.returned.are_many() => true,
            Some(_) => self.resending.contains(&key) || self.returned.hold(key),
            None => {
                self.members.len() < 2 && !(self.resending.is_empty() && self.returned.is_empty())
            }
        }
    }

    /// The name of an instance that has left is another's, if there is one.
    pub(super) fn succeed(&mut self, successor: Option<u64>) -> Option<ServiceEvent> {
        let member = self.member(successor?)?;
        let change = member.instance.handle_name_free()?;
        Some(member.news(change))
    }

    /// A random number, of which it only counts that they are spread.
    pub(super) fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
