//! What the thread of a store does with dead letters.

use std::ops::ControlFlow;

use super::journal::Stored;
use super::letter::{KeptLetter, Letter};
use super::letter_filter::LetterFilter;
use super::letter_index::LetterIndex;
use super::letter_request::{LetterRequest, Redrive, Redriven, TakeRedrive};
use super::record::{Record, key_of, place_of};
use super::store::{Change, OutboxStore, Table};
use super::writer::Writer;
use crate::clock;
use crate::error::StoreError;

/// Letters, and bytes of them, that are in memory at a time while many are redriven or removed.
const PART_LETTERS: usize = 256;
const PART_BYTES: usize = 4 * 1024 * 1024;

/// Reads which letters a store has.
pub(super) fn index_letters(
    store: &mut dyn OutboxStore,
    index: &mut LetterIndex,
) -> Result<usize, StoreError> {
    let (mut damaged, now) = (0, clock::wall());
    store.read(Table::Letters, &[], &mut |key, value| {
        if let Some(id) = place_of(key) {
            match Letter::decode(id, value) {
                Ok(letter) => index.insert(id, letter.cost(), letter.buried),
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
pub(super) fn select(
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
            let part = self.on_store(|store| select(store, &filter, PART_LETTERS, PART_BYTES))?;
            let Some(&(last, _)) = part.last() else {
                return Ok(purged);
            };
            let keys: Vec<_> = part.iter().map(|(id, _)| key_of(*id)).collect();
            let table = Table::Letters;
            let changes = keys.iter().map(|key| Change::Remove { table, key });
            self.commit_changes(&changes.collect::<Vec<_>>())?;
            part.iter().for_each(|(id, _)| self.forget_letter(*id));
            purged += part.len();
            filter = filter.after(last);
        }
    }

    fn redrive_letters(
        &mut self,
        mut filter: LetterFilter,
        mut take: TakeRedrive<Stored>,
    ) -> Result<Redriven, StoreError> {
        let mut redriven = Redriven::default();
        // What fails once more meanwhile is not redriven again.
        let end = self.letters.as_ref().map_or(0, LetterIndex::next_id);
        loop {
            let part = self.on_store(|store| select(store, &filter, PART_LETTERS, PART_BYTES))?;
            let Some(&(last, _)) = part.last() else {
                return Ok(redriven);
            };
            let part = part.into_iter().filter(|(id, _)| *id < end).collect();
            self.redrive_part(part, &mut take, &mut redriven)?;
            filter = filter.after(last);
        }
    }

    fn redrive_part(
        &mut self,
        part: Vec<(u64, Letter)>,
        take: &mut TakeRedrive<Stored>,
        redriven: &mut Redriven,
    ) -> Result<(), StoreError> {
        let mut moves: Vec<(u64, u64, Record, Stored)> = Vec::new();
        let mut gone: Vec<u64> = Vec::new();
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
            } else if !self.shared.stores_messages() {
                match take(Redrive::Send(letter)) {
                    true => gone.push(id),
                    false => redriven.left += 1,
                }
            } else if let Some((place, message, stored)) = self
                .shared
                .admit_redriven(letter.payload.len(), letter.peer)
            {
                let record = Record {
                    id: letter.message.unwrap_or(message),
                    peer: letter.peer,
                    accepted: clock::wall(),
                    expires: None,
                    // A dead letter has its payload alone.
                    envelope: bytes::Bytes::new(),
                    payload: letter.payload,
                };
                moves.push((id, place, record, stored));
            } else {
                redriven.left += 1;
            }
        }
        let committed = self.commit_moves(&moves, &gone);
        if let Err(error) = committed {
            for (_, _, _, stored) in moves {
                // It is not known whether it is in the store: it is taken out of it, when that is possible.
                stored.remove();
            }
            return Err(error);
        }
        redriven.sent += moves.len() + gone.len();
        self.note_letters(0, (moves.len() + gone.len()) as u64);
        gone.iter().for_each(|id| self.forget_letter(*id));
        for (id, _, record, stored) in moves {
            self.forget_letter(id);
            take(Redrive::Stored(record, stored));
        }
        Ok(())
    }

    /// Letters become messages of the store in the commit in which they end as letters.
    fn commit_moves(
        &mut self,
        moves: &[(u64, u64, Record, Stored)],
        gone: &[u64],
    ) -> Result<(), StoreError> {
        let puts = moves.iter();
        let puts: Vec<_> = puts
            .map(|(_, place, record, _)| (key_of(*place), record.encode(*place)))
            .collect();
        let left = moves.iter().map(|(id, ..)| id).chain(gone);
        let left: Vec<_> = left.map(|id| key_of(*id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let puts = puts.iter().map(|(key, value)| Change::Put {
            table: Table::Messages,
            key,
            value,
        });
        let removes = left.iter().map(|key| Change::Remove {
            table: Table::Letters,
            key,
        });
        self.commit_changes(&puts.chain(removes).collect::<Vec<_>>())
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

    fn forget_letter(&mut self, id: u64) {
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
