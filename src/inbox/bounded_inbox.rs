//! The inbox itself: a queue of chunks behind one lock, room for readers, and a line of consumers.

use std::cell::Cell;
use std::task::{Context, Poll};

use super::chunk::Chunk;
use super::chunk_queue::ChunkQueue;
use crate::limits::Capacity;
use crate::sync::{Mutex, Place, WaitQueue};

/// Messages that one subscription has received and not yet handled.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Readers that wait for room, in order: a flooder does not silence a trickler.
    pub(crate) readers: WaitQueue,
    /// Whoever waits for a message: the pump of a handler, or calls of `recv`.
    pub(crate) consumers: WaitQueue,
    state: Mutex<Contents>,
}

#[derive(Debug)]
struct Contents {
    limits: Capacity,
    queue: ChunkQueue,
    /// While older messages are moved here: what has come meanwhile, and goes behind them.
    behind: Option<Vec<Chunk>>,
    /// Messages and bytes in `queue`, in `behind` and in the consumers' hands.
    messages: usize,
    bytes: usize,
    /// Those of them that were read ahead, and take no room.
    messages_ahead: usize,
    bytes_ahead: usize,
    /// Messages that consumers were through with since the inbox was opened.
    finished: usize,
    /// Bytes that readers may be about to push.
    reserved: usize,
    closed: bool,
}

/// The age of what is pushed, against what is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It has just been read.
    New,
    /// It was read before, has waited elsewhere, and is moved here.
    Moved,
}

impl Contents {
    #[inline]
    fn add(&mut self, chunk: Chunk, arrival: Arrival) {
        self.messages += chunk.messages();
        self.bytes += chunk.cost();
        if chunk.is_read_ahead() {
            self.messages_ahead += chunk.messages();
            self.bytes_ahead += chunk.cost();
        }
        match &mut self.behind {
            Some(behind) if arrival == Arrival::New => behind.push(chunk),
            _ => self.queue.push(chunk),
        }
    }

    /// Messages of a chunk, and bytes that they kept, are not here any more.
    #[inline]
    fn remove(&mut self, chunk: &Chunk, messages: usize, bytes: usize) {
        self.messages -= messages;
        self.bytes -= bytes;
        if chunk.is_read_ahead() {
            self.messages_ahead -= messages;
            self.bytes_ahead -= bytes;
        }
    }

    /// True if there is room for so much more. Parked chunks take none, so that others are
    /// served meanwhile, until they are more than an inbox holds; nor do chunks that were read ahead.
    #[inline]
    fn has_room(&self, messages: usize, bytes: usize) -> bool {
        let (limits, parked) = (self.limits, self.queue.parked());
        let bytes_apart = self.bytes_ahead + parked.bytes - parked.bytes_ahead;
        let messages_apart = self.messages_ahead + parked.messages - parked.messages_ahead;
        let taken = self.bytes - bytes_apart + self.reserved;
        let fits = taken == 0
            || (taken + bytes <= limits.bytes
                && self.messages - messages_apart + messages <= limits.messages);
        fits && !parked.is_above(limits)
    }
}

/// Nothing more will come out of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

impl Inbox {
    pub(crate) fn new(limits: Capacity) -> Self {
        Self {
            readers: WaitQueue::new(),
            consumers: WaitQueue::new(),
            state: Mutex::new(Contents {
                limits,
                queue: ChunkQueue::default(),
                behind: None,
                messages: 0,
                bytes: 0,
                messages_ahead: 0,
                bytes_ahead: 0,
                finished: 0,
                reserved: 0,
                closed: false,
            }),
        }
    }

    /// The bounds change. What is in the inbox above them stays; readers that wait are for the caller
    /// to tell.
    pub(crate) fn set_limits(&self, limits: Capacity) {
        self.state.lock().limits = limits;
    }

    /// Reserves room for a read of at most `bytes`. Every success is followed by one
    /// [`push`](Self::push) or [`unreserve`](Self::unreserve).
    pub(crate) fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
        bytes: usize,
    ) -> Poll<()> {
        if !place.is_waiting() && self.readers.is_empty() && self.try_reserve(bytes) {
            return Poll::Ready(());
        }
        place.poll(&self.readers, cx, || self.try_reserve(bytes).then_some(()))
    }

    fn try_reserve(&self, bytes: usize) -> bool {
        let mut state = self.state.lock();
        let fits = state.has_room(1, bytes);
        if fits || state.closed {
            state.reserved += bytes;
        }
        fits || state.closed
    }

    /// Gives back a reservation that was not needed, and the turn with it.
    pub(crate) fn unreserve(&self, bytes: usize) {
        self.state.lock().reserved -= bytes;
        self.readers.notify();
    }

    /// Hands over what was read under a reservation of `reserved` bytes. A closed inbox hands it
    /// back.
    pub(crate) fn push(&self, chunk: Chunk, reserved: usize) -> Result<(), Chunk> {
        let mut state = self.state.lock();
        state.reserved -= reserved;
        if state.closed {
            return Err(chunk);
        }
        state.add(chunk, Arrival::New);
        drop(state);
        self.consumers.notify();
        if !self.readers.is_empty() {
            self.readers.notify();
        }
        Ok(())
    }

    /// Hands over what nothing was reserved for, if there is room. It comes back if there is not.
    pub(crate) fn try_push(&self, chunk: Chunk, arrival: Arrival) -> Result<(), Chunk> {
        let mut state = self.state.lock();
        let fits = state.has_room(chunk.messages(), chunk.cost());
        if !fits || state.closed {
            return Err(chunk);
        }
        state.add(chunk, arrival);
        drop(state);
        self.consumers.notify();
        Ok(())
    }

    /// Hands over what has been accepted already, whatever the room. A closed inbox hands it back.
    pub(crate) fn push_over(&self, chunk: Chunk, arrival: Arrival) -> Result<(), Chunk> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(chunk);
        }
        state.add(chunk, arrival);
        drop(state);
        self.consumers.notify();
        Ok(())
    }

    /// From now on, and until [`unhold`](Self::unhold), new messages wait behind those that are moved here. False if that is so
    /// already.
    pub(crate) fn hold(&self) -> bool {
        let mut state = self.state.lock();
        let holds = state.behind.is_some();
        state.behind.get_or_insert_default();
        !holds
    }

    /// Lets consumers have what was held back. They are for the caller to tell.
    pub(crate) fn unhold(&self) {
        let mut state = self.state.lock();
        for chunk in state.behind.take().into_iter().flatten() {
            state.queue.push(chunk);
        }
    }

    /// True if new messages wait for those that are moved here.
    pub(crate) fn holds_newer(&self) -> bool {
        let state = self.state.lock();
        state.behind.as_ref().is_some_and(|new| !new.is_empty())
    }

    /// Takes out all that no consumer has in hand.
    pub(crate) fn drain(&self) -> Vec<Chunk> {
        let mut state = self.state.lock();
        let mut rest = state.queue.drain();
        rest.extend(state.behind.iter_mut().flat_map(|behind| behind.drain(..)));
        for chunk in &rest {
            state.remove(chunk, chunk.messages(), chunk.cost());
        }
        drop(state);
        self.readers.notify_all();
        rest
    }

    /// Takes the oldest chunk; its room stays taken until it is [`release`](Self::release)d.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
    ) -> Poll<Result<Chunk, Ended>> {
        self.poll_attempt(cx, place, ChunkQueue::take)
    }

    /// Makes an attempt to take at once where nobody waits, and otherwise in line.
    #[inline]
    fn poll_attempt(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
        take: fn(&mut ChunkQueue) -> Option<Chunk>,
    ) -> Poll<Result<Chunk, Ended>> {
        let parked = Cell::new(false);
        let attempt = || self.attempt(take, &parked);
        let taken = if !place.is_waiting()
            && self.consumers.is_empty()
            && let Some(result) = attempt()
        {
            Poll::Ready(result)
        } else {
            place.poll(&self.consumers, cx, attempt)
        };
        if parked.get() {
            self.readers.notify();
        }
        taken
    }

    /// Tells by `parked` whether something was set aside, which makes room.
    #[inline]
    fn attempt(
        &self,
        take: fn(&mut ChunkQueue) -> Option<Chunk>,
        parked: &Cell<bool>,
    ) -> Option<Result<Chunk, Ended>> {
        let mut state = self.state.lock();
        let before = state.queue.parked().messages;
        let taken = take(&mut state.queue);
        if state.queue.parked().messages > before {
            parked.set(true);
        }
        match taken {
            Some(chunk) => Some(Ok(chunk)),
            None => state.closed.then_some(Err(Ended)),
        }
    }

    #[cfg(all(test, aiomsg_loom))]
    pub(crate) fn try_take(&self) -> Option<Result<Chunk, Ended>> {
        self.attempt(ChunkQueue::take, &Cell::new(false))
    }

    /// A peer has read its answers, or is gone: what was set aside of it may be taken up.
    pub(crate) fn relieve(&self) {
        self.state.lock().queue.relieve();
        self.consumers.notify();
    }

    /// Counts the bytes of a message again that were let go of with the chunk that it had come in.
    pub(crate) fn charge(&self, message: &mut Chunk) {
        let bytes = message.charge();
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.bytes += bytes;
        if message.is_read_ahead() {
            state.bytes_ahead += bytes;
        }
    }

    /// Takes the oldest message, as a chunk of its own. The room of the chunk that it came in is
    /// released with the last of its messages.
    pub(crate) fn poll_take_one(
        &self,
        cx: &mut Context<'_>,
        place: &mut Place,
    ) -> Poll<Result<Chunk, Ended>> {
        self.poll_attempt(cx, place, ChunkQueue::take_one)
    }

    /// Looks for a consumer whose turn it is and who does not come, although messages wait.
    pub(crate) fn handle_sweep(&self) {
        let waits = !self.state.lock().queue.is_empty();
        if waits {
            self.consumers.pass_over_absent();
        }
    }

    /// A consumer is through with messages of a chunk and the bytes that they kept.
    pub(crate) fn release(&self, chunk: &Chunk, messages: usize, bytes: usize) {
        chunk.link().note_handled(messages);
        let mut state = self.state.lock();
        state.remove(chunk, messages, bytes);
        state.finished = state.finished.wrapping_add(messages);
        drop(state);
        self.readers.notify();
    }

    /// A consumer returns what it took and did not handle: it is the first to be taken again. A closed
    /// inbox releases its room and hands it back, for whoever accounts for it.
    pub(crate) fn give_back(&self, chunk: Chunk) -> Result<(), Chunk> {
        let mut state = self.state.lock();
        if state.closed {
            state.remove(&chunk, chunk.messages(), chunk.cost());
            return Err(chunk);
        }
        state.queue.give_back(chunk);
        drop(state);
        self.consumers.notify();
        // What is set aside again makes room.
        self.readers.notify();
        Ok(())
    }

    /// Ends the inbox. What is still in it is yielded, for whoever accounts for it; readers go on
    /// and what they push is handed back.
    pub(crate) fn close(&self) -> Vec<Chunk> {
        self.state.lock().closed = true;
        let rest = self.drain();
        self.consumers.notify_all();
        rest
    }

    /// Takes out the oldest messages until there is room for a read of so many bytes; one chunk at
    /// least, if there is one.
    pub(crate) fn drop_oldest(&self, bytes: usize) -> Vec<Chunk> {
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        while (dropped.is_empty() || !state.has_room(1, bytes))
            && let Some(chunk) = state.queue.take_oldest()
        {
            state.remove(&chunk, chunk.messages(), chunk.cost());
            dropped.push(chunk);
        }
        drop(state);
        self.readers.notify();
        dropped
    }

    /// Messages that consumers were through with since the inbox was opened.
    pub(crate) fn finished(&self) -> usize {
        self.state.lock().finished
    }

    /// True once nothing more comes out.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Messages that are set aside.
    pub(crate) fn parked(&self) -> usize {
        self.state.lock().queue.parked().messages
    }

    /// Messages that wait, and those of them that their senders keep until they are acknowledged.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        let behind = state.behind.iter().flatten();
        let chunks: Vec<Chunk> = state.queue.iter().chain(behind).cloned().collect();
        drop(state);
        let counts = chunks
            .iter()
            .map(|chunk| match chunk.link().acknowledges_receipt() {
                true => (chunk.messages(), 0),
                false => (chunk.messages(), chunk.ids().len()),
            });
        counts.fold((0, 0), |(all, with_id), (messages, ids)| {
            (all + messages, with_id + ids)
        })
    }

    /// Messages and bytes that wait or are in a consumer's hand.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.messages, state.bytes)
    }
}
