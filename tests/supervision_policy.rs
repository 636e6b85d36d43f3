//! When an actor is restarted, resumed, ended or given up, as its description says.

mod actors;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use actix_aiomsg::supervise::{
    ChildState, Decision, EscalationReason, MailboxError, RestartPolicy, monitor, supervise,
    with_context,
};
use actors::counter::{Count, Counter, Do, Panic};
use actors::{at_once, run, run_paused, until};

#[test]
fn resume_keeps_the_actor_and_its_futures() {
    run(async {
        let child = supervise(Counter::default)
            .on_panic(|_| Decision::Resume)
            .spawn();
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));
        for _ in 0..10 {
            assert_eq!(child.addr().send(Panic).await, Err(MailboxError::Closed));
        }
        assert_eq!(child.addr().send(Count(2)).await, Ok(2));
        assert_eq!(child.inspect().restarts, 0);
        assert_eq!(child.inspect().last_panic.unwrap().message(), "on demand");
    });
}

#[test]
fn a_future_that_panicked_cannot_be_resumed_so_its_actor_is_restarted() {
    run(async {
        let child = supervise(Counter::default)
            .on_panic(|_| Decision::Resume)
            .backoff(at_once())
            .spawn();
        child.addr().do_send(Do(|ctx| {
            ctx.run_later(Duration::ZERO, |_, _| panic!("timer"));
        }));
        until(|| child.inspect().restarts == 1).await;
    });
}

#[test]
fn a_decision_to_stop_closes_the_mailbox_and_one_to_escalate_gives_up() {
    run(async {
        let child = supervise(Counter::default)
            .on_panic(|_| Decision::Stop)
            .spawn();
        child.addr().do_send(Panic);
        child.ended().await;
        assert!(!child.addr().connected());

        let (told, escalation) = actors::tell();
        let child = supervise(Counter::default)
            .name("counter")
            .on_panic(|_| Decision::Escalate)
            .on_escalate(told)
            .spawn();
        child.addr().do_send(Panic);
        let escalation = escalation.await.unwrap();
        assert_eq!(escalation.reason(), EscalationReason::Decided);
        assert_eq!(escalation.child(), "counter");
        assert_eq!(escalation.panic().unwrap().message(), "on demand");
        assert_eq!(child.inspect().state, ChildState::Ended);
    });
}

#[test]
fn an_on_panic_callback_that_panics_means_restart() {
    run(async {
        let addr = supervise(Counter::default)
            .on_panic(|_| panic!("undecided"))
            .backoff(at_once())
            .start();
        addr.do_send(Panic);
        assert_eq!(addr.send(Count(1)).await, Ok(1));
    });
}

#[test]
fn each_restart_policy_answers_a_stop_and_a_panic_in_its_own_way() {
    run(async {
        let stop = || Do(|ctx| ctx.stop());
        let child = supervise(Counter::default).backoff(at_once()).spawn();
        child.addr().do_send(stop());
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));

        let transient = || supervise(Counter::default).restart(RestartPolicy::Transient);
        let child = transient().backoff(at_once()).spawn();
        child.addr().do_send(Panic);
        assert_eq!(child.addr().send(Count(1)).await, Ok(1));
        child.addr().do_send(stop());
        child.ended().await;

        let child = supervise(Counter::default)
            .restart(RestartPolicy::Temporary)
            .spawn();
        child.addr().do_send(Panic);
        child.ended().await;
        assert_eq!(child.addr().send(Count(1)).await, Err(MailboxError::Closed));
    });
}

#[test]
fn a_thousand_panics_spread_over_time_are_survived_and_a_burst_is_not() {
    run_paused(async {
        let (told, escalation) = actors::tell();
        let child = supervise(Counter::default)
            .intensity(5, Duration::from_secs(10))
            .on_escalate(told)
            .spawn();
        // Nobody keeps an address but the one that sends, which is made anew from a weak one.
        let weak = child.addr().downgrade();
        for panics in 1..=1_000 {
            weak.upgrade()
                .expect("it lives without addresses")
                .do_send(Panic);
            actix::clock::sleep(Duration::from_secs(3)).await;
            while child.inspect().state != ChildState::Running {
                actix::clock::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(child.inspect().restarts, panics);
        }
        actix::clock::sleep(Duration::from_secs(10)).await;
        for _ in 0..6 {
            weak.upgrade()
                .expect("it lives without addresses")
                .do_send(Panic);
        }
        let reason = escalation.await.unwrap().reason();
        let window = Duration::from_secs(10);
        assert_eq!(
            reason,
            EscalationReason::TooManyRestarts {
                max_restarts: 5,
                window
            }
        );
        child.ended().await;
        assert_eq!(child.inspect().restarts, 1_005);
    });
}

#[test]
fn an_actor_that_is_given_up_stops_the_system_unless_told_otherwise() {
    let system = System::new();
    system.block_on(async {
        supervise(Counter::default)
            .intensity(0, Duration::from_secs(1))
            .start()
            .do_send(Panic);
    });
    assert_eq!(system.run_with_code().unwrap(), 1);
}

#[test]
fn an_actor_lives_without_addresses_unless_told_otherwise() {
    run(async {
        let child = supervise(Counter::default).spawn();
        let weak = child.addr().downgrade();
        drop(child);
        tokio::task::yield_now().await;
        assert_eq!(weak.upgrade().unwrap().send(Count(1)).await, Ok(1));

        let addr = supervise(Counter::default).while_addressed().start();
        let down = monitor(&addr);
        addr.do_send(Count(1));
        drop(addr);
        down.await;
    });
}

#[test]
fn a_while_addressed_actor_with_a_timer_hears_an_address_that_appears_later() {
    run(async {
        let addr = supervise(with_context(|ctx: &mut Context<Counter>| {
            ctx.run_interval(Duration::from_secs(3_600), |_, _| {});
            Counter::default()
        }))
        .while_addressed()
        .start();
        let weak = addr.downgrade();
        addr.send(Count(1)).await.unwrap();
        drop(addr);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(weak.upgrade().unwrap().send(Count(2)).await, Ok(2));
    });
}

#[test]
fn the_capacity_of_the_mailbox_is_as_chosen() {
    run(async {
        let addr = supervise(Counter::default).mailbox_capacity(2).start();
        let mut accepted = 0;
        while addr.try_send(Count(0)).is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, 2);
    });
}

#[test]
fn an_actor_that_refuses_to_stop_is_ended_when_patience_is_over() {
    struct Stubborn(Rc<Cell<u32>>);
    impl Actor for Stubborn {
        type Context = Context<Self>;
        fn stopping(&mut self, _: &mut Self::Context) -> Running {
            self.0.set(self.0.get() + 1);
            Running::Continue
        }
    }
    run(async {
        let asked = Rc::new(Cell::new(0));
        let counted = Rc::clone(&asked);
        let child = supervise(move || Stubborn(Rc::clone(&counted)))
            .shutdown(Duration::from_millis(1))
            .spawn();
        until(|| child.inspect().state == ChildState::Running).await;
        child.stop().await;
        assert!(asked.get() >= 1);
        assert!(!child.addr().connected());
    });
}

#[test]
fn the_state_of_an_actor_is_seen_from_its_first_day_to_its_last() {
    struct Patient;
    impl Actor for Patient {
        type Context = Context<Self>;
        fn stopping(&mut self, _: &mut Self::Context) -> Running {
            Running::Continue
        }
    }
    run(async {
        let child = supervise(|| Patient)
            .shutdown(Duration::from_secs(3_600))
            .spawn();
        assert_eq!(child.inspect().state, ChildState::Waiting);
        assert!(child.inspect().uptime.is_none());
        until(|| child.inspect().state == ChildState::Running).await;
        assert!(child.inspect().uptime.is_some());
        let stopping = child.clone();
        actix::spawn(async move { stopping.stop().await });
        until(|| child.inspect().state == ChildState::Stopping).await;

        let child = supervise(Counter::default).spawn();
        child.stop().await;
        assert_eq!(child.inspect().state, ChildState::Ended);
        assert_eq!(child.inspect().to_string(), "Counter [ended]");
    });
}
