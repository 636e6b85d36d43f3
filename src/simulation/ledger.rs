//! What became of each message, as the applications and the network saw it.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes, BytesMut};

use super::executor::Owner;
use super::order::Order;
use super::plan::NARROW;
use super::service_ledger::ServiceLedger;
use super::tap::Seen;
use super::unclaimed::Unclaimed;
use crate::error::ReceiptError;
use crate::event::{DeadLetter, DeadLetterReason};
use crate::id::MessageId;
use crate::link::Receipt;

/// Tells every message of a simulation from all others; it is the beginning of the payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number {
    /// Which incarnation of which socket sends it.
    pub(super) sender: Owner,
    /// Which of its tasks.
    pub(super) task: u16,
    /// Which message of that task.
    pub(super) index: u32,
    /// How often it may be echoed.
    pub(super) hops: u16,
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            sender,
            task,
            index,
            hops,
        } = self;
        write!(f, "{sender}.{task}#{index}")?;
        if *hops > 0 {
            write!(f, "+{hops}")
        } else {
            Ok(())
        }
    }
}

impl Number {
    pub(super) const BYTES: usize = 12;

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let (head, _) = payload.split_first_chunk::<{ Self::BYTES }>()?;
        let part = |from: usize| u32::from_be_bytes(head[from..from + 4].try_into().expect("four"));
        Some(Self {
            sender: part(0),
            index: part(4),
            task: (part(8) >> 16) as u16,
            hops: part(8) as u16,
        })
    }

    /// A payload of this number and so many bytes, which depend on the number.
    pub(super) fn payload(self, bytes: usize) -> Bytes {
        let mut payload = BytesMut::with_capacity(Self::BYTES + bytes);
        payload.put_u32(self.sender);
        payload.put_u32(self.index);
        payload.put_u16(self.task);
        payload.put_u16(self.hops);
        payload.put_bytes(self.filling(), bytes);
        payload.freeze()
    }

    fn filling(self) -> u8 {
        (self.index ^ u32::from(self.task) ^ self.sender) as u8
    }

    fn matches(self, payload: &[u8]) -> bool {
        payload[Self::BYTES..].iter().all(|&b| b == self.filling())
    }
}

/// Whom a message was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Route {
    RoundRobin,
    Publish,
    Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Offered,
    Accepted,
    Refused,
    /// Nobody is told that it was acknowledged.
    Untold,
}

/// What is known of one message.
#[derive(Debug)]
struct Record {
    route: Route,
    reliable: bool,
    mortal: bool,
    fate: Fate,
    /// Copies that were made of it.
    copies: usize,
    receipt: Option<Receipt>,
    outcome: Option<Result<(), ReceiptError>>,
    /// Who it was written to, each time.
    handed: Vec<Owner>,
    delivered: Vec<Owner>,
    /// Who is through with it: handled, rejected, or failed as often as it may.
    finished: Vec<Owner>,
    /// Those of them who have not handled it.
    refused: Vec<Owner>,
    failures: BTreeMap<Owner, u32>,
    /// How often a handler has had it and has it no longer.
    let_go: BTreeMap<Owner, usize>,
    dead: Vec<DeadLetterReason>,
}

impl Record {
    /// True if a receipt tells the truth: that somebody has handled the message, or has refused it.
    fn bears_out(&self, outcome: Result<(), ReceiptError>, on_receipt: bool) -> bool {
        match outcome {
            Ok(()) => on_receipt || self.finished.len() > self.refused.len(),
            Err(_) => !is_answer(outcome) || !self.refused.is_empty(),
        }
    }
}

/// True if an outcome came from the peer, and not because the message was given up.
fn is_answer(outcome: Result<(), ReceiptError>) -> bool {
    use ReceiptError::{Poison, Refused, Rejected, Unclaimed, Undecodable, Unwanted};
    let refused = |error: &ReceiptError| {
        matches!(
            error,
            Poison | Rejected | Undecodable | Unwanted | Unclaimed | Refused
        )
    };
    outcome.is_ok() || outcome.is_err_and(|error| refused(&error))
}

/// What became of each message.
#[derive(Default)]
pub(super) struct Ledger {
    records: BTreeMap<Number, Record>,
    ids: HashMap<MessageId, Number>,
    pub(super) order: Order,
    /// Receipts that have not resolved.
    open_receipts: Vec<Number>,
    /// Messages in the hand of a handler, of which nothing may be lost.
    pub(super) handled: u64,
    /// Every stream of a sender to a recipient is in order, and nothing is lost or sent twice.
    pub(super) calm: bool,
    pub(super) max_attempts: u32,
    /// Policies allow messages to be dropped for want of room.
    pub(super) may_drop: bool,
    /// What has been handled is not delivered again, and nothing is handled twice at a time.
    pub(super) dedupes: bool,
    /// Messages are acknowledged before they are handled.
    pub(super) on_receipt: bool,
    /// Somebody cannot take the largest messages.
    pub(super) narrow: bool,
    pub(super) unclaimed: Unclaimed,
    pub(super) services: ServiceLedger,
}

impl Ledger {
    /// A message is about to be sent.
    pub(super) fn offer(&mut self, number: Number, route: Route, reliable: bool, mortal: bool) {
        let record = Record {
            route,
            reliable,
            mortal,
            fate: Fate::Offered,
            copies: 1,
            receipt: None,
            outcome: None,
            handed: Vec::new(),
            delivered: Vec::new(),
            finished: Vec::new(),
            refused: Vec::new(),
            failures: BTreeMap::new(),
            let_go: BTreeMap::new(),
            dead: Vec::new(),
        };
        let before = self.records.insert(number, record);
        assert!(before.is_none(), "{number:?} was sent before");
    }

    /// It was taken; as so many copies, if it was published.
    pub(super) fn accept(&mut self, number: Number, copies: usize, receipt: Option<Receipt>) {
        let record = self.record(number);
        record.fate = Fate::Accepted;
        record.copies = copies.max(1);
        if receipt.is_some() {
            record.receipt = receipt;
            self.open_receipts.push(number);
        }
        self.order.accept(number);
    }

    /// It was not taken, or its sender gave up waiting.
    pub(super) fn refuse(&mut self, number: Number) {
        self.record(number).fate = Fate::Refused;
    }

    /// It was taken, and will be acknowledged, of which nobody learns.
    pub(super) fn accept_untold(&mut self, number: Number) {
        self.record(number).fate = Fate::Untold;
        self.order.accept(number);
    }

    fn record(&mut self, number: Number) -> &mut Record {
        self.records
            .get_mut(&number)
            .unwrap_or_else(|| panic!("{number:?} was never sent"))
    }

    /// The network has taken something.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Data { to, id, number, .. } => {
                self.order.write(number);
                let record = self.record(number);
                record.handed.push(to);
                assert_eq!(id.is_some(), record.reliable, "{number:?}");
                if let Some(id) = id {
                    let known = self.ids.insert(id, number);
                    assert!(
                        known.is_none_or(|known| known == number),
                        "{number:?} has the id of {known:?}"
                    );
                }
            }
            Seen::Told(id) => self.services.see(id),
            Seen::Ack { id, .. } if self.services.knows(id) => {}
            Seen::Ack { from, id } => {
                let number = self.ids[&id];
                if self.on_receipt || self.record(number).finished.contains(&from) {
                    return;
                }
                assert!(
                    self.unclaimed.may_acknowledge(number, from),
                    "{from} acknowledges {number:?} which it has not finished"
                );
                let record = self.record(number);
                record.finished.push(from);
                record.refused.push(from);
            }
        }
    }

    /// A handler has got it.
    pub(super) fn deliver(&mut self, number: Number, payload: &[u8], to: Owner) {
        self.handled += 1;
        assert!(number.matches(payload), "{number:?} is damaged");
        let dedupes = self.dedupes;
        let record = self.record(number);
        assert_ne!(record.fate, Fate::Refused, "{number:?} was refused");
        let times = record.delivered.iter().filter(|&&by| by == to).count();
        let (reliable, route) = (record.reliable, record.route);
        assert!(
            record.handed.contains(&to),
            "{number:?} was never written to {to}"
        );
        assert!(
            reliable || times == 0,
            "{number:?} was delivered to {to} once more"
        );
        if dedupes {
            let let_go = record.let_go.get(&to).copied().unwrap_or_default();
            let again = let_go != times || record.finished.contains(&to);
            assert!(!again, "{to} has {number:?} already");
        }
        record.delivered.push(to);
        if times == 0 {
            self.order.deliver(number, route, reliable, to);
        }
    }

    /// A handler is through with it for good.
    pub(super) fn finish(&mut self, number: Number, by: Owner) {
        self.record(number).finished.push(by);
        self.let_go(number, by);
    }

    /// A handler has rejected it.
    pub(super) fn reject(&mut self, number: Number, by: Owner) {
        self.finish(number, by);
        self.record(number).refused.push(by);
    }

    /// A handler has it no longer.
    pub(super) fn let_go(&mut self, number: Number, by: Owner) {
        *self.record(number).let_go.entry(by).or_default() += 1;
    }

    /// A handler has failed on it.
    pub(super) fn fail(&mut self, number: Number, by: Owner) {
        self.let_go(number, by);
        let most = self.max_attempts;
        let record = self.record(number);
        let failures = record.failures.entry(by).or_default();
        *failures += 1;
        if !record.reliable || *failures >= most {
            record.finished.push(by);
            record.refused.push(by);
        }
    }

    /// A socket announced a dead letter.
    pub(super) fn bury(&mut self, letter: &DeadLetter, by: Owner) {
        assert_eq!(letter.lagged, 0);
        let Some(number) = Number::read(&letter.payload) else {
            return;
        };
        let too_large = self.narrow && letter.payload.len() > NARROW;
        let record = self.record(number);
        if number.sender == by {
            assert!(
                letter.reason != DeadLetterReason::PeerCannotTake || too_large,
                "{number:?} was given up for a bad network"
            );
            if letter.reason == DeadLetterReason::HalfWritten {
                assert!(!record.handed.is_empty(), "{number:?} was never begun");
                // It began to be written, which is this very end of it.
                return;
            }
            record.dead.push(letter.reason);
            return;
        }
        if letter.reason == DeadLetterReason::Unclaimed {
            self.unclaimed.bury(number, by);
            return;
        }
        let came_too_late = letter.reason == DeadLetterReason::Closed && !record.reliable;
        assert!(
            record.finished.contains(&by) || came_too_late,
            "{by} gave up {number:?} without a reason"
        );
    }

    /// Looks at the receipts. What is acknowledged was handled by somebody.
    pub(super) fn look_at_receipts(&mut self) {
        self.services.look_at_receipts();
        let mut cx = Context::from_waker(Waker::noop());
        let (records, on_receipt) = (&mut self.records, self.on_receipt);
        self.open_receipts.retain(|number| {
            let Some(record) = records.get_mut(number) else {
                return false;
            };
            let Some(receipt) = &mut record.receipt else {
                return false;
            };
            let Poll::Ready(outcome) = Pin::new(receipt).poll(&mut cx) else {
                return true;
            };
            assert!(
                record.bears_out(outcome, on_receipt),
                "the receipt of {number:?} says {outcome:?}: {record:?}"
            );
            record.outcome = Some(outcome);
            false
        });
    }

    /// True if this message has arrived, as far as its sender can tell.
    fn unsettled(record: &Record) -> bool {
        record.fate == Fate::Accepted && record.receipt.is_some() && record.outcome.is_none()
    }

    /// Messages whose fate is open although their sender lives.
    pub(super) fn unsettled_of(&self, sender: Owner) -> Vec<Number> {
        let open =
            |(number, record): (&Number, &Record)| Self::unsettled(record).then_some(*number);
        self.records
            .range(range_of(sender))
            .filter_map(open)
            .collect()
    }

    /// The socket of this sender is closed and never was anything but alive: every message has
    /// come to exactly one end.
    pub(super) fn settle(&self, sender: Owner) {
        for (number, record) in self.records.range(range_of(sender)) {
            let told = || format!("{number:?} {record:#?}");
            let (handed, dead) = (record.handed.len(), record.dead.len());
            match record.fate {
                // Its sender was dropped while it waited.
                Fate::Offered | Fate::Refused => {
                    assert_eq!((handed, dead), (0, 0), "refused, and yet: {}", told());
                }
                Fate::Untold => {
                    // Acknowledged on receipt, it dies with the process that received it.
                    let finished = !record.finished.is_empty();
                    let received = self.on_receipt && handed > 0;
                    assert!(finished || received || dead == 1, "lost: {}", told());
                }
                Fate::Accepted if record.reliable => {
                    let answered = record.outcome.is_some_and(is_answer);
                    assert_eq!(usize::from(answered) + dead, 1, "one end of: {}", told());
                    let by_rule = |reason: &DeadLetterReason| match reason {
                        DeadLetterReason::Expired => record.mortal,
                        DeadLetterReason::Overflow => self.may_drop,
                        DeadLetterReason::PeerCannotTake => self.narrow,
                        DeadLetterReason::PeerGone => record.route == Route::Named && !self.calm,
                        _ => false,
                    };
                    assert!(record.dead.iter().all(by_rule), "lost: {}", told());
                }
                // It expired while it waited to be published, before there was any copy.
                Fate::Accepted if record.mortal && record.dead == [DeadLetterReason::Expired] => {
                    let ends = if handed == 0 {
                        1
                    } else {
                        record.copies - handed
                    };
                    assert_eq!(ends, 1, "one end of each: {}", told());
                }
                Fate::Accepted => {
                    assert_eq!(handed + dead, record.copies, "one end of each: {}", told());
                    let mut twice = record.handed.clone();
                    twice.sort_unstable();
                    twice.dedup();
                    assert_eq!(twice.len(), handed, "sent twice: {}", told());
                    if self.calm {
                        assert_eq!(dead, 0, "lost: {}", told());
                        assert_eq!(record.delivered.len(), handed, "lost: {}", told());
                    }
                }
            }
        }
    }

    /// How many messages of a sender by round-robin each recipient has been sent.
    pub(super) fn shares(&self, sender: Owner) -> BTreeMap<Owner, usize> {
        let mut shares = BTreeMap::new();
        for (_, record) in self.records.range(range_of(sender)) {
            if record.route == Route::RoundRobin {
                for &to in &record.handed {
                    *shares.entry(to).or_default() += 1;
                }
            }
        }
        shares
    }

    /// Deliveries so far to one recipient.
    pub(super) fn delivered_to(&self, owner: Owner) -> usize {
        let to = |record: &Record| record.delivered.iter().filter(|&&to| to == owner).count();
        self.records.values().map(to).sum()
    }

    /// How many messages there were, and how many deliveries.
    pub(super) fn totals(&self) -> (usize, u64) {
        (self.records.len(), self.handled)
    }
}

fn range_of(sender: Owner) -> std::ops::Range<Number> {
    let first = |sender| Number {
        sender,
        task: 0,
        index: 0,
        hops: 0,
    };
    first(sender)..first(sender + 1)
}
