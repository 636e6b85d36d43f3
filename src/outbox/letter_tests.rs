//! Dead letters over a store that fails on demand.

use std::sync::Arc;

use parking_lot::Mutex;

use super::journal::{Journal, Stored};
use super::journal_tests::{Memory, add_unawaited, open_with};
use super::letter::Letter;
use super::letter_filter::LetterFilter;
use super::letter_index::DeadLetterBounds;
use super::letter_request::{Redrive, Redriven};
use super::letters::Letters;
use super::store::Table;
use crate::error::StoreError;
use crate::event::DeadLetterReason;

fn letter(text: &str) -> Letter {
    Letter {
        payload: text.to_owned().into(),
        peer: None,
        reason: DeadLetterReason::ResendLimit,
        detail: None,
        received: false,
        at_least_once: true,
        message: None,
        buried: 0,
    }
}

/// A store with so many letters that were messages of it.
fn with_letters(memory: &Memory, count: usize) -> (Journal, Letters) {
    let bounds = DeadLetterBounds::new();
    let journal = open_with(memory, 10_000, Some(bounds));
    let letters = Letters::stored(&journal).unwrap();
    for number in 0..count {
        let stored = add_unawaited(&journal).unwrap();
        letters.keep(letter(&number.to_string()), Some(stored));
    }
    memory.until(|tables| tables.count(Table::Letters) == count);
    assert_eq!(journal.figures().messages, 0);
    (journal, letters)
}

/// Redrives everything; what was taken stays in the store.
fn redrive(letters: &Letters) -> (Result<Redriven, StoreError>, Vec<Stored>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let basket = Arc::clone(&taken);
    let take = move |redrive| match redrive {
        Redrive::Stored(_, stored) => {
            basket.lock().push(stored);
            true
        }
        Redrive::Send(_) | Redrive::Deliver(_) => unreachable!("the store has messages"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let redriven = letters.redrive(LetterFilter::all(), Box::new(take));
    let redriven = runtime.unwrap().block_on(redriven);
    let taken = std::mem::take(&mut *taken.lock());
    (redriven, taken)
}

#[test]
fn what_is_redriven_is_a_letter_or_a_message_after_every_commit() {
    const LETTERS: usize = 600;
    for fails_after in [None, Some(0), Some(1), Some(2)] {
        let memory = Memory::default();
        let (journal, letters) = with_letters(&memory, LETTERS);
        memory.set(|tables| {
            tables.counts.clear();
            tables.fails_after = fails_after;
        });
        let (redriven, taken) = redrive(&letters);
        match (redriven, fails_after) {
            (Ok(redriven), None) => assert_eq!((redriven.sent, redriven.left), (LETTERS, 0)),
            (Err(error), Some(_)) => assert_eq!(error.to_string(), "the disk is full"),
            other => panic!("{other:?}"),
        }
        let moved = fails_after.unwrap_or(3) * 256;
        let moved = moved.min(LETTERS);
        assert_eq!(taken.len(), moved);
        let left = LETTERS - moved;
        // What was perhaps committed is taken out again.
        memory.until(|tables| {
            tables
                .counts
                .last()
                .is_some_and(|last| *last == (moved, left))
        });
        memory.set(|tables| {
            let all = tables.counts.iter();
            assert!(
                all.clone().all(|(m, l)| m + l == LETTERS),
                "{:?}",
                tables.counts
            );
        });
        assert_eq!(journal.figures().messages, moved);
        let figures = letters.figures();
        assert_eq!((figures.kept, figures.redriven), (left, moved as u64));
        // The next try has the rest.
        let (redriven, rest) = redrive(&letters);
        assert_eq!((redriven.unwrap().sent, rest.len()), (left, left));
    }
}

#[test]
fn letters_that_cannot_be_stored_are_bounded_and_stored_later() {
    let memory = Memory::default();
    let bounds = DeadLetterBounds::new().capacity(10, 10_000);
    let journal = open_with(&memory, 100, Some(bounds));
    let letters = Letters::stored(&journal).unwrap();
    memory.set(|tables| tables.fails = true);
    for number in 0..50 {
        letters.keep(letter(&number.to_string()), None);
        if number % 10 == 0 {
            std::thread::sleep(super::journal::WINDOW);
        }
    }
    memory.set(|tables| tables.fails = false);
    memory.until(|tables| tables.count(Table::Letters) == 10);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let list = letters.list(LetterFilter::all(), 100);
    let list = runtime.unwrap().block_on(list).unwrap();
    assert_eq!(list.len(), 10);
    assert_eq!(letters.figures().discarded, 40);
}
