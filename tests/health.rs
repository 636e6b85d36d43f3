//! A socket knows whether it is alive and ready, and says why it is not.

mod support;

use std::time::Duration;

use actix_aiomsg::health::{HealthCriteria, Unready};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::Part;
use support::heard::ear;
use support::panics::print_panics_briefly;
use support::{eventually, within_patience};

/// One crash more than a part of a socket survives.
const CRASHES: usize = 6;

#[actix::test]
async fn a_socket_is_ready_while_it_listens() {
    let socket = Socket::start().unwrap();
    assert_eq!(socket.health().unready(), [Unready::NoListener]);
    assert!(socket.health().is_live());
    let first = socket.bind("127.0.0.1:0").await.unwrap();
    let second = socket.bind("127.0.0.1:0").await.unwrap();
    assert!(socket.health().is_ready());
    socket.unbind(first).await.unwrap();
    assert!(socket.health().is_ready(), "it listens at the other");
    socket.unbind(second).await.unwrap();
    assert_eq!(socket.health().to_string(), "not ready: no listener");
    socket.close().await;
    assert_eq!(
        socket.health().to_string(),
        "not ready: closed: close was called"
    );
    assert!(socket.health().is_live(), "nobody need restart it");
}

#[actix::test]
async fn peers_and_the_outbox_are_criteria() {
    let criteria = HealthCriteria::new()
        .without_listener()
        .min_peers(1)
        .max_outbox(1, 1_000);
    let (server, client) = (Socket::start().unwrap(), Socket::start().unwrap());
    let health = || client.health_with(&criteria);
    assert_eq!(
        health().to_string(),
        "not ready: 0 of the 1 peers that it needs"
    );
    client.send("one").await.unwrap();
    client.send("two").await.unwrap();
    assert!(
        matches!(health().unready(), [_, Unready::Outbox { outbox, .. }] if outbox.messages == 2),
        "{}",
        health()
    );
    let endpoint = server.bind("127.0.0.1:0").await.unwrap();
    client.connect(endpoint).await.unwrap();
    eventually("the client to be ready", || health().is_ready()).await;
    server.close().await;
    eventually("the peer to be missed", || !health().is_ready()).await;
}

#[actix::test]
async fn what_was_restarted_too_often_makes_a_socket_neither_live_nor_ready() {
    print_panics_briefly();
    for part in [Part::Listener, Part::Dialer, Part::Router] {
        // Somebody listens, so that the program goes on.
        let (recipient, mut events) = ear();
        let socket = Socket::builder().on_socket_event(recipient);
        let socket = socket.start().unwrap();
        let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
        socket.connect("127.0.0.1:1").await.unwrap();
        assert!(socket.health().is_ready());
        (0..CRASHES).for_each(|_| socket.crash(part));
        let given_up = |event| {
            matches!(
                event,
                SocketEvent::ListenerFailed { .. }
                    | SocketEvent::DialerFailed { .. }
                    | SocketEvent::Closed { .. }
            )
            .then_some(())
        };
        events.find("the end of a part", given_up).await;
        let health = socket.health();
        assert!(!health.is_live() && !health.is_ready(), "{health}");
        let name = match part {
            Part::Listener => format!("the listener of {endpoint} was given up"),
            Part::Dialer => "the dialer of tcp://127.0.0.1:1 was given up".to_owned(),
            _ => "a part that the program relies on was given up".to_owned(),
        };
        assert!(health.to_string().contains(&name), "{health}");
        assert!(health.to_string().contains("on demand"), "{health}");
        if let Part::Dialer = part {
            socket.stop_connecting("127.0.0.1:1").await.unwrap();
            assert!(socket.health().is_ready(), "{}", socket.health());
        }
        socket.close().await;
    }
}

#[actix::test]
async fn a_socket_that_closes_is_draining_first() {
    let socket = Socket::start().unwrap();
    socket.bind("127.0.0.1:0").await.unwrap();
    // Nobody comes for it.
    socket.send("news").await.unwrap();
    let closing = socket.clone();
    let close = actix::spawn(async move { closing.close_within(Duration::from_millis(500)).await });
    eventually("the drain", || {
        socket.health().unready() == [Unready::Draining]
    })
    .await;
    assert!(socket.health().is_live());
    within_patience("the close", close).await.unwrap();
    assert!(matches!(
        socket.health().unready(),
        [Unready::Closed { reason, .. }] if reason == "close was called"
    ));
}
