//! Pools with local heaps: what they hand out and take back.
#![cfg(feature = "spin")]

#[cfg(all(unix, target_pointer_width = "64"))]
mod shadow;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::{Barrier, mpsc};
use std::thread;

use allotment_core::{LocalHeap, Pool};

const MIB: usize = 1 << 20;

fn region(len: usize) -> Vec<MaybeUninit<u8>> {
    let mut region = Vec::with_capacity(len);
    // SAFETY: uninitialised bytes are what the elements may be.
    unsafe { region.set_len(len) };
    region
}

/// One thread's binding.
struct Bound<'p> {
    pool: &'p Pool<'p>,
    local: NonNull<LocalHeap>,
}

impl<'p> Bound<'p> {
    fn new(pool: &'p Pool<'p>) -> Bound<'p> {
        Bound {
            pool,
            local: pool.attach().expect("room for a local heap"),
        }
    }

    fn local(&self) -> &LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        unsafe { self.local.as_ref() }
    }

    fn allocate(&self, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: this thread is bound to the local heap.
        unsafe {
            self.pool
                .allocate_in(self.local(), Layout::from_size_align(size, 1).unwrap())
        }
    }

    fn free(&self, block: NonNull<u8>) {
        // SAFETY: the tests free what they allocated.
        unsafe { self.pool.free_in(self.local(), block) }
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // SAFETY: the binding ends here.
        unsafe { self.pool.detach(self.local) }
    }
}

/// A block whose bytes are known.
struct Filled {
    block: NonNull<u8>,
    size: usize,
    pattern: u8,
}

// SAFETY: whoever has the value has the block.
unsafe impl Send for Filled {}

impl Filled {
    fn new(bound: &Bound<'_>, size: usize, pattern: u8) -> Option<Filled> {
        let block = bound.allocate(size)?;
        // SAFETY: the block has `size` bytes.
        unsafe { block.write_bytes(pattern, size) };
        Some(Filled {
            block,
            size,
            pattern,
        })
    }

    fn free(self, bound: &Bound<'_>) {
        // SAFETY: the block is this value's, and was filled.
        let bytes = unsafe { core::slice::from_raw_parts(self.block.as_ptr(), self.size) };
        assert!(
            bytes.iter().all(|&byte| byte == self.pattern),
            "overwritten"
        );
        bound.free(self.block);
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() % limit
    }

    fn size(&mut self) -> usize {
        match self.below(100) {
            0..70 => self.below(200),
            70..90 => self.below(2000),
            90..98 => self.below(20_000),
            _ => self.below(200_000),
        }
    }
}

#[test]
fn one_thread_keeps_its_blocks_apart() {
    let mut region = region(64 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let bound = Bound::new(&pool);
    let mut random = Random(88_172_645_463_325_252);
    let mut live: Vec<Filled> = Vec::new();
    for step in 0..200_000 {
        if live.len() < 4000 && random.below(2) == 0 {
            let size = random.size();
            live.extend(Filled::new(&bound, size, step as u8));
        } else if !live.is_empty() {
            let at = random.below(live.len());
            live.swap_remove(at).free(&bound);
        }
    }
    pool.check().unwrap();
    for block in live {
        block.free(&bound);
    }
    pool.check().unwrap();
}

#[test]
fn threads_free_what_others_allocated() {
    let mut region = region(64 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    // A local heap stays where it is, so none is to be made in the middle of the region.
    let all_bound = Barrier::new(4);
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..4).map(|_| mpsc::channel::<Filled>()).unzip();
        for (thread, receiver) in receivers.into_iter().enumerate() {
            let senders = senders.clone();
            let (pool, all_bound) = (&pool, &all_bound);
            scope.spawn(move || {
                let bound = Bound::new(pool);
                all_bound.wait();
                let mut random = Random(0x9E37_79B9 + thread as u64);
                let mut live = VecDeque::new();
                for step in 0..50_000 {
                    let size = random.size();
                    live.extend(Filled::new(&bound, size, (step + thread) as u8));
                    if live.len() > 500 {
                        let block = live.pop_front().unwrap();
                        match random.below(3) {
                            0 => block.free(&bound),
                            _ => drop(senders[random.below(4)].send(block)),
                        }
                    }
                    while let Ok(block) = receiver.try_recv() {
                        block.free(&bound);
                    }
                }
                drop(senders);
                for block in live {
                    block.free(&bound);
                }
                for block in receiver {
                    block.free(&bound);
                }
            });
        }
        drop(senders);
    });
    pool.check().unwrap();
    let bound = Bound::new(&pool);
    // SAFETY: bound above.
    unsafe { pool.trim(bound.local()) };
    assert!(pool.stats().largest_free > 55 * MIB, "{:?}", pool.stats());
}

#[test]
fn short_lived_threads_leave_nothing_behind() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let left = Mutex::new(Vec::new());
    let mut free = 0;
    for round in 0..1000 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let bound = Bound::new(&pool);
                let mut left = left.lock().unwrap();
                for block in left.drain(..) {
                    Filled::free(block, &bound);
                }
                left.extend((0..100).map(|n| Filled::new(&bound, n * 7, n as u8).unwrap()));
            });
        });
        if round == 10 {
            free = pool.stats().free_bytes;
        }
    }
    assert_eq!(pool.stats().free_bytes, free);
    pool.check().unwrap();
}

#[test]
fn sixty_four_threads_with_eight_classes_each_share_fourteen_mebibytes() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let start = Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let bound = Bound::new(&pool);
                let sizes = [16, 32, 64, 100, 200, 400, 600, 1000];
                start.wait();
                for _ in 0..50 {
                    let blocks: Vec<_> = sizes
                        .iter()
                        .cycle()
                        .take(200)
                        .map(|&size| Filled::new(&bound, size, size as u8).expect("room"))
                        .collect();
                    start.wait();
                    for block in blocks {
                        block.free(&bound);
                    }
                }
            });
        }
    });
    pool.check().unwrap();
}

/// Fills a pool with objects of one size, frees them at random, and fills it again: at least as full
/// as at first but for a fiftieth. Answers the payload's share of the first filling.
fn fill_again_and_again(len: usize, size: usize) -> f64 {
    let mut region = region(len);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let bound = Bound::new(&pool);
    let mut random = Random(7);
    let mut first = 0;
    for round in 0..5 {
        let mut blocks: Vec<_> = std::iter::from_fn(|| bound.allocate(size)).collect();
        if round == 0 {
            first = blocks.len();
        }
        let payload = blocks.len();
        assert!(
            payload * 50 >= first * 49,
            "{size}: {payload} after {first}"
        );
        for at in 0..blocks.len() {
            let other = at + random.below(blocks.len() - at);
            blocks.swap(at, other);
            bound.free(blocks[at]);
        }
    }
    pool.check().unwrap();
    // SAFETY: bound above.
    unsafe { pool.trim(bound.local()) };
    let stats = pool.stats();
    assert_eq!(stats.live_blocks, 0, "{stats:?}");
    assert!(stats.largest_free * 100 >= len * 98, "{size}: {stats:?}");
    (first * size) as f64 / len as f64
}

#[test]
fn a_full_pool_is_payload_and_can_be_filled_again() {
    // Less than this share of the region is a step back.
    for (size, least) in [
        (16, 0.96),
        (64, 0.985),
        (100, 0.88),
        (1000, 0.985),
        (4096, 0.985),
        (20_000, 0.985),
        (100_000, 0.985),
        (MIB, 13.0 / 14.0),
        (3 * MIB, 12.0 / 14.0),
    ] {
        let share = fill_again_and_again(14 * MIB, size);
        assert!(share >= least, "{size}: {share}");
    }
}

/// Takes a while without optimisation.
#[cfg(not(debug_assertions))]
#[test]
fn a_large_full_pool_is_payload_and_can_be_filled_again() {
    for (size, least) in [
        (16, 0.96),
        (64, 0.985),
        (1000, 0.965),
        (4096, 0.975),
        (20_000, 0.96),
        (MIB, 0.98),
    ] {
        let share = fill_again_and_again(256 * MIB, size);
        assert!(share >= least, "{size}: {share}");
    }
}

/// The highest address that a batch of blocks reaches, which are freed again.
#[cfg(target_pointer_width = "64")]
fn reach(bound: &Bound<'_>, size: usize, count: usize) -> usize {
    let blocks: Vec<_> = (0..count).map(|_| bound.allocate(size).unwrap()).collect();
    let reach = blocks.iter().map(|block| block.addr().get()).max();
    blocks.into_iter().for_each(|block| bound.free(block));
    reach.unwrap()
}

/// Empty slabs are kept for the next objects of their size, but not while others need memory.
#[cfg(target_pointer_width = "64")]
#[test]
fn other_sizes_get_the_memory_of_empty_slabs() {
    let mut memory = region(1 << 30);
    let pool = Pool::create_in_region(&mut memory).unwrap();
    let bound = Bound::new(&pool);
    let first = reach(&bound, 64, 4 * MIB / 64);
    for size in [96, 1024, 320, 10_000, 3 * MIB, 64] {
        let next = reach(&bound, size, 4 * MIB / size);
        // Some is lost to other lengths of slabs, once for all: 2.3 to 3.2 MiB, as the region lies. Without
        // the others' memory it would be 4 MiB for each size.
        let further = next.saturating_sub(first);
        assert!(further < 4 * MIB, "{size}: {further} bytes further");
    }
}

/// A thread that never allocates learns where the slabs of others are, too.
#[test]
fn who_only_frees_sees_new_slabs() {
    let mut memory = region(64 * MIB);
    let pool = Pool::create_in_region(&mut memory).unwrap();
    let (owner, other) = (Bound::new(&pool), Bound::new(&pool));
    let blocks: Vec<_> = (0..10_000).map(|_| owner.allocate(1000).unwrap()).collect();
    let mut refused = 0;
    for block in blocks {
        // SAFETY: this thread is bound to the local heap; the block is freed once.
        unsafe {
            if !other.local().give_to_owner(block.as_ptr()).finish() {
                refused += 1;
                other.free(block);
            }
        }
    }
    assert!(refused <= 1, "{refused} frees went the slow path");
}

/// A block of 2 GiB lies before the first slab; there is room enough behind it.
#[cfg(all(unix, target_pointer_width = "64"))]
#[test]
fn slabs_far_into_a_region_that_may_grow() {
    let memory = shadow::memory::SparseMemory::new(4 << 30);
    let options = allotment_core::Options {
        capacity: 8 << 30,
        ..allotment_core::Options::default()
    };
    // SAFETY: the mapping outlives the pool.
    let pool: Pool = unsafe { Pool::create_in_raw(memory.start(), memory.len(), options) }.unwrap();
    let bound = Bound::new(&pool);
    bound.allocate(2 << 30).expect("room for the block");
    for _ in 0..2000 {
        bound.allocate(64).expect("room for an object");
    }
    pool.check().unwrap();
}

/// What one size has left behind is had again by another.
#[test]
fn a_pool_is_as_large_for_each_size_as_before() {
    let mut region = region(16 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let bound = Bound::new(&pool);
    let mut first = 0;
    for size in [65536, MIB, 4000, 64, 65536, 300, 65536] {
        let blocks: Vec<_> = std::iter::from_fn(|| bound.allocate(size)).collect();
        if size == 65536 {
            if first == 0 {
                first = blocks.len();
            }
            // Empty slabs that are kept until the pool is full may leave gaps.
            let share = blocks.len() * 50;
            assert!(share >= first * 49, "{:?}", pool.stats());
        }
        for block in blocks {
            bound.free(block);
        }
    }
}

#[test]
fn a_full_pool_hands_out_what_is_freed_at_once() {
    for size in [16, 64, 640, 5000, 100_000] {
        let mut region = region(14 * MIB);
        let pool: Pool = Pool::create_in_region(&mut region).unwrap();
        let bound = Bound::new(&pool);
        let mut blocks: Vec<_> = std::iter::from_fn(|| bound.allocate(size)).collect();
        let mut random = Random(11);
        for step in 0..500 {
            // More at a time than make a full slab worth a look, and one.
            let several = if step % 2 == 0 {
                1
            } else {
                1 + random.below(40)
            };
            let freed = several.min(blocks.len());
            for _ in 0..freed {
                bound.free(blocks.swap_remove(random.below(blocks.len())));
            }
            let again: Vec<_> = std::iter::from_fn(|| bound.allocate(size)).collect();
            assert!(again.len() >= freed, "{size}: {} for {freed}", again.len());
            blocks.extend(again);
        }
        pool.check().unwrap();
    }
}

/// Each local heap keeps an empty slab of each class, but not so long ones that nothing is left.
#[test]
fn what_threads_keep_for_themselves_leaves_room_for_others() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let threads: Vec<_> = (0..64).map(|_| Bound::new(&pool)).collect();
    for bound in &threads {
        for size in [16, 32, 64, 100, 200, 400, 600, 1000] {
            let blocks: Vec<_> = (0..(60 << 10) / size)
                .map(|_| bound.allocate(size).expect("room"))
                .collect();
            blocks.into_iter().for_each(|block| bound.free(block));
        }
    }
}

#[test]
fn empty_slabs_make_room_for_zeroed_and_resized_blocks() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let bound = Bound::new(&pool);
    let leave_empty_slabs = || {
        for size in [16, 48, 64, 100, 200, 300, 400, 600] {
            let blocks: Vec<_> = (0..(100 << 10) / size)
                .map(|_| bound.allocate(size).unwrap())
                .collect();
            blocks.into_iter().for_each(|block| bound.free(block));
        }
        pool.stats().largest_free + 50_000
    };
    let size = leave_empty_slabs();
    let layout = Layout::from_size_align(size, 1).unwrap();
    // SAFETY: this thread is bound to the local heap, and frees what it allocated.
    unsafe {
        let zeroed = pool.allocate_zeroed_in(bound.local(), layout);
        bound.free(zeroed.expect("all is free"));
        let small = bound.allocate(5000).unwrap();
        let size = leave_empty_slabs();
        let resized = pool.resize_in(bound.local(), small, size);
        bound.free(resized.expect("all but 5000 bytes is free"));
    }
}

/// A slab that counts as full is not looked at for the sake of one object, but when memory is asked back it is.
#[test]
fn a_trim_finds_each_free_object() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    for (trims, idle) in [(false, true), (true, true), (true, false)] {
        let bound = Bound::new(&pool);
        let blocks: Vec<_> = (0..10_000).map(|_| bound.allocate(64).unwrap()).collect();
        let (one, rest) = blocks.split_first().unwrap();
        bound.free(*one);
        let held = if idle {
            drop(bound);
            None
        } else {
            Some(bound)
        };
        if trims {
            let trimming = held.as_ref().map_or(LocalHeap::EMPTY, Bound::local);
            // SAFETY: this thread is bound to the local heap, or it is the empty one.
            unsafe { pool.trim(trimming) };
        }
        let bound = held.unwrap_or_else(|| Bound::new(&pool));
        let more: Vec<_> = (0..1000).map(|_| bound.allocate(64).unwrap()).collect();
        assert_eq!(more.contains(one), trims, "idle: {idle}");
        more.into_iter().for_each(|block| bound.free(block));
        rest.iter().for_each(|&block| bound.free(block));
        // SAFETY: this thread is bound to the local heap.
        unsafe { pool.trim(bound.local()) };
    }
}
