//! A block of published messages for all links, while it is being filled, and what its links made of it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::link::{
    BLOCK_BYTES, Block, Copies, CopyRoom, Courtesy, Entry, Link, Pushed, Refused, Reservation,
    Target,
};
use crate::routing::route_cache::RouteCache;
use crate::routing::routes::Routes;
use crate::routing::turns::Turns;
use crate::wire;

/// A block for all links, while it is being filled.
#[derive(Debug)]
pub(super) struct Batch {
    /// The links that it is for, and the version of their list.
    routes: Arc<Routes>,
    version: u64,
    head: Vec<u8>,
    /// The same for links whose peers read metadata, once that is something else.
    wrapped: Option<Vec<u8>>,
    /// Each payload that begins as an envelope is in one in `wrapped`.
    guarded: bool,
    frames: usize,
    /// Those of them that have metadata.
    described: usize,
    /// Room that all of them had.
    room: Reservation,
}

impl Batch {
    /// A batch with the room that all links have. Their writers are awake from now on.
    pub(super) fn begin(
        routes: &RouteCache,
        turns: &Turns,
        entry: &Entry,
        courtesy: Courtesy,
    ) -> BatchStart {
        let version = routes.version();
        let routes = routes.load_full();
        let mut least: Option<Reservation> = None;
        let mut guarded = entry.extras.is_some();
        if routes.is_empty() {
            return BatchStart::NoRoom;
        }
        let looked = turns.look_at_each(&routes, |link| {
            match link.room_for_copies(entry, courtesy) {
                Ok(CopyRoom::Bounded { room: there, reads }) => {
                    guarded |= reads;
                    let room = least.get_or_insert(there);
                    room.frames = room.frames.min(there.frames);
                    room.bytes = room.bytes.min(there.bytes);
                    Ok(())
                }
                Ok(CopyRoom::Sheds) => Ok(()),
                Ok(CopyRoom::WriterFirst) => Err(BatchStart::WriterFirst),
                Err(Refused::Full | Refused::Closed) => Err(BatchStart::NoRoom),
            }
        });
        if let Err(begun) = looked {
            return begun;
        }
        // If all of them drop messages, no writer would come for it.
        let Some(mut room) = least else {
            return BatchStart::NoRoom;
        };
        let whole_block = BLOCK_BYTES.max(wire::DATA_HEADER_BYTES + entry.payload.len());
        room.bytes = room.bytes.min(whole_block);
        BatchStart::Batch(Self {
            routes,
            version,
            head: Vec::new(),
            wrapped: None,
            guarded,
            frames: 0,
            described: 0,
            room,
        })
    }

    /// True if the batch is for the links of this version of the list.
    pub(super) fn is_for(&self, version: u64) -> bool {
        self.version == version
    }

    /// True if there is room for one more message.
    #[inline]
    pub(super) fn takes(&self, entry: &Entry) -> bool {
        if entry.extras.is_some() || self.wrapped.is_some() {
            return self.takes_wrapped(entry);
        }
        let bytes = self.head.len() + wire::DATA_HEADER_BYTES + entry.payload.len();
        self.frames < self.room.frames && bytes <= self.room.bytes
    }

    /// The same where what readers of metadata get is more than what others get. An empty batch takes one message.
    #[cold]
    fn takes_wrapped(&self, entry: &Entry) -> bool {
        let head = self.wrapped.as_ref().unwrap_or(&self.head);
        let envelope = entry.envelope_for_reader().len();
        let bytes = head.len() + wire::DATA_HEADER_BYTES + envelope + entry.payload.len();
        let fits = self.frames < self.room.frames && bytes <= self.room.bytes;
        self.guarded && (fits || self.frames == 0)
    }

    #[inline]
    pub(super) fn put(&mut self, entry: &Entry) {
        if self.guarded {
            self.put_wrapped(entry);
        }
        put(&mut self.head, &[], &entry.payload);
        self.frames += 1;
    }

    /// Encodes a message for readers of metadata, if that makes a difference now or did before.
    #[cold]
    fn put_wrapped(&mut self, entry: &Entry) {
        let envelope = entry.envelope_for_reader();
        self.described += usize::from(!entry.envelope().is_empty());
        if self.wrapped.is_none() && !envelope.is_empty() {
            self.wrapped = Some(self.head.clone());
        }
        if let Some(wrapped) = &mut self.wrapped {
            put(wrapped, envelope, &entry.payload);
        }
    }

    /// Hands the block to the links; to those that drop messages, what is in it.
    pub(super) fn hand_out(self) -> HandedOut {
        let target = copies_for(self.routes.len());
        let copies = Copies {
            bare: Bytes::from(self.head),
            wrapped: self.wrapped.map(Bytes::from),
            frames: self.frames,
            described: self.described,
            guarded: self.guarded,
        };
        let entries = || {
            let mut entries = VecDeque::new();
            let (head, wrapped) = match &copies.wrapped {
                Some(wrapped) => (wrapped, true),
                None => (&copies.bare, false),
            };
            Block::shared(head.clone(), copies.frames, target, wrapped).into_entries(&mut entries);
            entries
        };
        let mut out = HandedOut::default();
        let mut taken = false;
        for link in self.routes.iter() {
            taken |= match link.push_copies(&copies, target) {
                Pushed::All => true,
                Pushed::OneByOne => out.give_each(entries(), link),
                Pushed::Closed => false,
            };
        }
        if !taken {
            out.back = entries();
        }
        out
    }
}

fn put(head: &mut Vec<u8>, envelope: &[u8], payload: &[u8]) {
    head.extend_from_slice(&wire::data_header(envelope.len() + payload.len()));
    head.extend_from_slice(envelope);
    head.extend_from_slice(payload);
}

/// An attempt to begin a batch.
pub(super) enum BatchStart {
    Batch(Batch),
    /// A writer is to have its turn first.
    WriterFirst,
    /// A link is full or closed, or there is none that drops nothing.
    NoRoom,
}

/// Messages of a batch that links did not take, to be accounted for without any lock.
#[derive(Debug, Default)]
pub(in crate::routing) struct HandedOut {
    /// If none took it: what was in it.
    pub(in crate::routing) back: VecDeque<Entry>,
    /// Messages that shedding links have dropped.
    pub(in crate::routing) lost: Vec<(Arc<Link>, VecDeque<Entry>)>,
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

/// Addressee of a message for so many peers, as each of them has it: the copy of an only peer
/// stands for all peers there may ever be, and others take it if it was not given to that one.
pub(in crate::routing) fn copies_for(peers: usize) -> Target {
    match peers {
        1 => Target::Mode,
        _ => Target::Copy,
    }
}
