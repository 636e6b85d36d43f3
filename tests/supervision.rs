//! What a supervised actor keeps over a panic, wherever it happens.

mod actors;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::supervise::{
    Backoff, ChildState, MailboxError, PanicPlace, monitor, supervise, with_context,
};
use actors::counter::{Count, Counter, Do, Panic};
use actors::{at_once, run, until};

#[test]
fn the_address_and_every_queued_message_outlive_a_panic() {
    run(async {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        let addr = supervise(move || Counter {
            handled: 0,
            log: Arc::clone(&seen),
        })
        .backoff(at_once())
        .start();
        let recipient = addr.clone().recipient::<Count>();
        addr.do_send(Count(1));
        addr.do_send(Panic);
        addr.do_send(Count(2));
        recipient.do_send(Count(3));
        // A new actor has handled 2 and 3 by now, so this is its third.
        assert_eq!(recipient.send(Count(4)).await, Ok(3));
        assert_eq!(*log.lock().unwrap(), [1, 2, 3, 4]);
        assert!(addr.connected());
    });
}

#[test]
fn the_sender_of_the_message_in_hand_gets_a_typed_error() {
    run(async {
        let addr = supervise(Counter::default).backoff(at_once()).start();
        assert_eq!(addr.send(Panic).await, Err(MailboxError::Closed));
        assert_eq!(addr.send(Count(1)).await, Ok(1));
    });
}

#[test]
fn the_context_says_the_lasting_address() {
    struct Selfish(Arc<Mutex<Option<Addr<Selfish>>>>);
    impl Actor for Selfish {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            *self.0.lock().unwrap() = Some(ctx.address());
        }
    }
    impl Handler<Panic> for Selfish {
        type Result = ();
        fn handle(&mut self, _: Panic, _: &mut Self::Context) {
            panic!("on demand");
        }
    }
    run(async {
        let own = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&own);
        let addr = supervise(move || Selfish(Arc::clone(&seen)))
            .backoff(at_once())
            .start();
        for _ in 0..3 {
            until(|| own.lock().unwrap().is_some()).await;
            assert_eq!(own.lock().unwrap().take(), Some(addr.clone()));
            addr.do_send(Panic);
        }
    });
}

#[test]
fn a_panic_in_started_a_timer_a_future_a_stream_or_a_wait_restarts_the_actor() {
    run(async {
        let child = supervise(Counter::default).backoff(at_once()).spawn();
        let steps: [fn(&mut Context<Counter>); 5] = [
            |ctx| {
                ctx.spawn(async { panic!("future") }.into_actor(&Counter::default()));
            },
            |ctx| {
                ctx.run_later(Duration::from_millis(1), |_, _| panic!("timer"));
            },
            |ctx| {
                ctx.run_interval(Duration::from_millis(1), |_, _| panic!("interval"));
            },
            |ctx| {
                ctx.add_message_stream(actors::repeat(|| -> Panic { panic!("stream") }));
            },
            |ctx| ctx.wait(async { panic!("wait") }.into_actor(&Counter::default())),
        ];
        for (restarts, step) in (1..).zip(steps) {
            let down = monitor(&child.addr());
            child.addr().do_send(Do(step));
            down.await;
            assert_eq!(child.addr().send(Count(1)).await, Ok(1));
            let report = child.inspect();
            assert_eq!(report.restarts, restarts);
            assert_eq!(report.last_panic.unwrap().place(), PanicPlace::Future);
        }
    });
}

/// Panics in `started`, `stopping` or `stopped`, the first time only.
struct Clumsy {
    place: &'static str,
    first: bool,
}

impl Clumsy {
    fn trip(&self, place: &str) {
        if self.first && self.place == place {
            panic!("in {place}");
        }
    }
}

impl Actor for Clumsy {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        self.trip("started");
    }
    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        self.trip("stopping");
        Running::Stop
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        self.trip("stopped");
    }
}

impl Handler<Count> for Clumsy {
    type Result = u32;
    fn handle(&mut self, _: Count, ctx: &mut Self::Context) -> u32 {
        if self.first {
            ctx.stop();
        }
        0
    }
}

impl Handler<Panic> for Clumsy {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on demand");
    }
}

fn clumsy(place: &'static str) -> impl FnMut() -> Clumsy {
    let mut first = true;
    move || Clumsy {
        place,
        first: std::mem::take(&mut first),
    }
}

#[test]
fn a_panic_in_started_stopping_or_stopped_restarts_the_actor() {
    run(async {
        let places = [
            ("started", PanicPlace::Started),
            ("stopping", PanicPlace::Stopping),
            ("stopped", PanicPlace::Stopping),
        ];
        for (place, expected) in places {
            let child = supervise(clumsy(place)).backoff(at_once()).spawn();
            child.addr().do_send(Count(1));
            until(|| child.inspect().restarts == 1).await;
            assert_eq!(child.inspect().last_panic.unwrap().place(), expected);
            assert_eq!(child.addr().send(Count(2)).await, Ok(0));
        }
    });
}

#[test]
fn an_actor_that_panics_again_while_it_is_torn_down_is_restarted() {
    run(async {
        for place in ["stopping", "stopped"] {
            let child = supervise(clumsy(place)).backoff(at_once()).spawn();
            child.addr().do_send(Panic);
            assert_eq!(child.addr().send(Count(1)).await, Ok(0));
            assert_eq!(child.inspect().restarts, 1);
            assert_eq!(
                child.inspect().last_panic.unwrap().place(),
                PanicPlace::Message
            );
        }
    });
}

#[test]
fn an_actor_whose_destructor_panics_is_restarted() {
    struct Sharp;
    impl Actor for Sharp {
        type Context = Context<Self>;
    }
    impl Drop for Sharp {
        fn drop(&mut self) {
            panic!("sharp");
        }
    }
    impl Handler<Panic> for Sharp {
        type Result = ();
        fn handle(&mut self, _: Panic, _: &mut Self::Context) {
            panic!("on demand");
        }
    }
    run(async {
        let child = supervise(|| Sharp).backoff(at_once()).spawn();
        child.addr().do_send(Panic);
        until(|| child.inspect().restarts == 1 && child.inspect().state == ChildState::Running)
            .await;
        child.stop().await;
    });
}

#[test]
fn a_factory_that_panics_twice_is_asked_a_third_time() {
    run(async {
        let calls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&calls);
        let child = supervise(move || {
            counted.set(counted.get() + 1);
            assert!(counted.get() > 2, "not yet");
            Counter::default()
        })
        .backoff(at_once())
        .spawn();
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));
        assert_eq!(calls.get(), 3);
        assert_eq!(
            child.inspect().last_panic.unwrap().place(),
            PanicPlace::Factory
        );
    });
}

#[test]
fn a_cancellation_that_was_pending_at_the_panic_does_not_reach_the_next_incarnation() {
    run(async {
        static TICKS: AtomicU32 = AtomicU32::new(0);
        let child = supervise(with_context(|ctx: &mut Context<Counter>| {
            // The timer of every incarnation has the same handle number.
            ctx.run_interval(Duration::from_millis(1), |_, _| {
                TICKS.fetch_add(1, SeqCst);
            });
            Counter::default()
        }))
        .backoff(at_once())
        .spawn();
        child.addr().do_send(Do(|ctx| {
            let mut handle = SpawnHandle::default();
            for _ in 0..16 {
                handle = handle.next();
                ctx.cancel_future(handle);
            }
            panic!("with cancellations pending");
        }));
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));
        let before = TICKS.load(SeqCst);
        until(|| TICKS.load(SeqCst) > before + 3).await;
        assert_eq!(child.inspect().restarts, 1);
    });
}

#[test]
fn a_wait_that_was_pending_at_the_panic_does_not_block_the_next_incarnation() {
    run(async {
        let addr = supervise(Counter::default).backoff(at_once()).start();
        addr.do_send(Do(|ctx| {
            ctx.wait(std::future::pending::<()>().into_actor(&Counter::default()));
            panic!("with a wait pending");
        }));
        assert_eq!(addr.send(Count(1)).await, Ok(1));
    });
}

#[test]
fn the_futures_of_a_dead_actor_are_dropped_before_the_backoff() {
    run(async {
        let held = Rc::new(());
        let weak = Rc::downgrade(&held);
        let mut held = Some(held);
        let child = supervise(with_context(move |ctx: &mut Context<Counter>| {
            let held = held.take();
            let fut = async move {
                let _held = held;
                std::future::pending::<()>().await;
            };
            ctx.spawn(fut.into_actor(&Counter::default()));
            Counter::default()
        }))
        .backoff(Backoff::fixed(Duration::from_secs(3_600)))
        .spawn();
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));
        assert!(weak.upgrade().is_some());
        child.addr().do_send(Panic);
        until(|| child.inspect().state == ChildState::BackingOff).await;
        assert!(weak.upgrade().is_none());
        child.stop().await;
        assert!(!child.addr().connected());
    });
}

#[test]
fn an_actor_that_cancels_the_future_it_runs_in_still_gets_messages() {
    run(async {
        let addr = supervise(Counter::default).start();
        addr.do_send(Do(|ctx| {
            let current = ctx.handle();
            ctx.cancel_future(current);
        }));
        assert_eq!(addr.send(Count(1)).await, Ok(2 - 1));
    });
}

#[test]
fn a_message_in_the_hands_of_an_asynchronous_handler_holds_back_the_others() {
    run(async {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        let addr = supervise(move || Counter {
            handled: 0,
            log: Arc::clone(&seen),
        })
        .start();
        addr.do_send(Do(|ctx| {
            let pause =
                actix::clock::sleep(Duration::from_millis(5)).into_actor(&Counter::default());
            ctx.wait(pause.map(|(), actor: &mut Counter, _| actor.log.lock().unwrap().push(0)));
        }));
        addr.send(Count(1)).await.unwrap();
        assert_eq!(*log.lock().unwrap(), [0, 1]);
    });
}

#[test]
fn an_actor_in_another_arbiter_is_restarted_there() {
    run(async {
        let arbiter = Arbiter::new();
        let addr = supervise(Counter::default)
            .backoff(at_once())
            .start_in_arbiter(&arbiter.handle());
        assert_eq!(addr.send(Panic).await, Err(MailboxError::Closed));
        assert_eq!(addr.send(Count(1)).await, Ok(1));
        let down = monitor(&addr);
        arbiter.stop();
        down.await;
        until(|| !addr.connected()).await;
        let late = supervise(Counter::default).start_in_arbiter(&arbiter.handle());
        until(|| !late.connected()).await;
        arbiter.join().unwrap();
    });
}

#[test]
fn a_flooded_actor_lets_its_own_timer_and_its_arbiter_run() {
    run(async {
        static TICKS: AtomicU32 = AtomicU32::new(0);
        let addr = supervise(with_context(|ctx: &mut Context<Counter>| {
            ctx.run_interval(Duration::from_millis(1), |_, ctx| {
                TICKS.fetch_add(1, SeqCst);
                // Spawning makes actix poll the mailbox again within the same turn.
                ctx.spawn(async {}.into_actor(&Counter::default()));
            });
            Counter::default()
        }))
        .start();
        // Every message sends another, so the mailbox is never empty.
        fn flood(ctx: &mut Context<Counter>) {
            ctx.spawn(async {}.into_actor(&Counter::default()));
            ctx.address().do_send(Do(flood));
        }
        addr.do_send(Do(flood));
        until(|| TICKS.load(SeqCst) > 5).await;
    });
}

#[test]
fn actors_that_panic_while_the_system_ends_do_not_abort_it() {
    actors::print_panics_briefly();
    let system = System::new();
    let child = system.block_on(async {
        let child = supervise(clumsy("stopped")).spawn();
        until(|| child.inspect().state == ChildState::Running).await;
        System::current().stop();
        child
    });
    system.run().unwrap();
    assert_eq!(child.inspect().state, ChildState::Ended);
    assert!(!child.addr().connected());
}

#[test]
fn of_a_hundred_thousand_messages_only_those_in_hand_at_a_panic_are_lost() {
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Numbered(u32);

    impl Handler<Numbered> for Counter {
        type Result = ();
        fn handle(&mut self, message: Numbered, _: &mut Self::Context) {
            assert_ne!(message.0 % 500, 0, "one in five hundred");
            self.log.lock().unwrap().push(message.0);
        }
    }

    run(async {
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        let addr = supervise(move || Counter {
            handled: 0,
            log: Arc::clone(&seen),
        })
        .intensity(1_000, Duration::from_secs(3_600))
        .backoff(at_once())
        .start();
        for n in 0..100_000 {
            addr.do_send(Numbered(n));
        }
        addr.send(Do(|_| {})).await.unwrap();
        let expected: Vec<u32> = (0..100_000).filter(|n| n % 500 != 0).collect();
        assert_eq!(*log.lock().unwrap(), expected);
    });
}
