//! Strangers at the door: those who say nothing, those who are too many, those who come too often.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use actix_aiomsg::event::{Limit, RefusalReason};
use actix_aiomsg::prelude::*;
use support::host::Host;
use support::raw_peer::{HELLO, RawPeer};
use support::{aside, eventually};

const NEVER: Duration = Duration::from_secs(3600);

async fn overload(host: &mut Host) -> Limit {
    host.event(|event| match event {
        SocketEvent::Overloaded { limit, .. } => Some(limit),
        _ => None,
    })
    .await
}

#[actix::test]
async fn a_thousand_that_never_say_hello_are_dropped_at_the_timeout_while_a_good_peer_is_served() {
    const CROWD: usize = 1000;
    let timeout = Duration::from_secs(1);
    // Both ends of each connection are in this process.
    rlimit::increase_nofile_limit(4096).expect("two descriptors for each");
    let host = Host::start(Socket::builder().handshake_timeout(timeout)).await;
    let address = host.address;
    let crowd = actix::spawn(aside(move || {
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| (Instant::now(), RawPeer::connect(address)))
            .collect();
        for (since, mut silent) in crowd {
            silent.expect_end();
            assert!(since.elapsed() >= timeout, "it had its time");
        }
    }));
    while !crowd.is_finished() {
        host.still_serves().await;
    }
    crowd.await.unwrap();
    eventually("all to be gone", || {
        let stats = host.socket.stats();
        (stats.refused, stats.connections) == (CROWD as u64, 1)
    })
    .await;
    host.still_serves().await;
}

#[actix::test]
async fn the_upgrade_and_hello_of_a_bind_end_share_one_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    // It upgrades, and says HELLO only to whoever has said it.
    let server = Socket::builder().handshake_timeout(NEVER).start().unwrap();
    let endpoint = server.bind("ws://127.0.0.1:0").await.unwrap();
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let through = between.local_addr().unwrap();
    let quick = Socket::builder().handshake_timeout(TIMEOUT);
    let client = quick.start().unwrap();
    client.connect(format!("ws://{through}")).await.unwrap();
    let waited = aside(move || {
        let (mut client, _) = between.accept().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", endpoint.port().unwrap())).unwrap();
        let mut bytes = [0; 4096];
        let request = client.read(&mut bytes).unwrap();
        server.write_all(&bytes[..request]).unwrap();
        let answer = server.read(&mut bytes).unwrap();
        std::thread::sleep(TIMEOUT * 5 / 6);
        client.write_all(&bytes[..answer]).unwrap();
        let answered = Instant::now();
        while client.read(&mut bytes).is_ok_and(|count| count > 0) {}
        answered.elapsed()
    })
    .await;
    // A sixth was left. Counting anew would take the whole of it.
    assert!(waited < TIMEOUT, "{waited:?}");
    client.close().await;
    server.close().await;
}

#[actix::test]
async fn at_the_limit_of_handshakes_the_oldest_goes_and_newcomers_come_in() {
    let builder = Socket::builder().handshake_timeout(NEVER).max_handshakes(3);
    let mut host = Host::start(builder).await;
    let address = host.address;
    let mut silent = Vec::new();
    for number in 1..=5 {
        silent.push(aside(move || RawPeer::connect(address)).await);
        // One after the other, so that it is known which is the oldest.
        let arrived = number.min(3);
        eventually("it to be accepted", || {
            let stats = host.socket.stats();
            stats.connections + stats.refused as usize == 1 + number
                && stats.connections <= 1 + arrived
        })
        .await;
    }
    assert_eq!(overload(&mut host).await, Limit::Handshakes);
    for _ in 0..2 {
        assert_eq!(host.refusal().await, RefusalReason::Displaced);
    }
    let mut waiting = silent.split_off(2);
    aside(move || silent.iter_mut().for_each(RawPeer::expect_end)).await;
    // A peer that has introduced itself holds no place.
    let mut first = waiting.remove(0);
    let first = aside(move || {
        first.hello([1; 16]);
        assert_eq!(first.next().kind, HELLO);
        for id in 2..20 {
            RawPeer::introduced(address, [id; 16]).data(b"served");
        }
        for peer in &mut waiting {
            assert!(peer.is_silent_for(Duration::from_millis(10)));
        }
        (first, waiting)
    })
    .await;
    for _ in 2..20 {
        assert_eq!(host.message().await, "served");
    }
    host.still_serves().await;
    assert_eq!(host.socket.stats().refused, 2);
    drop(first);
}

#[actix::test]
async fn an_address_that_connects_too_often_is_closed_at_once_and_others_come_in() {
    let mut host = Host::alone(Socket::builder().accept_rate(3, NEVER)).await;
    let address = host.address;
    let kept = aside(move || {
        let mut kept: Vec<_> = (1..=3)
            .map(|id| RawPeer::introduced(address, [id; 16]))
            .collect();
        for _ in 0..4 {
            RawPeer::connect(address).expect_end();
        }
        let mut other = RawPeer::connect_from([127, 0, 0, 2], address);
        other.hello([9; 16]);
        other.expect_hello();
        kept.push(other);
        kept
    })
    .await;
    assert_eq!(overload(&mut host).await, Limit::AcceptRate);
    assert_eq!(host.socket.stats().refused, 4);
    assert_eq!(host.socket.stats().peers, 4);
    drop(kept);
}

#[actix::test]
async fn an_address_that_waits_comes_in_again() {
    let period = Duration::from_millis(300);
    let host = Host::alone(Socket::builder().accept_rate(1, period)).await;
    let address = host.address;
    aside(move || {
        let start = Instant::now();
        let _first = RawPeer::introduced(address, [1; 16]);
        loop {
            let mut again = RawPeer::connect(address);
            // A connection that was closed at once may not take it any more.
            if again.try_say(&support::raw_peer::hello([2; 16]))
                && let Ok(Some(hello)) = again.read()
            {
                assert_eq!(hello.kind, HELLO);
                assert!(start.elapsed() >= period);
                return;
            }
        }
    })
    .await;
}

#[actix::test]
async fn the_connection_limit_leaves_the_application_a_quarter_of_what_the_process_may_open() {
    let soft = rlimit::increase_nofile_limit(4096).expect("a limit");
    let socket = Socket::start().unwrap();
    let connections = socket.stats().limits.max_connections as u64;
    // What is open already counts as well.
    assert!(connections < soft - soft / 4, "{connections} of {soft}");
    assert!(connections > soft / 2, "{connections} of {soft}");
}

#[actix::test]
async fn limits_that_let_nobody_in_are_refused() {
    for (builder, sentence) in [
        (Socket::builder().max_handshakes(0), "one handshake"),
        (Socket::builder().accept_rate(0, NEVER), "accept rate"),
        (
            Socket::builder().accept_rate(1, Duration::ZERO),
            "accept rate",
        ),
    ] {
        let error = builder.start().unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
}
