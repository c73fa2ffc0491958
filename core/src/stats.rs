//! Figures about a heap.

/// What a heap or pool holds, kept up to date by the operations: reading them is O(1). Only a pool's
/// slabs are counted when it is asked: see [`Pool::stats`](crate::Pool::stats).
///
/// All sizes are bytes. `used_bytes + free_bytes + overhead_bytes == region_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Length of all regions as they were given.
    pub region_bytes: usize,
    /// What the header, the index, the ends of regions and their unusable edges take, and a pool's
    /// local heaps, slab descriptors and granule map.
    pub overhead_bytes: usize,
    /// Allocated blocks, each with its header word and rounding.
    pub used_bytes: usize,
    /// Free blocks, and free objects of slabs.
    pub free_bytes: usize,
    /// The part of `free_bytes` that lies in slabs. It serves requests of the slabs' own sizes.
    pub slab_free_bytes: usize,
    /// The highest `used_bytes` so far, with slabs counted whole; of a pool with local heaps to within
    /// what its own structures have grown since.
    pub peak_bytes: usize,
    /// The largest size that an allocation of ordinary alignment would be granted now.
    ///
    /// It is found by the same bounded look that an allocation takes, so it can be had whole. A
    /// free block deeper in the last list may be larger by less than one list's width (one part in
    /// 32 on 64-bit targets); by more if there are regions longer than the
    /// [`capacity`](crate::Options::capacity), whose blocks share the last list.
    pub largest_free: usize,
    /// Blocks allocated now.
    pub live_blocks: usize,
    /// Blocks handed out so far. A reallocation that moves counts as one.
    pub allocations: usize,
    /// Blocks taken back so far.
    pub deallocations: usize,
    /// Reallocations asked for so far, in place or not.
    pub reallocations: usize,
    /// Requests that were answered `None` for want of memory.
    pub failures: usize,
}

impl Stats {
    /// How far the free bytes are from being one block: `1 - largest free block / free bytes`,
    /// from 0.0 (one piece, or nothing free) to nearly 1.0 (crumbs).
    #[must_use]
    pub fn fragmentation(&self) -> f32 {
        if self.free_bytes == 0 {
            return 0.0;
        }
        let largest = (self.largest_free + size_of::<usize>()).min(self.free_bytes);
        1.0 - largest as f32 / self.free_bytes as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragmentation_is_a_share() {
        let word = size_of::<usize>();
        let stats = Stats {
            free_bytes: 1000,
            largest_free: 250 - word,
            ..Stats::default()
        };
        assert!((stats.fragmentation() - 0.75).abs() < 1e-6);
        assert_eq!(Stats::default().fragmentation(), 0.0);
    }
}
