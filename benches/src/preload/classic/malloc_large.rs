//! After mimalloc-bench's malloc-large: a random one of some large buffers is replaced by one of a random size, which is
//! written to as a whole before the old one is freed. One thread.

use super::Episodes;
use super::contents::{check_ends, fill};
use super::lane::Lane;
use crate::preload::family::Family;

/// How many buffers are live at most.
const BUFFERS: usize = 20;
/// In bytes, as the next.
const SMALLEST: u32 = 5 << 20;
const LARGEST: u32 = 25 << 20;
const REPLACEMENTS: u64 = 10;

pub(super) struct MallocLarge {
    family: Family,
    lane: Lane,
}

impl MallocLarge {
    pub(super) fn new(family: Family, seed: u64) -> Self {
        Self {
            family,
            lane: Lane::new(BUFFERS, seed),
        }
    }
}

impl Episodes for MallocLarge {
    fn run(&mut self) -> u64 {
        let Lane {
            blocks,
            sizes,
            random,
        } = &mut self.lane;
        let (blocks, sizes) = (blocks.blocks(), sizes.numbers());
        for _ in 0..REPLACEMENTS {
            let place = random.below(BUFFERS as u32) as usize;
            let size = random.between(SMALLEST, LARGEST) as usize;
            let block = self.family.malloc(size);
            // SAFETY: the new block has that many bytes; the old one is live, was filled, and is forgotten with this.
            unsafe {
                fill(block, size, place as u8);
                if !blocks[place].is_null() {
                    check_ends(blocks[place], sizes[place], place as u8);
                    self.family.free(blocks[place]);
                }
            }
            (blocks[place], sizes[place]) = (block, size);
        }
        REPLACEMENTS
    }
}
