//! What became of the messages to services.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::executor::Owner;
use super::ledger::Number;
use crate::error::ReceiptError;
use crate::id::MessageId;
use crate::link::Receipt;

/// What is known of one ask.
#[derive(Debug)]
struct AskRecord {
    /// How often it may be handled.
    most: u32,
    handled: u32,
    answered: bool,
}

/// What is known of one tell.
#[derive(Debug, Default)]
struct TellRecord {
    handled: u32,
    refused: u32,
    given_up: bool,
    receipt: Option<Receipt>,
    outcome: Option<Result<(), ReceiptError>>,
}

/// All messages to services.
#[derive(Debug, Default)]
pub(super) struct ServiceLedger {
    asks: BTreeMap<Number, AskRecord>,
    tells: BTreeMap<Number, TellRecord>,
    /// Ids of tells.
    ids: HashSet<MessageId>,
    /// Tells are acknowledged before they are handled.
    pub(super) on_receipt: bool,
}

impl ServiceLedger {
    /// An ask begins, which may be handled so often.
    pub(super) fn ask(&mut self, number: Number, most: u32) {
        let record = AskRecord {
            most,
            handled: 0,
            answered: false,
        };
        let before = self.asks.insert(number, record);
        assert!(before.is_none(), "{number:?} was asked before");
    }

    /// A handler has an ask.
    pub(super) fn handle_ask(&mut self, number: Number) {
        let record = self.asks.get_mut(&number).expect("it was asked");
        record.handled += 1;
        assert!(
            record.handled <= record.most,
            "{number:?} is handled too often: {record:?}"
        );
    }

    /// An ask was answered.
    pub(super) fn answer(&mut self, number: Number) {
        let record = self.asks.get_mut(&number).expect("it was asked");
        assert!(record.handled > 0, "who has answered {number:?}?");
        assert!(!record.answered, "{number:?} is answered again");
        record.answered = true;
    }

    /// A tell is about to be sent.
    pub(super) fn tell(&mut self, number: Number) {
        let before = self.tells.insert(number, TellRecord::default());
        assert!(before.is_none(), "{number:?} was told before");
    }

    fn told(&mut self, number: Number) -> &mut TellRecord {
        self.tells.get_mut(&number).expect("it was told")
    }

    /// It was taken.
    pub(super) fn accept(&mut self, number: Number, receipt: Receipt) {
        self.told(number).receipt = Some(receipt);
    }

    /// Its sender waits no longer for it to be taken.
    pub(super) fn give_up(&mut self, number: Number) {
        let record = self.told(number);
        assert_eq!(
            record.handled, 0,
            "{number:?} was not taken, and is handled"
        );
        record.given_up = true;
    }

    /// The network has taken a tell, or knows it by this id.
    pub(super) fn see(&mut self, id: MessageId) {
        self.ids.insert(id);
    }

    /// True if this is the id of a tell.
    pub(super) fn knows(&self, id: MessageId) -> bool {
        self.ids.contains(&id)
    }

    /// A handler has handled a tell.
    pub(super) fn handle_tell(&mut self, number: Number) {
        let record = self.told(number);
        assert!(!record.given_up, "{number:?} was not taken, and is handled");
        record.handled += 1;
    }

    /// A handler has rejected a tell.
    pub(super) fn refuse_tell(&mut self, number: Number) {
        self.told(number).refused += 1;
    }

    /// Looks at the receipts.
    pub(super) fn look_at_receipts(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for (number, record) in &mut self.tells {
            let Some(receipt) = &mut record.receipt else {
                continue;
            };
            let Poll::Ready(outcome) = Pin::new(receipt).poll(&mut cx) else {
                continue;
            };
            let is_true = match outcome {
                Ok(()) => self.on_receipt || record.handled > 0,
                Err(ReceiptError::Rejected) => record.refused > 0,
                Err(_) => true,
            };
            assert!(is_true, "{number:?} ended as {outcome:?}: {record:?}");
            record.outcome = Some(outcome);
            record.receipt = None;
        }
    }

    /// Tells of a sender that have not come to an end.
    pub(super) fn unsettled_of(&self, sender: Owner) -> Vec<Number> {
        let open = |(number, record): (&Number, &TellRecord)| {
            (number.sender == sender && record.receipt.is_some()).then_some(*number)
        };
        self.tells.iter().filter_map(open).collect()
    }
}
