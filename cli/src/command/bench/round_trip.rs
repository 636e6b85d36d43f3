//! Messages that come back.

use std::collections::VecDeque;
use std::time::Instant;

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
        sent_at: Vec::new(),
        times: Vec::with_capacity(usize::try_from(count).unwrap_or(0).min(1 << 24)),
        progress,
    };
    let began = Instant::now();
    let trips = trips.start();
    for peer in session.socket.peers() {
        for _ in 0..outstanding {
            if trips.send(Begin(peer.peer)).await.unwrap_or(false) {
                let taken = session.socket.send_to(peer.peer, payload.clone()).await;
                taken.map_err(|error| not_taken(&error))?;
            }
        }
    }
    loop {
        let came = *moved.borrow_and_update();
        if came >= count {
            break;
        }
        match tokio::time::timeout(load.timeout, moved.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failure::failed("the socket is closed")),
            Err(_) => {
                return Err(load
                    .nothing_moves(trips.send(HowMany).await.unwrap_or(came), count)
                    .advise("Does the peer send everything back, as `aiomsg echo` does?"));
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

/// Sends again whatever comes back, and notes how long it took. A peer answers in order.
struct Trips {
    socket: WeakSocket,
    payload: Bytes,
    count: u64,
    sent: u64,
    /// When what is on its way was sent, for each peer: there are few.
    sent_at: Vec<(Identity, VecDeque<Instant>)>,
    times: Vec<std::time::Duration>,
    progress: watch::Sender<u64>,
}

/// After so many round trips it is told that there are more.
const STEP: usize = 1024;

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
        let now = Instant::now();
        match self.sent_at.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, sent)) => sent.push_back(now),
            None => self.sent_at.push((peer, VecDeque::from([now]))),
        }
        true
    }
}

impl Handler<Received> for Trips {
    type Result = ();

    fn handle(&mut self, message: Received, _: &mut Self::Context) {
        let peer = message.peer();
        let known = self.sent_at.iter_mut().find(|(known, _)| *known == peer);
        let Some((_, waiting)) = known else {
            return;
        };
        // What was not sent by this is no answer.
        let Some(sent) = waiting.pop_front() else {
            return;
        };
        let now = Instant::now();
        self.times.push(now - sent);
        if self.sent < self.count {
            self.sent += 1;
            waiting.push_back(now);
            // Without room, the round trip is missed in the end, and told of.
            let _ = message.reply(self.payload.clone());
        }
        let came = self.times.len();
        if came.is_multiple_of(STEP) || came as u64 >= self.count {
            self.progress.send_replace(came as u64);
        }
    }
}

/// Asks for the times.
#[derive(Message)]
#[rtype(result = "MessageTimes")]
struct Times;

/// Each round trip's.
#[derive(MessageResponse)]
struct MessageTimes(Vec<std::time::Duration>);

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
        self.times.len() as u64
    }
}
