//! After mimalloc's stress test: threads allocate and free blocks of all sizes at random, keep some of them to their
//! end, and pass others on through slots that all share.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use super::Episodes;
use super::sizes::Sizes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

/// How many slots are shared.
const SHARED: usize = 1000;
/// How many blocks a thread has at most.
const OWN: usize = 2000;
/// How many steps a thread takes.
const STEPS: usize = 20_000;
/// One of so many blocks is large.
const RARELY: u64 = 128;

pub(super) struct Mstress {
    family: Family,
    small: Sizes,
    large: Sizes,
    shared: Vec<AtomicPtr<u8>>,
    lanes: Vec<(Slots, Random)>,
}

impl Mstress {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        Self {
            family,
            small: Sizes::log_between(8, 2048, seed),
            large: Sizes::log_between(2048, 128 << 10, seed + 1),
            shared: (0..SHARED)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            lanes: (0..threads)
                .map(|thread| (Slots::new(OWN), Random::new(seed + thread as u64)))
                .collect(),
        }
    }
}

impl Episodes for Mstress {
    fn run(&mut self) -> u64 {
        let (family, small, large, shared) = (self.family, &self.small, &self.large, &self.shared);
        let mut allocations = 0;
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (slots, random) in &mut self.lanes {
                threads.push(scope.spawn(move || {
                    let size = |bits: u64| {
                        if bits.is_multiple_of(RARELY) {
                            large.choose(bits >> 20)
                        } else {
                            small.choose(bits >> 20)
                        }
                    };
                    stress(family, size, shared, slots.blocks(), random)
                }));
            }
            for thread in threads {
                allocations += thread.join().expect("no thread panics");
            }
        });
        allocations
    }
}

/// Returns the number of allocations.
fn stress(
    family: Family,
    size: impl Fn(u64) -> usize,
    shared: &[AtomicPtr<u8>],
    blocks: &mut [*mut u8],
    random: &mut Random,
) -> u64 {
    let mut live = 0;
    let mut allocations = 0;
    for _ in 0..STEPS {
        let bits = random.next_u64();
        let choice = bits >> 32;
        match choice % 8 {
            // More allocations than frees, until there is no room.
            0..=3 if live < OWN => {
                blocks[live] = family.malloc(size(bits));
                live += 1;
                allocations += 1;
            }
            4 | 5 if live > 0 => {
                let place = (choice >> 3) as usize % live;
                let slot = &shared[(choice >> 12) as usize % SHARED];
                blocks[place] = slot.swap(blocks[place], Ordering::AcqRel);
                if blocks[place].is_null() {
                    live -= 1;
                    blocks[place] = blocks[live];
                }
            }
            _ if live > 0 => {
                live -= 1;
                let place = (choice >> 3) as usize % (live + 1);
                let block = blocks[place];
                blocks[place] = blocks[live];
                // SAFETY: a live block that only this thread has, and that has left the array.
                unsafe { family.free(block) };
            }
            _ => {}
        }
    }
    for &block in &blocks[..live] {
        // SAFETY: these blocks are live and this thread's; the array is not read before it is filled again.
        unsafe { family.free(block) };
    }
    allocations
}
