use std::path::Path;
use std::time::Duration;

use super::plot::Plot;
use super::service_loss::{Consumer, ServiceCurve, ServiceLoss};
use super::storm::{Curves, Outage, Storm};
use crate::engine::Backoff;
use crate::engine::service::{Idempotence, RetryPolicy};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A hundred thousand peers of one bind end, which is away for ten seconds.
fn storm(handshakes_per_second: u32) -> Outage {
    Outage {
        servers: 1,
        dialers_each: 100_000,
        together: 1,
        every: Duration::ZERO,
        away: seconds(10),
        handshakes_per_second,
    }
}

/// A thousand instances with a hundred peers each, restarted ten at a time.
const ROLLING: Outage = Outage {
    servers: 1_000,
    dialers_each: 100,
    together: 10,
    every: seconds(1),
    away: seconds(2),
    handshakes_per_second: 1_000,
};

/// With the pauses that sockets have if nothing is said, and the same ones without their jitter.
fn both(outage: &Outage) -> (Curves, Curves) {
    let jittered = Backoff::default();
    let plain = Backoff::default().without_jitter();
    let run = |backoff| Storm::new(outage.clone(), backoff).run();
    (run(&jittered), run(&plain))
}

/// Draws, or holds that the page has what would be drawn.
fn draw(file: &str, plot: &Plot) {
    let svg = plot.svg();
    if let Some(folder) = std::env::var_os("AIOMSG_PLOTS") {
        std::fs::write(Path::new(&folder).join(file), &svg).unwrap();
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let drawn = std::fs::read_to_string(docs.join(file)).unwrap_or_default();
    assert!(
        drawn == svg,
        "docs/{file} is not what the simulation draws: AIOMSG_PLOTS=docs draws it anew"
    );
}

#[test]
fn a_hundred_thousand_peers_are_back_soon_because_they_come_at_different_times() {
    let (jittered, plain) = both(&storm(10_000));
    eprintln!(
        "plain TCP: with jitter {:?}, peak {} in 0.1 s; without {:?}, peak {}",
        jittered.whole_after, jittered.peak_at_one, plain.whole_after, plain.peak_at_one
    );
    let plot = Plot::new(
        "Connections of a bind end that was away for 10 s",
        seconds(160),
    );
    let plot = plot.curve("with jitter", &jittered.connected);
    draw("scale-storm.svg", &plot.curve("without", &plain.connected));
    // All of them cannot be back sooner than ten seconds after the bind end is.
    assert!(
        jittered.whole_after < seconds(30),
        "{:?}",
        jittered.whole_after
    );
    assert!(
        plain.whole_after > 4 * jittered.whole_after,
        "{:?}",
        plain.whole_after
    );
    assert!(plain.peak_at_one > 10 * jittered.peak_at_one);
}

#[test]
fn a_bind_end_that_is_slower_than_its_peers_come_back_serves_them_all_the_same() {
    let (jittered, plain) = both(&storm(1_000));
    eprintln!(
        "TLS: with jitter {:?}, without {:?}",
        jittered.whole_after, plain.whole_after
    );
    let plot = Plot::new("The same over TLS: 1,000 handshakes a second", seconds(200));
    let plot = plot.curve("with jitter", &jittered.connected);
    draw(
        "scale-storm-tls.svg",
        &plot.curve("without", &plain.connected),
    );
    // A hundred seconds of handshakes, and little is worked out in vain.
    assert!(
        jittered.whole_after < seconds(130),
        "{:?}",
        jittered.whole_after
    );
    assert!(jittered.whole_after < plain.whole_after);
}

#[test]
fn a_rolling_restart_of_a_thousand_instances_is_no_storm() {
    let (jittered, plain) = both(&ROLLING);
    eprintln!(
        "rolling: with jitter {:?}, {} at one; without {:?}, {} at one; least connected {} and {}",
        jittered.whole_after,
        jittered.peak_at_one,
        plain.whole_after,
        plain.peak_at_one,
        jittered.connected.iter().min().unwrap(),
        plain.connected.iter().min().unwrap()
    );
    let plot = Plot::new(
        "Attempts in 0.1 s, 1,000 instances restarted ten at a time",
        seconds(40),
    );
    let first = |curves: &Curves| curves.attempts[..400].to_vec();
    let plot = plot.curve("with jitter", &first(&jittered));
    draw("scale-rolling.svg", &plot.curve("without", &first(&plain)));
    assert_eq!(plain.peak_at_one, 100);
    assert!(jittered.peak_at_one < 80, "{}", jittered.peak_at_one);
    // Never more than a twentieth is without its instance.
    let least = jittered.connected.iter().min().unwrap();
    assert!(*least > 95_000, "{least}");
    assert!(
        jittered.whole_after < seconds(110),
        "{:?}",
        jittered.whole_after
    );
}

/// A consumer asks a service of a thousand instances a thousand times a second. After ten seconds a tenth of them is silent.
fn a_tenth_is_lost(retries: u32, idempotence: Idempotence) -> ServiceCurve {
    let consumer = Consumer::new(ServiceLoss {
        instances: 1_000,
        lost: 100,
        at: seconds(10),
        lasts: seconds(40),
        asks_per_second: 1_000,
        takes: Duration::from_millis(10),
        policy: RetryPolicy {
            timeout: seconds(3),
            retries,
            idempotence,
            try_timeout: None,
        },
    });
    consumer.run()
}

#[test]
fn a_service_of_a_thousand_that_loses_a_tenth_costs_a_timeout_for_each_or_nothing_if_asks_may_be_repeated()
 {
    let once = a_tenth_is_lost(0, Idempotence::NotIdempotent);
    let retried = a_tenth_is_lost(2, Idempotence::Idempotent);
    eprintln!(
        "a tenth lost: {} of {} failed; with two retries {} ({} silent tries, the longest took {:?})",
        once.failed, once.asked, retried.failed, retried.silent_tries, retried.longest
    );
    let plot = Plot::new(
        "Asks that fail in 0.1 s, 100 of 1,000 instances silent after 10 s",
        seconds(40),
    );
    let plot = plot.curve("not repeated", &once.failed_by_step);
    draw(
        "scale-tenth.svg",
        &plot.curve("idempotent, two retries", &retried.failed_by_step),
    );
    assert_eq!(once.failed, once.silent_tries);
    assert!(once.failed >= 100, "{}", once.failed);
    assert!(once.failed <= 200, "{}", once.failed);
    assert_eq!(retried.failed, 0);
    // Two tries of a second each, and an answer.
    assert!(retried.longest <= Duration::from_millis(2_010));
}
