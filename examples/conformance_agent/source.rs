//! The behaviour that sends numbered messages.

use std::cell::Cell;
use std::time::Duration;

use actix_aiomsg::prelude::*;
use tokio::time::{Instant, sleep, sleep_until};

use crate::events::Events;
use crate::options::Options;

/// With events on, what `send` has taken is reported each time it grew by this much.
const REPORT_EVERY: u64 = 20;

/// Sends `prefix0`, `prefix1` and so on; `accepted` says how many `send` has taken, also when this
/// future is dropped before its end.
pub(crate) async fn run(
    socket: &Socket,
    options: &Options,
    events: &Events,
    accepted: &Cell<u64>,
) -> Result<(), String> {
    sleep(options.start_delay).await;
    let start = Instant::now();
    for number in 0..options.count {
        if let Some(rate) = options.rate {
            sleep_until(start + due(number, rate.get())).await;
        }
        socket
            .send(payload(options, number))
            .await
            .map_err(|error| format!("message {number} was refused: {error}"))?;
        let taken = number + 1;
        accepted.set(taken);
        if events.enabled() && (taken % REPORT_EVERY == 0 || taken == options.count) {
            events.accepted(taken).await;
        }
    }
    Ok(())
}

/// When message `number` is due after the first, at `rate` messages per second.
fn due(number: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    let rest = Duration::from_secs(number % rate) / u32::try_from(rate).unwrap_or(u32::MAX);
    Duration::from_secs(number / rate) + rest
}

fn payload(options: &Options, number: u64) -> Vec<u8> {
    let mut payload = format!("{}{number}", options.prefix).into_bytes();
    payload.resize(payload.len().max(options.size), b'.');
    payload
}
