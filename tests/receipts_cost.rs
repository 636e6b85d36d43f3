//! What a receipt costs. Alone in its program, because all of it allocates from one account.

mod support;

use actix_aiomsg::prelude::*;
use support::counting::{CountingAllocator, live_bytes};
use support::host::Host;
use support::raw_peer::{ACK, RawPeer};
use support::{aside, within_patience};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[actix::test]
async fn ten_thousand_receipts_wait_for_little_and_all_resolve() {
    const COUNT: usize = 10_000;
    let builder = Socket::builder().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let host = Host::alone(builder).await;
    let before = live_bytes();
    let mut receipts = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let receipt = host.socket.send("to whoever comes").receipt();
        receipts.push(receipt.await.unwrap());
    }
    // Neither a task nor a timer: the message, its place in the outbox, and a promise.
    let each = (live_bytes() - before) / COUNT;
    assert!(each < 512, "a receipt costs {each} bytes");
    let address = host.address;
    let acknowledging = aside(move || {
        let mut peer = RawPeer::introduced(address, [7; 16]);
        for _ in 0..COUNT {
            let (id, _) = peer.expect_data_req();
            peer.frame(ACK, &id);
        }
        peer
    });
    let all = async {
        for receipt in receipts {
            receipt.await.unwrap();
        }
    };
    let (peer, ()) =
        within_patience("all receipts", async { tokio::join!(acknowledging, all) }).await;
    assert_eq!(host.socket.stats().acknowledged, COUNT as u64);
    drop(peer);
}
