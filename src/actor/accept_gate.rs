//! Lets accepted connections in: up to the socket's limit, spread over its arbiters.

use std::fmt::Display;
use std::sync::Arc;

use actix::{ArbiterHandle, Recipient};

use crate::address::Role;
use crate::clock;
use crate::connection::actor::ConnectionActor;
use crate::connection::admission::Admit;
use crate::connection::connections::Connections;
use crate::connection::handshake::Origin;
use crate::core::SocketCore;
use crate::engine::LogPermit;
use crate::event::{Limit, SocketEvent};
use crate::telemetry::{self, Topic};
use crate::transport::Accepted;

/// Starts the connections of one place where peers come in.
#[derive(Debug)]
pub(super) struct AcceptGate {
    connections: Arc<Connections>,
    router: Recipient<Admit>,
    /// Where else connections may run.
    arbiters: Vec<ArbiterHandle>,
    next: usize,
    /// The limit that was reached at the last connection; the event is for the first.
    overloaded: Option<Limit>,
}

impl AcceptGate {
    pub(super) fn new(
        connections: Arc<Connections>,
        router: Recipient<Admit>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Self {
        Self {
            connections,
            router,
            arbiters,
            next: 0,
            overloaded: None,
        }
    }

    /// Starts a connection; at the limit it is closed at once, and false.
    pub(super) fn admit<P: Display>(
        &mut self,
        accepted: Accepted,
        place: impl FnOnce() -> P,
    ) -> bool {
        if self.is_too_fast(&accepted) {
            self.refuse(Limit::AcceptRate, place);
            return false;
        }
        self.next = (self.next + 1) % (self.arbiters.len() + 1);
        let accepted = match self.arbiters.get(self.next) {
            None => accepted,
            Some(_) => match accepted.detached() {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(LogPermit { unlogged }) = telemetry::line(Topic::Lost, ()) {
                        tracing::warn!(%error, endpoint = %place(), unlogged, "a connection is lost");
                    }
                    return false;
                }
            },
        };
        let address = accepted.remote().clone();
        let Some(entry) = self.connections.begin(address, Role::BindEnd) else {
            self.refuse(Limit::Connections, place);
            return false;
        };
        let (handshake, full) = self.core().admission.begin_handshake();
        if full {
            self.announce(Limit::Handshakes, place);
        } else {
            self.overloaded = None;
        }
        let origin = Origin::Accepted(accepted, handshake);
        let connection = ConnectionActor::new(entry, self.router.clone(), origin, None);
        match self.arbiters.get(self.next) {
            Some(arbiter) => connection.start_in(arbiter),
            None => connection.start_here(),
        }
        true
    }

    fn core(&self) -> &Arc<SocketCore> {
        self.connections.core()
    }

    /// True if an address connects more often than it may.
    fn is_too_fast(&self, accepted: &Accepted) -> bool {
        let network = accepted.remote().network();
        network.is_some_and(|network| self.core().admission.is_too_fast(clock::now(), network))
    }

    /// A connection is not let in.
    pub(super) fn refuse<P: Display>(&mut self, limit: Limit, place: impl FnOnce() -> P) {
        self.core().admission.note_refused();
        self.announce(limit, place);
    }

    fn announce<P: Display>(&mut self, limit: Limit, place: impl FnOnce() -> P) {
        if self.overloaded.replace(limit) != Some(limit) {
            if let Some(LogPermit { unlogged }) = telemetry::line(Topic::LimitReached, limit) {
                tracing::warn!(?limit, endpoint = %place(), unlogged, "a limit is reached");
            }
            self.core()
                .events
                .announce(&SocketEvent::Overloaded { limit });
        }
    }
}
