//! After rpmalloc's benchmark, with the arguments that mimalloc-bench gives it: each thread frees some of its blocks and
//! replaces others, loop after loop; after every other loop it allocates as many for another thread, which frees them.

use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use super::Episodes;
use super::contents::{check, mark};
use super::lane::Lane;
use super::sizes::Sizes;
use crate::preload::family::Family;
use crate::random::Random;

/// How many blocks of its own a thread has at most.
const BLOCKS: usize = 1000;
const LOOPS: usize = 100;
/// How many blocks a loop frees and allocates: between the two.
const FREED: (u32, u32) = (24, 79);
const ALLOCATED: (u32, u32) = (31, 99);
/// How far the next block to free, and to replace, lies from the one before: prime to the number of blocks.
const FREED_STEP: usize = 13;
const ALLOCATED_STEP: usize = 11;
/// One of so many loops allocates for another thread.
const EVERY: usize = 2;

pub(super) struct Rptest {
    family: Family,
    sizes: Sizes,
    lanes: Vec<Lane>,
    inboxes: Vec<Inbox>,
}

/// Blocks on their way to the thread that frees them, itself a block: its pointers follow.
#[repr(C)]
struct Batch {
    next: *mut Batch,
    count: usize,
}

impl Batch {
    /// Where the pointers begin.
    fn blocks(batch: *mut Batch) -> *mut *mut u8 {
        batch.wrapping_add(1).cast()
    }
}

/// The batches for a thread, the latest first.
struct Inbox(AtomicPtr<Batch>);

impl Inbox {
    /// # Safety
    /// The batch is live, and the caller's alone.
    unsafe fn put(&self, batch: *mut Batch) {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: nobody else has it yet (condition).
            unsafe { (*batch).next = first };
            match self
                .0
                .compare_exchange_weak(first, batch, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Checks and frees all batches that are there, with their blocks.
    fn empty(&self, family: Family) {
        let mut batch = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        while !batch.is_null() {
            // SAFETY: who takes the batches is the only one that has them. They and their blocks are live, the blocks are
            // marked with their numbers, and all is forgotten with this.
            unsafe {
                let Batch { next, count } = batch.read();
                for number in 0..count {
                    release(
                        family,
                        Batch::blocks(batch).add(number).read(),
                        number as u32,
                    );
                }
                family.free(batch.cast());
                batch = next;
            }
        }
    }
}

impl Rptest {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        Self {
            family,
            sizes: Sizes::falling(8, 16_000, seed),
            lanes: Lane::for_each(threads, BLOCKS, seed),
            inboxes: (0..threads)
                .map(|_| Inbox(AtomicPtr::new(ptr::null_mut())))
                .collect(),
        }
    }
}

impl Episodes for Rptest {
    fn run(&mut self) -> u64 {
        let (family, sizes, inboxes) = (self.family, &self.sizes, &self.inboxes);
        let done = &Barrier::new(self.lanes.len());
        let mut allocations = 0;
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                threads.push(scope.spawn(move || {
                    let allocations = work(family, sizes, lane, inboxes, number);
                    done.wait();
                    inboxes[number].empty(family);
                    empty(family, lane.blocks.blocks());
                    allocations
                }));
            }
            for thread in threads {
                allocations += thread.join().expect("no thread panics");
            }
        });
        allocations
    }
}

/// What the thread of this number does. Returns the number of allocations.
fn work(family: Family, sizes: &Sizes, lane: &mut Lane, inboxes: &[Inbox], thread: usize) -> u64 {
    let (blocks, random) = (lane.blocks.blocks(), &mut lane.random);
    let (mut freed, mut allocated) = (0, 0);
    let mut allocations = 0;
    // The threads to allocate for: all others in turn.
    let mut others = (1..inboxes.len())
        .map(|distance| &inboxes[(thread + distance) % inboxes.len()])
        .cycle();
    for number in 0..LOOPS {
        for _ in 0..random.between(FREED.0, FREED.1) {
            drop_one(family, blocks, freed);
            freed = (freed + FREED_STEP) % BLOCKS;
        }
        inboxes[thread].empty(family);
        let count = random.between(ALLOCATED.0, ALLOCATED.1);
        for _ in 0..count {
            drop_one(family, blocks, allocated);
            blocks[allocated] = marked(family, sizes, random, allocated as u32);
            allocated = (allocated + ALLOCATED_STEP) % BLOCKS;
        }
        allocations += u64::from(count);
        if number % EVERY == 0
            && let Some(other) = others.next()
        {
            let batch = batch(family, sizes, random, count);
            // SAFETY: new, and only known here.
            unsafe { other.put(batch) };
            allocations += u64::from(count) + 1;
        }
    }
    allocations
}

/// A batch of so many blocks.
fn batch(family: Family, sizes: &Sizes, random: &mut Random, count: u32) -> *mut Batch {
    let bytes = size_of::<Batch>() + count as usize * size_of::<*mut u8>();
    let batch = family.malloc(bytes).cast::<Batch>();
    // SAFETY: new, aligned for any type, and large enough.
    unsafe {
        batch.write(Batch {
            next: ptr::null_mut(),
            count: count as usize,
        });
        for number in 0..count {
            let block = marked(family, sizes, random, number);
            Batch::blocks(batch).add(number as usize).write(block);
        }
    }
    batch
}

/// A new block of a random size.
fn marked(family: Family, sizes: &Sizes, random: &mut Random, number: u32) -> *mut u8 {
    let size = sizes.choose(random.next_u64());
    let block = family.malloc(size);
    // SAFETY: the new block has that many bytes, at least eight.
    unsafe { mark(block, size, number) };
    block
}

/// # Safety
/// The block is live, was marked with the number, is the caller's alone and not used after the call.
unsafe fn release(family: Family, block: *mut u8, number: u32) {
    // SAFETY: forwarded.
    unsafe {
        check(block, number);
        family.free(block);
    }
}

/// Frees the block in this place, if there is one.
fn drop_one(family: Family, blocks: &mut [*mut u8], place: usize) {
    if !blocks[place].is_null() {
        // SAFETY: the blocks in the array are live, marked with their places, and known only here.
        unsafe { release(family, blocks[place], place as u32) };
        blocks[place] = ptr::null_mut();
    }
}

fn empty(family: Family, blocks: &mut [*mut u8]) {
    for place in 0..blocks.len() {
        drop_one(family, blocks, place);
    }
}
