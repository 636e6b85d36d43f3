//! Messages in one direction: to one receiver, or to all who subscribe.

use std::time::{Duration, Instant};

use actix_aiomsg::prelude::*;

use super::figures::Figures;
use super::{GOODBYE, Load, Other, builder};
use crate::Outcome;
use crate::command::publish::not_taken;
use crate::failure::Failure;
use crate::session::Session;

/// To one receiver.
pub(super) async fn one_way(load: &Load, count: u64, ack: bool) -> Outcome<Figures> {
    let mut other = None;
    let mut endpoint = None;
    if load.is_alone() {
        let started = other.insert(Other::start(count, None)?);
        endpoint = Some(started.line().await?);
    }
    let guarantee = match ack {
        true => DeliveryGuarantee::AtLeastOnce,
        false => DeliveryGuarantee::AtMostOnce,
    };
    let builder = builder(SendMode::RoundRobin).delivery_guarantee(guarantee);
    let session = load.session(builder, endpoint)?;
    session.open().await?;
    session.wait_for_peers(1, Some(load.timeout)).await?;
    let took = send_all(load, &session, count).await?;
    let what = match (ack, &other) {
        (true, Some(_)) => "one way at least once, handled by the receiver",
        (true, None) => "one way at least once, acknowledged",
        (false, Some(_)) => "one way, handled by the receiver",
        (false, None) => "one way, handed to the operating system",
    };
    let figures = figures(what.to_owned(), other, count, took).await;
    session.socket.close_within(GOODBYE).await;
    figures
}

/// To all who subscribe.
pub(super) async fn fan_out(load: &Load, count: u64, subscribers: usize) -> Outcome<Figures> {
    let mut load_ends = load.ends.clone();
    if load.is_alone() {
        load_ends.bind.push("tcp://127.0.0.1:0".to_owned());
        load_ends.quiet = true;
    }
    let session = Session::start(&load_ends, builder(SendMode::Publish), None)?;
    let bound = session.open().await?;
    let total = count.saturating_mul(subscribers as u64);
    let mut other = None;
    if load.is_alone()
        && let Some(endpoint) = bound.first()
    {
        other = Some(Other::start(total, Some((endpoint, subscribers)))?);
    }
    session
        .wait_for_peers(subscribers, Some(load.timeout))
        .await?;
    let took = send_all(load, &session, count).await?;
    let end = match &other {
        Some(_) => "handled by the subscribers",
        None => "handed to the operating system",
    };
    let what = format!("fan-out to {subscribers}, {end}");
    let figures = figures(what, other, total, took).await;
    session.socket.close_within(GOODBYE).await;
    figures
}

/// Sends, and waits until all is written, and acknowledged where that is wanted.
async fn send_all(load: &Load, session: &Session, count: u64) -> Outcome<Duration> {
    let payload = load.payload();
    let began = Instant::now();
    let mut sent = 0;
    let sending = async {
        while sent < count {
            let taken = session.socket.send(payload.clone()).await;
            taken.map_err(|error| not_taken(&error))?;
            sent += 1;
        }
        Ok(())
    };
    // One timer for all of them: a timer for each would be a part of what is measured.
    match session.while_moving(Some(load.timeout), sending).await {
        Some(taken) => taken?,
        None => return Err(load.nothing_moves(sent, count)),
    }
    let flushing = session.socket.flush();
    match session.while_moving(Some(load.timeout), flushing).await {
        Some(flushed) => flushed.map_err(Failure::failed)?,
        None => {
            return Err(Failure::timed_out(
                load.timeout,
                "the peer does not take all of it",
            ));
        }
    }
    Ok(began.elapsed())
}

/// What the receiver measured, if it is ours, or else the sender.
async fn figures(
    what: String,
    other: Option<Other>,
    total: u64,
    took: Duration,
) -> Outcome<Figures> {
    let mut figures = Figures {
        what,
        messages: total,
        took,
        lost: 0,
        times: Vec::new(),
    };
    if let Some(mut other) = other {
        let line = other.line().await?;
        let told = line.split_once(' ').and_then(|(seen, nanoseconds)| {
            let nanoseconds = nanoseconds.parse().ok()?;
            Some((seen.parse::<u64>().ok()?, Duration::from_nanos(nanoseconds)))
        });
        let (seen, received_in) =
            told.ok_or_else(|| Failure::failed("the other process says nothing of use"))?;
        figures.messages = seen;
        figures.lost = total.saturating_sub(seen);
        figures.took = received_in;
    }
    Ok(figures)
}
