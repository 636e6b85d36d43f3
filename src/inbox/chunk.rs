//! Received frames on their way to a handler, many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use super::bookmark::{Bookmark, Deliveries};
use super::message_span::{MessageSpan, step};
use super::read_ahead::ReadAheadPart;
use crate::id::{ID_BYTES, MessageId};
use crate::link::Link;
use crate::payload::Metadata;
use crate::wire::{self, NotHandled, Verdict};

/// Whole frames of one connection, as they were read.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    link: Arc<Link>,
    bytes: Bytes,
    /// Where the next frame begins.
    at: usize,
    /// Messages from `at` on.
    messages: usize,
    /// Messages before `at`.
    ordinal: usize,
    /// Memory that the chunk keeps alive, in bytes: a frame above 32 bits there is not.
    cost: u32,
    /// Earlier deliveries of the message at `at`.
    deliveries: Deliveries,
    /// For each message, why a subscription has not handled it (above [`REASON`]), how many gating
    /// subscriptions have it or are through with it (above [`SHARES`]) and, where it is to be acknowledged, how
    /// many have yet to finish it (below); absent where there is only one.
    open: Option<Arc<Vec<AtomicU64>>>,
    /// The messages that this chunk is for; absent where it is for all of them.
    selection: Option<Arc<MessageSet>>,
    /// The part of the read-ahead budget that it holds, if it was read past a full inbox.
    read_ahead: Option<Arc<ReadAheadPart>>,
    /// When it was read, where messages have a deadline that counts from then.
    arrived: Option<Instant>,
    /// An observer's copy: nothing that becomes of it is acknowledged or delivered again.
    observed: bool,
    /// The metadata of its messages, if any of them has some.
    metadata: Option<Arc<MetadataTable>>,
}

/// Metadata of messages of a chunk, by where their payloads begin, in order.
pub(crate) type MetadataTable = Vec<(usize, Arc<Metadata>)>;

/// Some messages of a chunk, by their ordinal.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageSet {
    words: Vec<u64>,
    count: usize,
}

impl MessageSet {
    pub(crate) fn insert(&mut self, ordinal: usize) {
        let word = ordinal / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (ordinal % 64);
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, ordinal: usize) {
        if self.contains(ordinal) {
            self.words[ordinal / 64] &= !(1 << (ordinal % 64));
            self.count -= 1;
        }
    }

    fn contains(&self, ordinal: usize) -> bool {
        self.words
            .get(ordinal / 64)
            .is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

/// Where the number of shares of a message begins.
const SHARES: u32 = 16;
/// Where the reason begins why a message was not handled; 0 while there is none.
const REASON: u32 = 2 * SHARES;
/// Set once the message is counted as one that its sender will send again.
const RETURNED: u64 = 1 << 63;

/// Ends one share of a message; with the last of them, yields the verdict of all. The first refusal counts.
fn finish_share(open: &AtomicU64, verdict: Verdict) -> Option<Verdict> {
    if let Err(reason) = verdict {
        let reason = u64::from(reason.to_byte()) << REASON;
        let first = |open: u64| ((open >> REASON) as u8 == 0).then_some(open | reason);
        // One that is there already stays.
        let _ = open.fetch_update(Ordering::AcqRel, Ordering::Acquire, first);
    }
    verdict_of_last(open.fetch_sub(1, Ordering::AcqRel))
}

/// The verdict of all, if one share alone was open `before` that one ended.
fn verdict_of_last(before: u64) -> Option<Verdict> {
    let is_last = before & ((1 << SHARES) - 1) == 1;
    is_last.then(|| match (before >> REASON) as u8 {
        0 => Ok(()),
        reason => Err(NotHandled::from_byte(reason)),
    })
}

/// A message, after a subscription has let go of it without having handled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetGo {
    /// No other subscription has it, or has had it.
    Unhandled,
    /// Others have it.
    Elsewhere,
    /// Others are through with it, with this verdict of all.
    Finished(Verdict),
}

/// Takes one share of a message out of the count, unless it is the only one: of several that are let go of at
/// the same time, one is the last.
fn let_go_of_share(open: &AtomicU64) -> LetGo {
    let without = |open: u64| ((open >> SHARES) as u16 > 1).then(|| open - (1 << SHARES | 1));
    match open.fetch_update(Ordering::AcqRel, Ordering::Acquire, without) {
        Ok(before) => verdict_of_last(before).map_or(LetGo::Elsewhere, LetGo::Finished),
        Err(_) => LetGo::Unhandled,
    }
}

impl Chunk {
    /// Frames that the reader has checked: `bytes` holds whole frames, `messages` of them DATA or
    /// DATA_REQ, and keeps `cost` bytes allocated.
    pub(crate) fn new(link: Arc<Link>, bytes: Bytes, messages: usize, cost: usize) -> Self {
        Self {
            link,
            bytes,
            at: 0,
            messages,
            ordinal: 0,
            cost: u32::try_from(cost).unwrap_or(u32::MAX),
            deliveries: Deliveries::default(),
            open: None,
            selection: None,
            read_ahead: None,
            arrived: None,
            observed: false,
            metadata: None,
        }
    }

    /// The same, with the metadata that was taken out of its frames: another frame, which is no message, stands now in
    /// front of each message that has some.
    pub(crate) fn with_metadata(mut self, metadata: Option<Arc<MetadataTable>>) -> Self {
        self.metadata = metadata;
        self
    }

    /// The metadata of a message.
    #[inline]
    pub(crate) fn metadata(&self, position: MessageSpan) -> Option<Arc<Metadata>> {
        match position.is_behind_another() {
            false => None,
            true => self.find_metadata(position),
        }
    }

    #[cold]
    fn find_metadata(&self, position: MessageSpan) -> Option<Arc<Metadata>> {
        let table = self.metadata.as_ref()?;
        let index = table.binary_search_by_key(&position.start, |(start, _)| *start);
        Some(Arc::clone(&table[index.ok()?].1))
    }

    /// Notes when it was read, unless that is known.
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        self.arrived.get_or_insert(now);
    }

    /// When it was read, where that was noted.
    pub(crate) fn arrival(&self) -> Option<Instant> {
        self.arrived
    }

    /// The same, read past a full inbox.
    pub(crate) fn read_ahead(mut self, part: ReadAheadPart) -> Self {
        self.read_ahead = Some(Arc::new(part));
        self
    }

    /// True if it was read past a full inbox, so that it takes no room that others wait for.
    #[inline]
    pub(crate) fn is_read_ahead(&self) -> bool {
        self.read_ahead.is_some()
    }

    /// Each message is finished once so many subscriptions have finished it; `open` has an entry
    /// for each, by its ordinal.
    pub(crate) fn share(&mut self, open: impl IntoIterator<Item = u16>) {
        let both = |shares: u16| AtomicU64::new(u64::from(shares) << SHARES | u64::from(shares));
        self.open = Some(Arc::new(open.into_iter().map(both).collect()));
    }

    /// The same frames, for these messages of it only, at least one and none before this chunk's next.
    pub(crate) fn select(&self, selection: MessageSet) -> Self {
        let mut chunk = self.clone();
        if selection.count < self.messages {
            chunk.messages = selection.count;
            chunk.selection = Some(Arc::new(selection));
            chunk.skip_unselected();
            if chunk.ordinal != self.ordinal {
                // They are those of the message that this chunk begins with.
                chunk.deliveries = Deliveries::default();
            }
        }
        chunk
    }

    /// What is left of it when all but these messages were taken out. `None` if nothing is.
    pub(crate) fn keep(self, rest: MessageSet) -> Option<Self> {
        match rest.count() {
            0 => None,
            all if all == self.messages => Some(self),
            _ => Some(self.select(rest)),
        }
    }

    /// These messages of it only, in memory of their own. At least one and none before this chunk's next; of a chunk
    /// that is shared with nobody.
    pub(crate) fn copy_of(&self, selection: &MessageSet) -> Self {
        let (mut frames, mut metadata) = (Vec::new(), Vec::new());
        let (mut at, mut ordinal) = (self.at, self.ordinal);
        while let Some(position) = step(&self.bytes, &mut at) {
            if selection.contains(ordinal) {
                let id = position.wants_ack().then_some(ID_BYTES);
                let begin = position.start - wire::PREFIX_BYTES - 1 - id.unwrap_or(0);
                let described = self.metadata(position);
                if described.is_some() {
                    frames.extend_from_slice(&wire::HEARTBEAT_FRAME);
                }
                frames.extend_from_slice(&self.bytes[begin..position.end]);
                let start = frames.len() - (position.end - position.start);
                metadata.extend(described.map(|metadata| (start, metadata)));
            }
            ordinal += 1;
        }
        let cost = frames.len();
        let mut copy = Self::new(Arc::clone(&self.link), frames.into(), selection.count, cost)
            .with_metadata((!metadata.is_empty()).then(|| Arc::new(metadata)));
        copy.read_ahead = self.read_ahead.clone();
        copy.arrived = self.arrived;
        if selection.contains(self.ordinal) {
            copy.deliveries = self.deliveries;
        }
        copy
    }

    /// An observer's copy.
    pub(crate) fn observed(mut self) -> Self {
        self.observed = true;
        self
    }

    /// True for an observer's copy, whose loss is nobody's.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed
    }

    /// Looks at each message that is left: its ordinal, its id if it has one, and its payload.
    pub(crate) fn for_each(&self, mut look: impl FnMut(usize, Option<MessageId>, &[u8])) {
        let (mut at, mut ordinal, mut left) = (self.at, self.ordinal, self.messages);
        while left > 0 {
            let Some(mut position) = step(&self.bytes, &mut at) else {
                return;
            };
            if self.is_for(ordinal) {
                left -= 1;
                position.observe(self.observed);
                let payload = &self.bytes[position.start..position.end];
                look(ordinal, self.id(position), payload);
            }
            ordinal += 1;
        }
    }

    #[inline]
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    #[inline]
    pub(crate) fn cost(&self) -> usize {
        self.cost as usize
    }

    /// The ordinal of the next message.
    pub(crate) fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Where the next message is.
    #[inline]
    pub(crate) fn bookmark(&self) -> Bookmark {
        Bookmark::new(self.at, self.messages, self.ordinal, self.deliveries)
    }

    /// Goes back to a message, to deliver it once more.
    pub(crate) fn rewind(&mut self, mark: Bookmark) {
        self.at = mark.at;
        self.messages = mark.messages;
        self.ordinal = mark.ordinal;
        self.deliveries = mark.deliveries().and_a_failed_one();
    }

    /// Its next message was put off by a handler.
    pub(crate) fn note_put_off(&mut self) {
        self.deliveries = self.deliveries.and_put_off();
    }

    /// A chunk that holds only the message at `mark`. Its memory stays on the account of this one.
    pub(crate) fn only(&self, mark: Bookmark) -> Self {
        let mut one = self.clone();
        one.cost = 0;
        one.at = mark.at;
        one.messages = 1;
        one.ordinal = mark.ordinal;
        one.deliveries = mark.deliveries();
        one
    }

    /// Takes out the message between `mark` and `span`, which is taken already: a chunk of its own, that has the message's part of the
    /// cost on its account.
    pub(crate) fn take_out(&mut self, mark: Bookmark, span: MessageSpan) -> Self {
        let mut one = self.only(mark);
        let bytes = u32::try_from(span.end - mark.at).unwrap_or(u32::MAX);
        one.cost = bytes.min(self.cost);
        self.cost -= one.cost;
        one
    }

    /// Takes the next message out as a chunk of its own; the cost stays with the rest.
    pub(crate) fn split_first(&mut self) -> Self {
        let one = self.only(self.bookmark());
        let _ = self.next();
        one
    }

    /// Puts the bytes of the only message on its account, if they are not. Yields what is to be counted.
    pub(crate) fn charge(&mut self) -> usize {
        if self.cost > 0 {
            return 0;
        }
        let mark = self.bookmark();
        if let Some(span) = self.clone().next() {
            self.cost = u32::try_from(span.end - mark.at).unwrap_or(u32::MAX);
        }
        self.cost()
    }

    /// The same message in memory of its own, if it is no more than half of the memory that it keeps alive. Of a chunk that holds one
    /// message alone.
    pub(crate) fn compact(mut self) -> Self {
        let mark = self.bookmark();
        let Some(span) = self.clone().next() else {
            return self;
        };
        if 2 * (span.end - mark.at) > self.bytes.len() {
            return self;
        }
        let metadata = self.metadata(span);
        self.metadata = metadata.map(|metadata| Arc::new(vec![(span.start - mark.at, metadata)]));
        self.bytes = Bytes::copy_from_slice(&self.bytes[mark.at..span.end]);
        self.at = 0;
        self
    }

    /// A subscription is through with the message at `mark`. Once all its subscriptions are, yields the
    /// verdict: the message was handled if all of them have handled it.
    #[inline]
    pub(crate) fn finish(&self, mark: Bookmark, verdict: Verdict) -> Option<Verdict> {
        match &self.open {
            None => Some(verdict),
            Some(open) => open
                .get(mark.ordinal)
                .map_or(Some(verdict), |open| finish_share(open, verdict)),
        }
    }

    /// True if each of its messages went to one subscription alone.
    #[inline]
    pub(crate) const fn is_unshared(&self) -> bool {
        self.open.is_none()
    }

    /// A subscription lets go of the message at `mark`, which it has not handled.
    pub(crate) fn let_go(&self, mark: Bookmark) -> LetGo {
        self.open
            .as_ref()
            .and_then(|open| open.get(mark.ordinal))
            .map_or(LetGo::Unhandled, let_go_of_share)
    }

    /// A subscription gives the message at `mark` up, and its sender will send it again. True for the first
    /// subscription that does.
    pub(crate) fn give_up(&self, mark: Bookmark) -> bool {
        self.open
            .as_ref()
            .and_then(|open| open.get(mark.ordinal))
            .is_none_or(|open| open.fetch_or(RETURNED, Ordering::AcqRel) & RETURNED == 0)
    }

    /// The same messages, which from now on belong to whoever holds this chunk.
    pub(crate) fn owned(mut self) -> Self {
        self.open = None;
        self
    }

    /// The ids of its messages that want an acknowledgement.
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        let mut ids = Vec::new();
        self.for_each(|_, id, _| ids.extend(id));
        ids
    }

    /// The payload of a message, without copying it.
    #[inline]
    pub(crate) fn payload(&self, position: MessageSpan) -> Bytes {
        self.bytes.slice(position.start..position.end)
    }

    /// The id of a message that wants an acknowledgement.
    #[inline]
    pub(crate) fn id(&self, position: MessageSpan) -> Option<MessageId> {
        if !position.wants_ack() {
            return None;
        }
        let id = self.bytes[..position.start].last_chunk()?;
        Some(MessageId::from_bytes(*id))
    }

    /// Steps over the next message.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<MessageSpan> {
        if self.messages == 0 {
            return None;
        }
        let mut position = self.step()?;
        self.messages -= 1;
        self.deliveries = Deliveries::default();
        if self.selection.is_some() {
            self.skip_unselected();
        }
        position.observe(self.observed);
        Some(position)
    }

    /// So that `at` is where a message begins that the chunk is for.
    #[cold]
    fn skip_unselected(&mut self) {
        while self.messages > 0 && !self.is_for(self.ordinal) {
            if self.step().is_none() {
                return;
            }
        }
    }

    /// True if the chunk is for the message with this ordinal.
    fn is_for(&self, ordinal: usize) -> bool {
        let selection = self.selection.as_ref();
        selection.is_none_or(|selection| selection.contains(ordinal))
    }

    /// Steps over one message, whether the chunk is for it or not.
    #[inline]
    fn step(&mut self) -> Option<MessageSpan> {
        let position = step(&self.bytes, &mut self.at);
        match position {
            Some(_) => self.ordinal += 1,
            None => self.messages = 0,
        }
        position
    }
}

#[cfg(all(test, not(aiomsg_loom)))]
#[path = "chunk_tests.rs"]
mod tests;
