//! Payloads that wait: slices of reads, which nobody keeps for their sake.

use bytes::Bytes;

use super::tests::{core, join, leave, peer};
use crate::detach::DETACHED_UP_TO;
use crate::limits::DeliveryGuarantee;
use crate::link::Target;
use crate::socket::Sending;

const READ_BYTES: usize = 4 * DETACHED_UP_TO;

/// Sends a slice of a read. Yields the read.
fn send_slice(
    core: &crate::core::SocketCore,
    target: Target,
    bytes: usize,
    guarantee: DeliveryGuarantee,
) -> Bytes {
    let read = Bytes::from(vec![7; READ_BYTES]);
    let sending = Sending::new(&core.router, target, read.slice(10..10 + bytes));
    sending.guarantee(guarantee).try_now().unwrap();
    read
}

#[test]
fn what_waits_for_a_peer_keeps_nothing_of_the_read_that_it_came_with() {
    for guarantee in [
        DeliveryGuarantee::AtMostOnce,
        DeliveryGuarantee::AtLeastOnce,
    ] {
        for target in [Target::Mode, Target::Peer(peer(1))] {
            let core = core(|_| {});
            for bytes in [1, 100, DETACHED_UP_TO] {
                let read = send_slice(&core, target, bytes, guarantee);
                assert!(read.is_unique(), "{guarantee:?} {target:?} {bytes}");
            }
            let read = send_slice(&core, target, DETACHED_UP_TO + 1, guarantee);
            assert!(!read.is_unique(), "it is copied, large as it is");
            assert_eq!(core.stats().outbox_messages, 4);
        }
    }
}

#[test]
fn what_comes_back_from_a_connection_keeps_nothing_of_the_read_that_it_came_with() {
    let core = core(|_| {});
    let link = join(&core, 1);
    let read = send_slice(&core, Target::Mode, 100, DeliveryGuarantee::AtLeastOnce);
    leave(&core, &link);
    assert_eq!(core.stats().outbox_messages, 1);
    assert!(read.is_unique());
}
