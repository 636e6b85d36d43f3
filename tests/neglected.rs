//! Messages that wait while nobody does anything about them, and messages that are lost: a line in the log says so, and
//! why or what to do.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::prelude::*;
use actix_aiomsg::supervise::supervise;
use support::each::each;
use support::log::Log;
use tracing::Level;

const MINUTE: Duration = Duration::from_secs(60);

/// The only line that warns.
fn warning(log: &Log) -> String {
    let lines = log.lines_with("WARN");
    assert_eq!(lines.len(), 1, "{}", log.text());
    lines.into_iter().next().expect("there is one")
}

fn is_without_warnings(log: &Log) {
    assert_eq!(log.lines_with("WARN"), Vec::<String>::new());
}

/// Plays a scene whose clock stands still while there is work, and goes on when there is none.
fn play<F: Future<Output = ()>>(scene: impl FnOnce(Log) -> F) {
    let (log, _logging) = Log::begin(Level::INFO);
    System::new().block_on(async {
        actix_aiomsg::testing::pause_time();
        scene(log).await;
    });
}

async fn pair() -> (Socket, Socket) {
    let (one, other) = (Socket::start().unwrap(), Socket::start().unwrap());
    let endpoint = one.bind(format!("mem://{}", one.identity())).await.unwrap();
    other.connect(endpoint).await.unwrap();
    other.wait_for_peers(1).await.unwrap();
    (one, other)
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[test]
fn a_handler_that_holds_a_message_for_more_than_a_minute_is_named() {
    play(async |log| {
        let (one, other) = pair().await;
        each(&one, |_| -> ResponseFuture<()> {
            Box::pin(tokio::time::sleep(3 * MINUTE))
        });
        other
            .send("a long job")
            .guarantee(DeliveryGuarantee::AtLeastOnce)
            .await
            .unwrap();
        pass(MINUTE - Duration::from_secs(5)).await;
        is_without_warnings(&log);
        pass(Duration::from_secs(15)).await;
        let line = warning(&log);
        assert!(
            line.contains("more than a minute") && line.contains("Each"),
            "{line}"
        );
        pass(MINUTE).await;
        warning(&log);
    });
}

#[test]
fn a_message_of_recv_that_is_held_for_a_minute_is_a_warning() {
    play(async |log| {
        let (one, other) = pair().await;
        other
            .send("a long job")
            .guarantee(DeliveryGuarantee::AtLeastOnce)
            .await
            .unwrap();
        let held = one.recv().await.unwrap();
        pass(MINUTE - Duration::from_secs(5)).await;
        is_without_warnings(&log);
        pass(Duration::from_secs(15)).await;
        assert!(warning(&log).contains("recv"));
        drop(held);
    });
}

#[test]
fn recv_that_is_called_once_beside_an_actor_holds_it_up_and_is_a_warning() {
    play(async |log| {
        let (one, other) = pair().await;
        other.send("first").await.unwrap();
        one.recv().await.unwrap();
        let handled = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&handled);
        each(&one, move |_: Received| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        for _ in 0..400 {
            other.send(vec![0; 1_000]).await.unwrap();
        }
        pass(Duration::from_secs(15)).await;
        assert!(handled.load(Ordering::SeqCst) < 400);
        assert!(warning(&log).contains("holds up all other subscriptions"));
    });
}

#[test]
fn messages_whose_last_subscriber_is_gone_are_a_warning() {
    struct Once(WeakSocket);

    impl Actor for Once {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Context<Self>) {
            self.0.subscribe(ctx);
        }
    }

    impl Handler<Received> for Once {
        type Result = ();
        fn handle(&mut self, _: Received, ctx: &mut Context<Self>) {
            ctx.stop();
        }
    }

    play(async |log| {
        let (one, other) = pair().await;
        Once(one.downgrade()).start();
        other.send("the last").acknowledged().await.unwrap();
        pass(MINUTE).await;
        assert_eq!(log.lines_with("a subscriber is gone").len(), 1);
        is_without_warnings(&log);
        other
            .send("one more")
            .guarantee(DeliveryGuarantee::AtLeastOnce)
            .await
            .unwrap();
        pass(Duration::from_secs(15)).await;
        assert!(warning(&log).contains("all who subscribed are gone"));
    });
}

#[test]
fn messages_that_wait_on_a_socket_without_any_endpoint_are_a_warning() {
    play(async |log| {
        let socket = Socket::start().unwrap();
        socket.send("hello?").await.unwrap();
        pass(Duration::from_secs(5)).await;
        is_without_warnings(&log);
        pass(Duration::from_secs(10)).await;
        assert!(warning(&log).contains("call bind or connect"));
        pass(MINUTE).await;
        warning(&log);
    });
}

#[test]
fn timers_by_which_idle_connections_end_are_a_warning_also_at_run_time() {
    play(async |log| {
        let socket = Socket::start().unwrap();
        let minute = |limits: &mut actix_aiomsg::limits::Limits| limits.heartbeat_interval = MINUTE;
        socket.reconfigure(minute).unwrap();
        assert!(warning(&log).contains("more seldom"));
    });
}

#[test]
fn a_message_whose_handler_failed_is_a_warning_with_the_error_of_the_handler() {
    play(async |log| {
        let (one, other) = pair().await;
        each(&one, |_: Received| -> Handled {
            Err("no\ndatabase").into()
        });
        other.send("a job").acknowledged().await.unwrap_err();
        let line = warning(&log);
        assert!(line.contains(r"no\ndatabase"), "{line}");
        assert!(line.contains(&other.identity().to_string()), "{line}");
    });
}

#[test]
fn a_timer_whose_message_cannot_be_sent_is_a_warning() {
    struct Timer(Socket);

    impl Actor for Timer {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Context<Self>) {
            let second = Duration::from_secs(1);
            self.0.send_every(ctx, second, |_| vec![0; 2_000]);
        }
    }

    play(async |log| {
        let socket = Socket::builder().max_frame_bytes(1_000).start().unwrap();
        Timer(socket.clone()).start();
        pass(5 * Duration::from_secs(1)).await;
        let line = warning(&log);
        assert!(
            line.contains("2000 bytes") && line.contains("timer"),
            "{line}"
        );
    });
}

/// Subscribes when it is told to, which nobody does after a restart.
struct OnDemand(WeakSocket);

#[derive(Message)]
#[rtype(result = "()")]
struct Begin;

impl Actor for OnDemand {
    type Context = Context<Self>;
}

impl Handler<Begin> for OnDemand {
    type Result = ();

    fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) {
        self.0.subscribe::<bytes::Bytes>(ctx);
    }
}

impl Handler<Received> for OnDemand {
    type Result = ();

    fn handle(&mut self, _: Received, _: &mut Context<Self>) {
        panic!("on demand");
    }
}

#[test]
fn messages_for_an_actor_that_has_not_subscribed_again_after_a_restart_are_a_warning() {
    play(async |log| {
        let (one, other) = pair().await;
        let socket = one.downgrade();
        let actor = supervise(move || OnDemand(socket.clone())).start();
        actor.send(Begin).await.unwrap();
        for _ in 0..3 {
            other.send("a job").await.unwrap();
        }
        pass(MINUTE / 2).await;
        let forgotten = |line: &String| line.contains("has not subscribed again");
        let lines = log.lines_with("WARN");
        let line = lines.iter().find(|line| forgotten(line));
        let line = line.unwrap_or_else(|| panic!("{}", log.text()));
        assert!(
            line.contains("OnDemand") && line.contains("waiting=2"),
            "{line}"
        );
    });
}
