//! A link: its parts, and the lock that guards most of them.

use std::sync::atomic::AtomicBool as Hint;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::answers::{Answers, Redelivery};
use super::entry::Entry;
use super::in_flight::InFlight;
use super::limits::{Bounds, LinkLimits, header_bytes, max_payload};
use super::loan::Loan;
use super::owner::{LinkCommons, LinkOwner};
use super::peer::RemotePeer;
use super::send_queue::SendQueue;
use super::state::{LinkCounts, LinkPhase, LinkState};
use super::writer::Writer;
use crate::address::Role;
use crate::authorize::Credentials;
use crate::engine::pressure::{Debt, Pressure, Repayment};
use crate::id::Identity;
use crate::lifecycle::SweepClock;
use crate::limits::DeliveryGuarantee;
use crate::payload::Codec;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, WaitQueue};

/// The outgoing side of one connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) peer: RemotePeer,
    commons: Arc<LinkCommons>,
    /// Absent where messages are acknowledged when they are finished, and nothing else.
    pub(super) answers: Option<Box<Answers>>,
    /// Senders that wait for room on this very link, in line.
    pub(crate) room: WaitQueue,
    pub(super) state: Mutex<LinkState>,
    pub(super) loan: Loan,
    /// The peer has left too many replies unread for being answered more.
    in_debt: AtomicBool,
    /// A hint: publishers wait for the peer, so that its signs of life are told.
    pub(super) waited_for: Hint,
    #[cfg(feature = "test-util")]
    crashing: AtomicBool,
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
        let commons = LinkCommons::of(owner);
        Self {
            peer: RemotePeer::new(peer, serial),
            answers: Answers::of(&commons.settings),
            commons,
            room: WaitQueue::new(),
            state: Mutex::new(LinkState {
                phase: LinkPhase::Open,
                reads: false,
                bounds: Bounds::new(limits.into()),
                queue: SendQueue::beginning_with(preamble),
                in_flight: InFlight::default(),
                pressure: Pressure::new(),
                writer: Writer::default(),
                refusal: None,
                sent: 0,
                arrivals: None,
                unanswered: 0,
                trials: None,
            }),
            loan: Loan::new(),
            in_debt: AtomicBool::new(false),
            waited_for: Hint::new(false),
            #[cfg(feature = "test-util")]
            crashing: AtomicBool::new(false),
        }
    }

    /// A link without a connection, of messages of `peer` that are delivered once more: what is sent to it goes to the peer's connection,
    /// if it has one.
    pub(crate) fn of_redelivery(
        peer: Identity,
        owner: Weak<impl LinkOwner>,
        limits: Arc<LinkLimits>,
        redelivery: Redelivery,
    ) -> Self {
        let mut link = Self::new(peer, 0, owner, limits, Vec::new());
        link.answers = Some(Answers::of_redelivery(redelivery));
        link.abort();
        link
    }

    /// A link for tests of what is below the socket.
    #[cfg(test)]
    pub(crate) fn without_socket(
        peer: Identity,
        serial: u64,
        limits: impl Into<Arc<LinkLimits>>,
    ) -> Self {
        let nobody = Weak::<super::owner::Nobody>::new();
        Self::new(peer, serial, nobody, limits, Vec::new())
    }

    /// Says which end of the connection we are.
    pub(crate) fn with_role(mut self, role: Role) -> Self {
        self.peer.set_role(role);
        self
    }

    /// Says from which [network](crate::address::PeerAddress::network) the peer is, if that is known.
    pub(crate) fn with_network(mut self, network: Option<u64>) -> Self {
        if let Some(network) = network {
            self.peer.set_network(network);
        }
        self
    }

    /// Whom the log takes for one: the peers of a network, or the peer where there is no address.
    pub(crate) fn log_source(&self) -> u64 {
        self.peer.log_source()
    }

    /// Keeps with the link what its peer has proved.
    pub(crate) fn with_credentials(mut self, credentials: Option<Box<Credentials>>) -> Self {
        self.peer.set_credentials(credentials);
        self
    }

    /// Says whether the peer has said already that it reads metadata.
    pub(crate) fn with_metadata_reader(self, reads: bool) -> Self {
        self.state.lock().reads = reads;
        self
    }

    /// The peer says whether it reads metadata. On the connection's own thread: what that has borrowed is back then.
    pub(crate) fn set_metadata_reader(&self, reads: bool) {
        self.lock().reads = reads;
    }

    /// Messages went to the peer without their metadata.
    #[inline]
    pub(super) fn note_metadata_left_out(&self, messages: usize) {
        if messages > 0 {
            self.commons.note_metadata_left_out(messages);
        }
    }

    /// Locks the link. What the link's own thread has borrowed is back in the queue then, if this
    /// is that thread.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, LinkState> {
        let mut state = self.state.lock();
        if state.queue.is_lent() {
            self.end_loan(&mut state);
        }
        state
    }

    /// The coarse clock of the socket.
    #[inline]
    pub(super) fn clock(&self) -> &SweepClock {
        &self.commons.clock
    }

    /// The socket at the other end.
    #[inline]
    pub(crate) fn peer(&self) -> Identity {
        self.peer.identity()
    }

    /// Tells this connection from an earlier one of the same peer.
    pub(crate) fn serial(&self) -> u64 {
        self.peer.serial()
    }

    /// Proofs of the peer, if there are any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.peer.credentials()
    }

    /// The codec of the socket.
    #[inline]
    pub(crate) fn codec(&self) -> Codec {
        self.commons.settings.codec
    }

    /// True if replies are sent at least once or have spans.
    #[inline]
    pub(super) fn has_locked_replies(&self) -> bool {
        self.commons.settings.locked_replies
    }

    /// The socket that the link belongs to; `None` once that is gone.
    pub(crate) fn owner(&self) -> Option<Arc<dyn LinkOwner>> {
        self.commons.owner()
    }

    /// Counts since the link was opened.
    pub(crate) fn counts(&self) -> LinkCounts {
        self.lock().counts()
    }

    /// Payload bytes of the largest message that the frame limit of the protocol allows here.
    pub(crate) fn max_payload(guarantee: DeliveryGuarantee, max_frame_bytes: u32) -> usize {
        max_payload(guarantee, max_frame_bytes)
    }

    /// Messages have come from the peer.
    #[inline]
    pub(crate) fn note_heard(&self) {
        self.peer.note_heard();
    }

    /// A read has brought frames.
    #[inline]
    pub(crate) fn note_read(&self) {
        self.peer.note_read();
    }

    /// Reads that have brought frames; it wraps.
    pub(crate) fn reads(&self) -> u32 {
        self.peer.reads()
    }

    /// True if messages have come from the peer.
    pub(crate) fn was_heard(&self) -> bool {
        self.peer.was_heard()
    }

    /// True if this socket made the connection, and not the peer.
    pub(crate) fn is_dialled(&self) -> bool {
        self.peer.is_dialled()
    }

    /// Another connection of the peer is turned away, as it has this one, and the peer may have turned away this one for that.
    pub(crate) fn note_turned_away_another(&self) {
        self.peer.note_turned_away_another();
    }

    /// True if another connection of the peer was turned away for this one.
    pub(crate) fn has_turned_away_another(&self) -> bool {
        self.peer.has_turned_away_another()
    }

    /// The peer has made another connection, which is let in once this one has ended.
    pub(crate) fn note_newcomer(&self) {
        self.peer.note_newcomer();
    }

    /// True if another connection of the peer waits for the end of this one.
    pub(crate) fn has_newcomer(&self) -> bool {
        self.peer.has_newcomer()
    }

    /// The peer is about to be asked on this connection.
    pub(crate) fn note_asked(&self) {
        self.peer.note_asked();
    }

    /// An ask to the peer has ended: answered, or given up.
    pub(crate) fn note_ask_ended(&self) {
        self.peer.note_ask_ended();
    }

    /// True if the peer is still to answer an ask.
    pub(crate) fn owes_answer(&self) -> bool {
        self.peer.owes_answer()
    }

    /// A frame of any type has come, as was found at this uptime of the process.
    pub(crate) fn note_frame(&self, uptime: Duration) {
        self.peer.note_frame(uptime);
    }

    /// The uptime of the process at which a new frame was last found.
    pub(crate) fn last_frame(&self) -> Duration {
        self.peer.last_frame()
    }

    /// True if the peer may have sent messages by this connection before one that ended at `serial`
    /// was admitted, counted in connections.
    pub(crate) fn may_be_overtaken(&self, serial: u64) -> bool {
        self.peer.may_be_overtaken(serial)
    }

    /// True if the peer has left so many replies unread that its messages are to wait.
    #[inline]
    pub(crate) fn is_in_debt(&self) -> bool {
        self.in_debt.load(Ordering::Relaxed)
    }

    /// A reply was queued.
    #[inline]
    pub(super) fn note_reply(&self, state: &mut LinkState, payload: usize, entry: &Entry) {
        let bytes = payload + header_bytes(entry.guarantee);
        let (queued, bound) = (state.queue.queued(), state.bounds.queue());
        match state.pressure.handle_reply(bytes, queued, bound) {
            Debt::Bearable => {}
            Debt::TooMuch => self.in_debt.store(true, Ordering::SeqCst),
        }
    }

    /// Some of what waited has been written. True if the messages of the peer need wait no longer, of
    /// which the inboxes are to be told.
    pub(super) fn note_written(&self, state: &mut LinkState) -> bool {
        let (queued, bound) = (state.queue.queued(), state.bounds.queue());
        let repayment = state.pressure.handle_written(queued, bound);
        if self.is_waited_for() {
            let waited_for = state.pressure.is_waited_for();
            self.waited_for.store(waited_for, Ordering::Relaxed);
        }
        match repayment {
            Repayment::Due => false,
            Repayment::Paid => self.forgive(),
        }
    }

    /// Nobody owes anything any more. True if anybody did.
    pub(super) fn forgive(&self) -> bool {
        self.is_in_debt() && self.in_debt.swap(false, Ordering::SeqCst)
    }

    /// Makes the connection panic at its next turn.
    #[cfg(feature = "test-util")]
    pub(crate) fn crash(&self) {
        self.crashing.store(true, Ordering::Relaxed);
        self.push_heartbeat();
    }

    /// True if the connection is to panic.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_crashing(&self) -> bool {
        self.crashing.load(Ordering::Relaxed)
    }
}

/// Lets go of the lock, then wakes the writer if it is parked.
#[inline]
pub(super) fn wake_writer(mut state: MutexGuard<'_, LinkState>) {
    let writer = state.writer.take_parked();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}
