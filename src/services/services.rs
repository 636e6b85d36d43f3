//! The services of a socket: what it offers, what its peers offer, and the timer of both.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::directory::{Directory, Offered};
use super::followed::Followed;
use super::message::{address_in, ask_in};
use super::offers::Offers;
use super::queue::ServiceQueue;
use super::report::OfferReport;
use super::resending::Sent;
use super::returned::ReturnedTell;
use crate::ask::{Asks, Unanswered};
use crate::clock::{self, sooner};
use crate::event::DeadLetterReason;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Link, Target, take};
use crate::payload::{AskEnvelope, AskId, AskKind, ServiceAddress};
use crate::routing::Router;
use crate::subscription::{Member, Subscription, SubscriptionSpec, Subscriptions};
use crate::sync::Ordering;
use crate::wire::{Extension, NotHandled, seen_frame};

/// For how long an instance that turned a tell down counts as busy, if it says nothing else.
const TURNED_DOWN: Duration = Duration::from_millis(100);

/// Bytes that the offers of all peers may take, however small the memory budget is.
const MIN_CATALOG_BYTES: usize = 128 * 1024;

/// All that a socket does with named services.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) offers: Offers,
    pub(crate) directory: Directory,
    router: Arc<Router>,
    asks: Arc<Asks>,
    subscriptions: Arc<Subscriptions>,
    /// Something is to be done sooner than the timer thinks.
    due: Notify,
    /// Messages that were received and that no handler gets.
    refused: AtomicU64,
    /// The link from the socket to itself, once it both offers and follows services.
    pub(super) own: OnceLock<Arc<Link>>,
    pub(super) own_made: Notify,
}

impl Services {
    pub(crate) fn new(
        router: Arc<Router>,
        asks: Arc<Asks>,
        subscriptions: Arc<Subscriptions>,
    ) -> Self {
        Self {
            offers: Offers::new(),
            directory: Directory::new(router.config().identity),
            router,
            asks,
            subscriptions,
            due: Notify::new(),
            refused: AtomicU64::new(0),
            own: OnceLock::new(),
            own_made: Notify::new(),
        }
    }

    pub(super) fn router(&self) -> &Arc<Router> {
        &self.router
    }

    pub(super) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// A message was received that no handler gets.
    pub(crate) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that were received and that no handler gets, those apart that are dead letters as unwanted.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The timer is to look.
    pub(crate) fn wake(&self) {
        self.due.notify_one();
    }

    /// Follows a service.
    pub(crate) fn follow(&self, name: &str) -> Arc<Followed> {
        let followed = self.directory.follow(name);
        if self.offers.are_any() && self.own.get().is_none() {
            // Its own offer may be among the instances.
            self.wake();
        }
        followed
    }

    /// Does for one service what its time has come for.
    pub(crate) fn refresh(&self, followed: &Followed) {
        let (probes, _) = followed.handle_time(clock::now());
        self.probe(&probes);
    }

    /// Adds a handler to a service, which is offered again if it no longer was. Peers are told of it with the first. Yields the
    /// service that the handler has joined.
    pub(crate) fn add_handler(
        &self,
        service: &Arc<ServiceQueue>,
        spec: SubscriptionSpec,
        member: Member,
    ) -> (Arc<ServiceQueue>, Arc<Subscription>, Arc<Member>) {
        let joined = self
            .offers
            .join(service, || self.subscriptions.join_apart(spec, member));
        self.asks.start_serving();
        self.wake();
        joined
    }

    /// Offers a service no longer. What waits for it is refused; what handlers have in hand is still theirs.
    pub(crate) fn withdraw(&self, service: &Arc<ServiceQueue>) {
        if let Some(handlers) = self.offers.withdraw(service, &self.subscriptions) {
            self.end_handlers(service, &handlers);
        }
    }

    /// Handlers whose actors are gone get no more messages. Those that waited for them go to other handlers, and a service
    /// that has no handler any more is offered no longer.
    fn end_deserted(&self) {
        for (service, handlers) in self.offers.withdraw_deserted(&self.subscriptions) {
            self.end_handlers(&service, &handlers);
        }
    }

    /// What waits for handlers that were taken out goes to others of the service, or is refused.
    pub(super) fn end_handlers(&self, service: &Arc<ServiceQueue>, handlers: &[Arc<Subscription>]) {
        for handler in handlers {
            handler.notice_the_dead();
            self.hand_on(service, handler.end(), true);
        }
        self.wake();
    }

    /// Ends what is deserted, and looks after what the socket has sent to itself.
    pub(crate) fn handle_sweep(&self, now: Instant) {
        if self.offers.are_any() {
            self.end_deserted();
        }
        self.sweep_own(now);
    }

    /// Sends a message to an instance that was chosen. It may be refused, and is then as it was.
    pub(crate) fn push(&self, link: &Link, entry: &mut Entry) -> Result<(), crate::link::Refused> {
        self.router.push_to_instance(link, entry)
    }

    /// A peer has joined.
    pub(crate) fn handle_join(&self, link: &Link) {
        if self.offers.are_any() {
            self.offers.handle_join(link);
            self.wake();
        }
    }

    /// A connection has ended; `withdrawn` were queued for an instance, and not sent: asks, their cancellations, and tells.
    pub(crate) fn handle_leave(&self, link: &Link, withdrawn: Vec<Entry>, now: Instant) {
        if self.offers.are_any() {
            self.offers.handle_leave(link.serial());
        }
        let start = self.directory.handle_leave(link.serial(), now);
        let is_due = self.offers.are_any() || start.is_some() || !withdrawn.is_empty();
        for entry in withdrawn {
            if let Some(id) = ask_in(&entry.payload) {
                self.asks
                    .resolve_by_id(id, link.peer(), Err(Unanswered::NotWritten));
            } else if entry.guarantee == DeliveryGuarantee::AtLeastOnce {
                self.take_back(entry, |entry, followed| {
                    let home = start.map(|start| (start, now + followed.rehome()));
                    ReturnedTell::perhaps_handled(entry, home)
                });
            } else {
                self.take_back(entry, |entry, _| ReturnedTell::unhandled(entry));
            }
        }
        if is_due {
            self.wake();
        }
    }

    /// The peer of a link has refused tells, which another instance may handle.
    #[cold]
    pub(crate) fn handle_refused(&self, link: &Link, refused: Vec<(Entry, NotHandled)>) {
        let now = clock::now();
        for (entry, reason) in refused {
            let followed = address_in(&entry.payload).map(|to| self.follow(to.name));
            if let Some(followed) = followed {
                match reason {
                    NotHandled::Draining => followed.handle_draining(link.serial()),
                    _ => followed.handle_load(link.serial(), Some(TURNED_DOWN), now),
                }
            }
            self.take_back(entry, |entry, _| ReturnedTell::unhandled(entry));
        }
        self.wake();
    }

    /// A tell waits for another instance, or for the same one to come back. A cancellation, which has no address, is
    /// of no use any more.
    fn take_back(&self, entry: Entry, tell: impl FnOnce(Entry, &Followed) -> ReturnedTell) {
        if let Some(to) = address_in(&entry.payload) {
            let followed = self.follow(to.name);
            followed.take_back(tell(entry, &followed));
        }
    }

    /// A tell that was a dead letter goes to an instance, as soon as there is one. False if too many wait already, or the socket is closed.
    pub(crate) fn tell_again(&self, entry: Entry) -> bool {
        let Some(followed) = address_in(&entry.payload).map(|to| self.follow(to.name)) else {
            return false;
        };
        let taken = followed.take_redriven(entry, || self.router.is_open());
        if taken {
            self.wake();
        }
        taken
    }

    /// Tells that have come back and wait, and their bytes.
    pub(crate) fn returned(&self) -> (usize, usize) {
        let followed = self.directory.followed();
        let loads = followed.iter().map(|followed| followed.returned());
        loads.fold((0, 0), |(all, all_bytes), (tells, bytes)| {
            (all + tells, all_bytes + bytes)
        })
    }

    /// The socket is closed: what waits will not arrive.
    pub(crate) fn close(&self) {
        self.close_own();
        for followed in self.directory.followed() {
            for tell in followed.take_returned() {
                self.router.bury(tell.entry, DeadLetterReason::Closed);
            }
        }
    }

    /// Sends a tell that has come back, if there is an instance for it; without one it may still expire.
    fn send_again(&self, link: Option<&Link>, tell: &mut ReturnedTell, now: Instant) -> Sent {
        let entry = &mut tell.entry;
        if entry.is_expired(now) {
            self.router.bury(take(entry), DeadLetterReason::Expired);
            return Sent::Done;
        }
        let Some(link) = link else {
            return Sent::Later;
        };
        match self.router.push_again_to_instance(link, entry) {
            Ok(()) => Sent::Done,
            Err(_) => Sent::Later,
        }
    }

    /// Frames about services have come, which are well formed. Yields how many of them break the rules.
    #[cold]
    pub(crate) fn handle_frames(&self, link: &Arc<Link>, envelopes: &[Box<[u8]>]) -> u64 {
        let now = clock::now();
        let mut misfits = 0;
        for envelope in envelopes {
            match Extension::decode(envelope) {
                Ok(Extension::Offer(frame)) => {
                    let limit = match self.is_own(link) {
                        true => usize::MAX,
                        false => (self.router.memory_budget() / 8).max(MIN_CATALOG_BYTES),
                    };
                    match self.directory.handle_offer(link, frame, limit, now) {
                        Offered::Taken => {}
                        Offered::Draining(generation) => {
                            let seen = Bytes::copy_from_slice(&seen_frame(generation));
                            link.push_behind_messages(seen);
                        }
                        Offered::Misfit => misfits += 1,
                    }
                }
                Ok(Extension::Load(frame)) => {
                    self.directory.handle_load(link.serial(), frame, now);
                }
                Ok(Extension::Seen(generation)) => {
                    self.offers.handle_seen(link.serial(), generation);
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.wake();
        misfits
    }

    /// Tells all peers that the socket is about to end. True if it offers anything.
    pub(crate) fn start_draining(&self) -> bool {
        let offers = self.offers.are_any();
        if offers {
            self.offers.start_draining();
            self.wake();
        }
        offers
    }

    /// Peers that have not yet said that they have seen that the socket is about to end: all, and those that have
    /// used a service.
    pub(crate) fn unseen(&self) -> (usize, usize) {
        self.offers.unseen(&self.consumers())
    }

    /// The services that are offered, for people.
    pub(crate) fn report(&self) -> Vec<OfferReport> {
        let offered = self.offers.all();
        let report = |service: &Arc<ServiceQueue>| {
            let (waiting, waiting_bytes, refused) = service.meter().figures();
            let split_keys = service.split_keys();
            OfferReport {
                name: service.name().to_string(),
                instance: service.instance().to_string(),
                waiting,
                waiting_bytes,
                refused,
                split_keys,
            }
        };
        offered.iter().map(report).collect()
    }

    /// The services that are followed, with the instances that are known of each.
    #[cfg(feature = "inspection")]
    pub(crate) fn report_followed(
        &self,
        now: Instant,
    ) -> Vec<(String, Vec<super::report::InstanceReport>)> {
        let followed = self.directory.followed();
        let report = |followed: &Arc<Followed>| (followed.name().to_string(), followed.report(now));
        followed.iter().map(report).collect()
    }

    /// Does what is due, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let due = self.due.notified();
            let next = self.handle_time(clock::now());
            match next {
                None => due.await,
                Some(next) => {
                    let next = tokio::time::Instant::from_std(next);
                    // Either way the next round sees what is due.
                    let _ = tokio::time::timeout_at(next, due).await;
                }
            }
        }
    }

    /// Does what is due now. Yields when there is more to do.
    fn handle_time(&self, now: Instant) -> Option<Instant> {
        let mut next = None;
        if self.offers.are_any() {
            let consumers = self.consumers();
            sooner(&mut next, self.offers.handle_time(now, &consumers));
        }
        let (probes, later) = self.directory.handle_time(now);
        sooner(&mut next, later);
        self.probe(&probes);
        for followed in self.directory.followed() {
            let later = followed.send_returned(now, |link, tell| self.send_again(link, tell, now));
            sooner(&mut next, later);
            sooner(&mut next, self.look_for_missing(&followed, now));
        }
        next
    }

    /// Has peers say something.
    fn probe(&self, links: &[Arc<Link>]) {
        for link in links {
            probe(link, self.asks.probe_id());
        }
    }
}

/// Has a peer say something: it refuses an ask of a service that nobody can offer.
fn probe(link: &Link, id: AskId) {
    let nobody = ServiceAddress {
        name: "",
        key: None,
    };
    let envelope = AskEnvelope::new(AskKind::ServiceAsk, id);
    let payload = nobody.write(&envelope, &[]);
    // For this connection alone: the next process of this identity may offer nothing, and would take it for a message.
    let target = Target::Service;
    let mut entry = Entry::new(target, DeliveryGuarantee::AtMostOnce, payload.into());
    // A link that is full has something for the peer to answer.
    let _ = link.push(&mut entry, crate::link::Bound::Link);
}
