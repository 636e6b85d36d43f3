//! Events for a recipient, which never fill its mailbox.

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use actix::dev::SendError;
use parking_lot::Mutex;

use super::down::ExitReason;
use super::panics::PanicReport;

/// The pause between two attempts to announce events that did not fit as [`RestartEvent::Lagged`].
const LAGGED_RETRY: Duration = Duration::from_millis(100);

/// An event in the life of a supervised actor or tree.
///
/// Events go to the recipient's mailbox as long as that has room. Those that do not fit are counted and
/// announced later as [`RestartEvent::Lagged`], so a slow recipient costs no memory.
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
    /// This many events were left out because the recipient's mailbox was full.
    Lagged(u64),
}

/// The way to one recipient, with a count of what did not fit.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    route: Arc<Mutex<EventRoute>>,
}

#[derive(Debug)]
struct EventRoute {
    recipient: Recipient<RestartEvent>,
    skipped: u64,
    retrying: Retrying,
}

#[derive(Clone, Copy, Debug)]
enum Retrying {
    No,
    Yes,
}

impl Notices {
    pub(crate) fn new(recipient: Recipient<RestartEvent>) -> Self {
        let route = EventRoute {
            recipient,
            skipped: 0,
            retrying: Retrying::No,
        };
        Self {
            route: Arc::new(Mutex::new(route)),
        }
    }

    /// Sends an event from within a task of an arbiter.
    pub(crate) fn tell(&self, event: RestartEvent) {
        self.route.lock().offer(event);
        self.follow_up();
    }

    /// Starts a task that announces what was left out, if anything was and no such task runs.
    pub(crate) fn follow_up(&self) {
        let mut route = self.route.lock();
        if route.skipped > 0 && matches!(route.retrying, Retrying::No) {
            route.retrying = Retrying::Yes;
            actix::spawn(announce_gap(Arc::clone(&self.route)));
        }
    }

    /// Sends an event where no task can be started, as in a destructor.
    pub(crate) fn tell_last(&self, event: RestartEvent) {
        self.route.lock().offer(event);
    }
}

impl EventRoute {
    fn offer(&mut self, event: RestartEvent) {
        self.settle();
        if self.skipped > 0 || matches!(self.recipient.try_send(event), Err(SendError::Full(_))) {
            self.skipped += 1;
        }
    }

    /// Tells the recipient about its gap, if there is one and it has room for that.
    fn settle(&mut self) {
        if self.skipped == 0 {
            return;
        }
        match self.recipient.try_send(RestartEvent::Lagged(self.skipped)) {
            Ok(()) | Err(SendError::Closed(_)) => self.skipped = 0,
            Err(SendError::Full(_)) => {}
        }
    }
}

/// Waits until the recipient has been told about its gap, or is no more.
async fn announce_gap(route: Arc<Mutex<EventRoute>>) {
    loop {
        tokio::time::sleep(LAGGED_RETRY).await;
        let mut route = route.lock();
        route.settle();
        if route.skipped == 0 {
            route.retrying = Retrying::No;
            return;
        }
    }
}
