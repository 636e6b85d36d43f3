//! What a thread has read and its pumps have not looked at: while that is little, it is still in the
//! cache of the processor, and so is the memory that the next read goes into.

use std::cell::Cell;

/// With more than this, whoever reads on this thread lets its pumps go first.
const ENOUGH: usize = 128 * 1024;

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// So many bytes more were read.
pub(crate) fn note_read(bytes: usize) {
    READ.set(READ.get().saturating_add(bytes));
}

/// The pumps of this thread have had their turn, or had the chance of one.
pub(crate) fn start_over() {
    READ.set(0);
}

/// Whether the pumps of this thread are to go first.
pub(crate) fn is_enough() -> bool {
    READ.get() >= ENOUGH
}
