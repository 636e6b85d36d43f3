//! Liveness with a manual clock, and against a model that knows every time exactly.

use proptest::prelude::*;

use super::ReadState::{Open, Paused};
use super::*;

const INTERVAL: Duration = Duration::from_millis(160);
const TIMEOUT: Duration = Duration::from_millis(480);
const TICK: Duration = Duration::from_millis(10);

struct Clock(Instant);

impl Clock {
    fn after(&mut self, milliseconds: u64) -> Instant {
        self.0 += Duration::from_millis(milliseconds);
        self.0
    }
}

fn timers(factor: u32) -> Arc<Timers> {
    let (interval, timeout) = (INTERVAL * factor, TIMEOUT * factor);
    Arc::new(Timers::new(
        interval,
        timeout,
        Duration::ZERO,
        Duration::ZERO,
    ))
}

fn connection() -> (Clock, Liveness) {
    let now = Instant::now();
    (Clock(now), Liveness::new(now, timers(1)))
}

/// Sweeps tick by tick and notes what came when, in milliseconds.
fn sweeps(
    milliseconds: u64,
    liveness: &mut Liveness,
    clock: &mut Clock,
) -> Vec<(u64, LivenessVerdict)> {
    let step = TICK.as_millis() as u64;
    (1..=milliseconds / step)
        .map(|n| (n * step, liveness.handle_sweep(clock.after(step), Open)))
        .filter(|(_, verdict)| *verdict != LivenessVerdict::Quiet)
        .collect()
}

#[test]
fn a_connection_that_neither_sends_nor_hears_beats_and_then_falls() {
    let (mut clock, mut liveness) = connection();
    assert_eq!(Liveness::tick(&timers(1)), TICK);
    assert_eq!(
        sweeps(500, &mut liveness, &mut clock),
        [
            (160, LivenessVerdict::SendHeartbeat),
            (320, LivenessVerdict::SendHeartbeat),
            (480, LivenessVerdict::SendHeartbeat),
            (490, LivenessVerdict::ReadFirst),
            (500, LivenessVerdict::PeerSilent),
        ]
    );
}

fn verdicts_but_heartbeats(
    milliseconds: u64,
    liveness: &mut Liveness,
    clock: &mut Clock,
) -> Vec<(u64, LivenessVerdict)> {
    let mut verdicts = sweeps(milliseconds, liveness, clock);
    verdicts.retain(|(_, verdict)| *verdict != LivenessVerdict::SendHeartbeat);
    verdicts
}

#[test]
fn after_a_knock_an_interval_and_a_quarter_of_silence_is_too_much() {
    let (mut clock, mut liveness) = connection();
    // What came before the knock, and was not seen by a sweep, proves nothing.
    liveness.note_received();
    liveness.handle_probe(clock.after(0));
    assert_eq!(
        verdicts_but_heartbeats(210, &mut liveness, &mut clock),
        [
            (200, LivenessVerdict::ReadFirst),
            (210, LivenessVerdict::PeerSilent)
        ]
    );
    assert!(liveness.is_probed());
}

#[test]
fn a_frame_after_a_knock_answers_it() {
    let (mut clock, mut liveness) = connection();
    liveness.handle_probe(clock.after(0));
    assert_eq!(verdicts_but_heartbeats(190, &mut liveness, &mut clock), []);
    liveness.note_received();
    liveness.handle_probe(clock.after(0));
    assert!(
        liveness.is_probed(),
        "the second knock does not take it away"
    );
    liveness.handle_sweep(clock.after(10), Open);
    assert!(!liveness.is_probed());
    assert_eq!(verdicts_but_heartbeats(470, &mut liveness, &mut clock), []);
}

#[test]
fn a_knock_at_a_connection_that_is_not_read_waits_until_it_is() {
    let (mut clock, mut liveness) = connection();
    liveness.handle_probe(clock.after(0));
    for _ in 0..10 {
        let verdict = liveness.handle_sweep(clock.after(100), Paused);
        assert!(matches!(
            verdict,
            LivenessVerdict::Quiet | LivenessVerdict::SendHeartbeat
        ));
    }
    assert_eq!(
        verdicts_but_heartbeats(210, &mut liveness, &mut clock),
        [
            (200, LivenessVerdict::ReadFirst),
            (210, LivenessVerdict::PeerSilent)
        ]
    );
}

#[test]
fn other_times_hold_for_the_silence_that_there_is_already() {
    let (mut clock, mut liveness) = connection();
    liveness.set_timers(timers(4));
    assert_eq!(sweeps(600, &mut liveness, &mut clock), []);
    liveness.set_timers(timers(1));
    assert_eq!(
        sweeps(30, &mut liveness, &mut clock),
        [
            (10, LivenessVerdict::SendHeartbeat),
            (20, LivenessVerdict::ReadFirst),
            (30, LivenessVerdict::PeerSilent),
        ]
    );
}

#[test]
fn what_is_sent_puts_the_heartbeat_off() {
    let (mut clock, mut liveness) = connection();
    for _ in 0..30 {
        liveness.note_sent();
        liveness.note_received();
        assert_eq!(
            liveness.handle_sweep(clock.after(100), Open),
            LivenessVerdict::Quiet
        );
    }
    liveness.note_received();
    assert_eq!(
        sweeps(160, &mut liveness, &mut clock),
        [(160, LivenessVerdict::SendHeartbeat)]
    );
}

#[test]
fn a_connection_that_we_do_not_read_is_never_silent() {
    let (mut clock, mut liveness) = connection();
    for _ in 0..100 {
        liveness.note_sent();
        let verdict = liveness.handle_sweep(clock.after(100), Paused);
        assert_eq!(verdict, LivenessVerdict::Quiet);
    }
    liveness.note_sent();
    assert_eq!(
        liveness.handle_sweep(clock.after(1), Open),
        LivenessVerdict::Quiet
    );
    let after = sweeps(500, &mut liveness, &mut clock);
    let silent = after
        .iter()
        .find(|(_, v)| *v == LivenessVerdict::PeerSilent);
    assert_eq!(silent, Some(&(500, LivenessVerdict::PeerSilent)));
}

#[test]
fn a_process_that_stood_still_reads_before_it_judges() {
    let (mut clock, mut liveness) = connection();
    let woken = clock.after(60_000);
    assert_eq!(
        liveness.handle_sweep(woken, Open),
        LivenessVerdict::SendHeartbeat
    );
    assert_eq!(
        liveness.handle_sweep(woken, Open),
        LivenessVerdict::ReadFirst
    );
    assert_eq!(liveness.handle_sweep(woken, Open), LivenessVerdict::Quiet);
    liveness.note_received();
    assert_eq!(
        liveness.handle_sweep(clock.after(10), Open),
        LivenessVerdict::Quiet
    );
    assert_eq!(
        liveness.handle_sweep(clock.after(140), Open),
        LivenessVerdict::Quiet
    );
}

#[test]
fn a_pause_between_the_doubt_and_the_verdict_lifts_it() {
    let (mut clock, mut liveness) = connection();
    liveness.note_sent();
    liveness.handle_sweep(clock.after(470), Open);
    assert_eq!(
        liveness.handle_sweep(clock.after(10), Open),
        LivenessVerdict::ReadFirst
    );
    liveness.handle_sweep(clock.after(10), Paused);
    assert_eq!(
        liveness.handle_sweep(clock.after(10), Open),
        LivenessVerdict::Quiet
    );
    assert_eq!(
        liveness.handle_sweep(clock.after(10), Open),
        LivenessVerdict::Quiet
    );
}

#[derive(Debug, Clone, Copy)]
enum LivenessEvent {
    Sent,
    Received,
    Sweep(ReadState),
}

fn events() -> impl Strategy<Value = Vec<(u64, LivenessEvent)>> {
    let event = prop_oneof![
        1 => Just(LivenessEvent::Sent),
        1 => Just(LivenessEvent::Received),
        40 => Just(LivenessEvent::Sweep(Open)),
        4 => Just(LivenessEvent::Sweep(Paused)),
    ];
    prop::collection::vec((0..=10_u64, event), 0..600)
}

/// What really happened, to the nanosecond.
#[test]
fn a_peer_under_timers_without_an_end_may_be_probed() {
    let forever = Timers::new(Duration::MAX, Duration::MAX, Duration::ZERO, Duration::ZERO);
    let start = Instant::now();
    let mut liveness = Liveness::new(start, Arc::new(forever));
    liveness.handle_probe(start);
    let verdict = liveness.handle_sweep(start + TIMEOUT, Open);
    assert_eq!(verdict, LivenessVerdict::Quiet);
}

struct Model {
    sent: Instant,
    heard: Instant,
}

proptest! {
    #[test]
    fn nothing_is_judged_early_and_nothing_is_forgotten(events in events()) {
        let (mut clock, mut liveness) = connection();
        let mut model = Model { sent: clock.0, heard: clock.0 };
        let mut last_sweep = clock.0;
        let mut widest = Duration::ZERO;
        let mut asked = false;
        for (wait, event) in events {
            let now = clock.after(wait);
            let receiving = match event {
                LivenessEvent::Sent => { liveness.note_sent(); model.sent = now; continue }
                LivenessEvent::Received => { liveness.note_received(); model.heard = now; asked = false; continue }
                LivenessEvent::Sweep(receiving) => receiving,
            };
            widest = widest.max(now - last_sweep);
            last_sweep = now;
            if receiving == Paused { model.heard = now; asked = false; }
            let verdict = liveness.handle_sweep(now, receiving);
            let (idle, silent) = (now - model.sent, now - model.heard);
            match verdict {
                LivenessVerdict::SendHeartbeat => {
                    prop_assert!(idle >= INTERVAL);
                    model.sent = now;
                }
                LivenessVerdict::ReadFirst => { prop_assert!(silent >= TIMEOUT); asked = true; }
                LivenessVerdict::PeerSilent => { prop_assert!(asked && silent >= TIMEOUT); break; }
                LivenessVerdict::Quiet => {
                    prop_assert!(idle < INTERVAL + 2 * widest);
                    prop_assert!(silent < TIMEOUT + 4 * widest.max(TICK));
                }
            }
        }
    }
}
