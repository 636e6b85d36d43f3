use proptest::prelude::*;

use super::*;

const LIMITS: LoadLimits = LoadLimits {
    max_queued: 8,
    max_queued_bytes: 80,
};
const ACCEPT: ServiceAdmission = ServiceAdmission::Accept;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn busy(after: u64) -> ServiceAdmission {
    ServiceAdmission::Busy {
        retry_after: millis(after),
    }
}

/// A service that handles one message in so long.
fn service(took: Duration) -> ServiceLoad {
    let mut load = ServiceLoad::new(LIMITS);
    load.handle_finished(took);
    load
}

fn fill(load: &mut ServiceLoad, messages: usize) {
    for _ in 0..messages {
        assert_eq!(load.handle_arrival(10, None), ACCEPT);
    }
}

#[test]
fn a_full_queue_refuses_and_says_when_half_of_it_will_be_done() {
    let mut load = service(millis(50));
    fill(&mut load, 8);
    assert_eq!(load.handle_arrival(10, None), busy(200));
    assert_eq!(load.queued(), 8);
    load.handle_taken(10);
    assert_eq!(load.handle_arrival(10, None), ACCEPT);
}

#[test]
fn an_ask_that_would_wait_too_long_is_refused_though_there_is_room() {
    let mut load = service(millis(60));
    fill(&mut load, 4);
    // It and the four in front of it take 300 ms, which are two thirds of 450 ms.
    assert_eq!(load.handle_arrival(10, Some(millis(449))), busy(120));
    assert_eq!(load.handle_arrival(10, Some(millis(450))), ACCEPT);
}

#[test]
fn the_first_in_an_empty_queue_is_accepted_however_slow_the_service_was() {
    let mut load = service(Duration::from_secs(60));
    assert_eq!(load.handle_arrival(10, Some(millis(1))), ACCEPT);
    assert_eq!(load.handle_arrival(10, Some(millis(1))), busy(1000));
}

#[test]
fn a_queue_is_full_by_its_bytes_too_and_an_empty_one_takes_one_message_of_any_size() {
    let mut load = service(millis(50));
    assert_eq!(load.handle_arrival(1_000, None), ACCEPT);
    assert_eq!(load.queued_bytes(), 1_000);
    assert_eq!(load.handle_arrival(1, None), busy(50));
    load.handle_taken(1_000);
    assert_eq!(load.handle_arrival(50, None), ACCEPT);
    assert_eq!(load.handle_arrival(31, None), busy(50));
    assert_eq!(load.handle_arrival(30, None), ACCEPT);
    assert_eq!((load.queued(), load.queued_bytes()), (2, 80));
}

#[test]
fn the_average_follows_the_handling_time() {
    let mut load = ServiceLoad::new(LIMITS);
    assert_eq!(load.average, None);
    load.handle_finished(millis(80));
    assert_eq!(load.average, Some(millis(80)));
    load.handle_finished(Duration::ZERO);
    assert_eq!(load.average, Some(millis(40)));
    (0..14).for_each(|_| load.handle_finished(millis(40)));
    load.handle_finished(millis(200));
    assert_eq!(load.average, Some(millis(50)));
    (0..100).for_each(|_| load.handle_finished(millis(10)));
    let average = load.average.unwrap();
    assert!((millis(10)..millis(11)).contains(&average), "{average:?}");
}

#[test]
fn the_time_after_which_to_come_again_is_bounded() {
    let mut load = service(Duration::ZERO);
    fill(&mut load, 8);
    assert_eq!(load.handle_arrival(10, None), busy(10));
    let mut load = service(Duration::from_secs(600));
    fill(&mut load, 8);
    assert_eq!(load.handle_arrival(10, None), busy(1000));
}

#[test]
fn a_busy_service_is_ready_again_when_half_of_its_queue_is_done() {
    let now = Instant::now();
    let mut load = service(millis(50));
    fill(&mut load, 8);
    assert_eq!(load.next_announcement(now), None);
    load.handle_arrival(10, None);
    assert_eq!(load.next_announcement(now), Some(now));
    let state = LoadState::Busy {
        retry_after: millis(200),
    };
    assert_eq!(load.announce(now), Some(state));
    assert_eq!(load.announce(now), None);
    let later = now + millis(300);
    (0..3).for_each(|_| load.handle_taken(10));
    assert_eq!(load.announce(later), None);
    load.handle_taken(10);
    assert_eq!(load.announce(later), Some(LoadState::Ready));
}

#[test]
fn states_are_announced_ten_times_a_second_at_most() {
    let now = Instant::now();
    let mut load = service(millis(50));
    fill(&mut load, 8);
    load.handle_arrival(10, None);
    load.announce(now);
    (0..8).for_each(|_| load.handle_taken(10));
    let soon = now + millis(40);
    assert_eq!(load.next_announcement(soon), Some(now + millis(100)));
    assert_eq!(load.announce(soon), None);
    // What has passed by then is not worth a word.
    fill(&mut load, 8);
    load.handle_arrival(10, None);
    assert_eq!(load.next_announcement(soon), None);
    (0..8).for_each(|_| load.handle_taken(10));
    let due = now + millis(100);
    assert_eq!(load.announce(due), Some(LoadState::Ready));
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Arrival(Option<u64>),
    Taken,
    Finished(u64),
    Announce,
}

fn facts() -> impl Strategy<Value = Vec<(Fact, u64)>> {
    let fact = prop_oneof![
        4 => prop::option::of(0..500_u64).prop_map(Fact::Arrival),
        3 => Just(Fact::Taken),
        2 => (0..300_u64).prop_map(Fact::Finished),
        2 => Just(Fact::Announce),
    ];
    prop::collection::vec((fact, 0..60_u64), 0..120)
}

proptest! {
    /// The model counts, and knows the expected wait by its formula.
    #[test]
    fn the_queue_is_within_its_bound_and_what_is_accepted_would_be_in_time(facts in facts()) {
        let mut now = Instant::now();
        let mut load = ServiceLoad::new(LIMITS);
        let mut queued = 0_usize;
        let mut announced: Vec<(Instant, LoadState)> = Vec::new();
        for (fact, passed) in facts {
            now += millis(passed);
            match fact {
                Fact::Arrival(remaining) => {
                    let remaining = remaining.map(millis);
                    let in_time = match (remaining, load.average) {
                        (Some(remaining), Some(average)) if queued > 0 => {
                            average * (queued as u32 + 1) <= remaining * 2 / 3 + Duration::from_nanos(2)
                        }
                        _ => true,
                    };
                    match load.handle_arrival(10, remaining) {
                        ServiceAdmission::Accept => {
                            prop_assert!(queued < LIMITS.max_queued && in_time);
                            queued += 1;
                        }
                        ServiceAdmission::Busy { retry_after } => {
                            prop_assert!(queued > 0);
                            prop_assert!((MIN_RETRY_AFTER..=MAX_RETRY_AFTER).contains(&retry_after));
                        }
                    }
                }
                Fact::Taken => {
                    if queued > 0 {
                        queued -= 1;
                        load.handle_taken(10);
                    }
                }
                Fact::Finished(took) => load.handle_finished(millis(took)),
                Fact::Announce => {
                    let due = load.next_announcement(now);
                    let state = load.announce(now);
                    prop_assert_eq!(state.is_some(), due == Some(now));
                    announced.extend(state.map(|state| (now, state)));
                }
            }
            prop_assert_eq!(load.queued(), queued);
            // An empty queue is never busy.
            if queued == 0 {
                prop_assert_eq!(load.phase, Phase::Ready);
            }
        }
        for pair in announced.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= ANNOUNCEMENT_INTERVAL);
            let is_busy = |state| matches!(state, LoadState::Busy { .. });
            prop_assert_ne!(is_busy(pair[0].1), is_busy(pair[1].1));
        }
    }
}
