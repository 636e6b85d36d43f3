//! A second connection under a name that is connected already: a peer that came back, or an impostor.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_aiomsg::prelude::*;
use actix_aiomsg::{DuplicateIdentity, SocketBuilder, event::RefusalReason};
use support::agent;
use support::events::PeerProbe;
use support::host::Host;
use support::proxy::{Fault, FaultProxy};
use support::raw_peer::{ACK, HEARTBEAT, RawPeer};
use support::{aside, eventually, within_patience};

const PEER: [u8; 16] = [7; 16];
const NEVER: Duration = Duration::from_secs(3600);

/// Only the probe can find a peer dead here.
fn probing() -> SocketBuilder {
    Socket::builder()
        .duplicate_identity(DuplicateIdentity::Probe)
        .heartbeat_interval(Duration::from_millis(300))
        .heartbeat_timeout(NEVER)
}

async fn introduced(address: SocketAddr) -> RawPeer {
    aside(move || RawPeer::introduced(address, PEER)).await
}

/// Says HELLO under the same name, and must be closed without one in return.
async fn is_refused(address: SocketAddr) {
    let answer = aside(move || {
        let mut second = RawPeer::connect(address);
        second.hello(PEER);
        second.read().ok().flatten()
    })
    .await;
    assert_eq!(answer, None);
}

#[actix::test]
async fn by_default_the_newcomer_is_refused_even_if_the_old_connection_is_dead() {
    let mut host = Host::start(Socket::builder().heartbeat_timeout(NEVER)).await;
    let proxy = FaultProxy::start(host.address);
    let old = introduced(proxy.address()).await;
    proxy.inflict(Fault::HalfOpen);
    is_refused(host.address).await;
    assert_eq!(host.refusal().await, RefusalReason::Duplicate);
    assert_eq!(host.socket.stats().peers, 2);
    host.still_serves().await;
    drop(old);
}

#[actix::test]
async fn a_peer_behind_a_dead_connection_is_let_in_again_and_gets_what_waited() {
    let builder = probing().delivery_guarantee(DeliveryGuarantee::AtLeastOnce);
    let mut host = Host::alone(builder).await;
    let proxy = FaultProxy::start(host.address);
    let old = introduced(proxy.address()).await;
    assert_eq!(host.peers.up().await, Identity::from_bytes(PEER));
    proxy.inflict(Fault::HalfOpen);
    let receipt = host.socket.send_to(PEER.into(), "precious").receipt();
    let receipt = receipt.await.unwrap();
    let address = host.address;
    let back = aside(move || {
        let mut back = RawPeer::introduced(address, PEER);
        let (id, payload) = back.expect_data_req();
        assert_eq!(payload, b"precious");
        back.frame(ACK, &id);
        back
    })
    .await;
    assert_eq!(host.down_reason().await, DownReason::Replaced);
    assert_eq!(host.peers.up().await, Identity::from_bytes(PEER));
    within_patience("the receipt", receipt).await.unwrap();
    assert_eq!(host.socket.stats().refused, 0);
    drop((old, back));
}

#[actix::test]
async fn a_newcomer_is_refused_while_the_old_connection_shows_that_it_lives() {
    // Long enough for a machine that is busy; the answer comes at once.
    let builder = probing().heartbeat_interval(Duration::from_secs(4));
    let mut host = Host::alone(builder).await;
    let address = host.address;
    let mut old = introduced(address).await;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let beating = actix::spawn(aside(move || {
        while !stop.load(Ordering::SeqCst) {
            old.frame(HEARTBEAT, b"");
            std::thread::sleep(Duration::from_millis(10));
        }
        old.data(b"still here");
        old
    }));
    is_refused(address).await;
    is_refused(address).await;
    done.store(true, Ordering::SeqCst);
    assert_eq!(host.message().await, "still here");
    assert_eq!(host.refusal().await, RefusalReason::Duplicate);
    assert_eq!(host.socket.stats().joins, 1);
    drop(beating.await.unwrap());
}

#[actix::test]
async fn a_newcomer_that_gives_up_has_its_successor_let_in() {
    let builder = probing().handshake_timeout(Duration::from_millis(100));
    let mut host = Host::alone(builder).await;
    let old = introduced(host.address).await;
    is_refused(host.address).await;
    assert_eq!(host.down_reason().await, DownReason::Replaced);
    let back = introduced(host.address).await;
    drop((old, back));
}

#[actix::test]
async fn a_restarted_process_takes_the_place_of_a_frozen_one_which_then_stays_out() {
    let builder = probing().heartbeat_interval(Duration::from_secs(1));
    let mut host = Host::alone(builder).await;
    let identity = Identity::from_bytes(PEER);
    let options = format!(
        "--role connect --port {} --identity {identity} --heartbeat-interval-ms 100 --events true",
        host.address.port()
    );
    let frozen = agent::start(&options);
    assert_eq!(host.peers.up().await, identity);
    frozen.signal("STOP");
    let mut back = agent::start(&options);
    assert_eq!(host.down_reason().await, DownReason::Replaced);
    assert_eq!(host.peers.up().await, identity);
    frozen.signal("CONT");
    // Now it is the duplicate.
    assert_eq!(host.refusal().await, RefusalReason::Duplicate);
    let connected: Vec<_> = host.socket.peers().iter().map(|peer| peer.peer).collect();
    assert_eq!(connected, [identity]);
    host.socket.send_to(identity, "served").await.unwrap();
    assert_eq!(back.line().await, "served");
    drop(frozen);
}

#[actix::test]
async fn two_sockets_that_dial_each_other_agree_on_one_connection() {
    let builder = || {
        Socket::builder()
            .duplicate_identity(DuplicateIdentity::Probe)
            // What was sent by a connection that turns out to be one too many is sent again.
            .delivery_guarantee(DeliveryGuarantee::AtLeastOnce)
            .reconnect(Backoff::exponential(
                Duration::from_millis(5),
                Duration::from_millis(50),
            ))
    };
    let (a, b) = (builder().start().unwrap(), builder().start().unwrap());
    let at_a = a.bind("127.0.0.1:0").await.unwrap();
    let at_b = b.bind("127.0.0.1:0").await.unwrap();
    a.connect(at_b).await.unwrap();
    b.connect(at_a).await.unwrap();
    a.send("from a").await.unwrap();
    b.send("from b").await.unwrap();
    let (at_a, at_b) = tokio::join!(a.recv(), b.recv());
    assert_eq!(at_a.unwrap().text(), Ok("from b"));
    assert_eq!(at_b.unwrap().text(), Ok("from a"));
    eventually("one connection", || {
        [&a, &b].iter().all(|socket| {
            let stats = socket.stats();
            (stats.peers, stats.connections) == (1, 1)
        })
    })
    .await;
}
