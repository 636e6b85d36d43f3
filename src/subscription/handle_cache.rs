//! A cache for the handles that a pump lends to each message of its handler.
//!
//! Cloning and dropping an `Arc` costs two atomic operations, and a message carries two of them:
//! its link, and the place for the handler's decision. The messages of a chunk share both, so that
//! the pump moves its own into the message, and a message that is dropped on the pump's thread
//! while its handler runs puts them where the pump finds them. A message that is kept, or dropped
//! elsewhere, keeps what it has; the pump then clones another.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use super::settlement::SettlementCell;
use crate::link::Link;

thread_local! {
    static CACHE: HandleCache = const {
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
    settle: Cell<Option<Arc<SettlementCell>>>,
}

/// The time for which the cache of this thread is open; it is emptied at the end.
pub(crate) struct CacheScope {
    before: bool,
}

impl CacheScope {
    pub(super) fn new() -> Self {
        let before = CACHE.with(|cache| cache.open.replace(true));
        Self { before }
    }

    /// A handle of `link`: the one that the last message has left, if it is of this link.
    #[inline]
    pub(super) fn link(&self, link: &Arc<Link>) -> CachedHandle<Link> {
        let left = CACHE.with(|cache| cache.link.take());
        let link = match left {
            Some(left) if Arc::ptr_eq(&left, link) => left,
            _ => Arc::clone(link),
        };
        CachedHandle(Some(link))
    }

    /// Takes back the handle that the last message has left of this pump, if it has left it.
    #[inline]
    pub(super) fn settle(
        &self,
        settle: &Arc<SettlementCell>,
    ) -> Option<CachedHandle<SettlementCell>> {
        let left = CACHE.with(|cache| cache.settle.take())?;
        Arc::ptr_eq(&left, settle).then(|| CachedHandle(Some(left)))
    }
}

impl Drop for CacheScope {
    fn drop(&mut self) {
        // In a statement of its own: what is dropped may run code of the user's.
        let left = CACHE.with(|cache| {
            cache.open.set(self.before);
            (cache.link.take(), cache.settle.take())
        });
        drop(left);
    }
}

/// A handle that can be left in a cache.
pub(crate) trait Returned: Sized {
    #[doc(hidden)]
    fn leave(this: Arc<Self>);
}

/// Leaves `this` in a compartment of an open cache.
#[inline]
fn leave<T>(this: Arc<T>, compartment: impl Fn(&HandleCache) -> &Cell<Option<Arc<T>>>) {
    let before = CACHE.try_with(|cache| {
        if cache.open.get() {
            compartment(cache).replace(Some(this))
        } else {
            Some(this)
        }
    });
    drop(before);
}

impl Returned for Link {
    #[inline]
    fn leave(this: Arc<Self>) {
        leave(this, |cache| &cache.link);
    }
}

impl Returned for SettlementCell {
    #[inline]
    fn leave(this: Arc<Self>) {
        leave(this, |cache| &cache.settle);
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
        let settle = Arc::new(SettlementCell::default());
        let open = CacheScope::new();
        assert!(open.settle(&settle).is_none(), "nothing was left yet");
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert_eq!(Arc::strong_count(&settle), 2, "it is in the cache");
        let again = open.settle(&settle).expect("it was left");
        assert_eq!(Arc::strong_count(&settle), 2);
        drop(again);
        let other = Arc::new(SettlementCell::default());
        assert!(open.settle(&other).is_none(), "it is of another pump");
        assert_eq!(Arc::strong_count(&settle), 1);
    }

    #[test]
    fn nothing_stays_in_a_cache_that_is_closed() {
        let settle = Arc::new(SettlementCell::default());
        let open = CacheScope::new();
        drop(CachedHandle::new(Arc::clone(&settle)));
        drop(open);
        assert_eq!(Arc::strong_count(&settle), 1);
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert_eq!(Arc::strong_count(&settle), 1);
    }

    #[test]
    fn a_cache_within_a_cache_closes_alone() {
        let settle = Arc::new(SettlementCell::default());
        let outer = CacheScope::new();
        drop(CacheScope::new());
        drop(CachedHandle::new(Arc::clone(&settle)));
        assert!(outer.settle(&settle).is_some());
    }
}
