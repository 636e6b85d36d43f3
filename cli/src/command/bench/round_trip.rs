//! Messages that come back.

use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_aiomsg::Identity;
use actix_aiomsg::prelude::*;
use bytes::Bytes;
use tokio::sync::watch;

use super::figures::Figures;
use super::{GOODBYE, Load, Other, builder};
use crate::Outcome;
use crate::command::publish::not_taken;
use crate::failure::Failure;
use crate::session::Movement;

/// So many are on their way to each peer at a time.
pub(super) async fn round_trip(load: &Load, count: u64, outstanding: usize) -> Outcome<Figures> {
    let mut other = None;
    let mut endpoint = None;
    if load.is_alone() {
        let started = other.insert(Other::start(0, None)?);
        endpoint = Some(started.line().await?);
    }
    let session = load.session(builder(SendMode::RoundRobin), endpoint)?;
    session.open().await?;
    session.wait_for_peers(1, Some(load.timeout)).await?;
    let (progress, mut moved) = watch::channel(0);
    let payload = load.payload();
    let trips = Trips {
        socket: session.socket.downgrade(),
        payload: payload.clone(),
        count,
        sent: 0,
        came: 0,
        ways: Vec::new(),
        times: Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(1 << 24)),
        progress,
    };
    let began = Instant::now();
    let trips = trips.start();
    for peer in session.socket.peers() {
        for _ in 0..outstanding {
            if trips.send(Begin(peer.peer)).await.unwrap_or(false) {
                let sending = session.socket.send_to(peer.peer, payload.clone());
                match session.while_moving(Some(load.timeout), sending).await {
                    Some(taken) => taken.map_err(|error| not_taken(&error))?,
                    None => return Err(load.nothing_moves(0, count)),
                }
            }
        }
    }
    let mut movement = Movement(0);
    loop {
        let came = *moved.borrow_and_update();
        if came >= count {
            break;
        }
        match tokio::time::timeout(load.timeout, moved.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failure::failed("the socket is closed")),
            Err(_) => {
                // It is told of many at a time: fewer may have come.
                let came = trips.send(HowMany).await.unwrap_or(came);
                if !movement.goes_on(came) {
                    return Err(load
                        .nothing_moves(came, count)
                        .advise("Does the peer send everything back, as `aiomsg echo` does?"));
                }
            }
        }
    }
    let took = began.elapsed();
    let mut times = trips.send(Times).await.map_err(Failure::failed)?.0;
    times.sort_unstable();
    session.socket.close_within(GOODBYE).await;
    Ok(Figures {
        what: format!("round trips, {outstanding} at a time"),
        messages: count,
        took,
        lost: 0,
        times,
    })
}

/// Sends again whatever comes back, and takes the time of one message at a time. A peer answers in order.
struct Trips {
    socket: WeakSocket,
    payload: Bytes,
    count: u64,
    sent: u64,
    came: u64,
    /// The ways to the peers, of which there are few.
    ways: Vec<(Identity, Way)>,
    times: Vec<Duration>,
    progress: watch::Sender<u64>,
}

/// What is on its way to a peer and back.
#[derive(Default)]
struct Way {
    sent: u64,
    came: u64,
    /// The one whose time is taken: its number, and when it was sent. Taking the time of each would be a part of what is measured.
    timed: Option<(u64, Instant)>,
}

impl Way {
    /// One more goes.
    #[inline]
    fn note_sent(&mut self) {
        self.sent += 1;
        if self.timed.is_none() {
            self.timed = Some((self.sent, Instant::now()));
        }
    }

    /// One has come back: how long it took, if its time was taken.
    #[inline]
    fn note_came(&mut self) -> Option<Duration> {
        self.came += 1;
        let (_, sent) = self.timed.take_if(|(number, _)| *number == self.came)?;
        Some(sent.elapsed())
    }
}

/// After so many round trips it is told that there are more.
const STEP: u64 = 1024;

impl Actor for Trips {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.socket.subscribe(ctx);
    }
}

/// A message is about to be sent to this peer; false if there were enough.
#[derive(Message)]
#[rtype(bool)]
struct Begin(Identity);

impl Handler<Begin> for Trips {
    type Result = bool;

    fn handle(&mut self, Begin(peer): Begin, _: &mut Self::Context) -> bool {
        if self.sent >= self.count {
            return false;
        }
        self.sent += 1;
        let known = self.ways.iter().position(|(known, _)| *known == peer);
        let way = known.unwrap_or_else(|| {
            self.ways.push((peer, Way::default()));
            self.ways.len() - 1
        });
        self.ways[way].1.note_sent();
        true
    }
}

impl Handler<Received> for Trips {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let peer = message.peer();
        // What was not sent by this is no answer.
        let known = self.ways.iter_mut().find(|(known, _)| *known == peer);
        let Some((_, way)) = known.filter(|(_, way)| way.came < way.sent) else {
            return;
        };
        self.times.extend(way.note_came());
        self.came += 1;
        if self.sent < self.count {
            self.sent += 1;
            way.note_sent();
            // Without room, the round trip is missed in the end, and told of.
            let _ = message.reply(self.payload.clone());
        }
        if self.came.is_multiple_of(STEP) || self.came >= self.count {
            self.progress.send_replace(self.came);
        }
    }
}

/// Asks for the times.
#[derive(Message)]
#[rtype(result = "MessageTimes")]
struct Times;

/// Of each round trip whose time was taken.
#[derive(MessageResponse)]
struct MessageTimes(Vec<Duration>);

impl Handler<Times> for Trips {
    type Result = MessageTimes;

    fn handle(&mut self, _: Times, _: &mut Self::Context) -> MessageTimes {
        MessageTimes(std::mem::take(&mut self.times))
    }
}

/// Asks how many came back.
#[derive(Message)]
#[rtype(u64)]
struct HowMany;

impl Handler<HowMany> for Trips {
    type Result = u64;

    fn handle(&mut self, _: HowMany, _: &mut Self::Context) -> u64 {
        self.came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_timed_of_those_that_are_on_their_way() {
        let mut way = Way::default();
        for _ in 0..3 {
            way.note_sent();
        }
        let mut timed = Vec::new();
        for _ in 0..9 {
            timed.push(way.note_came().is_some());
            way.note_sent();
        }
        assert_eq!(timed, [true, false, false].repeat(3));
    }

    #[test]
    fn each_is_timed_where_one_is_on_its_way_at_a_time() {
        let mut way = Way::default();
        for _ in 0..5 {
            way.note_sent();
            assert!(way.note_came().is_some());
        }
    }
}
