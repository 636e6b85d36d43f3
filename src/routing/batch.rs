//! RouteCache messages that are encoded once for all links.
//!
//! Locking every link for every message costs more than the message does. Small published messages
//! are gathered in one block instead, within the room that all links had when it was begun, and the
//! links share that block. It is handed to them when it is full, when the routes change, before
//! anything else is queued for a peer, and when a writer has nothing else to do: beginning a block
//! wakes those that sleep, so that a message never waits for the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::send::copies_for;
use super::{Routes, SocketCore};
use crate::link::{
    Attempt, BLOCK_BYTES, Block, CopyRoom, Courtesy, Entry, GATHER_FROM, Link, Pushed, Refused,
    Reservation, Target,
};
use crate::sync::Ordering;
use crate::wire;

/// A block for all links, while it is being filled.
#[derive(Debug)]
pub(super) struct Batch {
    /// The links that it is for, and the version of their list.
    routes: Arc<Routes>,
    version: u64,
    head: Vec<u8>,
    frames: usize,
    /// What all of them had room for.
    room: Reservation,
}

impl Batch {
    fn takes(&self, payload: &Bytes) -> bool {
        let bytes = self.head.len() + wire::DATA_HEADER_BYTES + payload.len();
        self.frames < self.room.frames && bytes <= self.room.bytes
    }

    fn put(&mut self, payload: &Bytes) {
        self.head
            .extend_from_slice(&wire::data_header(payload.len()));
        self.head.extend_from_slice(payload);
        self.frames += 1;
    }

    /// Hands the block to the links; to those that drop messages, what is in it.
    fn hand_out(self) -> HandedOut {
        let target = copies_for(self.routes.len());
        let head = Bytes::from(self.head);
        let entries = || {
            let mut entries = VecDeque::new();
            Block::shared(head.clone(), self.frames, target).into_entries(&mut entries);
            entries
        };
        let mut out = HandedOut::default();
        let mut taken = false;
        for link in self.routes.iter() {
            taken |= match link.push_copies(&head, self.frames, target) {
                Pushed::All => true,
                Pushed::Sheds => out.give_each(entries(), link),
                Pushed::Closed => false,
            };
        }
        if !taken {
            out.back = entries();
        }
        out
    }
}

/// An attempt to begin a batch.
enum Begun {
    Batch(Batch),
    /// A writer is to have its turn first.
    WriterFirst,
    /// A link is full or closed, or there is none that drops nothing.
    NoRoom,
}

/// What the links of a batch did not take, to be accounted for without any lock.
#[derive(Debug, Default)]
struct HandedOut {
    /// If none took it: what was in it.
    back: VecDeque<Entry>,
    /// What links that drop messages have dropped.
    lost: Vec<(Arc<Link>, VecDeque<Entry>)>,
}

impl HandedOut {
    /// Gives messages to a link that drops some. False if it takes none any more.
    fn give_each(&mut self, entries: VecDeque<Entry>, link: &Arc<Link>) -> bool {
        let (mut taken, mut lost) = (false, VecDeque::new());
        for mut entry in entries {
            let Ok(shedding) = link.publish(&mut entry) else {
                break;
            };
            taken = true;
            lost.extend(shedding.lost);
            if !shedding.taken {
                lost.push_back(entry);
            }
        }
        self.lost.push((Arc::clone(link), lost));
        taken
    }
}

impl SocketCore {
    /// Takes a small published message into the batch. `None` if it is none for a batch, or there is
    /// not room for it everywhere.
    pub(super) fn publish_in_batch(&self, entry: &Entry, courtesy: Courtesy) -> Option<Attempt> {
        if !entry.is_plain() || entry.payload.len() >= GATHER_FROM {
            return None;
        }
        let mut slot = self.batch.lock();
        if let Some(batch) = &mut *slot
            && batch.version == self.routes.version()
            && batch.takes(&entry.payload)
        {
            batch.put(&entry.payload);
            return Some(Attempt::Taken);
        }
        let out = slot.take().map(Batch::hand_out).unwrap_or_default();
        // Set before the links are looked at: a writer that parks behind that look finds it.
        self.batching.store(true, Ordering::SeqCst);
        let begun = self.begin_batch(entry, courtesy);
        let taken = match begun {
            Begun::Batch(mut batch) if batch.takes(&entry.payload) => {
                batch.put(&entry.payload);
                *slot = Some(batch);
                Some(Attempt::Taken)
            }
            Begun::WriterFirst => Some(Attempt::WriterFirst),
            Begun::Batch(_) | Begun::NoRoom => None,
        };
        if slot.is_none() {
            self.batching.store(false, Ordering::SeqCst);
        }
        drop(slot);
        self.account_for(out);
        taken
    }

    /// A batch with the room that all links have. Their writers are awake from now on.
    fn begin_batch(&self, entry: &Entry, courtesy: Courtesy) -> Begun {
        let version = self.routes.version();
        let routes = self.routes.load_full();
        let mut least: Option<Reservation> = None;
        if routes.is_empty() {
            return Begun::NoRoom;
        }
        let looked = self.look_at_each(&routes, |link| {
            match link.room_for_copies(entry, courtesy) {
                Ok(CopyRoom::Bounded(there)) => {
                    let room = least.get_or_insert(there);
                    room.frames = room.frames.min(there.frames);
                    room.bytes = room.bytes.min(there.bytes);
                    Ok(())
                }
                Ok(CopyRoom::Sheds) => Ok(()),
                Ok(CopyRoom::WriterFirst) => Err(Begun::WriterFirst),
                Err(Refused::Full | Refused::Closed) => Err(Begun::NoRoom),
            }
        });
        if let Err(begun) = looked {
            return begun;
        }
        // If all of them drop messages, no writer would come for it.
        let Some(mut room) = least else {
            return Begun::NoRoom;
        };
        let whole_block = BLOCK_BYTES.max(wire::DATA_HEADER_BYTES + entry.payload.len());
        room.bytes = room.bytes.min(whole_block);
        Begun::Batch(Batch {
            routes,
            version,
            head: Vec::new(),
            frames: 0,
            room,
        })
    }

    /// Hands what was gathered to the links. True if that was anything.
    #[inline]
    pub(crate) fn hand_out_batch(&self) -> bool {
        self.batching.load(Ordering::SeqCst) && self.hand_out_now()
    }

    #[cold]
    fn hand_out_now(&self) -> bool {
        let mut slot = self.batch.lock();
        let Some(batch) = slot.take() else {
            return false;
        };
        // Under the lock, so that what is gathered next comes behind it.
        let out = batch.hand_out();
        self.batching.store(false, Ordering::SeqCst);
        drop(slot);
        self.account_for(out);
        true
    }

    /// If all links of a batch were closed, it waits for the next peer, in front of what came since.
    fn account_for(&self, out: HandedOut) {
        for (link, lost) in out.lost {
            self.bury_shed(lost, &link);
        }
        if out.back.is_empty() {
            return;
        }
        let waiting = out.back.into_iter().map(|mut entry| {
            entry.target = Target::Mode;
            entry
        });
        let mut table = self.table.lock();
        table.outbox.requeue(waiting.collect());
        self.settle(&mut table);
    }
}
