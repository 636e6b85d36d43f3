//! Which handler results are complete the moment that `handle` returns.

use std::any::TypeId;

/// Whether `R` is a result type that is never a future, so that no channel is needed to learn of
/// its completion.
#[inline]
pub(super) fn is_immediate<R: 'static>() -> bool {
    TypeId::of::<R>() == TypeId::of::<()>()
}
