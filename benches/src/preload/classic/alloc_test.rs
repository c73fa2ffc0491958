//! After node-dcpp's alloc-test: of many slots a random one is filled if it is empty and emptied if not, and each
//! block's bytes are all written when it comes and read when it goes.

use std::thread;
use std::{ptr, slice};

use super::Episodes;
use super::sizes::Sizes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

const SLOTS: usize = 1 << 14;
const STEPS: u64 = 40_000;

pub(super) struct AllocTest {
    family: Family,
    sizes: Sizes,
    lanes: Vec<Lane>,
}

struct Lane {
    blocks: Slots,
    /// The size of each block, and what all its bytes were set to.
    sizes: Slots,
    random: Random,
}

impl AllocTest {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        let lane = |thread| {
            let mut lane = Lane {
                blocks: Slots::new(SLOTS),
                sizes: Slots::new(SLOTS),
                random: Random::new(seed + thread as u64),
            };
            lane.blocks.blocks().fill(ptr::null_mut());
            lane
        };
        Self {
            family,
            sizes: Sizes::log_between(8, 1024, seed),
            lanes: (0..threads).map(lane).collect(),
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
            unsafe { ptr::write_bytes(*block, place as u8, *length) };
        } else {
            // SAFETY: the block is live, has that many bytes, all of which were written, and is only known here.
            let sum: u64 = unsafe { slice::from_raw_parts(*block, *length) }
                .iter()
                .map(|&byte| u64::from(byte))
                .sum();
            if sum != u64::from(place as u8) * *length as u64 {
                eprintln!("a block of {length} bytes has lost what was written to it");
                std::process::abort();
            }
            // SAFETY: live, and forgotten with this.
            unsafe { family.free(*block) };
            *block = ptr::null_mut();
        }
    }
}
