//! Tells that were dead letters and wait for an instance: without peers.

use std::sync::Arc;

use crate::clock;
use crate::config::Config;
use crate::core::SocketCore;
use crate::lifecycle::SocketPhase;
use crate::limits::DeliveryGuarantee;
use crate::link::{Entry, Target};
use crate::payload::{AskEnvelope, AskKind, ServiceAddress};

/// A socket that nobody is connected to.
fn core() -> Arc<SocketCore> {
    SocketCore::new(Config::new(), clock::now())
}

fn tell_again(core: &SocketCore) -> bool {
    let address = ServiceAddress {
        name: "inventory",
        key: None,
    };
    let payload = address.write(&AskEnvelope::new(AskKind::ServiceTell, [0; 16]), b"sold");
    let guarantee = DeliveryGuarantee::AtLeastOnce;
    let entry = Entry::new(Target::Service, guarantee, payload.into());
    core.services.tell_again(entry)
}

#[test]
fn a_service_that_nobody_has_offered_is_not_forgotten_while_a_tell_waits_for_it() {
    let core = core();
    assert!(tell_again(&core));
    for number in 0..1000 {
        core.services.follow(&format!("made up {number}"));
    }
    assert_eq!(core.services.returned().0, 1);
}

#[test]
fn letters_of_tells_are_taken_until_many_wait() {
    let core = core();
    let taken = (0..2000).filter(|_| tell_again(&core)).count();
    assert_eq!(taken, 1024);
    assert_eq!(core.services.returned().0, taken);
}

#[test]
fn letters_of_tells_stay_letters_once_the_socket_is_closed() {
    let core = core();
    core.lifecycle.advance(SocketPhase::Closed);
    core.services.close();
    assert!(!tell_again(&core));
    assert_eq!(core.services.returned().0, 0);
}
