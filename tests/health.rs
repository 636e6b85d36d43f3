//! A socket knows whether it is alive and ready, and says why it is not.

mod support;

use std::time::Duration;

use actix_aiomsg::health::{HealthCriteria, Unready};
use actix_aiomsg::prelude::*;
use actix_aiomsg::testing::{Part, Probe};
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
        let (recipient, mut events) = Probe::recipient();
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
        events.find(given_up).await.expect("the end of a part");
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

/// Blocks its thread until it is let go.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl actix::Actor for Stuck {
    type Context = actix::Context<Self>;
}

impl actix::Handler<Received> for Stuck {
    type Result = ();

    fn handle(&mut self, _: Received, _: &mut actix::Context<Self>) {
        // An error, too, is an end of the wait.
        let _ = self.0.recv();
    }
}

#[test]
fn a_socket_whose_thread_is_blocked_is_not_live_until_the_thread_goes_on() {
    let (let_go, stuck) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let program = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let (socket, sender) = (Socket::start().unwrap(), Socket::start().unwrap());
            let endpoint = socket.bind("127.0.0.1:0").await.unwrap();
            let weak = socket.downgrade();
            actix::Actor::create(move |ctx| {
                weak.subscribe::<bytes::Bytes>(ctx);
                Stuck(stuck)
            });
            sender.connect(endpoint).await.unwrap();
            sender.send("to be stuck on").await.unwrap();
            tell.send((socket.clone(), sender)).unwrap();
            // The other thread lets the handler go, and then closes.
            eventually("the close", || socket.close_reason().is_some()).await;
        });
    });
    let (socket, sender) = told.recv().unwrap();
    let criteria = HealthCriteria::new().max_blocked(Duration::from_millis(300));
    let wait_for = |live: bool| {
        let deadline = std::time::Instant::now() + support::PATIENCE;
        while socket.health_with(&criteria).is_live() != live {
            assert!(std::time::Instant::now() < deadline, "live: {}", !live);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(false);
    let health = socket.health_with(&criteria);
    assert!(!health.is_ready());
    assert!(
        matches!(health.unready(), [Unready::Blocked { actor: Some(actor), .. }] if actor.ends_with("Stuck")),
        "{health}"
    );
    assert!(socket.health().is_live(), "a minute is not over");
    let_go.send(()).unwrap();
    wait_for(true);
    drop(sender);
    let closing = actix::System::new();
    closing.block_on(socket.close());
    program.join().unwrap();
}
