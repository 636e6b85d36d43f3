//! What speaks against a message, before it goes its way.

use crate::error::SendError;
use crate::limits::{DeliveryGuarantee, SendMode};
use crate::link::{Entry, Link, Target, fits_frame};
use crate::routing::Router;

/// True if nothing speaks against a message that waiting would not change.
#[inline]
fn is_sound(router: &Router, entry: &Entry) -> bool {
    let limit = Link::max_payload(entry.guarantee, router.config().max_frame_bytes);
    fits_frame(entry, limit) && !wants_publish_acknowledged(router, entry)
}

/// True if nothing is to be done with a message but to send it.
#[inline]
pub(super) fn is_simple(router: &Router, entry: &Entry) -> bool {
    is_sound(router, entry) && !router.stores(entry)
}

#[inline]
fn wants_publish_acknowledged(router: &Router, entry: &Entry) -> bool {
    entry.guarantee == DeliveryGuarantee::AtLeastOnce
        && entry.target == Target::Mode
        && router.config().send_mode == SendMode::Publish
}

/// Checks for objections to a message that waiting would not change.
pub(super) fn check(router: &Router, entry: &mut Entry) -> Result<(), SendError> {
    if is_sound(router, entry) {
        return Ok(());
    }
    let payload = std::mem::take(&mut entry.payload);
    if wants_publish_acknowledged(router, entry) {
        return Err(SendError::PublishAtLeastOnce(payload));
    }
    let limit = Link::max_payload(entry.guarantee, router.config().max_frame_bytes);
    Err(SendError::TooLarge { payload, limit })
}
