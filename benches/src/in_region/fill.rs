//! How much of a region can be used, and used again.

use serde::{Deserialize, Serialize};

use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

/// Sizes of blocks that fill a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The name in tables.
    pub name: &'static str,
    /// The smallest size in bytes.
    pub low: u32,
    /// The largest, up to which all are as likely.
    pub high: u32,
    /// The size of the second filling.
    pub then: u32,
}

const fn equal(name: &'static str, size: u32, then: u32) -> Sizes {
    Sizes {
        name,
        low: size,
        high: size,
        then,
    }
}

/// All of them, in the order of the tables.
pub const SIZES: [Sizes; 10] = [
    equal("16", 16, 4096),
    equal("64", 64, 4096),
    equal("100", 100, 64),
    equal("1000", 1000, 64),
    equal("4096", 4096, 64),
    equal("20000", 20_000, 64),
    equal("100000", 100_000, 64),
    equal("1M", 1 << 20, 64),
    Sizes {
        name: "1..2000",
        low: 1,
        high: 2000,
        then: 4096,
    },
    Sizes {
        name: "1..100000",
        low: 1,
        high: 100_000,
        then: 64,
    },
];

/// What was reached, in parts of the region.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filling {
    /// The bytes asked for when the first request failed.
    pub full: f64,
    /// The same, when everything had been freed at random.
    pub again: f64,
    /// The largest single block, in steps of 1/128, after everything was freed at random.
    pub largest: f64,
    /// The bytes asked for when the region was full of blocks of another size after that.
    pub refilled: f64,
}

/// Fills the region of `len` bytes that `family` allocates from, frees all at random, twice, looks for the largest block,
/// and fills it with blocks of another size.
pub fn run(family: Family, len: usize, sizes: Sizes, seed: u64) -> Filling {
    let mut random = Random::new(seed);
    let smallest = sizes.low.min(sizes.then) as usize;
    // The array is outside of the region; no allocator needs less than half of what it is asked for, on average.
    let mut slots = Slots::new(2 * len / smallest.max(16));
    let [bytes, again] = [(); 2].map(|()| {
        let (count, bytes) = fill(family, slots.blocks(), || {
            random.between(sizes.low, sizes.high) as usize
        });
        let mut order = Slots::shuffled(count, seed);
        for &place in order.numbers().iter() {
            // SAFETY: the first `count` slots hold live blocks, and the order has each place once.
            unsafe { family.free(slots.blocks()[place]) };
        }
        bytes
    });
    let largest = largest(family, len);
    let (count, refilled) = fill(family, slots.blocks(), || sizes.then as usize);
    for &mut block in &mut slots.blocks()[..count] {
        // SAFETY: live, and not used again.
        unsafe { family.free(block) };
    }
    let part = |bytes: usize| bytes as f64 / len as f64;
    Filling {
        full: part(bytes),
        again: part(again),
        largest,
        refilled: part(refilled),
    }
}

/// Allocates until there is no more; returns how many blocks there are and how many bytes they were asked with.
fn fill(family: Family, blocks: &mut [*mut u8], mut size: impl FnMut() -> usize) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for slot in blocks {
        let size = size();
        let Some(block) = family.try_malloc(size) else {
            break;
        };
        *slot = block;
        count += 1;
        bytes += size;
    }
    (count, bytes)
}

fn largest(family: Family, len: usize) -> f64 {
    const STEPS: usize = 128;
    for step in (1..=STEPS).rev() {
        if let Some(block) = family.try_malloc(len / STEPS * step) {
            // SAFETY: live, and forgotten with this.
            unsafe { family.free(block) };
            return step as f64 / STEPS as f64;
        }
    }
    0.0
}
