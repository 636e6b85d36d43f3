//! Output that a connection's writer has taken out of its link and not yet handed to the kernel.
//!
//! Most connections hold nothing most of the time: the memory of a batch is taken from a small
//! store of the thread when there is something to write, and goes back there when all of it is written.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use super::block::Block;

/// Emptied ones that a thread keeps.
const POOLED: usize = 16;

/// A buffer for control frames that has grown larger than this is not kept.
const CONTROL_BYTES: usize = 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are what is lent")]
    static POOL: RefCell<Vec<Box<BatchContent>>> = const { RefCell::new(Vec::new()) };
}

/// Output in the writer's hand.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    held: Option<Box<BatchContent>>,
}

/// Content of a batch that is not empty.
#[derive(Debug, Default)]
pub(crate) struct BatchContent {
    pub(crate) control: Vec<u8>,
    pub(crate) block: Option<Block>,
    /// Bytes of `control`, then of `block`, that are written.
    pub(crate) written: usize,
    /// Room for blocks, which a link that has none to write does not keep.
    places: VecDeque<Block>,
}

static NOTHING: BatchContent = BatchContent {
    control: Vec::new(),
    block: None,
    written: 0,
    places: VecDeque::new(),
};

impl BatchContent {
    pub(crate) fn len(&self) -> usize {
        self.control.len() + self.block.as_ref().map_or(0, Block::len)
    }
}

impl WriteBatch {
    /// All of it is written. Yields the block, for the link to count.
    pub(super) fn finish(&mut self) -> Option<Block> {
        let held = self.held.as_mut()?;
        held.control.clear();
        held.written = 0;
        held.block.take()
    }

    /// Takes control frames, whose place an empty buffer takes, and a block.
    pub(super) fn take(&mut self, control: &mut Vec<u8>, block: Option<Block>) {
        std::mem::swap(&mut self.control, control);
        self.block = block;
    }

    /// There is nothing in hand, nor anything to take. What the link has had control frames and blocks
    /// in is empty too.
    pub(super) fn put_down(&mut self, control: &mut Vec<u8>, places: VecDeque<Block>) {
        let spare = std::mem::take(control);
        let Some(mut held) = self.held.take() else {
            return;
        };
        if places.capacity() > 0 {
            held.places = places;
        }
        if spare.capacity() > held.control.capacity() {
            held.control = spare;
        }
        if held.control.capacity() > CONTROL_BYTES {
            held.control = Vec::new();
        }
        // A connection that ends with its thread finds no store any more.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(held);
            }
        });
    }
}

/// Room for blocks, that an earlier link has used if there is some.
pub(super) fn spare_places() -> VecDeque<Block> {
    let spare = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.last_mut().map(|held| std::mem::take(&mut held.places))
    });
    spare.ok().flatten().unwrap_or_default()
}

/// An empty buffer for control frames, with the room that an earlier one had if there is one.
pub(super) fn spare_control() -> Vec<u8> {
    let spare = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.last_mut()
            .map(|held| std::mem::take(&mut held.control))
    });
    spare.ok().flatten().unwrap_or_default()
}

impl Deref for WriteBatch {
    type Target = BatchContent;

    #[inline]
    fn deref(&self) -> &BatchContent {
        self.held.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for WriteBatch {
    #[inline]
    fn deref_mut(&mut self) -> &mut BatchContent {
        self.held.get_or_insert_with(|| {
            let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
            pooled.ok().flatten().unwrap_or_default()
        })
    }
}
