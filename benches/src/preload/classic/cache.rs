//! After Hoard's cache-scratch and cache-thrash: threads write to small blocks again and again. An allocator that puts
//! blocks of several threads into one cache line makes them wait for each other: of its own accord (thrash), or because
//! it gives a thread, after its free, what another had allocated beside its own (scratch).

use std::thread;

use super::Episodes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;

const SIZE: usize = 8;
/// How many blocks a thread has, one after the other.
const BLOCKS: u64 = 2000;
/// How often a thread writes to each.
const WRITES: u32 = 100;

pub(super) struct Cache {
    family: Family,
    threads: usize,
    /// The blocks that the main thread has allocated for the others, side by side; for scratch only.
    given: Option<Slots>,
}

impl Cache {
    pub(super) fn scratch(family: Family, threads: usize) -> Self {
        Self {
            family,
            threads,
            given: Some(Slots::new(threads)),
        }
    }

    pub(super) fn thrash(family: Family, threads: usize) -> Self {
        Self {
            family,
            threads,
            given: None,
        }
    }
}

/// A block on its way to the thread that frees it.
struct Given(*mut u8);

// SAFETY: whoever has the value is the only one that knows the block.
unsafe impl Send for Given {}

impl Episodes for Cache {
    fn run(&mut self) -> u64 {
        let family = self.family;
        let mut given = self.given.as_mut().map(Slots::blocks);
        if let Some(given) = &mut given {
            for block in given.iter_mut() {
                *block = family.malloc(SIZE);
            }
        }
        thread::scope(|scope| {
            for thread in 0..self.threads {
                let given = given.as_ref().map(|given| Given(given[thread]));
                scope.spawn(move || {
                    if let Some(Given(block)) = given {
                        // SAFETY: the main thread has given this block to this thread alone.
                        unsafe { family.free(block) };
                    }
                    write(family);
                });
            }
        });
        BLOCKS * self.threads as u64
    }
}

fn write(family: Family) {
    for _ in 0..BLOCKS {
        let block = family.malloc(SIZE);
        for _ in 0..WRITES {
            for place in 0..SIZE {
                // SAFETY: within the live block.
                unsafe {
                    let byte = block.add(place);
                    byte.write_volatile(byte.read_volatile().wrapping_add(1));
                }
            }
        }
        // SAFETY: live, and forgotten with this.
        unsafe { family.free(block) };
    }
}
