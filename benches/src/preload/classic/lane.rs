//! What a thread has from one episode to the next.

use crate::preload::slots::Slots;
use crate::random::Random;

/// Blocks, the size of each, and random numbers.
pub(super) struct Lane {
    /// At first all are null.
    pub(super) blocks: Slots,
    pub(super) sizes: Slots,
    pub(super) random: Random,
}

impl Lane {
    /// One with room for `len` blocks.
    pub(super) fn new(len: usize, seed: u64) -> Self {
        let mut blocks = Slots::new(len);
        blocks.blocks().fill(std::ptr::null_mut());
        Self {
            blocks,
            sizes: Slots::new(len),
            random: Random::new(seed),
        }
    }

    /// One for each thread.
    pub(super) fn for_each(threads: usize, len: usize, seed: u64) -> Vec<Self> {
        (0..threads)
            .map(|thread| Self::new(len, seed + thread as u64))
            .collect()
    }
}
