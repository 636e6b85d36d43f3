//! The timer thread, by times that the tests choose.

use std::future::poll_fn;

use super::super::stand_in::{StandIn, stand_in};
use super::*;

fn poll(state: &mut TimerState, id: u64) -> Poll<()> {
    let rung = state.poll(id, &mut Context::from_waker(Waker::noop()));
    rung.map(drop)
}

#[test]
fn rings_that_nobody_came_for_count_as_one_and_wake_nobody() {
    let period = Duration::from_millis(500);
    let start = clock::machine();
    let mut state = Ticker::new().state.into_inner();
    let id = state.add(period, start);
    assert!(poll(&mut state, id).is_pending());
    assert!(state.ring(start + period / 2).is_empty());
    assert!(poll(&mut state, id).is_pending());
    assert_eq!(state.ring(start + period).len(), 1);
    for late in 2..5 {
        assert!(state.ring(start + period * late).is_empty());
    }
    assert!(poll(&mut state, id).is_ready());
    assert!(poll(&mut state, id).is_pending());
}

#[test]
fn a_thread_that_does_not_come_for_long_is_reported_once_until_it_comes() {
    let period = Duration::from_secs(1);
    let start = clock::machine();
    let mut state = Ticker::new().state.into_inner();
    let id = state.add(period, start);
    let reports = |state: &mut TimerState, second| {
        let now = start + Duration::from_secs(second);
        state.ring(now);
        let blocked = state.blocked(now);
        blocked
            .iter()
            .map(|b| b.since.as_secs())
            .collect::<Vec<_>>()
    };
    for second in 1..6 {
        assert!(reports(&mut state, second).is_empty(), "{second}");
    }
    assert_eq!(reports(&mut state, 6), [5]);
    assert!(reports(&mut state, 60).is_empty());
    assert!(poll(&mut state, id).is_ready());
    assert!(reports(&mut state, 61).is_empty());
    assert_eq!(reports(&mut state, 66), [5]);
}

#[cfg(feature = "inspection")]
#[test]
fn a_thread_that_does_not_come_is_listed_once_while_it_does_not() {
    let period = Duration::from_secs(1);
    let start = clock::machine();
    let mut state = Ticker::new().state.into_inner();
    let ids = [state.add(period, start), state.add(2 * period, start)];
    let listed = |state: &mut TimerState, second| {
        let now = start + Duration::from_secs(second);
        state.ring(now);
        let blocked = state.blocked_for(now, period);
        blocked
            .iter()
            .map(|b| b.since.as_secs())
            .collect::<Vec<_>>()
    };
    assert!(listed(&mut state, 1).is_empty());
    assert_eq!(listed(&mut state, 4), [3], "both bells are of this thread");
    for id in ids {
        assert!(poll(&mut state, id).is_ready());
    }
    assert!(listed(&mut state, 5).is_empty());
}

#[test]
fn a_thread_is_blocked_from_the_bell_that_it_does_not_come_for() {
    let period = Duration::from_secs(1);
    let start = clock::machine();
    let mut state = Ticker::new().state.into_inner();
    let id = state.add(period, start);
    let here = [thread::current().id()];
    let blocked = |state: &TimerState, second| {
        let now = start + Duration::from_secs(second);
        let blocked = state.longest_blocked(&here, now);
        blocked.map(|blocked| blocked.since.as_secs())
    };
    assert_eq!(blocked(&state, 9), None, "its bell has not rung");
    state.ring(start + period);
    assert_eq!(blocked(&state, 9), Some(8));
    let elsewhere = thread::spawn(|| thread::current().id()).join().unwrap();
    let now = start + Duration::from_secs(9);
    assert!(state.longest_blocked(&[elsewhere], now).is_none());
    assert!(poll(&mut state, id).is_ready());
    assert_eq!(blocked(&state, 9), None);
}

#[test]
fn a_thread_that_does_not_come_is_stood_in_for_once_a_period_until_it_comes() {
    struct Nobody;
    impl StandIn for Nobody {
        fn handle_blocked(&self, _: Duration, _: Duration) {}
    }
    let period = Duration::from_secs(1);
    let start = clock::machine();
    let mut state = Ticker::new().state.into_inner();
    let id = thread::spawn(move || {
        stand_in(Arc::new(Nobody));
        let id = state.add(period, start);
        (state, id)
    });
    let (mut state, id) = id.join().unwrap();
    let spells = |state: &mut TimerState, millis| {
        let now = start + Duration::from_millis(millis);
        state.ring(now);
        let absent = state.absent(now);
        absent
            .iter()
            .map(|a| (a.before.as_millis(), a.since.as_millis()))
            .collect::<Vec<_>>()
    };
    assert_eq!(spells(&mut state, 1_000), []);
    assert_eq!(spells(&mut state, 1_500), []);
    assert_eq!(spells(&mut state, 2_100), [(0, 1_100)]);
    assert_eq!(spells(&mut state, 2_200), []);
    assert_eq!(spells(&mut state, 4_100), [(1_100, 3_100)]);
    assert!(poll(&mut state, id).is_ready());
    assert_eq!(spells(&mut state, 4_200), []);
    assert_eq!(spells(&mut state, 5_100), []);
    assert_eq!(spells(&mut state, 6_200), [(0, 1_100)]);
}

#[test]
fn a_runtime_without_timers_is_woken_and_the_thread_ends_with_the_last_who_wants_it() {
    let ticker: &Ticker = Box::leak(Box::new(Ticker::new()));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    for _ in 0..2 {
        let slow = ticker.every(Duration::from_secs(3600)).unwrap();
        let quick = ticker.every(Duration::from_millis(1)).unwrap();
        for _ in 0..3 {
            runtime.block_on(poll_fn(|cx| quick.poll_next(cx)));
        }
        drop(quick);
        assert!(ticker.state.lock().is_running);
        drop(slow);
        while ticker.state.lock().is_running {
            thread::yield_now();
        }
    }
}
