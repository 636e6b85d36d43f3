use super::*;

const PATIENT: Tolerance = Tolerance {
    patience: millis(1000),
    least_rate: None,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A link that is full since second 5.
fn full(tolerance: Tolerance) -> SubscriberWatch {
    let mut watch = SubscriberWatch::new();
    assert!(!watch.is_watched());
    assert_eq!(watch.handle_full(millis(5000), tolerance), None);
    assert!(watch.is_watched());
    watch
}

fn at(watch: &mut SubscriberWatch, now: u64) -> Verdict {
    watch.verdict(millis(now))
}

#[test]
fn a_subscriber_without_a_sign_of_life_is_stalled_when_the_patience_is_over() {
    let mut watch = full(PATIENT);
    assert_eq!(at(&mut watch, 5000), Verdict::Slow(millis(1000)));
    assert_eq!(at(&mut watch, 5999), Verdict::Slow(millis(1)));
    assert_eq!(at(&mut watch, 6000), Verdict::Stalled);
}

#[test]
fn bytes_and_handled_messages_are_signs_of_life_however_few() {
    let mut watch = full(PATIENT);
    let mut now = 5000;
    for messages in 1..=50 {
        now += 999;
        assert_eq!(at(&mut watch, now), Verdict::Slow(millis(1)));
        assert!(!watch.handle_sign_of_life(millis(now), 1));
        assert_eq!(at(&mut watch, now), Verdict::Slow(millis(1000)));
        now += 999;
        assert!(!watch.handle_taken(millis(now), messages));
        assert_eq!(at(&mut watch, now), Verdict::Slow(millis(1000)));
    }
    assert!(
        !watch.handle_taken(millis(now + 500), 50),
        "it repeats itself"
    );
    assert_eq!(at(&mut watch, now + 1000), Verdict::Stalled);
}

#[test]
fn the_clock_runs_on_over_several_messages_and_from_the_last_sign_of_life() {
    let mut watch = full(PATIENT);
    watch.handle_sign_of_life(millis(5300), 10);
    watch.handle_room(false);
    assert_eq!(watch.handle_full(millis(5900), PATIENT), None);
    assert_eq!(at(&mut watch, 5900), Verdict::Slow(millis(400)));
    assert_eq!(at(&mut watch, 6300), Verdict::Stalled);
}

#[test]
fn a_link_that_has_drained_to_half_begins_anew() {
    let mut watch = full(PATIENT);
    watch.handle_room(true);
    assert!(!watch.is_watched());
    watch.handle_full(millis(9000), PATIENT);
    assert_eq!(at(&mut watch, 9000), Verdict::Slow(millis(1000)));
}

#[test]
fn a_process_that_stood_still_looks_again_before_it_gives_a_subscriber_up() {
    let mut watch = full(PATIENT);
    assert_eq!(at(&mut watch, 60_000), Verdict::Slow(millis(125)));
    assert_eq!(at(&mut watch, 60_100), Verdict::Slow(millis(25)));
    assert_eq!(at(&mut watch, 60_125), Verdict::Stalled);

    let mut watch = full(PATIENT);
    assert_eq!(at(&mut watch, 60_000), Verdict::Slow(millis(125)));
    watch.handle_sign_of_life(millis(60_001), 10);
    assert_eq!(at(&mut watch, 60_125), Verdict::Slow(millis(876)));
}

#[test]
fn a_stalled_subscriber_is_waited_for_again_when_it_goes_on_for_the_patience_without_a_pause() {
    let mut watch = full(PATIENT);
    watch.give_up(millis(6000));
    let signs = [
        7000, 7900, 8950, 9900, 10_899, 10_900, 12_000, 12_500, 12_999, 13_000,
    ];
    let recovered = signs.map(|now| watch.handle_sign_of_life(millis(now), 10));
    let expected = [
        false, false, // pause
        false, false, true, false, false, false, false, false,
    ];
    assert_eq!(recovered, expected);
    assert!(watch.is_watched(), "it has not drained to half");
}

#[test]
fn a_subscriber_below_the_least_rate_is_stalled_whatever_its_signs_of_life() {
    let tolerance = Tolerance {
        least_rate: Some(100_000),
        ..PATIENT
    };
    let mut watch = full(tolerance);
    let mut verdicts = Vec::new();
    for tenth in 1..=15 {
        let now = 5000 + tenth * 100;
        watch.handle_sign_of_life(millis(now), 1000);
        verdicts.push(at(&mut watch, now));
    }
    // It is nine tenths of the rate behind, until that is as much as a second of it.
    let (slow, stalled) = verdicts.split_at(11);
    assert!(slow.iter().all(|verdict| *verdict != Verdict::Stalled));
    assert!(stalled.iter().all(|verdict| *verdict == Verdict::Stalled));

    let mut watch = full(tolerance);
    for tenth in 1..=100 {
        let now = 5000 + tenth * 100;
        watch.handle_sign_of_life(millis(now), 10_000);
        assert_eq!(at(&mut watch, now), Verdict::Slow(millis(1000)));
    }
}

#[test]
fn a_subscriber_below_the_least_rate_recovers_only_above_it() {
    let tolerance = Tolerance {
        least_rate: Some(100_000),
        ..PATIENT
    };
    let mut watch = full(tolerance);
    watch.give_up(millis(6000));
    let mut go_on = |from: u64, bytes| {
        (1..=20).any(|tenth| watch.handle_sign_of_life(millis(from + tenth * 100), bytes))
    };
    assert!(!go_on(6000, 1000));
    assert!(go_on(8000, 10_100));
}

#[test]
fn time_counts_against_the_least_rate_only_while_messages_wait() {
    let tolerance = Tolerance {
        least_rate: Some(100_000),
        ..PATIENT
    };
    let mut watch = full(tolerance);
    watch.handle_sign_of_life(millis(5100), 10_000);
    watch.handle_room(false);
    watch.handle_sign_of_life(millis(60_000), 1);
    watch.handle_full(millis(60_000), tolerance);
    assert_eq!(at(&mut watch, 60_000), Verdict::Slow(millis(1000)));
}

#[test]
fn who_is_waited_for_noticeably_is_named_once_in_ten_seconds() {
    let mut watch = SubscriberWatch::new();
    let mut named = Vec::new();
    for tenth in 0..300 {
        let now = millis(100_000 + tenth * 100);
        // Two fifths of the time.
        if let Some(waited) = watch.handle_full(now, PATIENT) {
            named.push((tenth, waited));
        }
        watch.handle_sign_of_life(now + millis(40), 100);
        watch.handle_room(false);
    }
    let expected = [(13, 520), (113, 520), (213, 520)];
    assert_eq!(
        named,
        expected.map(|(tenth, waited)| (tenth, millis(waited)))
    );
    let (lately, total) = watch.waited(millis(130_000));
    assert_eq!(total, millis(300 * 40));
    assert!(lately >= millis(4000), "{lately:?}");
    assert_eq!(watch.waited(millis(200_000)), (Duration::ZERO, total));
}

#[test]
fn who_is_full_for_a_moment_is_not_named() {
    let mut watch = SubscriberWatch::new();
    for second in 0..100 {
        let now = millis(second * 1000);
        assert_eq!(watch.handle_full(now, PATIENT), None);
        watch.handle_sign_of_life(now + millis(20), 100);
        watch.handle_room(true);
    }
}
