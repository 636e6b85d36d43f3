//! Sockets of a program that end at the same time and wait for each other: while a handler of one has messages in hand, it
//! may still need another one to send, or to ask.

use std::sync::{Arc, Weak};

use actix::System;
use parking_lot::Mutex;

use crate::core::SocketCore;

/// What ends the sockets of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Signal,
    Supervision,
}

/// One socket of a group.
#[derive(Debug)]
struct Member {
    system: usize,
    by: EndedBy,
    core: Weak<SocketCore>,
}

/// The sockets that have not drained yet. Short, and looked at only by sockets that end.
static MEMBERS: Mutex<Vec<Member>> = Mutex::new(Vec::new());

/// Membership of a socket in the group of those that end together, until it is dropped. Without an actix `System` a socket
/// ends alone.
#[derive(Debug)]
pub(crate) struct DrainGroup {
    core: Arc<SocketCore>,
    /// The `System` whose sockets end together.
    system: Option<usize>,
    by: EndedBy,
}

impl DrainGroup {
    pub(crate) fn join(core: &Arc<SocketCore>, by: EndedBy) -> Self {
        let system = System::try_current().map(|system| system.id());
        if let Some(system) = system {
            let core = Arc::downgrade(core);
            MEMBERS.lock().push(Member { system, by, core });
        }
        let core = Arc::clone(core);
        Self { core, system, by }
    }

    /// True once this socket and all others of its group are drained. One that still receives is not, though it has nothing in
    /// hand: it was not asked to end yet, or its consumers have not heard of it.
    pub(super) fn is_drained(&self) -> bool {
        let is_drained =
            |core: &SocketCore| !core.lifecycle.is_receiving() && core.is_handled_and_drained();
        is_drained(&self.core) && self.others().iter().all(|core| is_drained(core))
    }

    fn others(&self) -> Vec<Arc<SocketCore>> {
        let members = MEMBERS.lock();
        let of_group =
            |member: &&Member| Some(member.system) == self.system && member.by == self.by;
        let members = members.iter().filter(of_group);
        members.filter_map(|member| member.core.upgrade()).collect()
    }
}

impl Drop for DrainGroup {
    fn drop(&mut self) {
        let mut members = MEMBERS.lock();
        let is_own = |member: &Member| {
            member.by == self.by && std::ptr::eq(member.core.as_ptr(), Arc::as_ptr(&self.core))
        };
        if let Some(place) = members.iter().position(is_own) {
            members.swap_remove(place);
        }
    }
}
