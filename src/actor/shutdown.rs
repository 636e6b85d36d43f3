//! The steps in which a socket ends.

use std::time::Duration;

use super::drain_group::DrainGroup;
use crate::clock;
use crate::core::SocketCore;
use crate::lifecycle::{CloseReport, SocketPhase};

/// The time that connections get to end in order, after everything is written.
pub(crate) const GOODBYE: Duration = Duration::from_millis(2500);

/// The time that a socket drains, by default, when supervision gives up the program.
pub(super) const DRAIN_AT_END: Duration = Duration::from_secs(10);

/// The time within which a peer that has used no service says that it has seen the end of its provider.
const SEEN: Duration = Duration::from_millis(250);

/// The pause between two looks at a condition that nobody announces.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until all received messages are handled and all sent ones, answers among them, are handed to
/// the kernel; at most for `limit`. False if that was too short.
pub(crate) async fn drain(core: &SocketCore, limit: Duration) -> bool {
    drain_until(core, limit, || core.is_handled_and_drained()).await
}

/// The same of a socket of a group, and waits for the others of it as well.
pub(crate) async fn drain_with(group: DrainGroup, limit: Duration) -> bool {
    drain_until(group.core(), limit, || group.is_drained()).await
}

/// Yields whether the socket itself is drained.
async fn drain_until(core: &SocketCore, limit: Duration, is_over: impl Fn() -> bool) -> bool {
    let began = clock::now();
    drain_services(core, limit).await;
    let limit = limit.saturating_sub(clock::now().saturating_duration_since(began));
    core.lifecycle.stop_receiving();
    wait_until(limit, is_over).await;
    core.is_handled_and_drained()
}

/// Tells those who use services of the socket that it is about to end, and waits until they have seen it: what
/// they had sent before is here then. Others may not know what they are told, and are waited for no longer than [`SEEN`].
/// One that hangs leaves half of the time for what the socket has in hand.
async fn drain_services(core: &SocketCore, limit: Duration) {
    if !core.services.start_draining() {
        return;
    }
    wait_until(limit.min(SEEN), || core.services.unseen().0 == 0).await;
    let limit = limit.saturating_sub(SEEN);
    wait_until(limit / 2, || core.services.unseen().1 == 0).await;
}

/// Lets every connection end in order, so that no peer loses messages; at most for `limit`.
pub(crate) async fn part(core: &SocketCore, limit: Duration) {
    for link in core.router.links().iter() {
        link.finish();
    }
    wait_until(limit, || has_parted(core)).await;
}

/// Ends the connections that are left, and waits until their messages have come back.
pub(crate) async fn abort(core: &SocketCore) {
    for link in core.router.links().iter() {
        link.abort();
    }
    wait_until(GOODBYE, || has_parted(core)).await;
}

/// Waits until the socket is closed, and reports.
pub(crate) async fn closed_report(core: &SocketCore) -> CloseReport {
    let mut state = core.lifecycle.state();
    // An error means that the socket is gone, which is what is waited for.
    let _ = state
        .wait_for(|state| state.phase == SocketPhase::Closed)
        .await;
    core.router.store_closed().await;
    core.report()
}

fn has_parted(core: &SocketCore) -> bool {
    core.admission.connections() == 0
}

/// Waits for a condition of which nobody tells, and does not wait without time. Used only while closing.
pub(crate) async fn wait_until(limit: Duration, condition: impl Fn() -> bool) {
    if limit.is_zero() {
        return;
    }
    let waiting = async {
        while !condition() {
            tokio::time::sleep(LOOK).await;
        }
    };
    // Either way the caller goes on.
    let _ = tokio::time::timeout(limit, waiting).await;
}
