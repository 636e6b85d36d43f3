use proptest::prelude::*;

use super::*;
use AfterTry::{Again, End};

const POLICY: RetryPolicy = RetryPolicy {
    timeout: Duration::from_secs(6),
    retries: 2,
    idempotence: Idempotence::NotIdempotent,
    try_timeout: None,
};
const IDEMPOTENT: RetryPolicy = RetryPolicy {
    idempotence: Idempotence::Idempotent,
    ..POLICY
};
const BUSY: TryOutcome = TryOutcome::Busy {
    retry_after: Duration::from_millis(20),
};
const BUSY_END: AskEnd = AskEnd::Busy {
    retry_after: Duration::from_millis(20),
};

/// The consequences of tries that end like this one after the other, at once.
fn after(policy: RetryPolicy, outcomes: &[TryOutcome]) -> Vec<AfterTry> {
    let now = Instant::now();
    let mut budget = RetryBudget::new();
    let mut tries = AskTries::new(policy, now);
    (0..)
        .zip(outcomes)
        .map(|(instance, outcome)| tries.handle_outcome(now, instance, *outcome, &mut budget))
        .collect()
}

#[test]
fn an_answer_ends_an_ask_and_so_does_a_handler_that_fails() {
    for policy in [POLICY, IDEMPOTENT] {
        assert_eq!(
            after(policy, &[TryOutcome::Answered]),
            [End(AskEnd::Answered)]
        );
        assert_eq!(after(policy, &[TryOutcome::Remote]), [End(AskEnd::Remote)]);
    }
}

#[test]
fn what_was_surely_not_handled_is_tried_again_as_often_as_allowed() {
    assert_eq!(after(POLICY, &[BUSY; 3]), [Again, Again, End(BUSY_END)]);
    assert_eq!(
        after(POLICY, &[TryOutcome::NoSuchService; 3]),
        [Again, Again, End(AskEnd::NoService)]
    );
    let once = RetryPolicy {
        retries: 0,
        ..POLICY
    };
    assert_eq!(after(once, &[BUSY]), [End(BUSY_END)]);
}

#[test]
fn what_may_have_been_handled_is_tried_again_only_if_it_is_idempotent() {
    for (outcome, end) in [
        (TryOutcome::PeerGone, AskEnd::PeerGone),
        (TryOutcome::TimedOut, AskEnd::Timeout),
    ] {
        assert_eq!(after(POLICY, &[outcome]), [End(end)]);
        assert_eq!(after(IDEMPOTENT, &[outcome; 3]), [Again, Again, End(end)]);
    }
}

#[test]
fn an_instance_that_was_on_its_way_out_costs_no_retry() {
    let gone = [
        TryOutcome::Draining,
        TryOutcome::NotWritten,
        TryOutcome::Draining,
        TryOutcome::NotWritten,
        BUSY,
        BUSY,
        BUSY,
    ];
    let mut expected = vec![Again; 6];
    expected.push(End(BUSY_END));
    assert_eq!(after(POLICY, &gone), expected);
}

#[test]
fn nothing_is_tried_again_when_the_time_is_over() {
    let now = Instant::now();
    for (outcome, end) in [
        (TryOutcome::Draining, AskEnd::Timeout),
        (TryOutcome::NotWritten, AskEnd::Timeout),
        (TryOutcome::PeerGone, AskEnd::PeerGone),
        (BUSY, BUSY_END),
    ] {
        let mut tries = AskTries::new(IDEMPOTENT, now);
        let late = tries.deadline();
        let mut budget = RetryBudget::new();
        assert_eq!(
            tries.handle_outcome(late, 'a', outcome, &mut budget),
            End(end)
        );
    }
}

#[test]
fn a_try_has_its_share_of_the_time_and_the_last_one_the_rest() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut budget = RetryBudget::new();
    let mut tries = AskTries::new(IDEMPOTENT, now);
    assert_eq!(tries.try_deadline(now), now + second * 2);
    let now = now + second * 5;
    // No try outlives the ask.
    assert_eq!(tries.try_deadline(now), now + second);
    tries.handle_outcome(now, 'a', TryOutcome::TimedOut, &mut budget);
    tries.handle_outcome(now, 'b', TryOutcome::TimedOut, &mut budget);
    assert_eq!(tries.try_deadline(now), tries.deadline());

    let now = Instant::now();
    let chosen = RetryPolicy {
        try_timeout: Some(second),
        ..IDEMPOTENT
    };
    assert_eq!(
        AskTries::<char>::new(chosen, now).try_deadline(now),
        now + second
    );
    // One that is not idempotent has no second try after a timeout.
    let once = RetryPolicy {
        try_timeout: Some(second),
        ..POLICY
    };
    assert_eq!(
        AskTries::<char>::new(once, now).try_deadline(now),
        now + second * 6
    );
}

#[test]
fn instances_that_were_tried_are_remembered() {
    let now = Instant::now();
    let mut budget = RetryBudget::new();
    let mut tries = AskTries::new(POLICY, now);
    assert!(!tries.has_tried('a'));
    tries.handle_outcome(now, 'a', BUSY, &mut budget);
    tries.handle_outcome(now, 'b', TryOutcome::Draining, &mut budget);
    assert!(tries.has_tried('a') && tries.has_tried('b') && !tries.has_tried('c'));
}

#[test]
fn the_budget_is_ten_a_second_where_few_ask_and_a_fifth_of_the_first_tries_where_many_do() {
    let now = Instant::now();
    let count = |firsts: u64| {
        let mut budget = RetryBudget::new();
        (0..firsts).for_each(|_| budget.handle_first_try(now));
        (0..10_000).filter(|_| budget.withdraw(now)).count()
    };
    assert_eq!(count(0), 100);
    assert_eq!(count(500), 100);
    assert_eq!(count(5_000), 1_000);
}

#[test]
fn the_budget_forgets_after_ten_seconds() {
    let now = Instant::now();
    let mut budget = RetryBudget::new();
    assert_eq!((0..200).filter(|_| budget.withdraw(now)).count(), 100);
    assert!(!budget.withdraw(now + Duration::from_millis(9_999)));
    let later = now + Duration::from_secs(10);
    assert_eq!((0..200).filter(|_| budget.withdraw(later)).count(), 100);
}

#[test]
fn an_ask_ends_when_the_budget_is_used_up() {
    let now = Instant::now();
    let mut budget = RetryBudget::new();
    while budget.withdraw(now) {}
    let mut tries = AskTries::new(POLICY, now);
    let end = tries.handle_outcome(now, 'a', BUSY, &mut budget);
    assert_eq!(end, End(BUSY_END));
    // Draining is outside of it.
    let mut tries = AskTries::new(POLICY, now);
    let again = tries.handle_outcome(now, 'a', TryOutcome::Draining, &mut budget);
    assert_eq!(again, Again);
}

fn outcomes() -> impl Strategy<Value = Vec<(TryOutcome, u64)>> {
    let outcome = prop_oneof![
        1 => Just(TryOutcome::Answered),
        1 => Just(TryOutcome::Remote),
        3 => Just(TryOutcome::NotWritten),
        3 => Just(BUSY),
        3 => Just(TryOutcome::Draining),
        2 => Just(TryOutcome::NoSuchService),
        2 => Just(TryOutcome::PeerGone),
        2 => Just(TryOutcome::TimedOut),
    ];
    prop::collection::vec((outcome, 0..1_500_u64), 1..20)
}

/// Whether a handler may have worked on the ask in a try that ended like this.
fn may_have_been_handled(outcome: TryOutcome) -> bool {
    match outcome {
        TryOutcome::Answered | TryOutcome::Remote | TryOutcome::PeerGone | TryOutcome::TimedOut => {
            true
        }
        TryOutcome::NotWritten
        | TryOutcome::Busy { .. }
        | TryOutcome::Draining
        | TryOutcome::NoSuchService => false,
    }
}

proptest! {
    /// Whatever happens at the instances, an ask ends at its deadline at the latest, is tried as often as allowed, and
    /// is handled once at most if it is not idempotent.
    #[test]
    fn an_ask_that_is_not_idempotent_is_handled_at_most_once(
        outcomes in outcomes(),
        retries in 0..4_u32,
        idempotent: bool,
    ) {
        let epoch = Instant::now();
        let idempotence = match idempotent {
            true => Idempotence::Idempotent,
            false => Idempotence::NotIdempotent,
        };
        let mut tries = AskTries::new(RetryPolicy { retries, idempotence, ..POLICY }, epoch);
        let mut budget = RetryBudget::new();
        let (mut now, mut handled, mut counted) = (epoch, 0, 0);
        for (instance, (outcome, millis)) in (0..).zip(outcomes) {
            prop_assert!(now < tries.deadline(), "a try began too late");
            now += Duration::from_millis(millis);
            handled += usize::from(may_have_been_handled(outcome));
            let is_free = matches!(outcome, TryOutcome::NotWritten | TryOutcome::Draining);
            match tries.handle_outcome(now, instance, outcome, &mut budget) {
                Again => {
                    counted += u32::from(!is_free);
                    prop_assert!(now < tries.deadline());
                    prop_assert!(outcome != TryOutcome::Answered && outcome != TryOutcome::Remote);
                    prop_assert!(idempotent || !may_have_been_handled(outcome));
                }
                End(end) => {
                    let is_over = now >= tries.deadline();
                    match outcome {
                        TryOutcome::Answered => prop_assert_eq!(end, AskEnd::Answered),
                        TryOutcome::Remote => prop_assert_eq!(end, AskEnd::Remote),
                        _ if is_free => prop_assert!(is_over && end == AskEnd::Timeout),
                        _ => {
                            let may_not = may_have_been_handled(outcome) && !idempotent;
                            prop_assert!(is_over || may_not || counted == retries);
                        }
                    }
                    break;
                }
            }
        }
        prop_assert!(idempotent || handled <= 1);
        prop_assert!(counted <= retries);
    }

    /// The model keeps every try of the last ten seconds.
    #[test]
    fn the_budget_agrees_with_a_list(steps in prop::collection::vec((0..3_u64, 0..120_u64, 0..60_u64), 0..30)) {
        let epoch = Instant::now();
        let mut budget = RetryBudget::new();
        let (mut firsts, mut retries): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut second = 0;
        for (seconds, asks, again) in steps {
            second += seconds;
            let now = epoch + Duration::from_secs(second);
            firsts.retain(|at| second - at < 10);
            retries.retain(|at| second - at < 10);
            for _ in 0..asks {
                budget.handle_first_try(now);
                firsts.push(second);
            }
            for _ in 0..again {
                let allowed = retries.len() < (firsts.len() / 5).max(100);
                prop_assert_eq!(budget.withdraw(now), allowed);
                if allowed {
                    retries.push(second);
                }
            }
        }
        prop_assert!(budget.seconds.len() <= 11);
    }
}
