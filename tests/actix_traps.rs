//! Facts about actix that supervision relies on. If one of these tests fails after an update of actix, the code
//! that names the fact wants another look.

mod actors;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use actix::dev::channel::channel;
use actix::dev::{AsyncContextParts, ContextFut, ContextParts, EnvelopeProxy};
use actix::prelude::*;
use actors::{print_panics_briefly, run, until};

/// Writes down what it handles and panics on zero.
#[derive(Clone, Default)]
struct Scribe(Rc<RefCell<Vec<u32>>>);

impl Actor for Scribe {
    type Context = Context<Self>;
    fn started(&mut self, _: &mut Self::Context) {
        self.0.borrow_mut().push(1_000);
    }
    fn stopped(&mut self, _: &mut Self::Context) {
        self.0.borrow_mut().push(2_000);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Write(u32);

impl Handler<Write> for Scribe {
    type Result = ();
    fn handle(&mut self, write: Write, _: &mut Self::Context) {
        assert_ne!(write.0, 0, "on demand");
        self.0.borrow_mut().push(write.0);
    }
}

impl Supervised for Scribe {}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut task::Context::from_waker(Waker::noop()))
}

#[test]
fn a_mailbox_is_drained_before_any_timer_of_its_actor_runs() {
    run(async {
        let scribe = Scribe::default();
        let log = Rc::clone(&scribe.0);
        let addr = Scribe::create(|ctx| {
            ctx.spawn(
                async {}
                    .into_actor(&scribe)
                    .map(|(), act: &mut Scribe, _| act.0.borrow_mut().push(7)),
            );
            scribe
        });
        for _ in 0..1_000 {
            addr.do_send(Write(1));
        }
        addr.send(Write(2)).await.unwrap();
        until(|| log.borrow().contains(&7)).await;
        assert_eq!(log.borrow().iter().position(|n| *n == 7), Some(1_002));
    });
}

#[test]
fn do_send_ignores_the_capacity_and_try_send_is_bounded_per_clone_of_the_address() {
    run(async {
        let addr = Scribe::default().start();
        for _ in 0..100 {
            addr.do_send(Write(1));
        }
        let accepted =
            |addr: &Addr<Scribe>| (0..100).filter(|_| addr.try_send(Write(1)).is_ok()).count();
        assert_eq!(accepted(&addr), 1);
        assert_eq!(accepted(&addr.clone()), 1);
    });
}

#[test]
fn every_wake_polls_all_futures_of_a_context() {
    struct Counted(Rc<Cell<u32>>);
    impl Future for Counted {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<()> {
            self.0.set(self.0.get() + 1);
            Poll::Pending
        }
    }
    run(async {
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let addr = Scribe::create(move |ctx| {
            for _ in 0..10 {
                ctx.spawn(Counted(Rc::clone(&counted)).into_actor(&Scribe::default()));
            }
            Scribe::default()
        });
        addr.send(Write(1)).await.unwrap();
        let before = polls.get();
        addr.send(Write(1)).await.unwrap();
        until(|| polls.get() >= before + 10).await;
    });
}

#[test]
fn a_wait_stops_the_mailbox_and_every_other_future_of_the_actor() {
    let log = Scribe::default();
    let mut ctx = Context::new();
    let addr = ctx.address();
    ctx.spawn(
        async {}
            .into_actor(&log)
            .map(|(), act: &mut Scribe, _| act.0.borrow_mut().push(7)),
    );
    ctx.wait(std::future::pending::<()>().into_actor(&log));
    let mut life = ctx.into_future(log.clone());
    addr.do_send(Write(1));
    assert!(poll(&mut life).is_pending());
    assert_eq!(*log.0.borrow(), [1_000]);
}

#[test]
fn an_actor_that_panics_loses_its_queue_and_its_supervisor() {
    run(async {
        let scribe = Scribe::default();
        let addr = Supervisor::start(move |_| scribe);
        addr.do_send(Write(0));
        assert!(addr.send(Write(1)).await.is_err());
        assert!(!addr.connected());
    });
}

#[test]
fn a_weak_recipient_of_a_dead_actor_can_be_upgraded_and_is_not_connected() {
    run(async {
        let addr = Scribe::default().start();
        let weak = addr.clone().recipient::<Write>().downgrade();
        addr.do_send(Write(0));
        until(|| !addr.connected()).await;
        assert!(!weak.upgrade().unwrap().connected());
    });
}

#[test]
fn a_context_that_is_dropped_alive_runs_stopped_and_a_terminated_one_does_not() {
    let log = Scribe::default();
    let life = |addr: &mut Option<Addr<Scribe>>| {
        let ctx = Context::new();
        *addr = Some(ctx.address());
        let mut life = ctx.into_future(log.clone());
        assert!(poll(&mut life).is_pending());
        life
    };
    let mut addr = None;
    drop(life(&mut addr));
    assert_eq!(log.0.take(), [1_000, 2_000]);
    let mut terminated = life(&mut addr);
    terminated.ctx().terminate();
    drop(terminated);
    assert_eq!(log.0.take(), [1_000]);
}

#[test]
fn terminating_a_context_forgets_that_it_has_started() {
    let log = Scribe::default();
    let mut life = Context::new().into_future(log.clone());
    let _ = poll(&mut life);
    life.ctx().terminate();
    assert!(!life.ctx().parts().started());
}

#[test]
fn a_context_can_be_polled_again_after_a_handler_has_panicked() {
    print_panics_briefly();
    let log = Scribe::default();
    let ctx = Context::new();
    let addr = ctx.address();
    let mut life = ctx.into_future(log.clone());
    for n in [1, 0, 2] {
        addr.do_send(Write(n));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut life))).is_err());
    assert!(poll(&mut life).is_pending());
    assert_eq!(*log.0.borrow(), [1_000, 1, 2]);
}

#[test]
fn a_cancellation_survives_actix_s_restart_and_hits_a_new_future_with_the_same_number() {
    print_panics_briefly();
    let log = Scribe::default();
    let mut ctx = Context::new();
    let addr = ctx.address();
    let handle = ctx.spawn(std::future::pending::<()>().into_actor(&log));
    let mut life = ctx.into_future(log.clone());
    assert!(poll(&mut life).is_pending());
    life.ctx().cancel_future(handle);
    addr.do_send(Write(0));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut life))).is_err());
    assert!(life.restart());
    let again = life.ctx().spawn(Flag(Rc::clone(&log.0)).into_actor(&log));
    assert_eq!(again, handle);
    assert!(poll(&mut life).is_pending());
    assert!(
        log.0.borrow().contains(&3_000),
        "the new future was dropped"
    );
}

/// Notes when it is dropped, and is never ready.
struct Flag(Rc<RefCell<Vec<u32>>>);

impl Future for Flag {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.borrow_mut().push(3_000);
    }
}

#[test]
fn a_context_takes_the_address_of_whatever_mailbox_its_parts_are_made_for() {
    let (_tx, lasting) = channel::<Scribe>(16);
    let mut ctx = Context::new();
    let own = ctx.address();
    *ctx.parts() = ContextParts::new(lasting.sender_producer());
    assert_ne!(ctx.address(), own);
    assert_eq!(ctx.address(), Addr::new(lasting.sender()));
}

#[test]
fn a_message_can_be_taken_from_a_mailbox_and_handled_by_hand() {
    let log = Scribe::default();
    let (tx, mut lasting) = channel::<Scribe>(16);
    Addr::new(tx).do_send(Write(5));
    let mut cx = task::Context::from_waker(Waker::noop());
    let Poll::Ready(Some(mut envelope)) = Pin::new(&mut lasting).poll_next(&mut cx) else {
        panic!("a message waits");
    };
    envelope.handle(&mut log.clone(), &mut Context::new());
    assert_eq!(*log.0.borrow(), [5]);
}

#[test]
fn a_context_asked_to_stop_takes_in_a_wait_before_it_asks_the_actor() {
    struct Stubborn(Rc<RefCell<Vec<u32>>>);
    impl Actor for Stubborn {
        type Context = Context<Self>;
        fn stopping(&mut self, _: &mut Self::Context) -> Running {
            self.0.borrow_mut().push(1);
            Running::Continue
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut ctx = Context::new();
    let dead = Rc::clone(&log);
    ctx.spawn(
        fut::wrap_future(async {}).map(move |(), _: &mut Stubborn, _| dead.borrow_mut().push(2)),
    );
    let stubborn = Stubborn(Rc::clone(&log));
    let mut life: ContextFut<Stubborn, _> = ctx.into_future(stubborn);
    life.ctx().stop();
    life.ctx()
        .wait(fut::wrap_future(std::future::pending::<()>()));
    assert!(poll(&mut life).is_pending());
    assert_eq!(*log.borrow(), [1], "no future ran after the refusal");
    life.ctx().terminate();
}

#[test]
fn a_response_future_is_a_task_that_outlives_the_panic_of_its_actor() {
    static FINISHED: AtomicU32 = AtomicU32::new(0);
    struct Detached;
    impl Actor for Detached {
        type Context = Context<Self>;
    }
    impl Handler<Write> for Detached {
        type Result = ResponseFuture<()>;
        fn handle(&mut self, write: Write, _: &mut Self::Context) -> ResponseFuture<()> {
            assert_ne!(write.0, 0, "on demand");
            Box::pin(async {
                actix::clock::sleep(Duration::from_millis(5)).await;
                FINISHED.fetch_add(1, SeqCst);
            })
        }
    }
    run(async {
        let addr = Detached.start();
        addr.do_send(Write(1));
        addr.do_send(Write(0));
        until(|| !addr.connected()).await;
        assert_eq!(FINISHED.load(SeqCst), 0);
        until(|| FINISHED.load(SeqCst) == 1).await;
    });
}

#[test]
fn stopping_the_system_runs_stopped_and_polls_nothing_after_it() {
    static STOPPED: AtomicU32 = AtomicU32::new(0);
    static POLLED_LATER: AtomicU32 = AtomicU32::new(0);
    struct Last;
    impl Actor for Last {
        type Context = Context<Self>;
        fn stopped(&mut self, _: &mut Self::Context) {
            STOPPED.fetch_add(1, SeqCst);
            actix::spawn(async {
                POLLED_LATER.fetch_add(1, SeqCst);
            });
        }
    }
    let system = System::new();
    let addr = system.block_on(async {
        let addr = Last.start();
        tokio::task::yield_now().await;
        System::current().stop();
        addr
    });
    let ended = catch_unwind(AssertUnwindSafe(|| system.run()));
    drop((addr, ended));
    assert_eq!(STOPPED.load(SeqCst), 1);
    assert_eq!(POLLED_LATER.load(SeqCst), 0);
}
