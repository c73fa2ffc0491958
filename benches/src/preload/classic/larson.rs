//! After Larson's server simulation: each thread replaces random blocks of its array, ends, and leaves the array to the
//! next, which so frees what others have allocated.

use std::thread;

use super::Episodes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

const BLOCKS: usize = 1000;
const SMALLEST: u32 = 8;
const LARGEST: u32 = 1000;
const REPLACEMENTS: u64 = 100_000;

pub(super) struct Larson {
    family: Family,
    arrays: Vec<(Slots, Random)>,
}

impl Larson {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        let array = |thread| {
            let mut random = Random::new(seed + thread as u64);
            let mut slots = Slots::new(BLOCKS);
            for block in slots.blocks() {
                *block = family.malloc(random.between(SMALLEST, LARGEST) as usize);
            }
            (slots, random)
        };
        Self {
            family,
            arrays: (0..threads).map(array).collect(),
        }
    }
}

impl Episodes for Larson {
    fn run(&mut self) -> u64 {
        let family = self.family;
        // With several threads, another one begins with each array.
        self.arrays.rotate_left(1);
        thread::scope(|scope| {
            for (slots, random) in &mut self.arrays {
                scope.spawn(move || replace(family, slots.blocks(), random));
            }
        });
        REPLACEMENTS * self.arrays.len() as u64
    }
}

fn replace(family: Family, blocks: &mut [*mut u8], random: &mut Random) {
    for _ in 0..REPLACEMENTS {
        let block = &mut blocks[random.below(BLOCKS as u32) as usize];
        // SAFETY: every slot holds a live block; this one's is replaced at once.
        unsafe { family.free(*block) };
        *block = family.malloc(random.between(SMALLEST, LARGEST) as usize);
    }
}
