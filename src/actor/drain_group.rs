//! Sockets of a program that end at the same time and wait for each other: while a handler of one has messages in hand, it
//! may still need another one to send, or to ask.

use std::sync::{Arc, Weak};

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
    core: Arc<SocketCore>,
    by: EndedBy,
}

impl Member {
    /// True once it is drained. One that still receives is not, though it has nothing in hand: it was not asked to end yet, or its
    /// consumers have not heard of it.
    fn is_drained(&self) -> bool {
        !self.core.lifecycle.is_receiving() && self.core.is_handled_and_drained()
    }

    fn ends_with(&self, other: &Self) -> bool {
        (self.core.standing.scope(), self.by) == (other.core.standing.scope(), other.by)
    }
}

/// The sockets that have not drained yet. Short, and looked at only by sockets that end.
static MEMBERS: Mutex<Vec<Weak<Member>>> = Mutex::new(Vec::new());

/// Membership of a socket in the group of those that end together, until it is dropped.
#[derive(Debug)]
pub(crate) struct DrainGroup(Arc<Member>);

impl DrainGroup {
    pub(crate) fn join(core: &Arc<SocketCore>, by: EndedBy) -> Self {
        let member = Arc::new(Member {
            core: Arc::clone(core),
            by,
        });
        MEMBERS.lock().push(Arc::downgrade(&member));
        Self(member)
    }

    /// The socket itself.
    pub(super) fn core(&self) -> &SocketCore {
        &self.0.core
    }

    /// True once this socket and all others of its group are drained.
    pub(super) fn is_drained(&self) -> bool {
        self.0.is_drained() && self.others().iter().all(|other| other.is_drained())
    }

    fn others(&self) -> Vec<Arc<Member>> {
        let members = MEMBERS.lock();
        let members = members.iter().filter_map(Weak::upgrade);
        members.filter(|member| member.ends_with(&self.0)).collect()
    }
}

impl Drop for DrainGroup {
    fn drop(&mut self) {
        let is_another = |member: &Weak<Member>| member.as_ptr() != Arc::as_ptr(&self.0);
        MEMBERS.lock().retain(is_another);
    }
}
