//! A link: everything that waits to go out on one admitted connection.
//!
//! Senders encode straight into it, under a lock that no user code runs under; the connection
//! takes blocks out of it and writes them. It lives and dies with its connection; what it still
//! holds then goes back to the outbox.

mod ack;
mod block_buffer;
mod bounds;
mod burst;
mod catch_up;
mod copies;
mod deadlock_relief;
mod dedupe;
mod entry;
mod full_links;
mod heard;
mod heartbeat;
mod in_flight;
mod liveness_probe;
mod owner;
mod parts;
mod queue;
mod receipt;
mod reply_debt;
mod shedding;
mod write_batch;
mod writing;

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use ack::Incoming;
use burst::Loan;
pub(crate) use burst::{Room, try_put};
pub(crate) use copies::Pushed;
use deadlock_relief::DeadlockRelief;
pub(crate) use deadlock_relief::{Movement, Relief};
pub(crate) use dedupe::PeerDedupe;
pub(crate) use entry::{Entry, Extras, Target};
use full_links::Refusal;
pub(crate) use full_links::{FullLinks, PLACES};
use heard::Heard;
use in_flight::InFlight;
pub(crate) use in_flight::{GivenUp, Uptime};
use liveness_probe::LivenessProbe;
pub(crate) use owner::{LinkOwner, LinkSettings};
pub(crate) use parts::{
    BurstRefused, Leftovers, LinkCounts, LinkLimits, LinkLoad, Mark, NextWrite, Refused,
};
pub(crate) use queue::{BLOCK_BYTES, Block, GATHER_FROM};
use queue::{FrameQueue, Route};
pub use receipt::Receipt;
pub(crate) use receipt::receipt;
use reply_debt::ReplyDebt;
pub(crate) use shedding::Shed;
pub(crate) use write_batch::WriteBatch;

use crate::authorize::Credentials;
use crate::id::{Identity, MessageId};
use crate::limits::DeliveryGuarantee;
use crate::payload::Codec;
use crate::sync::{AtomicBool, Mutex, MutexGuard, WaitQueue};
use crate::wire;

/// How much longer than its messages the ring may be, because acknowledged ones stand between
/// others that are not.
const MAX_GAPS: usize = 8;

/// Answers that a connection may owe before it stops reading new questions.
const MAX_CONTROL_BYTES: usize = 64 * 1024;

/// The outgoing side of one connection.
#[derive(Debug)]
pub(crate) struct Link {
    peer: Identity,
    serial: u64,
    owner: Weak<dyn LinkOwner>,
    /// What the peer has proved, if anything.
    credentials: Option<Box<Credentials>>,
    /// Absent where messages are acknowledged when they are finished, and nothing else.
    incoming: Option<Box<Incoming>>,
    /// How replies to the peer are encoded and sent.
    codec: Codec,
    guarantee: DeliveryGuarantee,
    knock: LivenessProbe,
    heard: Heard,
    /// The peer has left too many answers unread for being answered more.
    in_debt: AtomicBool,
    /// Who waits for room on this very link.
    pub(crate) room: WaitQueue,
    state: Mutex<State>,
    loan: Loan,
    #[cfg(feature = "test-util")]
    crashing: AtomicBool,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Shared by all links of a socket.
    limits: Arc<LinkLimits>,
    queue: FrameQueue,
    control: Vec<u8>,
    unacked: Option<Box<InFlight>>,
    writer: Option<Waker>,
    /// The writer while the kernel takes no more: only the end of the connection wakes it.
    blocked: Option<Waker>,
    /// Bytes that the queue takes: its bound, or its share of the socket's budget if that is less.
    share: usize,
    /// Set when nobody is to wait for this link: what goes when there is no room.
    shedding: Option<Shed>,
    /// While the peer may still have to take what had waited for it.
    catching_up: Option<Box<catch_up::Backlog>>,
    /// The connection ends because the queue was full.
    cut_off: bool,
    /// Several threads were sending at a time, since the writer was parked last: nothing is lent.
    contended: bool,
    standstill: DeadlockRelief,
    /// The connection ends because it stood still.
    stalled: bool,
    owed: ReplyDebt,
    /// While a message in turn has been refused, and no room has come since.
    refusal: Option<Refusal>,
    counts: LinkCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes and sends.
    Open,
    /// Takes nothing more, sends what it has, then ends the writing side.
    Finishing,
    /// The connection is gone, or about to be.
    Closed,
}

impl Link {
    /// A link whose first bytes are `preamble`, which our bind end uses for its HELLO.
    pub(crate) fn new(
        peer: Identity,
        serial: u64,
        owner: Weak<impl LinkOwner>,
        limits: impl Into<Arc<LinkLimits>>,
        preamble: Vec<u8>,
    ) -> Self {
        let limits = limits.into();
        let settings = owner.upgrade().map(|owner| owner.link_settings());
        let settings = settings.unwrap_or_default();
        Self {
            codec: settings.codec,
            guarantee: settings.guarantee,
            peer,
            serial,
            owner,
            credentials: None,
            incoming: Incoming::of(&settings).map(Box::new),
            knock: LivenessProbe::default(),
            heard: Heard::new(),
            in_debt: AtomicBool::new(false),
            room: WaitQueue::new(),
            state: Mutex::new(State {
                phase: Phase::Open,
                queue: FrameQueue::default(),
                control: preamble,
                unacked: None,
                writer: None,
                blocked: None,
                share: limits.bytes,
                limits,
                shedding: None,
                catching_up: None,
                cut_off: false,
                contended: false,
                standstill: DeadlockRelief::new(),
                stalled: false,
                owed: ReplyDebt::default(),
                refusal: None,
                counts: LinkCounts::default(),
            }),
            loan: Loan::new(),
            #[cfg(feature = "test-util")]
            crashing: AtomicBool::new(false),
        }
    }

    /// A link for tests of what is below the socket.
    #[cfg(test)]
    pub(crate) fn without_socket(
        peer: Identity,
        serial: u64,
        limits: impl Into<Arc<LinkLimits>>,
    ) -> Self {
        let nobody = Weak::<owner::Nobody>::new();
        Self::new(peer, serial, nobody, limits, Vec::new())
    }

    /// Locks the link. What the link's own thread has borrowed is back in the queue then, if this
    /// is that thread.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        if state.queue.is_lent() {
            self.end_loan(&mut state);
        }
        state
    }

    /// Keeps with the link what its peer has proved.
    pub(crate) fn with_credentials(mut self, credentials: Option<Box<Credentials>>) -> Self {
        self.credentials = credentials;
        self
    }

    /// What the peer has proved, if anything.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    /// The socket at the other end.
    #[inline]
    pub(crate) fn peer(&self) -> Identity {
        self.peer
    }

    /// The codec of the socket.
    #[inline]
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Tells this connection from an earlier one of the same peer.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The socket that the link belongs to; `None` once that is gone.
    pub(crate) fn owner(&self) -> Option<Arc<dyn LinkOwner>> {
        self.owner.upgrade()
    }

    /// Encodes one message at the end of the queue. A refusal leaves the entry as it was.
    pub(crate) fn push(&self, entry: &mut Entry, mark: Mark) -> Result<(), Refused> {
        self.try_queue(entry, mark).map(wake_writer)
    }

    /// Encodes one message, if there is room for it. The writer is for the caller to wake.
    #[inline(always)]
    fn try_queue(&self, entry: &mut Entry, mark: Mark) -> Result<MutexGuard<'_, State>, Refused> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if !state.has_room(entry, mark) {
            return Err(Refused::Full);
        }
        self.queue(&mut state, entry, mark);
        Ok(state)
    }

    /// Encodes a message for which there is room.
    #[inline(always)]
    fn accept(&self, mut state: MutexGuard<'_, State>, entry: &mut Entry, mark: Mark) {
        self.queue(&mut state, entry, mark);
        wake_writer(state);
    }

    #[inline(always)]
    fn queue(&self, state: &mut State, entry: &mut Entry, mark: Mark) {
        if state.queue.is_lent() {
            // To another thread: what it puts into its block from now on would overtake this.
            self.loan.revoke();
            state.contended = true;
        }
        let route = Route::of(entry.target);
        let length = entry.payload.len();
        match entry.guarantee {
            DeliveryGuarantee::AtMostOnce => {
                state.queue.push(&wire::data_header(length), entry, route);
            }
            DeliveryGuarantee::AtLeastOnce => self.push_to_ring(state, entry, route),
        }
        if mark == Mark::Reply {
            self.note_reply(state, length, entry.guarantee);
        }
    }

    /// Encodes a message that is kept until it is acknowledged.
    #[inline(never)]
    fn push_to_ring(&self, state: &mut State, entry: &mut Entry, route: Route) {
        let now = self.owner.upgrade().map_or(Uptime::ZERO, |owner| {
            owner.note_restless();
            owner.uptime()
        });
        let resend_after = state.limits.resend_after;
        let unacked = state
            .unacked
            .get_or_insert_with(|| Box::new(InFlight::new(resend_after)));
        let id = unacked.insert(entry, now);
        let header = wire::data_req_header(id, entry.payload.len());
        state.queue.push(&header, entry, route);
    }

    /// Queues acknowledgements, in front of all data that is not yet taken by the writer. False if
    /// the connection is gone.
    pub(crate) fn push_acks(&self, ids: &[MessageId]) -> bool {
        self.push_control(|control| {
            control.reserve(ids.len() * wire::ACK_FRAME_BYTES);
            for &id in ids {
                wire::put_ack(control, id);
            }
        })
    }

    fn push_control(&self, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return false;
        }
        if state.control.capacity() == 0 {
            state.control = write_batch::spare_control();
        }
        put(&mut state.control);
        wake_writer(state);
        true
    }

    /// Whether the peer has left so many answers unread that it is not to be read from.
    pub(crate) fn owes_too_much(&self) -> bool {
        let state = self.lock();
        state.control.len() > MAX_CONTROL_BYTES || state.owes_replies()
    }

    /// The peer acknowledged these messages. Yields what they carried; whether room has become
    /// free is for the caller to announce.
    pub(crate) fn acknowledge(&self, ids: &[MessageId], now: Uptime) -> (usize, Vec<Extras>) {
        let mut state = self.lock();
        let State {
            unacked, counts, ..
        } = &mut *state;
        let Some(unacked) = unacked.as_mut() else {
            return (0, Vec::new());
        };
        let mut closed = 0;
        let mut extras = Vec::new();
        for &id in ids {
            if let Some(carried) = unacked.acknowledge(id, now) {
                closed += 1;
                extras.extend(carried.map(|carried| *carried));
            }
        }
        counts.acknowledged += closed as u64;
        if closed > 0 {
            state.note_room();
        }
        (closed, extras)
    }

    /// Resends what is due and yields what is given up.
    pub(crate) fn handle_sweep(
        &self,
        now: Uptime,
        instant: Instant,
        resend_limit: Option<u32>,
    ) -> Vec<(Entry, GivenUp)> {
        let mut state = self.lock();
        let State {
            unacked,
            counts,
            queue,
            ..
        } = &mut *state;
        let Some(unacked) = unacked.as_mut().filter(|ring| ring.len() > 0) else {
            return Vec::new();
        };
        // What still waits to be written is not lost, whatever its age.
        if !queue.has_nothing_to_take() {
            return Vec::new();
        }
        let due = unacked.handle_sweep(now, instant, resend_limit);
        counts.resent += due.resend.len() as u64;
        for (id, payload) in due.resend {
            let header = wire::data_req_header(id, payload.len());
            let entry = Entry::new(Target::Mode, DeliveryGuarantee::AtLeastOnce, payload);
            queue.push(&header, &entry, Route::Mode);
        }
        if !due.given_up.is_empty() {
            state.note_room();
        }
        wake_writer(state);
        due.given_up
    }

    /// Takes nothing more; the writer ends its side when everything is written.
    pub(crate) fn finish(&self) {
        self.end(Phase::Finishing);
    }

    /// Ends the connection as soon as its writer looks.
    pub(crate) fn abort(&self) {
        self.end(Phase::Closed);
    }

    fn end(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase != Phase::Closed {
            state.phase = phase;
        }
        state.note_room();
        let wakers = [state.writer.take(), state.blocked.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.room.notify_all();
    }

    /// Makes the connection panic at its next turn.
    #[cfg(feature = "test-util")]
    pub(crate) fn crash(&self) {
        self.crashing
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.push_heartbeat();
    }

    /// Whether the connection is to panic.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_crashing(&self) -> bool {
        self.crashing.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether the link takes nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// What the link has done since it was opened.
    pub(crate) fn counts(&self) -> LinkCounts {
        self.lock().counts
    }

    /// Payload bytes of the largest message that the frame limit of the protocol allows here.
    pub(crate) fn max_payload(guarantee: DeliveryGuarantee, max_frame_bytes: u32) -> usize {
        let fixed = match guarantee {
            DeliveryGuarantee::AtMostOnce => wire::DATA_HEADER_BYTES,
            DeliveryGuarantee::AtLeastOnce => wire::DATA_REQ_HEADER_BYTES,
        };
        (max_frame_bytes as usize).saturating_sub(fixed - wire::PREFIX_BYTES)
    }
}

/// Lets go of the lock, then wakes the writer if it is parked.
#[inline]
fn wake_writer(mut state: MutexGuard<'_, State>) {
    let writer = state.writer.take();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

impl State {
    /// Whether a block without room for this message waits for a writer that is awake, and that the
    /// kernel has not stopped.
    #[inline]
    fn has_work_for_writer(&self, entry: &Entry) -> bool {
        self.queue.begins_with_full_block(&entry.payload)
            && self.writer.is_none()
            && self.blocked.is_none()
    }

    #[inline]
    fn has_room(&self, entry: &Entry, mark: Mark) -> bool {
        self.has_room_in(self.share, entry, mark)
    }

    #[inline]
    fn has_room_in(&self, share: usize, entry: &Entry, mark: Mark) -> bool {
        let Some(factor) = mark.factor() else {
            return true;
        };
        let factor = factor.max(self.standstill.factor());
        let (frames, bytes) = (self.queue.frames(), self.queue.bytes());
        let most = self.limits.frames * factor;
        let fits = frames == 0 || (frames < most && bytes + entry.payload.len() <= share * factor);
        fits && self.ring_fits(entry, factor)
    }

    /// Bytes that may wait for their acknowledgement: never more than may wait to be written, so that
    /// many links share the budget in this too.
    #[inline]
    fn ring_bytes(&self) -> usize {
        if self.share < self.limits.bytes {
            self.share.min(self.limits.unacked_bytes)
        } else {
            self.limits.unacked_bytes
        }
    }

    #[inline]
    fn ring_fits(&self, entry: &Entry, factor: usize) -> bool {
        match (entry.guarantee, &self.unacked) {
            (DeliveryGuarantee::AtMostOnce, _) | (DeliveryGuarantee::AtLeastOnce, None) => true,
            (DeliveryGuarantee::AtLeastOnce, Some(ring)) => {
                let most = self.limits.unacked_messages * factor;
                ring.len() == 0
                    || (ring.len() < most
                        && ring.span() < most * MAX_GAPS
                        && ring.bytes() + entry.payload.len() <= self.ring_bytes() * factor)
            }
        }
    }
}
