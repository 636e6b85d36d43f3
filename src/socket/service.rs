//! A service that peers offer, as those who use it see it.

use std::sync::Arc;
use std::time::Duration;

use super::ask_messages::service_question;
use super::handle::{Socket, WeakSocket};
use super::replies::Replies;
use super::service_asking::ServiceAsking;
use super::service_events::ServiceEvents;
use super::service_target::ServiceTarget;
use super::service_telling::ServiceTelling;
use crate::ask::AskRequest;
use crate::clock;
use crate::core::SocketCore;
use crate::engine::service::KeyHash;
use crate::error::AskError;
use crate::link::{Link, Target};
use crate::payload::{self, Payload};
use crate::services::InstanceReport;

/// A service by its name, whoever offers it. It is cheap to clone, and follows the instances as they come and go.
#[derive(Debug, Clone)]
pub struct Service {
    target: ServiceTarget,
}

impl Socket {
    /// The service of this name that peers of this socket offer, now or later:
    /// `socket.service("inventory").ask(&order).await?`.
    pub fn service(&self, name: &str) -> Service {
        Service::at(self.core(), name)
    }
}

impl WeakSocket {
    /// As [`Socket::service`]; `None` when the socket is closed.
    pub fn service(&self, name: &str) -> Option<Service> {
        Some(self.upgrade()?.service(name))
    }
}

impl Service {
    pub(crate) fn at(core: &Arc<SocketCore>, name: &str) -> Self {
        let target = ServiceTarget {
            core: Arc::clone(core),
            followed: core.services.follow(name),
            key: None,
        };
        Self { target }
    }

    /// The name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target.followed.name()
    }

    /// The service for one key: messages go to the instance that holds it, as long as that is there.
    ///
    /// Which instance holds a key follows from the names of the instances alone, so that all sockets which see the same ones
    /// agree. A key moves when its instance is withdrawn, drains, or has been gone for a second; not because it is busy or
    /// fails. Two sockets that see different instances may ask different ones.
    #[must_use]
    pub fn keyed(&self, key: impl AsRef<[u8]>) -> Self {
        let mut target = self.target.clone();
        target.key = Some(KeyHash::of(key.as_ref()));
        Self { target }
    }

    /// For how long the keys of an instance that is gone without a word wait for it, and so do at-least-once messages that
    /// it may have handled; then they go to others. It holds for all handles of this socket to the service. Default: 1 s; more than ten
    /// years are taken for ten years.
    ///
    /// An instance that comes back under its name within that time has its keys again; whoever asks by one of them waits for it
    /// until then.
    #[must_use]
    pub fn rehome(self, time: Duration) -> Self {
        self.target.followed.set_rehome(time);
        self.target.core.services.wake();
        self
    }

    /// Asks the instance with the fewest outstanding asks of this socket, or the one that holds the key, and waits for its answer:
    /// `inventory.ask(&order).timeout(Duration::from_secs(1)).await?`.
    ///
    /// While nobody offers the service it waits, within its timeout. An ask that surely was not handled, because its
    /// instance went before it was sent or is about to end, goes to another one. Nothing is sent to a peer that does
    /// not offer the service.
    ///
    /// The future fails with [`AskError`]: `NoService`, `Busy`, `PeerGone`, `Timeout`, `Remote`, `Decode`, and `Encode`, `Send` or
    /// `Closed` for what cannot be sent.
    pub fn ask<Q: AskRequest>(&self, request: &Q) -> ServiceAsking<Q> {
        ServiceAsking::new(self.target.clone(), request)
    }

    /// Asks every instance that may be asked now the same, and yields their answers as they come, until all have answered or
    /// are gone, or the timeout is over. One that has said that it is busy, or was left out for its failures, is not asked; one that becomes
    /// busy answers so ([`AskError::Busy`]).
    ///
    /// # Errors
    ///
    /// [`Encode`](AskError::Encode) when the request cannot be, and [`NoService`](AskError::NoService) when there is no
    /// instance.
    pub fn ask_all<Q: AskRequest>(
        &self,
        request: &Q,
        timeout: Duration,
    ) -> Result<Replies<Q>, AskError> {
        let ServiceTarget { core, followed, .. } = &self.target;
        let body = payload::encode(request, core.config.codec)?;
        let links = followed.ready_links();
        if links.is_empty() && core.lifecycle.is_open() {
            return Err(AskError::NoService);
        }
        let address = self.target.address();
        let question = |number, trace| {
            let id = core.inbound.asks.id_of(number);
            service_question(&address, id, timeout, trace, &body)
        };
        let to = |_: &Link| Target::Service;
        Replies::start_at(core, links, question, to, timeout, followed.name())
    }

    /// Sends a message to an instance, by the socket's guarantee, and resolves when it is queued:
    /// `inventory.tell(&event).acknowledged().await?` waits until it is handled.
    ///
    /// While nobody offers the service, or all who do are busy, it waits. What was sent at least once is handled by another instance
    /// if its own goes or refuses it; it may then be handled twice, and has the same
    /// [origin](crate::Received::origin) each time.
    pub fn tell<T: Payload>(&self, message: &T) -> ServiceTelling {
        ServiceTelling::new(self.target.clone(), message)
    }

    /// Waits until so many instances may be asked.
    ///
    /// # Errors
    ///
    /// [`Closed`](AskError::Closed) when the socket is closed first.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn wait_for(&self, instances: usize) -> Result<(), AskError> {
        let mut state = self.target.core.lifecycle.state();
        let mut wait = None;
        loop {
            let changed = self.target.followed.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.target.followed.ready() >= instances {
                return Ok(());
            }
            if !self.target.core.lifecycle.is_open() {
                return Err(AskError::Closed);
            }
            let ServiceTarget { core, followed, .. } = &self.target;
            wait.get_or_insert_with(|| core.services.wait_for(followed));
            tokio::select! {
                () = changed => {}
                ended = state.changed() => if ended.is_err() {
                    return Err(AskError::Closed);
                },
            }
        }
    }

    /// What becomes of the instances from now on. At most 256 events wait; who takes them more slowly is told how many
    /// were missed.
    #[must_use]
    pub fn events(&self) -> ServiceEvents {
        ServiceEvents::new(self.target.followed.listen())
    }

    /// The instances of the service that this socket knows of, now.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceReport> {
        self.target.followed.report(clock::now())
    }
}
