//! After mimalloc-bench's mleak: threads that do nothing but put a block into a random one of some shared slots, and free
//! the block that they find there. An allocator that loses what a thread leaves behind grows with each.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use super::Episodes;
use super::contents::{check, lost, mark};
use crate::preload::family::Family;
use crate::random::Random;

const SLOTS: usize = 1000;
/// In bytes.
const SIZE: usize = 128;
/// How many threads run one after the other in each lane.
const THREADS: usize = 1000;

pub(super) struct Mleak {
    family: Family,
    lanes: usize,
    slots: Vec<AtomicPtr<u8>>,
    random: Random,
}

impl Mleak {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        Self {
            family,
            lanes: threads,
            slots: (0..SLOTS)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            random: Random::new(seed),
        }
    }
}

impl Episodes for Mleak {
    fn run(&mut self) -> u64 {
        let (family, slots) = (self.family, &self.slots);
        for _ in 0..THREADS {
            thread::scope(|scope| {
                for _ in 0..self.lanes {
                    let place = self.random.below(SLOTS as u32);
                    scope.spawn(move || exchange(family, &slots[place as usize], place));
                }
            });
        }
        (THREADS * self.lanes) as u64
    }
}

fn exchange(family: Family, slot: &AtomicPtr<u8>, place: u32) {
    let block = family.calloc(SIZE);
    // The first byte was written.
    // SAFETY: within the new block.
    if (1..SIZE).any(|byte| unsafe { block.add(byte).read() } != 0) {
        lost();
    }
    // SAFETY: the new block has that many bytes.
    unsafe { mark(block, SIZE, place) };
    let old = slot.swap(block, Ordering::AcqRel);
    if !old.is_null() {
        // SAFETY: who takes a block from a slot is the only one that has it; it was marked before it came there.
        unsafe {
            check(old, place);
            family.free(old);
        }
    }
}
