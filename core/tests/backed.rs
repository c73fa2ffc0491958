//! A pool that grows over a backing, and gives back to it.
#![cfg(feature = "spin")]

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::time::Duration;

use allotment_core::{BackedPool, Backing, LocalHeap, PurgePolicy, panic_on_fault};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const PAGE: usize = 4 * KIB;

/// Memory that grows as far as is wanted, and whose pages read as zero when they were given back. Time
/// stands still unless a test lets it pass.
struct Pages {
    memory: NonNull<u8>,
    capacity: usize,
    /// How far it may grow.
    most: usize,
    committed: Cell<usize>,
    now: Cell<Duration>,
    given: RefCell<Vec<(usize, usize)>>,
}

impl Pages {
    fn new(capacity: usize, most: usize) -> Pages {
        let layout = Layout::from_size_align(capacity, PAGE).unwrap();
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
        memory.as_ptr().expose_provenance();
        Pages {
            memory,
            capacity,
            most,
            committed: Cell::new(MIB),
            now: Cell::new(Duration::ZERO),
            given: RefCell::default(),
        }
    }

    /// Bytes that were given back since this was asked last, each as often as it was.
    fn given(&self) -> usize {
        self.given.take().into_iter().map(|(_, len)| len).sum()
    }

    fn pass(&self, milliseconds: u64) {
        self.now
            .set(self.now.get() + Duration::from_millis(milliseconds));
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.capacity, PAGE).unwrap();
        // SAFETY: allocated with this layout.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), layout) }
    }
}

// SAFETY: the memory is the value's own, and all of it is there at any time.
unsafe impl Backing for Pages {
    type Lock = spin::Mutex<()>;

    fn start(&self) -> NonNull<u8> {
        self.memory
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn committed(&self) -> usize {
        self.committed.get()
    }

    fn is_zeroed(&self) -> bool {
        true
    }

    fn commit(&self, len: usize) -> bool {
        assert!(len > self.committed.get() && len <= self.capacity);
        let fits = len <= self.most;
        if fits {
            self.committed.set(len);
        }
        fits
    }

    unsafe fn decommit(&self, start: NonNull<u8>, len: usize) -> usize {
        let offset = start.addr().get() - self.memory.addr().get();
        assert!(offset + len <= self.committed.get());
        let first = offset.next_multiple_of(PAGE);
        let end = (offset + len) / PAGE * PAGE;
        if end <= first {
            return 0;
        }
        // SAFETY: the pages lie in the memory, and nobody needs them (condition).
        unsafe { self.memory.add(first).write_bytes(0, end - first) }
        self.given.borrow_mut().push((first, end - first));
        end - first
    }

    fn now(&self) -> Duration {
        self.now.get()
    }
}

type TestPool = BackedPool<spin::Mutex<()>, Pages>;

fn pool(capacity: usize, most: usize) -> TestPool {
    BackedPool::new(Pages::new(capacity, most), panic_on_fault).unwrap()
}

/// A block, filled with a byte.
fn filled(pool: &TestPool, size: usize, byte: u8) -> NonNull<u8> {
    let layout = Layout::from_size_align(size, 16).unwrap();
    // SAFETY: the empty local heap is anybody's; the block has this size.
    unsafe {
        let block = pool.allocate_in(LocalHeap::EMPTY, layout).unwrap();
        block.write_bytes(byte, size);
        block
    }
}

fn free(pool: &TestPool, block: NonNull<u8>) {
    // SAFETY: the empty local heap is anybody's, and the test frees each block once.
    unsafe { pool.free_in(LocalHeap::EMPTY, block, None) }
}

fn assert_filled(block: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: the test has a block of this size, written before.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
    assert!(bytes.iter().all(|&b| b == byte));
}

/// Operations that are not on the fast path, as a program goes on with.
fn go_on(pool: &TestPool) {
    for _ in 0..100 {
        free(pool, filled(pool, 100 * KIB, 3));
    }
}

#[test]
fn grows_as_far_as_the_backing_does() {
    let pool = pool(64 * MIB, 20 * MIB);
    let mut blocks = Vec::new();
    let layout = Layout::from_size_align(MIB, 16).unwrap();
    // SAFETY: the empty local heap is anybody's.
    while let Some(block) = unsafe { pool.allocate_in(LocalHeap::EMPTY, layout) } {
        blocks.push(block);
    }
    assert!(blocks.len() >= 18, "{} blocks", blocks.len());
    assert!(pool.backing().committed() > 19 * MIB);
    blocks.into_iter().for_each(|block| free(&pool, block));
    pool.pool().check().unwrap();
    assert_eq!(pool.pool().stats().live_blocks, 0);
    assert_eq!(pool.backing().given(), 0, "nobody asked for it");
}

#[test]
fn resizing_grows_the_pool_too() {
    let pool = pool(64 * MIB, 64 * MIB);
    let block = filled(&pool, 600 * KIB, 7);
    // SAFETY: the empty local heap is anybody's; the block goes on as the one that is answered.
    let (block, refused) = unsafe {
        let larger = pool.resize_in(LocalHeap::EMPTY, block, 30 * MIB).unwrap();
        let layout = Layout::from_size_align(30 * MIB, 16).unwrap();
        let refused = pool.reallocate_in(LocalHeap::EMPTY, larger, layout, 65 * MIB);
        (larger, refused)
    };
    assert_eq!(refused, None);
    assert_filled(block, 600 * KIB, 7);
    free(&pool, block);
    pool.pool().check().unwrap();
}

#[test]
fn a_purge_gives_back_all_that_is_free_and_nothing_else() {
    let pool = pool(64 * MIB, 64 * MIB);
    let blocks: Vec<_> = (0..20).map(|n| filled(&pool, MIB, n)).collect();
    blocks
        .iter()
        .skip(1)
        .step_by(2)
        .for_each(|&block| free(&pool, block));
    // SAFETY: the empty local heap is anybody's.
    let given = unsafe { pool.purge(LocalHeap::EMPTY) };
    assert!(given >= 10 * (MIB - 2 * PAGE), "{given} bytes");
    assert_eq!(pool.backing().given(), given);
    for (n, &block) in blocks.iter().enumerate().step_by(2) {
        assert_filled(block, MIB, n as u8);
        free(&pool, block);
    }
    pool.pool().check().unwrap();
}

#[test]
fn what_nobody_needs_for_the_time_of_the_decay_goes_back() {
    let pool = pool(64 * MIB, 64 * MIB);
    pool.set_purge_policy(PurgePolicy::Decay(Duration::from_secs(10)));
    let kept = filled(&pool, 8 * MIB, 1);
    let block = filled(&pool, 16 * MIB, 2);
    let rest = filled(&pool, 64 * KIB, 9);
    free(&pool, block);
    for _ in 0..9 {
        pool.backing().pass(1000);
        go_on(&pool);
        assert_eq!(pool.backing().given(), 0, "too early");
    }
    pool.backing().pass(1000);
    go_on(&pool);
    let given = pool.backing().given();
    assert!((15 * MIB..48 * MIB).contains(&given), "{given} bytes");
    assert_filled(kept, 8 * MIB, 1);
    assert_filled(rest, 64 * KIB, 9);
    pool.pool().check().unwrap();
    assert_eq!(pool.pool().stats().live_blocks, 2);
}

#[test]
fn much_goes_back_in_parts() {
    let pool = pool(64 * MIB, 64 * MIB);
    pool.set_purge_policy(PurgePolicy::AtOnce);
    let blocks: Vec<_> = (0..10).map(|n| filled(&pool, 5 * MIB, n)).collect();
    // SAFETY: the empty local heap is anybody's; the blocks are freed once.
    let free = |block| unsafe { pool.pool().free_in(LocalHeap::EMPTY, block) };
    for (n, &block) in blocks.iter().enumerate() {
        if n % 2 == 0 {
            free(block);
        }
    }
    let mut pages = std::collections::BTreeSet::new();
    let idle = 25 * MIB;
    for call in 1.. {
        let given = pool.give_back_idle(7 * MIB);
        assert!(given <= 7 * MIB);
        for (first, len) in pool.backing().given.take() {
            for page in (first..first + len).step_by(PAGE) {
                assert!(pages.insert(page), "twice");
            }
        }
        if call * 7 * MIB > idle {
            break;
        }
    }
    let bytes = pages.len() * PAGE;
    assert!(bytes + 100 * KIB >= idle, "{bytes} bytes of {idle}");
    for (n, &block) in blocks.iter().enumerate().skip(1).step_by(2) {
        assert_filled(block, 5 * MIB, n as u8);
        free(block);
    }
    pool.pool().check().unwrap();
}

#[test]
fn what_is_needed_again_and_again_stays() {
    let pool = pool(32 * MIB, 32 * MIB);
    pool.set_purge_policy(PurgePolicy::Decay(Duration::from_secs(1)));
    for _ in 0..50 {
        // Nearly everything is in use at the time of a look.
        let block = filled(&pool, 30 * MIB, 2);
        pool.backing().pass(100);
        go_on_small(&pool);
        free(&pool, block);
        assert!(pool.backing().given() <= 2 * MIB);
    }
}

/// As [`go_on`], with little memory.
fn go_on_small(pool: &TestPool) {
    for _ in 0..100 {
        free(pool, filled(pool, 100, 3));
    }
}

#[test]
fn at_once_gives_back_large_blocks_as_they_are_freed() {
    let pool = pool(64 * MIB, 64 * MIB);
    pool.set_purge_policy(PurgePolicy::AtOnce);
    let (block, kept) = (filled(&pool, 4 * MIB, 1), filled(&pool, 4 * MIB, 2));
    pool.backing().given();
    free(&pool, block);
    assert!(pool.backing().given() >= 4 * MIB - 2 * PAGE);
    assert_filled(kept, 4 * MIB, 2);
    pool.set_purge_policy(PurgePolicy::Never);
    free(&pool, kept);
    pool.backing().pass(1_000_000);
    go_on(&pool);
    assert_eq!(pool.backing().given(), 0);
}

#[test]
fn memory_that_went_back_does_not_count_as_used() {
    let pool = pool(64 * MIB, 64 * MIB);
    pool.set_purge_policy(PurgePolicy::AtOnce);
    assert_eq!(pool.give_back_idle(usize::MAX), 0, "nobody has used it");
    let (block, _kept) = (filled(&pool, 20 * MIB, 1), filled(&pool, MIB, 2));
    // SAFETY: the empty local heap is anybody's; the block is freed once.
    unsafe { pool.pool().free_in(LocalHeap::EMPTY, block) };
    let before = pool.pool().stats();
    assert!(pool.give_back_idle(usize::MAX) > 19 * MIB);
    let after = pool.pool().stats();
    assert_eq!(after, before);
    // What was never written to need not be zeroed: the backing sees no difference.
    let layout = Layout::from_size_align(MIB, 16).unwrap();
    // SAFETY: the empty local heap is anybody's.
    let block = unsafe { pool.allocate_zeroed_in(LocalHeap::EMPTY, layout) }.unwrap();
    assert_filled(block, MIB, 0);
    pool.pool().check().unwrap();
}

/// Whoever finds no memory while it is out of the pool waits for it.
#[test]
fn nobody_is_refused_what_is_about_to_go_back() {
    let pool = pool(16 * MIB, 16 * MIB);
    struct Shared<'a>(&'a TestPool);
    // SAFETY: the backing's cells are used under its lock, or by one thread.
    unsafe impl Sync for Shared<'_> {}
    impl Shared<'_> {
        fn work(&self) {
            let layout = Layout::from_size_align(6 * MIB, 16).unwrap();
            for _ in 0..200 {
                // SAFETY: the empty local heap is anybody's; the block is freed once.
                unsafe {
                    let block = self.0.allocate_in(LocalHeap::EMPTY, layout);
                    let block = block.expect("two such blocks fit");
                    self.0.free_in(LocalHeap::EMPTY, block, None);
                }
            }
        }
    }
    // All of it is the pool's before.
    free(&pool, filled(&pool, 15 * MIB, 1));
    pool.set_purge_policy(PurgePolicy::AtOnce);
    let shared = Shared(&pool);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| shared.work());
        }
    });
    pool.pool().check().unwrap();
    assert_eq!(pool.pool().stats().live_blocks, 0);
}
