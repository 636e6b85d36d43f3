//! News of the instances of a service, as they come.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::services::ServiceEvent;

/// News of the instances of a service, as they come.
#[derive(Debug)]
pub struct ServiceEvents {
    events: broadcast::Receiver<ServiceEvent>,
}

impl ServiceEvents {
    pub(super) fn new(events: broadcast::Receiver<ServiceEvent>) -> Self {
        Self { events }
    }

    /// The next event; `None` when the socket is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it has taken nothing.
    pub async fn next(&mut self) -> Option<ServiceEvent> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(ServiceEvent::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
