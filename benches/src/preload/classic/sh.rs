//! After MicroQuill's sh6bench and sh8bench: batches of blocks of 1 to 1000 bytes, the smaller the more; of each batch
//! the first half is freed in order and the second half in reverse. In sh8 a thread frees what the thread before it in
//! the row has allocated.

use std::thread;

use super::Episodes;
use super::sizes::Sizes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

const BATCH: usize = 20_000;
/// How many batches a thread allocates and frees in an episode.
const ROUNDS: usize = 3;

pub(super) struct Sh {
    family: Family,
    sizes: Sizes,
    /// Whether batches change hands.
    shared: bool,
    /// The batches that live from one episode to the next, in two sets: one is freed while the other is filled.
    lanes: Vec<Lane>,
}

struct Lane {
    old: Slots,
    new: Slots,
    random: Random,
}

impl Sh {
    pub(super) fn sh6(family: Family, threads: usize, seed: u64) -> Self {
        Self::new(family, threads, seed, false)
    }

    pub(super) fn sh8(family: Family, threads: usize, seed: u64) -> Self {
        Self::new(family, threads, seed, true)
    }

    fn new(family: Family, threads: usize, seed: u64, shared: bool) -> Self {
        let sizes = Sizes::log_between(1, 1000, seed);
        let lane = |thread| {
            let mut lane = Lane {
                old: Slots::new(BATCH),
                new: Slots::new(BATCH),
                random: Random::new(seed + thread as u64),
            };
            fill(family, &sizes, &mut lane.random, lane.old.blocks());
            lane
        };
        let lanes = (0..threads).map(lane).collect();
        Self {
            family,
            sizes,
            shared,
            lanes,
        }
    }

    /// Each lane's old batch goes to the next lane.
    fn pass_on(&mut self) {
        for lane in 1..self.lanes.len() {
            let (before, after) = self.lanes.split_at_mut(lane);
            std::mem::swap(&mut before[lane - 1].old, &mut after[0].old);
        }
    }
}

impl Episodes for Sh {
    fn run(&mut self) -> u64 {
        if self.shared {
            self.pass_on();
        }
        let (family, sizes) = (self.family, &self.sizes);
        // Blocks change hands after each batch in sh8, at the ends of the threads; in sh6 they never do.
        let rounds = if self.shared { 1 } else { ROUNDS };
        thread::scope(|scope| {
            for lane in &mut self.lanes {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        fill(family, sizes, &mut lane.random, lane.new.blocks());
                        empty(family, lane.old.blocks());
                        std::mem::swap(&mut lane.old, &mut lane.new);
                    }
                });
            }
        });
        (self.lanes.len() * rounds * BATCH) as u64
    }
}

fn fill(family: Family, sizes: &Sizes, random: &mut Random, blocks: &mut [*mut u8]) {
    for block in blocks {
        *block = family.malloc(sizes.choose(random.next_u64()));
    }
}

fn empty(family: Family, blocks: &mut [*mut u8]) {
    let (first, second) = blocks.split_at(BATCH / 2);
    for &block in first.iter().chain(second.iter().rev()) {
        // SAFETY: the batch has been filled, this thread alone has it, and it is filled anew before it is read again.
        unsafe { family.free(block) };
    }
}
