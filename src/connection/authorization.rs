//! Asks the socket's authorizer about a peer that has said HELLO.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::authorize::{Admission, Authorizer, Candidate, Verdict};
use crate::engine::LogPermit;
use crate::event::RefusalReason;
use crate::supervise::contain;
use crate::telemetry::{self, Topic};

/// The answer of `authorizer`, within `deadline`. Whatever becomes of it, a panic included, there
/// is one.
pub(super) async fn decide(
    authorizer: &Authorizer,
    candidate: Candidate,
    deadline: Duration,
) -> Result<Admission, RefusalReason> {
    let deciding = async {
        let mut deciding = contain(|| authorizer.authorize(candidate))?;
        poll_fn(|cx| match contain(|| deciding.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        })
        .await
    };
    match tokio::time::timeout(deadline, deciding).await {
        Err(_) => Err(RefusalReason::AuthorizationTimedOut),
        Ok(Err(panic)) => {
            if let Some(LogPermit { unlogged }) = telemetry::line(Topic::AuthorizerPanicked, ()) {
                tracing::error!(%panic, unlogged, "the authorizer panicked; the peer is refused");
            }
            Err(RefusalReason::AuthorizerFailed)
        }
        Ok(Ok(admission)) => match admission.verdict {
            Verdict::Refuse(reason) => Err(RefusalReason::Unauthorized(reason)),
            Verdict::Failed => Err(RefusalReason::AuthorizerFailed),
            Verdict::Admit | Verdict::AdmitAs(_) => Ok(admission),
        },
    }
}
