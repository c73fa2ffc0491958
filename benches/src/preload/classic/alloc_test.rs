//! After node-dcpp's alloc-test: of many slots a random one is filled if it is empty and emptied if not, and each
//! block's bytes are all written when it comes and read when it goes.

use std::thread;
use std::{ptr, slice};

use super::Episodes;
use super::contents::{fill, lost};
use super::lane::Lane;
use super::sizes::Sizes;
use crate::preload::family::Family;

const SLOTS: usize = 1 << 14;
const STEPS: u64 = 40_000;

pub(super) struct AllocTest {
    family: Family,
    sizes: Sizes,
    lanes: Vec<Lane>,
}

impl AllocTest {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        Self {
            family,
            sizes: Sizes::log_between(8, 1024, seed),
            lanes: Lane::for_each(threads, SLOTS, seed),
        }
    }
}

impl Episodes for AllocTest {
    fn run(&mut self) -> u64 {
        let (family, sizes) = (self.family, &self.sizes);
        thread::scope(|scope| {
            for lane in &mut self.lanes {
                scope.spawn(move || toggle(family, sizes, lane));
            }
        });
        // Filling and emptying are a step each.
        STEPS / 2 * self.lanes.len() as u64
    }
}

fn toggle(family: Family, sizes: &Sizes, lane: &mut Lane) {
    let (blocks, lengths) = (lane.blocks.blocks(), lane.sizes.numbers());
    for _ in 0..STEPS {
        let bits = lane.random.next_u64();
        let place = (bits >> 40) as usize % SLOTS;
        let (block, length) = (&mut blocks[place], &mut lengths[place]);
        if block.is_null() {
            *length = sizes.choose(bits);
            *block = family.malloc(*length);
            // SAFETY: the new block has that many bytes.
            unsafe { fill(*block, *length, place as u8) };
        } else {
            // SAFETY: the block is live, has that many bytes, all of which were written, and is only known here.
            let sum: u64 = unsafe { slice::from_raw_parts(*block, *length) }
                .iter()
                .map(|&byte| u64::from(byte))
                .sum();
            if sum != u64::from(place as u8) * *length as u64 {
                lost();
            }
            // SAFETY: live, and forgotten with this.
            unsafe { family.free(*block) };
            *block = ptr::null_mut();
        }
    }
}
