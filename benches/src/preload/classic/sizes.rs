//! Sizes of blocks: the smaller, the more.

use crate::random::Random;

/// A table of sizes to choose from: a logarithm for each choice would take longer than the allocator.
#[derive(Debug)]
pub(super) struct Sizes([u32; 4096]);

impl Sizes {
    /// Sizes from `low` to `high`; each power of two is as likely as the next.
    pub(super) fn log_between(low: u32, high: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self([(); 4096].map(|()| random.log_between(low, high)))
    }

    /// The one that these bits choose.
    #[inline]
    pub(super) fn choose(&self, bits: u64) -> usize {
        self.0[bits as usize % self.0.len()] as usize
    }
}
