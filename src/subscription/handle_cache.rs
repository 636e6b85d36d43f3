//! Where a handler's message leaves what the pump lent it.
//!
//! Cloning and dropping an `Arc` costs two atomic operations, and a message carries two of them:
//! its link, and the place for the handler's decision. The messages of a chunk share both, so that
//! the pump moves its own into the message, and a message that is dropped on the pump's thread
//! while its handler runs puts them where the pump finds them. A message that is kept, or dropped
//! elsewhere, keeps what it has; the pump then clones another.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use super::Settle;
use crate::link::Link;

thread_local! {
    static TRAY: HandleCache = const {
        HandleCache {
            open: Cell::new(false),
            link: Cell::new(None),
            settle: Cell::new(None),
        }
    };
}

struct HandleCache {
    /// A pump of this thread is calling a handler.
    open: Cell<bool>,
    link: Cell<Option<Arc<Link>>>,
    settle: Cell<Option<Arc<Settle>>>,
}

/// The tray of this thread is open, and is emptied at the end.
pub(super) struct Open {
    before: bool,
}

impl Open {
    pub(super) fn new() -> Self {
        let before = TRAY.with(|tray| tray.open.replace(true));
        Self { before }
    }

    /// A handle of `link`: the one that the last message has left, if it is of this link.
    #[inline]
    pub(super) fn link(&self, link: &Arc<Link>) -> CachedHandle<Link> {
        let left = TRAY.with(|tray| tray.link.take());
        let link = match left {
            Some(left) if Arc::ptr_eq(&left, link) => left,
            _ => Arc::clone(link),
        };
        CachedHandle(Some(link))
    }

    /// What the last message has left of this pump, if it has left it.
    #[inline]
    pub(super) fn settle(&self, settle: &Arc<Settle>) -> Option<CachedHandle<Settle>> {
        let left = TRAY.with(|tray| tray.settle.take())?;
        Arc::ptr_eq(&left, settle).then(|| CachedHandle(Some(left)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // In a statement of its own: what is dropped may run code of the user's.
        let left = TRAY.with(|tray| {
            tray.open.set(self.before);
            (tray.link.take(), tray.settle.take())
        });
        drop(left);
    }
}

/// What can be left in a tray.
pub(crate) trait Returned: Sized {
    #[doc(hidden)]
    fn leave(this: Arc<Self>);
}

/// Leaves `this` in a compartment of an open tray.
#[inline]
fn leave<T>(this: Arc<T>, compartment: impl Fn(&HandleCache) -> &Cell<Option<Arc<T>>>) {
    let before = TRAY.try_with(|tray| {
        if tray.open.get() {
            compartment(tray).replace(Some(this))
        } else {
            Some(this)
        }
    });
    drop(before);
}

impl Returned for Link {
    #[inline]
    fn leave(this: Arc<Self>) {
        leave(this, |tray| &tray.link);
    }
}

impl Returned for Settle {
    #[inline]
    fn leave(this: Arc<Self>) {
        leave(this, |tray| &tray.settle);
    }
}

/// A handle that goes back to the pump that lent it, if that is there to take it.
#[derive(Debug)]
pub(crate) struct CachedHandle<T: Returned>(Option<Arc<T>>);

impl<T: Returned> CachedHandle<T> {
    pub(crate) fn new(of: Arc<T>) -> Self {
        Self(Some(of))
    }

    /// The handle itself. It is there until the drop.
    #[inline]
    pub(crate) fn shared(&self) -> &Arc<T> {
        self.0.as_ref().expect("held until dropped")
    }
}

impl<T: Returned> Deref for CachedHandle<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.shared()
    }
}

impl<T: Returned> Drop for CachedHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(this) = self.0.take() {
            T::leave(this);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_leaves_is_lent_again_without_another_handle() {
        let settle = Arc::new(Settle::default());
        let open = Open::new();
        assert!(open.settle(&settle).is_none(), "nothing was left yet");
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert_eq!(Arc::strong_count(&settle), 2, "it is in the tray");
        let again = open.settle(&settle).expect("it was left");
        assert_eq!(Arc::strong_count(&settle), 2);
        drop(again);
        let other = Arc::new(Settle::default());
        assert!(open.settle(&other).is_none(), "it is of another pump");
        assert_eq!(Arc::strong_count(&settle), 1);
    }

    #[test]
    fn nothing_stays_in_a_tray_that_is_closed() {
        let settle = Arc::new(Settle::default());
        let open = Open::new();
        drop(CachedHandle::new(Arc::clone(&settle)));
        drop(open);
        assert_eq!(Arc::strong_count(&settle), 1);
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert_eq!(Arc::strong_count(&settle), 1);
    }

    #[test]
    fn a_tray_within_a_tray_closes_alone() {
        let settle = Arc::new(Settle::default());
        let outer = Open::new();
        drop(Open::new());
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert!(outer.settle(&settle).is_some());
    }
}
