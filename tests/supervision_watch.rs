//! Monitors, links and restart events.

mod actors;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::supervise::{
    Backoff, Decision, Down, ExitReason, NotSupervised, RestartEvent, RestartPolicy, link, monitor,
    monitor_to, supervise,
};
use actors::{at_once, run, until};

struct Part;

impl Actor for Part {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
enum Order {
    Panic,
    Stop,
    Nothing,
}

impl Handler<Order> for Part {
    type Result = ();
    fn handle(&mut self, order: Order, ctx: &mut Self::Context) {
        match order {
            Order::Panic => panic!("on demand"),
            Order::Stop => ctx.stop(),
            Order::Nothing => {}
        }
    }
}

/// Keeps what it is told, and can be slow about it.
struct Listener<M> {
    heard: Arc<Mutex<Vec<M>>>,
    gate: Option<tokio::sync::oneshot::Receiver<()>>,
}

impl<M: Unpin + 'static> Actor for Listener<M> {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(gate) = self.gate.take() {
            ctx.wait(async { drop(gate.await) }.into_actor(self));
        }
    }
}

impl<M: Message<Result = ()> + Unpin + 'static> Handler<M> for Listener<M> {
    type Result = ();
    fn handle(&mut self, told: M, _: &mut Self::Context) {
        self.heard.lock().unwrap().push(told);
    }
}

fn listener<M>() -> (Recipient<M>, Arc<Mutex<Vec<M>>>)
where
    M: Message<Result = ()> + Send + Unpin + 'static,
{
    let heard = Arc::new(Mutex::new(Vec::new()));
    let actor = Listener {
        heard: Arc::clone(&heard),
        gate: None,
    };
    (actor.start().recipient(), heard)
}

fn part(name: &str) -> Addr<Part> {
    supervise(|| Part).name(name).backoff(at_once()).start()
}

#[test]
fn a_monitor_tells_the_reason_once_whatever_it_is() {
    run(async {
        let addr = part("a");
        let (first, second) = (monitor(&addr), monitor(&addr));
        addr.do_send(Order::Panic);
        let Down { actor, reason } = first.await;
        assert_eq!(&*actor, "a");
        assert!(matches!(&reason, ExitReason::Panicked(panic) if panic.message() == "on demand"));
        assert_eq!(second.await.reason, reason);

        let down = monitor(&addr);
        addr.do_send(Order::Stop);
        assert_eq!(down.await.reason, ExitReason::Stopped);

        let escalating = supervise(|| Part)
            .on_panic(|_| Decision::Escalate)
            .on_escalate(drop)
            .start();
        let down = monitor(&escalating);
        escalating.do_send(Order::Panic);
        assert!(matches!(down.await.reason, ExitReason::Escalated(_)));
    });
}

#[test]
fn monitoring_an_actor_that_is_not_supervised_or_has_ended_says_so() {
    run(async {
        assert_eq!(
            monitor(&Part.start()).await.reason,
            ExitReason::Unsupervised
        );
        let child = supervise(|| Part).spawn();
        let down = monitor(&child.addr());
        child.stop().await;
        assert_eq!(down.await.reason, ExitReason::Stopped);
        assert_eq!(
            monitor(&child.addr()).await.reason,
            ExitReason::Unsupervised
        );
    });
}

#[test]
fn a_recipient_gets_one_down_per_watch() {
    run(async {
        let (recipient, heard) = listener::<Down>();
        let addr = part("a");
        monitor_to(&addr, recipient.clone());
        addr.do_send(Order::Panic);
        addr.do_send(Order::Panic);
        addr.send(Order::Nothing).await.unwrap();
        monitor_to(&Part.start(), recipient);
        until(|| heard.lock().unwrap().len() == 2).await;
        let heard = heard.lock().unwrap();
        assert!(matches!(heard[0].reason, ExitReason::Panicked(_)));
        assert_eq!(heard[1].reason, ExitReason::Unsupervised);
    });
}

#[test]
fn a_linked_actor_fails_with_the_other_but_does_not_stop_with_it() {
    run(async {
        let (a, b, c) = (part("a"), part("b"), part("c"));
        for addr in [&a, &b, &c] {
            addr.send(Order::Nothing).await.unwrap();
        }
        link(&a, &b).unwrap();
        link(&b, &c).unwrap();
        let (of_b, of_c) = (monitor(&b), monitor(&c));
        a.do_send(Order::Panic);
        assert_eq!(of_b.await.reason, ExitReason::Linked("a".into()));
        assert_eq!(of_c.await.reason, ExitReason::Linked("b".into()));
        for addr in [&a, &b, &c] {
            addr.send(Order::Nothing).await.unwrap();
        }

        // The links are gone with the incarnations, and a stop is no failure.
        link(&a, &b).unwrap();
        let of_b = monitor(&b);
        a.do_send(Order::Stop);
        a.send(Order::Nothing).await.unwrap();
        a.do_send(Order::Panic);
        a.send(Order::Nothing).await.unwrap();
        b.do_send(Order::Stop);
        assert_eq!(of_b.await.reason, ExitReason::Stopped);
    });
}

#[test]
fn only_supervised_actors_can_be_linked() {
    run(async {
        let plain = Part.start();
        let refused: NotSupervised = link(&part("a"), &plain).unwrap_err();
        assert!(refused.to_string().contains("Part is not supervised"));
    });
}

#[test]
fn events_tell_the_story_of_an_actor() {
    run(async {
        let (recipient, heard) = listener::<RestartEvent>();
        let child = supervise(|| Part)
            .name("a")
            .restart(RestartPolicy::Transient)
            .backoff(Backoff::fixed(Duration::from_millis(1)))
            .events(recipient)
            .spawn();
        child.addr().do_send(Order::Panic);
        child.addr().send(Order::Nothing).await.unwrap();
        child.addr().do_send(Order::Stop);
        child.ended().await;
        until(|| heard.lock().unwrap().len() == 4).await;
        let heard = heard.lock().unwrap();
        assert!(matches!(&heard[0], RestartEvent::Panicked(panic) if panic.restarts() == 0));
        let child = || Arc::from("a");
        let delay = Duration::from_millis(1);
        assert_eq!(
            heard[1],
            RestartEvent::Restarting {
                child: child(),
                delay
            }
        );
        let restarted = RestartEvent::Restarted {
            child: child(),
            restarts: 1,
        };
        assert_eq!(heard[2], restarted);
        let reason = ExitReason::Stopped;
        assert_eq!(
            heard[3],
            RestartEvent::Ended {
                child: child(),
                reason
            }
        );
    });
}

#[test]
fn a_slow_recipient_of_events_learns_how_many_it_missed() {
    run(async {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = tokio::sync::oneshot::channel();
        let slow = Listener {
            heard: Arc::clone(&heard),
            gate: Some(gate),
        }
        .start();
        let child = supervise(|| Part)
            .intensity(1_000, Duration::from_secs(3_600))
            .backoff(at_once())
            .events(slow.recipient())
            .spawn();
        for _ in 0..600 {
            child.addr().do_send(Order::Panic);
        }
        child.addr().send(Order::Nothing).await.unwrap();
        open.send(()).unwrap();
        let lagged = |event: &RestartEvent| match event {
            RestartEvent::Lagged(skipped) => *skipped,
            _ => 0,
        };
        until(|| heard.lock().unwrap().iter().map(lagged).sum::<u64>() > 0).await;
        let heard = heard.lock().unwrap();
        let skipped: u64 = heard.iter().map(lagged).sum();
        let received = heard.iter().filter(|event| lagged(event) == 0).count() as u64;
        // Each panic is told in two events; only the last incarnation lives to be called restarted.
        assert_eq!(skipped + received, 1_201);
        assert!(received < 1_100, "{received}");
    });
}

#[test]
fn a_slow_recipient_hears_of_the_end_even_when_the_actor_has_ended() {
    run(async {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (open, gate) = tokio::sync::oneshot::channel();
        let slow = Listener {
            heard: Arc::clone(&heard),
            gate: Some(gate),
        };
        let slow = Listener::create(|ctx| {
            ctx.set_mailbox_capacity(1);
            slow
        });
        let child = supervise(|| Part)
            .restart(RestartPolicy::Temporary)
            .events(slow.recipient())
            .spawn();
        child.addr().do_send(Order::Panic);
        child.ended().await;
        open.send(()).unwrap();
        let ended = |event: &RestartEvent| matches!(event, RestartEvent::Ended { .. });
        until(|| heard.lock().unwrap().iter().any(ended)).await;
    });
}

/// What happens inside of an actor, in order.
type Diary = Arc<Mutex<Vec<&'static str>>>;

/// Writes down when it is dropped.
struct Note(Diary, &'static str);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(self.1);
    }
}

struct Witness(Note);

impl Actor for Witness {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.0.lock().unwrap().push("started");
        let held = Note(Arc::clone(&self.0.0), "its future is dropped");
        let future = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        ctx.spawn(future.into_actor(self));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.0.0.lock().unwrap().push("stopped");
    }
}

impl Handler<Order> for Witness {
    type Result = ();
    fn handle(&mut self, _: Order, _: &mut Self::Context) {
        panic!("on demand");
    }
}

/// Hears both kinds through one mailbox, and so in the order in which they were sent.
struct Chronicler(Diary);

impl Actor for Chronicler {
    type Context = Context<Self>;
}

impl Handler<RestartEvent> for Chronicler {
    type Result = ();
    fn handle(&mut self, event: RestartEvent, _: &mut Self::Context) {
        self.0.lock().unwrap().push(match event {
            RestartEvent::Panicked(_) => "panicked",
            RestartEvent::Restarting { .. } => "restarting",
            RestartEvent::Restarted { .. } => "restarted",
            RestartEvent::Ended { .. } => "ended",
            _ => "something else",
        });
    }
}

impl Handler<Down> for Chronicler {
    type Result = ();
    fn handle(&mut self, _: Down, _: &mut Self::Context) {
        self.0.lock().unwrap().push("down");
    }
}

#[test]
fn a_panic_is_settled_in_one_order_and_the_give_up_is_told_to_the_end() {
    run(async {
        let (inside, outside) = (Diary::default(), Diary::default());
        let chronicler = Chronicler(Arc::clone(&outside)).start();
        let (asked, made) = (Arc::clone(&inside), Arc::clone(&inside));
        let (told, escalation) = actors::tell();
        let child = supervise(move || {
            made.lock().unwrap().push("made");
            Witness(Note(Arc::clone(&made), "it is dropped"))
        })
        .intensity(1, Duration::from_secs(3_600))
        .backoff(Backoff::fixed(Duration::from_millis(1)))
        .on_panic(move |_| {
            asked.lock().unwrap().push("its panic is judged");
            Decision::Restart
        })
        .on_escalate(told)
        .events(chronicler.clone().recipient())
        .spawn();
        until(|| !inside.lock().unwrap().is_empty()).await;
        inside.lock().unwrap().clear();
        for end in ["restarted", "ended"] {
            monitor_to(&child.addr(), chronicler.clone().recipient());
            child.addr().do_send(Order::Panic);
            until(|| outside.lock().unwrap().last() == Some(&end)).await;
        }
        escalation.await.unwrap();
        let death = [
            "its panic is judged",
            "stopped",
            "it is dropped",
            "its future is dropped",
        ];
        let expected = [&death[..], &["made", "started"], &death[..]].concat();
        assert_eq!(*inside.lock().unwrap(), expected);
        let restart = ["panicked", "down", "restarting", "restarted"];
        let give_up = ["panicked", "down", "ended"];
        assert_eq!(*outside.lock().unwrap(), [&restart[..], &give_up].concat());
    });
}
