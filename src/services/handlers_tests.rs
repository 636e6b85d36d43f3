//! Handlers of an offered service that come and go: by hand, without actors and without peers.

use std::sync::Arc;

use super::queue::ServiceQueue;
use super::services::Services;
use crate::clock;
use crate::config::Config;
use crate::core::SocketCore;
use crate::id::Identity;
use crate::inbox::Chunk;
use crate::link::{Link, WriteBatch};
use crate::payload::{AskEnvelope, AskKind, ServiceAddress};
use crate::routing::{EndedBy, JoinOutcome};
use crate::subscription::{Key, Member, Subscription, SubscriptionSpec};
use crate::sync::{AtomicBool, Ordering};
use crate::wire::{self, OfferHead, PREFIX_BYTES, ServiceEntry, put_offer};

/// A handler of everything, and its actor's end.
struct Worker {
    service: Arc<ServiceQueue>,
    handler: Arc<Subscription>,
    lives: Arc<AtomicBool>,
}

impl Worker {
    /// Handlers of one `group` share a subscription.
    fn join(services: &Services, service: &Arc<ServiceQueue>, group: u64) -> Self {
        let lives = Arc::new(AtomicBool::new(true));
        let its = Arc::clone(&lives);
        let member = Member::new(group, "Worker", move || its.load(Ordering::SeqCst));
        let spec = SubscriptionSpec::all(Key::Recipient(group));
        let (service, handler, _) = services.add_handler(service, spec, member);
        Self {
            service,
            handler,
            lives,
        }
    }

    fn dies(&self) {
        self.lives.store(false, Ordering::SeqCst);
    }

    fn waiting(&self) -> usize {
        self.handler.inbox.load().0
    }
}

fn core() -> Arc<SocketCore> {
    SocketCore::new(Config::new(), clock::now())
}

fn open(services: &Services) -> Arc<ServiceQueue> {
    let opened = services.offers.open("inventory", "i0");
    opened.expect("the name is short")
}

fn link(core: &Arc<SocketCore>) -> Arc<Link> {
    Arc::new(Link::new(
        Identity::from_bytes([7; 16]),
        core.lifecycle.next_serial(),
        Arc::downgrade(&core.router),
        core.router.link_limits(),
        Vec::new(),
    ))
}

/// A tell to the service, as it was read.
fn tell(core: &Arc<SocketCore>) -> Chunk {
    let link = link(core);
    let address = ServiceAddress {
        name: "inventory",
        key: None,
    };
    let payload = address.write(&AskEnvelope::new(AskKind::ServiceTell, [0; 16]), b"sold");
    let mut frame = wire::data_header(payload.len()).to_vec();
    frame.extend_from_slice(&payload);
    let cost = frame.len();
    Chunk::new(link, frame.into(), 1, cost)
}

#[test]
fn an_offer_that_comes_when_its_connection_has_ended_is_not_kept() {
    let core = core();
    let link = link(&core);
    assert!(matches!(
        core.router.join(&link, clock::now()),
        JoinOutcome::Accepted
    ));
    let head = OfferHead {
        start: [1; 8],
        generation: 1,
        draining: false,
    };
    let mut frame = Vec::new();
    let service = ServiceEntry {
        name: "inventory",
        instance: "i0",
    };
    put_offer(&mut frame, head, [service]);
    let envelope: [Box<[u8]>; 1] = [frame[PREFIX_BYTES..].into()];
    let offered = || {
        assert_eq!(core.services.handle_frames(&link, &envelope), 0);
        core.stats().catalog_bytes > 0
    };
    assert!(offered());
    assert!(core.leave(&link, WriteBatch::default(), clock::now(), EndedBy::Peer));
    assert_eq!(core.stats().catalog_bytes, 0);
    assert!(!offered());
}

#[test]
fn who_joins_a_service_that_was_withdrawn_offers_it_again() {
    let core = core();
    let services = &core.services;
    let first = Worker::join(services, &open(services), 1);
    services.withdraw(&first.service);
    assert!(services.offers.find("inventory").is_none());
    let second = Worker::join(services, &first.service, 2);
    assert!(services.intercept(tell(&core)).is_none());
    assert_eq!((first.waiting(), second.waiting()), (0, 1));
}

#[test]
fn who_joins_a_service_by_an_offer_that_another_has_replaced_joins_that() {
    let core = core();
    let services = &core.services;
    let first = Worker::join(services, &open(services), 1);
    services.withdraw(&first.service);
    let second = Worker::join(services, &open(services), 2);
    assert!(!Arc::ptr_eq(&second.service, &first.service));
    let third = Worker::join(services, &first.service, 3);
    assert!(Arc::ptr_eq(&third.service, &second.service));
    assert_eq!(services.offers.all().len(), 1);
}

#[test]
fn a_service_that_is_withdrawn_while_its_next_handler_comes_is_offered_all_the_same() {
    // The next handler has a subscription of its own, or would share that of the one that is gone.
    for group in [1, 2] {
        let core = core();
        let services = &core.services;
        let first = Worker::join(services, &open(services), 1);
        assert!(services.intercept(tell(&core)).is_none());
        assert_eq!(first.waiting(), 1);
        first.dies();
        // As the sweep does it, with the next handler between its steps.
        let mut ended = services
            .offers
            .withdraw_deserted(&core.inbound.subscriptions);
        let next = Worker::join(services, &first.service, group);
        assert!(services.intercept(tell(&core)).is_none());
        let (service, handlers) = ended.pop().expect("its actor is gone");
        services.end_handlers(&service, &handlers);
        // What came meanwhile, and what waited for the one before it.
        assert_eq!((first.waiting(), next.waiting()), (0, 2));
        services.handle_sweep(clock::now());
        assert!(services.offers.find("inventory").is_some());
    }
}

#[test]
fn what_waits_for_the_last_handler_of_a_service_is_counted_out_when_that_is_gone() {
    let core = core();
    let services = &core.services;
    let first = Worker::join(services, &open(services), 1);
    assert!(services.intercept(tell(&core)).is_none());
    assert_eq!(first.service.meter().figures().0, 1);
    first.dies();
    services.handle_sweep(clock::now());
    assert!(services.offers.all().is_empty());
    assert_eq!(first.service.meter().figures().0, 0);
    // Offered again, it has room for as many as before.
    let second = Worker::join(services, &first.service, 2);
    assert!(services.intercept(tell(&core)).is_none());
    assert_eq!(second.waiting(), 1);
}
