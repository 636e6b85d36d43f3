//! Events in the lives of supervised actors and trees.

use std::sync::Arc;
use std::time::Duration;

use super::down::ExitReason;
use super::panics::PanicReport;
use crate::notice_queue::{Notice, NoticeQueue};

/// An event in the life of a supervised actor or tree.
///
/// Events go to the recipient's mailbox as long as that has room. Others wait, up to 1,024 of them; those
/// above are counted and announced as [`RestartEvent::Lagged`].
#[derive(Clone, Debug, PartialEq, Eq, actix::Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub enum RestartEvent {
    /// An actor panicked. The next event tells what follows from it.
    Panicked(PanicReport),
    /// An actor or tree will be restarted after a pause.
    Restarting {
        /// The name of the actor or tree.
        child: Arc<str>,
        /// The pause before the factory is asked.
        delay: Duration,
    },
    /// An actor or tree runs again.
    Restarted {
        /// The name of the actor or tree.
        child: Arc<str>,
        /// The number of its restarts, this one included.
        restarts: u64,
    },
    /// An actor or tree has ended for good and its mailbox is closed.
    Ended {
        /// The name of the actor or tree.
        child: Arc<str>,
        /// The cause of its end.
        reason: ExitReason,
    },
    /// This many events were left out because the recipient was too slow.
    Lagged(u64),
}

impl Notice for RestartEvent {
    fn lagged(skipped: u64) -> Option<Self> {
        Some(Self::Lagged(skipped))
    }
}

/// The events of actors and trees for one recipient.
pub(crate) type RestartNotices = NoticeQueue<RestartEvent>;
