//! Thread-local words.
//!
//! `thread_local!` in a shared library means a call to `__tls_get_addr`, which may even allocate.
//! Here the words lie in the block that every thread begins with (the initial-exec model): their
//! distance from the thread pointer is a constant that the dynamic loader puts into the GOT, and
//! that the linker puts into the instruction where it builds an executable. A library that is opened
//! by `dlopen(3)` gets its words from what the loader keeps in reserve for this.
//!
//! A read may be merged with an earlier one, or moved, as long as nothing is passed that may write
//! to memory; writes are not moved at all, and count as writing to all memory. So a read sees
//! the last write of its thread, wherever either is inlined. A switch to another stack that goes on in
//! another thread counts as a write, too: it is a call, or assembly that clobbers memory.
//!
//! Signal handlers may read and write at any time if they leave the words as they found them.

use super::local_heap::LocalHeap;

#[cfg_attr(
    all(
        not(miri),
        target_pointer_width = "64",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ),
    path = "initial_exec.rs"
)]
mod words;

/// The number of words.
const COUNT: usize = 7;

/// The word that [`current`](super::current) reads. It begins as the address of
/// [`EMPTY`](super::local_heap::EMPTY), the others as null.
pub(super) const CURRENT: usize = 0;
/// The words of a suspension.
pub(super) const SUSPENDED_HEAP: usize = 1;
pub(super) const HANDLER_FRAME: usize = 2;
pub(super) const ALTERNATE_START: usize = 3;
pub(super) const ALTERNATE_SIZE: usize = 4;
/// The word of [`table`](super::table).
pub(super) const TABLE: usize = 5;
/// The word of [`is_table_busy`](super::is_table_busy): null if it is not.
pub(super) const TABLE_BUSY: usize = 6;

/// The calling thread's word with this number.
#[inline(always)]
pub(super) fn read<const WORD: usize>() -> *mut LocalHeap {
    const { assert!(WORD < COUNT) };
    words::read::<WORD>()
}

/// Sets the calling thread's word with this number.
#[inline(always)]
pub(super) fn write<const WORD: usize>(value: *mut LocalHeap) {
    const { assert!(WORD < COUNT) };
    words::write::<WORD>(value);
}
