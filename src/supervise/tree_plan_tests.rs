use super::TreeEffect::{Down, End, Halt, Halted, Run, Started};
use super::*;
use crate::engine::backoff::Backoff;
use crate::supervise::policy::{Cause, Decision};

const DELAY: Duration = Duration::from_millis(7);
const AT_ONCE: Duration = Duration::ZERO;
const A: ChildId = ChildId(0);
const B: ChildId = ChildId(1);
const C: ChildId = ChildId(2);

fn exit(cause: Cause) -> Exit {
    let (decision, uptime) = (Decision::Restart, Duration::ZERO);
    Exit {
        cause,
        decision,
        uptime,
    }
}

fn failure() -> Exit {
    exit(Cause::Linked(Arc::from("x")))
}

fn linked() -> ExitReason {
    ExitReason::Linked(Arc::from("x"))
}

fn policy(restart: RestartPolicy) -> Policy {
    Policy::new(restart, None, &Backoff::fixed(DELAY))
}

/// A tree of permanent a, b and c, of which all run.
fn running(strategy: Strategy) -> TreePlan {
    let intensity = Intensity {
        max_restarts: 2,
        window: Duration::from_secs(1),
    };
    let mut plan = TreePlan::new(strategy, intensity);
    for (child, name) in [(A, "a"), (B, "b"), (C, "c")] {
        plan.add(child, Arc::from(name), policy(RestartPolicy::Permanent));
    }
    plan.handle_start();
    for child in [A, B, C] {
        assert_eq!(plan.drain_effects(), [Run(child, AT_ONCE)]);
        plan.handle_up(child);
    }
    assert_eq!(plan.drain_effects(), [Started]);
    plan
}

fn fail(plan: &mut TreePlan, child: ChildId) -> Vec<TreeEffect> {
    plan.handle_exit(Instant::now(), child, &failure());
    plan.drain_effects()
}

fn halted(plan: &mut TreePlan, child: ChildId) -> Vec<TreeEffect> {
    plan.handle_exit(Instant::now(), child, &Exit::halted());
    plan.drain_effects()
}

#[test]
fn one_for_one_restarts_a_child_without_waiting_for_another() {
    let mut plan = running(Strategy::OneForOne);
    assert_eq!(fail(&mut plan, A), [Down(A, linked()), Run(A, DELAY)]);
    assert_eq!(fail(&mut plan, C), [Down(C, linked()), Run(C, DELAY)]);
}

#[test]
fn one_for_all_halts_backwards_and_starts_forwards() {
    let mut plan = running(Strategy::OneForAll);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(A)]);
    assert_eq!(halted(&mut plan, A), [Down(A, stopped), Run(A, DELAY)]);
    plan.handle_up(A);
    assert_eq!(plan.drain_effects(), [Run(B, AT_ONCE)]);
    plan.handle_up(B);
    assert_eq!(plan.drain_effects(), [Run(C, AT_ONCE)]);
    plan.handle_up(C);
    assert_eq!(plan.drain_effects(), []);
}

#[test]
fn a_member_of_the_group_that_fails_before_its_turn_to_halt_is_restarted_once() {
    let mut plan = running(Strategy::OneForAll);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    assert_eq!(fail(&mut plan, A), [Down(A, linked())]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(A, DELAY)]);
}

#[test]
fn a_member_of_the_group_that_fails_at_its_turn_to_halt_is_waited_for_until_it_has_halted() {
    let mut plan = running(Strategy::RestForOne);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    // It failed before it was told, and answers that, too.
    assert_eq!(fail(&mut plan, C), [Down(C, linked())]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(B, DELAY)]);
    plan.handle_up(B);
    assert_eq!(plan.drain_effects(), [Run(C, AT_ONCE)]);
    plan.handle_up(C);
    assert_eq!(plan.drain_effects(), []);
}

#[test]
fn a_member_of_the_group_that_comes_up_at_its_turn_to_halt_is_waited_for_until_it_has_halted() {
    let mut plan = running(Strategy::RestForOne);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    let stopped = || ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped()), Run(B, DELAY)]);
    plan.handle_up(B);
    assert_eq!(plan.drain_effects(), [Run(C, AT_ONCE)]);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    plan.handle_up(C);
    assert_eq!(plan.drain_effects(), []);
    assert_eq!(halted(&mut plan, C), [Down(C, stopped()), Run(B, DELAY)]);
    plan.handle_up(B);
    assert_eq!(plan.drain_effects(), [Run(C, AT_ONCE)]);
}

#[test]
fn a_failure_before_the_group_is_up_again_begins_anew() {
    let mut plan = running(Strategy::RestForOne);
    assert_eq!(fail(&mut plan, B), [Down(B, linked()), Halt(C)]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped), Run(B, DELAY)]);
    assert_eq!(fail(&mut plan, A), [Down(A, linked()), Halt(B)]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, B), [Down(B, stopped), Run(A, DELAY)]);
    plan.handle_up(A);
    assert_eq!(plan.drain_effects(), [Run(B, AT_ONCE)]);
}

#[test]
fn one_restart_too_many_halts_everyone_and_escalates() {
    let mut plan = running(Strategy::OneForOne);
    fail(&mut plan, A);
    fail(&mut plan, B);
    let window = Duration::from_secs(1);
    let escalation = Escalation {
        child: Arc::from("b"),
        reason: EscalationReason::TooManyRestarts {
            max_restarts: 2,
            window,
        },
        panic: None,
    };
    let down = ExitReason::Escalated(escalation.clone());
    assert_eq!(fail(&mut plan, B), [Down(B, down), Halt(C)]);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(A)]);
    assert_eq!(
        halted(&mut plan, A),
        [Down(A, stopped), Halted(Some(escalation))]
    );
    plan.handle_start();
    assert_eq!(plan.drain_effects(), [Run(A, AT_ONCE)]);
}

#[test]
fn halting_stops_the_start_and_goes_backwards_over_those_that_run() {
    let mut plan = running(Strategy::OneForAll);
    fail(&mut plan, A);
    plan.handle_halt();
    plan.handle_halt();
    assert_eq!(plan.drain_effects(), []);
    let stopped = ExitReason::Stopped;
    assert_eq!(halted(&mut plan, C), [Down(C, stopped.clone()), Halt(B)]);
    assert_eq!(halted(&mut plan, B), [Down(B, stopped), Halted(None)]);
}

#[test]
fn a_child_that_is_gone_is_waited_for_no_longer() {
    let mut plan = running(Strategy::OneForAll);
    fail(&mut plan, A);
    plan.handle_gone(C);
    assert_eq!(plan.drain_effects(), [Halt(B)]);
    plan.handle_gone(B);
    assert_eq!(plan.drain_effects(), [Run(A, DELAY)]);
    plan.handle_gone(A);
    plan.handle_halt();
    assert_eq!(plan.drain_effects(), [Halted(None)]);
}

#[test]
fn temporary_children_leave_when_they_end_or_their_group_restarts() {
    let mut plan = running(Strategy::OneForAll);
    let (first, second) = (ChildId(3), ChildId(4));
    for child in [first, second] {
        plan.add(child, Arc::from("t"), policy(RestartPolicy::Temporary));
        assert_eq!(plan.drain_effects(), [Run(child, AT_ONCE)]);
        plan.handle_up(child);
    }
    assert_eq!(fail(&mut plan, first), [Down(first, linked()), End(first)]);
    assert_eq!(
        fail(&mut plan, C),
        [Down(C, linked()), End(second), Halt(B)]
    );
}

#[test]
fn an_empty_tree_starts_and_halts() {
    let mut plan = TreePlan::new(Strategy::OneForOne, Intensity::default());
    plan.handle_start();
    assert_eq!(plan.drain_effects(), [Started]);
    plan.handle_halt();
    assert_eq!(plan.drain_effects(), [Halted(None)]);
}
