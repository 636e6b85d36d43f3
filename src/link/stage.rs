//! A block of a link that the link's own thread fills without taking the lock.
//!
//! Taking a lock for each message costs as much as encoding a small one. A sender on the thread
//! of the connection borrows the block that is being filled, with a reservation of what the
//! bounds still allow, and gives it back when it is full, when the connection writes, or when
//! anything else is to be queued. The place of the block in the queue stays reserved, so that the
//! order is that of the sends. A sender on another thread cannot take the block back: it revokes
//! it and goes behind it, and its owner puts nothing more into it.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use bytes::Bytes;

use super::Link;
use super::queue::{Block, GATHER_FROM};
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::wire;

/// Messages for which room is reserved at a time.
const RESERVED_FRAMES: usize = 1024;

/// Less room than this is not worth borrowing.
const LEAST_BYTES: usize = 1024;

thread_local! {
    /// One at a time: whoever finds it taken uses the lock.
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// A borrowed block.
#[derive(Debug)]
struct Stage {
    /// The list of routes that it is valid for: the link is the only one in it.
    version: u64,
    link: Arc<Link>,
    block: Block,
    room: Room,
    /// What was put so far.
    frames: usize,
    bytes: usize,
}

/// What may be put into a borrowed block.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    pub(super) largest_payload: usize,
}

impl Room {
    /// What there is, given what the bounds leave.
    pub(super) fn within(frames: usize, bytes: usize, largest_payload: usize) -> Option<Self> {
        (frames > 1 && bytes >= LEAST_BYTES).then_some(Self {
            frames: frames.min(RESERVED_FRAMES),
            bytes,
            largest_payload: largest_payload.min(GATHER_FROM - 1),
        })
    }
}

/// A link's side of the loan.
#[derive(Debug)]
pub(super) struct Loan {
    owner: ThreadId,
    /// Nothing more is put into the block, because something was queued behind it.
    revoked: AtomicBool,
    /// What was put into it so far, for whoever asks meanwhile.
    frames: AtomicUsize,
    bytes: AtomicUsize,
}

impl Loan {
    /// The current thread is the one that may borrow.
    pub(super) fn new() -> Self {
        Self {
            owner: thread::current().id(),
            revoked: AtomicBool::new(false),
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.owner == thread::current().id()
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    /// What was put into the block so far.
    pub(super) fn filled(&self) -> (usize, usize) {
        let frames = self.frames.load(Ordering::Relaxed);
        (frames, self.bytes.load(Ordering::Relaxed))
    }

    fn note(&self, frames: usize, bytes: usize) {
        self.frames.store(frames, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Whether this thread can borrow.
pub(super) fn is_free() -> bool {
    STAGE.with_borrow(Option::is_none)
}

/// Borrows a block of `link`; the caller holds the lock of the link and has found this thread
/// [free](is_free).
pub(super) fn borrow(link: &Arc<Link>, version: u64, block: Block, room: Room) {
    link.loan.note(0, 0);
    link.loan.revoked.store(false, Ordering::Relaxed);
    STAGE.set(Some(Stage {
        version,
        link: Arc::clone(link),
        block,
        room,
        frames: 0,
        bytes: 0,
    }));
}

/// Gives back what this thread borrowed from `link`, with what was put into it.
pub(super) fn give_back(link: &Link) -> Option<(Block, usize, usize)> {
    let stage = STAGE.try_with(|stage| {
        let mut stage = stage.borrow_mut();
        let here = stage
            .as_ref()
            .is_some_and(|stage| std::ptr::eq(&*stage.link, link));
        if here { stage.take() } else { None }
    });
    let Stage {
        mut block,
        frames,
        bytes,
        ..
    } = stage.ok()??;
    link.loan.note(0, 0);
    block.extend_run(frames);
    Some((block, frames, bytes))
}

/// Queues a message for the only link in a list of routes, if this thread has borrowed a block of
/// it and there is room.
#[inline]
pub(crate) fn try_put(version: u64, payload: &Bytes) -> bool {
    STAGE.with_borrow_mut(|stage| {
        let Some(stage) = stage else { return false };
        let header = wire::data_header(payload.len());
        let bytes = stage.bytes + header.len() + payload.len();
        if stage.version != version
            || bytes > stage.room.bytes
            || stage.frames == stage.room.frames
            || payload.len() > stage.room.largest_payload
            || stage.link.loan.revoked.load(Ordering::Acquire)
        {
            return false;
        }
        stage.block.encode(&header, payload);
        stage.frames += 1;
        stage.bytes = bytes;
        stage.link.loan.note(stage.frames, bytes);
        true
    })
}
