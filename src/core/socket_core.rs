//! The parts of a socket, joined.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::counters::Counters;
use super::inbound::Inbound;
use super::inquiries::Inquiries;
use super::standing::Standing;
use crate::admission::AdmissionControl;
use crate::announcements::Events;
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::limits::CurrentLimits;
use crate::link::{Link, WriteBatch};
use crate::outbox::{Letters, OpenedOutbox};
use crate::routing::{DebtListener, EndedBy, HandlerProgress, Router};
use crate::services::Services;
use crate::subscription::SubscriptionContext;
use crate::telemetry::Timings;

/// The core of a socket, shared by its handles, its actors and its connections. It survives each
/// of the actors. Each part keeps its own state; what concerns several of them is composed here.
#[derive(Debug)]
pub(crate) struct SocketCore {
    pub(crate) config: Arc<Config>,
    pub(crate) limits: Arc<CurrentLimits>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) events: Arc<Events>,
    pub(crate) router: Arc<Router>,
    pub(crate) inbound: Inbound,
    pub(crate) services: Services,
    pub(crate) admission: Arc<AdmissionControl>,
    pub(crate) counters: Counters,
    pub(crate) standing: Standing,
    pub(crate) inquiries: Inquiries,
    pub(crate) timings: Arc<Timings>,
}

impl SocketCore {
    #[cfg(test)]
    pub(crate) fn new(config: Config, now: Instant) -> Arc<Self> {
        Self::with_outbox(config, now, None, None)
    }

    /// A core whose outbox, if it has one, outlives the process and has messages of an earlier start. Dead letters are kept where
    /// `letters` says, if anywhere.
    pub(crate) fn with_outbox(
        config: Config,
        now: Instant,
        outbox: Option<OpenedOutbox>,
        letters: Option<Letters>,
    ) -> Arc<Self> {
        let config = Arc::new(config);
        let limits = Arc::new(CurrentLimits::new(config.limits));
        let lifecycle = Arc::new(Lifecycle::new(now));
        let events = Arc::new(Events::new(letters));
        let attempts = config.max_attempts;
        let timings = Arc::new(Timings::default());
        Arc::new_cyclic(|this: &Weak<Self>| {
            let context = SubscriptionContext::new(this.clone(), attempts, Arc::clone(&timings));
            let inbound = Inbound::new(&config.limits, context);
            if config.introspection.is_some() {
                inbound.asks.start_serving();
            }
            let mut router = Router::new(
                Arc::clone(&config),
                Arc::clone(&limits),
                Arc::clone(&lifecycle),
                Arc::clone(&events),
                Arc::clone(&inbound.subscriptions) as Arc<dyn DebtListener>,
            );
            if let Some(outbox) = outbox {
                router.restore(outbox);
            }
            let router = Arc::new(router);
            router.take_pages();
            Self {
                services: Services::new(
                    Arc::clone(&router),
                    Arc::clone(&inbound.asks),
                    Arc::clone(&inbound.subscriptions),
                ),
                inbound,
                admission: Arc::new(AdmissionControl::new(
                    Arc::clone(&limits),
                    config.accept_rate,
                )),
                counters: Counters::default(),
                standing: Standing::new(),
                inquiries: Inquiries::new(),
                timings,
                router,
                config,
                limits,
                lifecycle,
                events,
            }
        })
    }

    /// A connection has ended: its peer gets nothing more, its queued messages go where they belong, and
    /// asks that waited for the peer fail. False if the link had never joined.
    pub(crate) fn leave(&self, link: &Link, batch: WriteBatch, now: Instant, by: EndedBy) -> bool {
        let asks = &self.inbound.asks;
        let departed = (self.router).leave(link, batch, now, by, |withdrawn| {
            self.services.handle_leave(link, withdrawn, now);
            asks.handle_leave(link.peer(), link.serial());
        });
        if departed.is_some_and(|departed| departed.was_in_debt) {
            self.inbound.subscriptions.relieve();
        }
        departed.is_some()
    }

    /// True if every accepted message has been handed to the kernel and, where it wants that, acknowledged.
    pub(crate) fn is_drained(&self, acknowledged_too: bool) -> bool {
        self.router.is_drained(acknowledged_too)
            && self.services.is_own_drained(acknowledged_too)
            && self.services.returned().0 == 0
    }

    /// True if all received messages are handled, and all sent ones, answers among them, are handed to the kernel.
    pub(crate) fn is_handled_and_drained(&self) -> bool {
        self.inbound.is_handled() && self.is_drained(false)
    }

    /// The socket's sweep: sets its clock, and looks for what is overdue.
    pub(crate) fn handle_sweep(&self, now: Instant) {
        self.lifecycle.note_time(now);
        self.events.handle_sweep();
        let (unhandled, _) = self.inbound.subscriptions.load();
        let progress = HandlerProgress {
            received: self.counters.received(),
            unhandled,
            parked: self.inbound.subscriptions.parked(),
        };
        self.router.handle_sweep(now, progress);
        self.services.handle_sweep(now);
        let waiting = || self.router.outbox_messages();
        self.standing.warn_of_no_way(now, waiting);
    }
}
