//! A message's reference to the link that it came by.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use crate::link::Link;

/// What a handler let go of, for the next message of the same link.
#[derive(Default)]
enum Spare {
    /// No handler is being fed: references are counted.
    #[default]
    Off,
    Empty,
    Kept(Arc<Link>),
}

thread_local! {
    static SPARE: Cell<Spare> = const { Cell::new(Spare::Off) };
}

/// A counted reference to a link. Most messages are dropped before the next one is made, on the
/// same thread: while a handler is being fed, the reference goes from one message to the next
/// without being counted down and up, which costs as much as the rest of the delivery.
#[derive(Debug)]
pub(super) struct LinkRef(Option<Arc<Link>>);

impl LinkRef {
    #[inline]
    pub(super) fn to(link: &Arc<Link>) -> Self {
        let spare = SPARE.with(|spare| match spare.take() {
            Spare::Off => None,
            Spare::Empty => {
                spare.set(Spare::Empty);
                None
            }
            Spare::Kept(kept) => {
                spare.set(Spare::Empty);
                Some(kept)
            }
        });
        Self(Some(match spare {
            Some(kept) if Arc::ptr_eq(&kept, link) => kept,
            _ => Arc::clone(link),
        }))
    }
}

impl Deref for LinkRef {
    type Target = Arc<Link>;

    #[inline]
    fn deref(&self) -> &Arc<Link> {
        self.0.as_ref().expect("held until dropped")
    }
}

impl Drop for LinkRef {
    #[inline]
    fn drop(&mut self) {
        let Some(link) = self.0.take() else { return };
        let _ = SPARE.try_with(|spare| match spare.take() {
            Spare::Off => {}
            Spare::Empty | Spare::Kept(_) => spare.set(Spare::Kept(link)),
        });
    }
}

/// While it lives, references to links go from message to message on this thread.
pub(crate) struct Feeding(());

impl Feeding {
    #[inline]
    pub(crate) fn begin() -> Self {
        SPARE.set(Spare::Empty);
        Self(())
    }
}

impl Drop for Feeding {
    #[inline]
    fn drop(&mut self) {
        let _ = SPARE.try_with(Cell::take);
    }
}
