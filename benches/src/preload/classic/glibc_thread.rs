//! After glibc's bench-malloc-thread: a random one of some blocks is freed, and another of a random size takes its place
//! and is written to as a whole. Most blocks are very small.

use std::thread;

use super::Episodes;
use super::contents::{check_ends, fill};
use super::lane::Lane;
use super::sizes::Sizes;
use crate::preload::family::Family;

/// How many blocks a thread has.
const BLOCKS: usize = 1024;
const REPLACEMENTS: u64 = 50_000;

pub(super) struct GlibcThread {
    family: Family,
    sizes: Sizes,
    lanes: Vec<Lane>,
}

impl GlibcThread {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        Self {
            family,
            sizes: Sizes::inverse_square(4, 32 << 10, seed),
            lanes: Lane::for_each(threads, BLOCKS, seed),
        }
    }
}

impl Episodes for GlibcThread {
    fn run(&mut self) -> u64 {
        let (family, sizes) = (self.family, &self.sizes);
        thread::scope(|scope| {
            for lane in &mut self.lanes {
                scope.spawn(move || replace(family, sizes, lane));
            }
        });
        REPLACEMENTS * self.lanes.len() as u64
    }
}

fn replace(family: Family, sizes: &Sizes, lane: &mut Lane) {
    let (blocks, lengths) = (lane.blocks.blocks(), lane.sizes.numbers());
    for _ in 0..REPLACEMENTS {
        let bits = lane.random.next_u64();
        let place = (bits >> 40) as usize % BLOCKS;
        let (block, length) = (&mut blocks[place], &mut lengths[place]);
        if !block.is_null() {
            // SAFETY: live, filled, known only here, and forgotten with this.
            unsafe {
                check_ends(*block, *length, place as u8);
                family.free(*block);
            }
        }
        *length = sizes.choose(bits);
        *block = family.malloc(*length);
        // SAFETY: the new block has that many bytes.
        unsafe { fill(*block, *length, place as u8) };
    }
}
