//! A network that delays, splits, holds back, cuts and forgets.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::dice::Dice;
use super::executor::Owner;
use super::tap::{Seen, Tap};
use crate::sync::Mutex;
use crate::transport::Simulated;

/// Longer than any simulation.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// How a network treats what it carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quality {
    pub(super) latency: (u64, u64),
    /// Bytes of one direction that are written and not read.
    pub(super) capacity: usize,
    /// How often a read or a write is cut short.
    pub(super) split_percent: u64,
}

/// All connections there have been.
pub(super) struct Network {
    dice: Dice,
    quality: Quality,
    wires: Mutex<Vec<Arc<Mutex<Wire>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One connection: the direction from its dialling end, and the one back.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [Owner; 2],
    ways: [Direction; 2],
    /// Ends whose machine is gone without a word.
    gone: [bool; 2],
}

#[derive(Debug, Default)]
struct Direction {
    /// What is on its way, and when it arrives; the empty one is the end of the stream.
    transit: VecDeque<(Instant, Vec<u8>)>,
    ready: VecDeque<u8>,
    unread: usize,
    end_sent: bool,
    ended: bool,
    /// Cut: an error for both ends.
    reset: bool,
    /// The reading end is closed.
    closed: bool,
    held_until: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    tap: Tap,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    dice: Dice,
    quality: Quality,
    wire: Arc<Mutex<Wire>>,
    side: usize,
    timer: Option<Pin<Box<Sleep>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Network {
    pub(super) fn new(dice: Dice, quality: Quality) -> Self {
        Self {
            dice,
            quality,
            wires: Mutex::default(),
            seen: Arc::default(),
        }
    }

    /// A new connection: the dialling end first.
    pub(super) fn connect(&self, from: Owner, to: Owner) -> (End, End) {
        let wire = Arc::new(Mutex::new(Wire {
            ends: [from, to],
            ways: Default::default(),
            gone: [false; 2],
        }));
        self.wires.lock().push(Arc::clone(&wire));
        let end = |side| End {
            dice: self.dice.clone(),
            quality: self.quality,
            wire: Arc::clone(&wire),
            side,
            timer: None,
            seen: Arc::clone(&self.seen),
        };
        (end(0), end(1))
    }

    /// What has been written since the last time.
    pub(super) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock())
    }

    /// Any connection that still carries something.
    pub(super) fn any_wire(&self) -> Option<Arc<Mutex<Wire>>> {
        let mut wires = self.wires.lock();
        wires.retain(|wire| !wire.lock().is_dead());
        if wires.is_empty() {
            return None;
        }
        Some(Arc::clone(&wires[self.dice.below(wires.len())]))
    }

    /// A machine is gone: its connections fall silent and nobody is told.
    pub(super) fn forget(&self, owner: Owner) {
        for wire in self.wires.lock().iter() {
            let mut wire = wire.lock();
            for side in 0..2 {
                if wire.ends[side] == owner {
                    wire.gone[side] = true;
                }
            }
        }
    }

    /// Nothing is held back any longer.
    pub(super) fn release_all(&self) {
        for wire in self.wires.lock().iter() {
            let mut wire = wire.lock();
            for way in 0..2 {
                wire.hold(way, Duration::ZERO);
            }
        }
    }
}

fn now() -> Instant {
    Instant::from_std(crate::clock::now())
}

impl Wire {
    fn is_dead(&self) -> bool {
        self.ways
            .iter()
            .all(|way| way.reset || (way.ended && way.closed))
    }

    /// Cuts the connection; what is on its way may be lost.
    pub(super) fn reset(&mut self, losing: bool) {
        for way in &mut self.ways {
            way.reset = true;
            if losing {
                way.transit.clear();
                way.ready.clear();
            }
            way.wake();
        }
    }

    /// One direction delivers nothing for a while.
    pub(super) fn hold(&mut self, way: usize, time: Duration) {
        let way = &mut self.ways[way];
        way.held_until = Some(now() + time);
        way.wake();
    }
}

impl Direction {
    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn send(&mut self, bytes: Vec<u8>, latency: Duration) {
        let earliest = now() + latency;
        let last = self.transit.back().map_or(earliest, |(when, _)| *when);
        self.unread += bytes.len();
        self.transit.push_back((earliest.max(last), bytes));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Lets arrive what has arrived; says when the next will.
    fn arrive(&mut self) -> Option<Instant> {
        let now = now();
        let held = self.held_until.filter(|until| *until > now);
        while let Some((when, _)) = self.transit.front() {
            let when = held.map_or(*when, |until| until.max(*when));
            if when > now {
                return Some(when);
            }
            if let Some((_, bytes)) = self.transit.pop_front() {
                self.ended |= bytes.is_empty();
                self.ready.extend(bytes);
            }
        }
        None
    }
}

impl End {
    fn some_of(&self, most: usize) -> usize {
        match self.dice.percent(self.quality.split_percent) {
            true => 1 + self.dice.below(most),
            false => most,
        }
    }

    fn latency(&self) -> Duration {
        let (low, high) = self.quality.latency;
        Duration::from_millis(self.dice.between(low, high))
    }

    fn write(&self, parts: &[io::IoSlice<'_>], cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut offered = Vec::new();
        for part in parts {
            offered.extend_from_slice(part);
        }
        let mut wire = self.wire.lock();
        let ends = [wire.ends[self.side], wire.ends[1 - self.side]];
        let way = &mut wire.ways[self.side];
        if way.reset || way.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.quality.capacity.saturating_sub(way.unread);
        let most = room.min(offered.len());
        if most == 0 && !offered.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = self.some_of(most.max(1)).min(most);
        way.tap.feed(&offered, count, ends, &self.seen);
        way.send(offered[..count].to_vec(), self.latency());
        Poll::Ready(Ok(count))
    }
}

impl Simulated for End {}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut wire = this.wire.lock();
            let way = &mut wire.ways[1 - this.side];
            let next = way.arrive();
            if !way.ready.is_empty() {
                let most = way.ready.len().min(buf.remaining());
                let count = this.some_of(most);
                let (front, back) = way.ready.as_slices();
                let first = count.min(front.len());
                buf.put_slice(&front[..first]);
                buf.put_slice(&back[..count - first]);
                way.ready.drain(..count);
                way.unread -= count;
                if let Some(writer) = way.writer.take() {
                    writer.wake();
                }
                return Poll::Ready(Ok(()));
            }
            if way.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if way.ended {
                return Poll::Ready(Ok(()));
            }
            way.reader = Some(cx.waker().clone());
            drop(wire);
            let Some(next) = next else {
                return Poll::Pending;
            };
            let timer = this.timer.insert(Box::pin(sleep_until(next)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(&[io::IoSlice::new(buf)], cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(bufs, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let latency = self.latency();
        let mut wire = self.wire.lock();
        let way = &mut wire.ways[self.side];
        if !std::mem::replace(&mut way.end_sent, true) {
            way.send(Vec::new(), latency);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let latency = self.latency();
        let losing = self.dice.percent(50);
        let mut wire = self.wire.lock();
        if wire.gone[self.side] {
            return;
        }
        let incoming = &mut wire.ways[1 - self.side];
        incoming.closed = true;
        let unread = incoming.unread > 0;
        incoming.wake();
        let outgoing = &mut wire.ways[self.side];
        if !std::mem::replace(&mut outgoing.end_sent, true) {
            outgoing.send(Vec::new(), latency);
        }
        if unread {
            // Closing over unread bytes resets the connection.
            wire.reset(losing);
        }
    }
}
