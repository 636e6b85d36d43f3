//! What the thread of a store does with dead letters.

use std::ops::ControlFlow;

use super::journal::Stored;
use super::letter::{KeptLetter, Letter};
use super::letter_filter::LetterFilter;
use super::letter_ids;
use super::letter_index::LetterIndex;
use super::letter_request::{LetterRequest, Redrive, Redriven, TakeRedrive};
use super::record::{Record, key_of, place_of};
use super::store::{OutboxStore, Table};
use super::writer::{Writer, puts, removes};
use crate::clock;
use crate::error::StoreError;

/// Letters, and bytes of them, that are in memory at a time while many are moved or removed.
const PART_LETTERS: usize = 256;
const PART_BYTES: usize = 4 * 1024 * 1024;

/// Reads which letters a store has.
pub(super) fn index_letters(
    store: &mut dyn OutboxStore,
    index: &mut LetterIndex,
) -> Result<usize, StoreError> {
    let (mut damaged, now) = (0, clock::wall());
    index.skip_to(letter_ids::first_free(store)?);
    store.read(Table::Letters, &[], &mut |key, value| {
        if let Some(id) = place_of(key) {
            match Letter::decode(id, value) {
                // A clock that was ahead keeps it no longer than it would from now on.
                Ok(letter) => index.insert(id, letter.cost(), letter.buried.min(now)),
                Err(_) => {
                    damaged += 1;
                    index.insert(id, value.len(), now);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(damaged)
}

/// The letters that are meant, at most so many and, but for the first, so many bytes.
fn select(
    store: &mut dyn OutboxStore,
    filter: &LetterFilter,
    limit: usize,
    bytes: usize,
) -> Result<Vec<(u64, Letter)>, StoreError> {
    let (mut found, mut left) = (Vec::new(), bytes);
    store.read(
        Table::Letters,
        &key_of(filter.first()),
        &mut |key, value| {
            let Some(id) = place_of(key) else {
                return ControlFlow::Continue(());
            };
            if found.len() >= limit || left == 0 || filter.is_behind(id) {
                return ControlFlow::Break(());
            }
            if let Ok(letter) = Letter::decode(id, value)
                && filter.takes(id, &letter)
            {
                left = left.saturating_sub(letter.cost());
                found.push((id, letter));
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}

/// The next of the letters that are meant; none if that was all. `filter` means those behind them from now on.
pub(super) fn next_part(
    store: &mut dyn OutboxStore,
    filter: &mut LetterFilter,
) -> Result<Vec<(u64, Letter)>, StoreError> {
    let part = select(store, filter, PART_LETTERS, PART_BYTES)?;
    if let Some(&(last, _)) = part.last() {
        *filter = filter.clone().after(last);
    }
    Ok(part)
}

/// A letter that is to be a message of the store.
struct Move {
    id: u64,
    letter: Letter,
    record: Record,
    stored: Stored,
}

impl Writer {
    /// Does what was asked of the dead letters.
    pub(super) fn handle_requests(&mut self, requests: Vec<LetterRequest<Stored>>) {
        for request in requests {
            if self.is_broken() {
                request.fail(StoreError::new(
                    "the store fails, and is tried again soon: nothing was done to dead letters",
                ));
                continue;
            }
            // Whoever asked may have lost interest.
            match request {
                LetterRequest::List {
                    filter,
                    limit,
                    answer,
                } => drop(answer.send(self.list_letters(&filter, limit))),
                LetterRequest::Purge { filter, answer } => {
                    let purged = self.purge_letters(&filter);
                    self.note_letters(0, 0);
                    drop(answer.send(purged));
                }
                LetterRequest::Redrive {
                    filter,
                    take,
                    answer,
                } => {
                    let redriven = self.redrive_letters(filter, take);
                    self.note_letters(0, 0);
                    drop(answer.send(redriven));
                }
            }
        }
    }

    fn list_letters(
        &mut self,
        filter: &LetterFilter,
        limit: usize,
    ) -> Result<Vec<KeptLetter>, StoreError> {
        let letters = self.on_store(|store| select(store, filter, limit, usize::MAX))?;
        let kept = letters.into_iter().map(|(id, letter)| letter.kept(id));
        Ok(kept.collect())
    }

    fn purge_letters(&mut self, filter: &LetterFilter) -> Result<usize, StoreError> {
        let (mut filter, mut purged) = (filter.clone(), 0);
        loop {
            let part = self.on_store(|store| next_part(store, &mut filter))?;
            if part.is_empty() {
                return Ok(purged);
            }
            let keys: Vec<_> = part.iter().map(|(id, _)| key_of(*id)).collect();
            self.commit_changes(&removes(Table::Letters, &keys).collect::<Vec<_>>())?;
            part.iter().for_each(|(id, _)| self.forget_letter(*id));
            purged += part.len();
        }
    }

    fn redrive_letters(
        &mut self,
        mut filter: LetterFilter,
        mut take: TakeRedrive<Stored>,
    ) -> Result<Redriven, StoreError> {
        let mut redriven = Redriven::default();
        loop {
            let part = self.on_store(|store| next_part(store, &mut filter))?;
            if part.is_empty() {
                return Ok(redriven);
            }
            self.redrive_part(part, &mut take, &mut redriven)?;
        }
    }

    fn redrive_part(
        &mut self,
        part: Vec<(u64, Letter)>,
        take: &mut TakeRedrive<Stored>,
        redriven: &mut Redriven,
    ) -> Result<(), StoreError> {
        let mut moves: Vec<Move> = Vec::new();
        let mut gone: Vec<(u64, Letter)> = Vec::new();
        for (id, letter) in part {
            if letter.received {
                let begun = self.begin_redelivery(id);
                match begun && take(Redrive::Deliver(letter.kept(id))) {
                    true => redriven.delivered += 1,
                    false => {
                        redriven.left += 1;
                        if begun {
                            self.end_redelivery(id);
                        }
                    }
                }
            } else if !(self.shared.stores_messages() && letter.is_storable()) {
                match take(Redrive::Send(letter.clone())) {
                    true => gone.push((id, letter)),
                    false => redriven.left += 1,
                }
            } else if let Some((message, stored)) = self
                .shared
                .admit_redriven(letter.payload.len() + letter.envelope.len(), letter.peer)
            {
                let record = letter.again(message);
                moves.push(Move {
                    id,
                    letter,
                    record,
                    stored,
                });
            } else {
                redriven.left += 1;
            }
        }
        let committed = self.commit_moves(&moves, &gone);
        if let Err(error) = committed {
            // It is not known what they are in the store. When that is possible, they are letters, and no messages.
            for Move {
                id, letter, stored, ..
            } in moves
            {
                self.keep_again(id, letter);
                stored.remove();
            }
            // These are under way, and will be sent twice if they are redriven again.
            gone.into_iter()
                .for_each(|(id, letter)| self.keep_again(id, letter));
            return Err(error);
        }
        redriven.sent += moves.len() + gone.len();
        self.note_letters(0, (moves.len() + gone.len()) as u64);
        gone.iter().for_each(|(id, _)| self.forget_letter(*id));
        for Move {
            id, record, stored, ..
        } in moves
        {
            self.forget_letter(id);
            take(Redrive::Stored(record, stored));
        }
        Ok(())
    }

    /// Letters become messages of the store in the commit in which they end as letters.
    fn commit_moves(&mut self, moves: &[Move], gone: &[(u64, Letter)]) -> Result<(), StoreError> {
        let messages: Vec<_> = moves
            .iter()
            .map(|Move { record, stored, .. }| (key_of(stored.place), record.encode(stored.place)))
            .collect();
        let left = moves.iter().map(|it| &it.id);
        let left = left.chain(gone.iter().map(|(id, _)| id));
        let left: Vec<_> = left.map(|id| key_of(*id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let changes = puts(Table::Messages, &messages).chain(removes(Table::Letters, &left));
        self.commit_changes(&changes.collect::<Vec<_>>())
    }

    fn begin_redelivery(&mut self, id: u64) -> bool {
        let index = self.letters.as_mut();
        index.is_some_and(|index| index.begin_redelivery(id))
    }

    fn end_redelivery(&mut self, id: u64) {
        if let Some(index) = &mut self.letters {
            index.end_redelivery(id);
        }
    }

    pub(super) fn forget_letter(&mut self, id: u64) {
        if let Some(index) = &mut self.letters {
            index.remove(id);
        }
    }

    /// Publishes how many letters there are, with what became of others.
    pub(super) fn note_letters(&self, discarded: u64, redriven: u64) {
        if let Some(index) = &self.letters {
            self.shared.note_letters(index.load(), discarded, redriven);
        }
    }
}
