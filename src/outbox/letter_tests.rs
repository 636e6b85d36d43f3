//! Dead letters over a store that fails on demand.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
        to_service: false,
        message: None,
        envelope: bytes::Bytes::new(),
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

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(future)
}

/// The payloads of all letters.
fn texts(letters: &Letters) -> Vec<String> {
    let list = wait_for(letters.list(LetterFilter::all(), 100)).unwrap();
    let payloads = list.iter().map(|letter| letter.payload.to_vec());
    payloads
        .map(|payload| String::from_utf8(payload).unwrap())
        .collect()
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
    let redriven = wait_for(letters.redrive(LetterFilter::all(), Box::new(take)));
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
    assert_eq!(texts(&letters).len(), 10);
    assert_eq!(letters.figures().discarded, 40);
}

#[test]
fn a_store_that_fails_is_tried_again_in_time_and_by_itself() {
    let memory = Memory::default();
    let bounds = DeadLetterBounds::new().max_age(Duration::from_millis(1));
    let journal = open_with(&memory, 100, Some(bounds));
    let letters = Letters::stored(&journal).unwrap();
    // It is too old as soon as it is there, and cannot be removed.
    memory.set(|tables| {
        tables.fails_after = Some(1);
        tables.attempts = 0;
    });
    letters.keep(letter("old"), None);
    memory.until(|tables| tables.attempts >= 2);
    let (began, mut before) = (Instant::now(), 0);
    memory.set(|tables| before = tables.attempts);
    std::thread::sleep(Duration::from_millis(50));
    memory.set(|tables| {
        // Once a second.
        let most = before + 1 + began.elapsed().as_secs() as usize;
        assert!(tables.attempts <= most, "{} attempts", tables.attempts);
    });
    memory.until(|tables| tables.reopened > 0 && tables.count(Table::Letters) == 0);
}

#[test]
fn a_store_whose_purge_has_failed_is_opened_again_by_itself() {
    let memory = Memory::default();
    let (_journal, letters) = with_letters(&memory, 2);
    memory.set(|tables| tables.fails_after = Some(0));
    wait_for(letters.purge(LetterFilter::all())).unwrap_err();
    memory.until(|tables| tables.reopened > 0);
    assert_eq!(wait_for(letters.purge(LetterFilter::all())).unwrap(), 2);
}

/// Closes a store, so that it can be opened again.
fn close(journal: Journal) {
    journal.close();
    wait_for(journal.closed());
}

#[test]
fn letters_of_an_earlier_start_count_from_the_beginning_and_go_when_they_are_too_old() {
    let memory = Memory::default();
    let (journal, _) = with_letters(&memory, 3);
    close(journal);
    let bounds = DeadLetterBounds::new();
    let journal = open_with(&memory, 10, Some(bounds));
    let figures = Letters::stored(&journal).unwrap().figures();
    assert_eq!((figures.kept, figures.discarded), (3, 0));
    close(journal);
    // Nobody does anything with the socket.
    let journal = open_with(&memory, 10, Some(bounds.max_age(Duration::from_secs(1))));
    let letters = Letters::stored(&journal).unwrap();
    memory.until(|tables| tables.count(Table::Letters) == 0);
    assert_eq!(texts(&letters), [""; 0]);
    assert_eq!(letters.figures().discarded, 3);
}

#[test]
fn no_letter_has_the_id_of_an_earlier_one_also_over_a_restart() {
    let memory = Memory::default();
    let (journal, letters) = with_letters(&memory, 3);
    wait_for(letters.purge(LetterFilter::all())).unwrap();
    close(journal);
    let journal = open_with(&memory, 10, Some(DeadLetterBounds::new()));
    let letters = Letters::stored(&journal).unwrap();
    letters.keep(letter("the fourth"), None);
    memory.until(|tables| tables.count(Table::Letters) == 1);
    let list = wait_for(letters.list(LetterFilter::all(), 10)).unwrap();
    assert_eq!(list[0].id, 4);
}

#[test]
fn a_letter_that_is_to_go_makes_room_for_a_new_one() {
    let memory = Memory::default();
    let bounds = DeadLetterBounds::new().capacity(2, 10_000);
    let journal = open_with(&memory, 100, Some(bounds));
    let letters = Letters::stored(&journal).unwrap();
    letters.keep(letter("first"), None);
    letters.keep(letter("second"), None);
    memory.until(|tables| tables.count(Table::Letters) == 2);
    memory.set(|tables| tables.stands = true);
    let _message = add_unawaited(&journal).unwrap();
    memory.until(|tables| tables.standing == 1);
    letters.remove(2);
    letters.keep(letter("third"), None);
    memory.set(|tables| tables.stands = false);
    memory.until(|tables| tables.counts.len() >= 3);
    assert_eq!(texts(&letters), ["first", "third"]);
    assert_eq!(letters.figures().discarded, 0);
}

#[test]
fn what_is_redriven_by_a_commit_that_is_made_and_fails_is_a_letter_still() {
    let memory = Memory::default();
    let (journal, letters) = with_letters(&memory, 3);
    memory.set(|tables| tables.lies = true);
    redrive(&letters).0.unwrap_err();
    memory.until(|tables| tables.counts.last() == Some(&(0, 3)));
    assert_eq!(journal.figures().messages, 0);
    assert_eq!(texts(&letters), ["0", "1", "2"]);
    assert_eq!(redrive(&letters).1.len(), 3);
}

#[test]
fn a_message_that_becomes_a_letter_while_the_outbox_closes_is_one_or_the_other() {
    let memory = Memory::default();
    let journal = open_with(&memory, 100, Some(DeadLetterBounds::new()));
    let letters = Letters::stored(&journal).unwrap();
    memory.set(|tables| tables.stands = true);
    let stored = add_unawaited(&journal).unwrap();
    memory.until(|tables| tables.standing == 1);
    journal.close();
    letters.keep(letter("late"), Some(stored));
    memory.set(|tables| tables.stands = false);
    wait_for(journal.closed());
    memory.set(|tables| assert_eq!(tables.counts.last(), Some(&(0, 1))));
}

#[test]
fn a_tell_is_no_message_of_the_store_and_is_a_letter_still_if_the_commit_of_its_end_fails() {
    let memory = Memory::default();
    let (journal, letters) = with_letters(&memory, 0);
    let tell = Letter {
        to_service: true,
        ..letter("tell")
    };
    letters.keep(tell, None);
    memory.until(|tables| tables.count(Table::Letters) == 1);
    let redrive = || {
        let take = |redrive| matches!(redrive, Redrive::Send(letter) if letter.to_service);
        wait_for(letters.redrive(LetterFilter::all(), Box::new(take)))
    };
    memory.set(|tables| tables.lies = true);
    redrive().unwrap_err();
    memory.until(|tables| tables.counts.last() == Some(&(0, 1)));
    assert_eq!(texts(&letters), ["tell"]);
    assert_eq!(redrive().unwrap().sent, 1);
    assert_eq!(texts(&letters), [""; 0]);
    assert_eq!(journal.figures().messages, 0);
}
