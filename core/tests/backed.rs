//! A pool that grows over a backing, and gives back to it.
#![cfg(feature = "spin")]

use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use allotment_core::{
    BackedPool, Backing, LocalHeap, PurgePolicy, Stats, lock_api, panic_on_fault,
};

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

/// What is free is not always found as the largest block: a search may come upon a larger one. The sizes are made
/// for the lists of a 64-bit heap.
#[cfg(target_pointer_width = "64")]
#[test]
fn memory_that_was_out_is_zero_where_it_was() {
    let pool = pool(64 * MIB, 64 * MIB);
    let larger: Vec<_> = (0..4)
        .map(|_| [filled(&pool, 4 * MIB, 1), filled(&pool, 128 * KIB, 2)])
        .collect();
    // The last block, which nobody has used but for its start, is a little larger than four that come
    // before it in their list, and the one that was freed last.
    let rest = pool.pool().stats().largest_free;
    let _filler = filled(&pool, rest - MIB - 24 * KIB, 3);
    let start = filled(&pool, 64, 4);
    for [block, _] in &larger {
        free(&pool, *block);
    }
    free(&pool, start);
    for n in 0..4 {
        filled(&pool, 3 * MIB - (12 - n) * KIB, 5);
    }
    pool.set_purge_policy(PurgePolicy::AtOnce);
    assert!(pool.give_back_idle(usize::MAX) > 3 * MIB);
    pool.pool().check().unwrap();
    let layout = Layout::from_size_align(MIB + 16 * KIB, 16).unwrap();
    // SAFETY: the empty local heap is anybody's.
    let block = unsafe { pool.allocate_zeroed_in(LocalHeap::EMPTY, layout) }.unwrap();
    assert_filled(block, layout.size(), 0);
}

/// A thread comes, uses much, and ends; another frees the rest for it.
#[test]
fn what_threads_leave_behind_goes_back() {
    for policy in [
        PurgePolicy::AtOnce,
        PurgePolicy::Decay(Duration::from_secs(1)),
    ] {
        let pool = pool(64 * MIB, 64 * MIB);
        pool.set_purge_policy(policy);
        let layout = Layout::from_size_align(1000, 16).unwrap();
        // SAFETY: local heaps live as long as the pool; each object is freed once.
        unsafe {
            let (gone, other) = (pool.pool().attach().unwrap(), pool.pool().attach().unwrap());
            let objects: Vec<_> = (0..30 * MIB / 1000)
                .map(|_| pool.allocate_in(gone.as_ref(), layout).unwrap())
                .collect();
            let (own, others) = objects.split_at(objects.len() / 2);
            for &object in own {
                pool.free_in(gone.as_ref(), object, None);
            }
            pool.pool().detach(gone);
            for &object in others {
                pool.free_in(other.as_ref(), object, None);
            }
        }
        let mut pages = std::collections::BTreeSet::new();
        for _ in 0..50 {
            pool.backing().pass(100);
            go_on(&pool);
            for (first, len) in pool.backing().given.take() {
                pages.extend((first..first + len).step_by(PAGE));
            }
        }
        let bytes = pages.len() * PAGE;
        assert!(bytes > 25 * MIB, "{policy:?}: {bytes} bytes");
        pool.pool().check().unwrap();
    }
}

/// A free that is refused leaves the block as it was, content and all.
#[test]
fn what_is_refused_does_not_go_back() {
    let pool = pool(64 * MIB, 64 * MIB);
    pool.set_purge_policy(PurgePolicy::AtOnce);
    let block = filled(&pool, MIB, 7);
    let wrong = Layout::from_size_align(2 * MIB, 16).unwrap();
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: the wrong layout is what is tested: it is noticed.
        unsafe { pool.free_in(LocalHeap::EMPTY, block, Some(wrong)) }
    }));
    assert!(refused.is_err());
    assert_filled(block, MIB, 7);
    free(&pool, block);
    pool.pool().check().unwrap();
}

/// What is out of the pool counts neither as used nor for the peak.
#[test]
fn figures_are_right_while_memory_goes_back() {
    struct Watching(Pages, RefCell<Vec<Stats>>, Cell<*const WatchedPool>);
    type WatchedPool = BackedPool<spin::Mutex<()>, Watching>;

    // SAFETY: as for the pages.
    unsafe impl Backing for Watching {
        type Lock = spin::Mutex<()>;

        fn start(&self) -> NonNull<u8> {
            self.0.start()
        }

        fn capacity(&self) -> usize {
            self.0.capacity()
        }

        fn committed(&self) -> usize {
            self.0.committed()
        }

        fn is_zeroed(&self) -> bool {
            true
        }

        fn commit(&self, len: usize) -> bool {
            self.0.commit(len)
        }

        unsafe fn decommit(&self, start: NonNull<u8>, len: usize) -> usize {
            // SAFETY: the pool outlives the call; another thread could do the same.
            let pool = unsafe { &*self.2.get() }.pool();
            let layout = Layout::from_size_align(100 * KIB, 16).unwrap();
            if let Some(block) = pool.allocate(layout) {
                // SAFETY: freed with the layout that it was allocated with.
                unsafe { pool.deallocate(block, layout) }
            }
            self.1.borrow_mut().push(pool.stats());
            pool.check().unwrap();
            // SAFETY: forwarded.
            unsafe { self.0.decommit(start, len) }
        }
    }

    let pages = Pages::new(64 * MIB, 64 * MIB);
    let watching = Watching(pages, RefCell::default(), Cell::new(core::ptr::null()));
    let pool: WatchedPool = BackedPool::new(watching, panic_on_fault).unwrap();
    pool.backing().2.set(&raw const pool);
    let layout = Layout::from_size_align(3 * MIB, 16).unwrap();
    // SAFETY: the empty local heap is anybody's; each block is freed once.
    unsafe {
        let blocks = [(); 9].map(|()| pool.allocate_in(LocalHeap::EMPTY, layout).unwrap());
        for block in blocks.into_iter().step_by(2) {
            pool.free_in(LocalHeap::EMPTY, block, None);
        }
    }
    let before = pool.pool().stats();
    pool.set_purge_policy(PurgePolicy::AtOnce);
    assert!(pool.give_back_idle(usize::MAX) > 10 * MIB);
    let seen = pool.backing().1.take();
    assert!(seen.len() >= 4);
    for stats in seen.into_iter().chain([pool.pool().stats()]) {
        let figures = |stats: Stats| {
            let Stats {
                used_bytes,
                free_bytes,
                overhead_bytes,
                peak_bytes,
                live_blocks,
                ..
            } = stats;
            [
                used_bytes,
                free_bytes,
                overhead_bytes,
                peak_bytes,
                live_blocks,
            ]
        };
        assert_eq!(figures(stats), figures(before));
    }
}

/// A lock whose taker is cut off before he has it, as in the child of a fork: at the take with this number.
struct CutOff(spin::Mutex<()>);

static CUT_OFF_AT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it is the other lock, which is never taken twice.
unsafe impl lock_api::RawMutex for CutOff {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait's way to make a lock"
    )]
    const INIT: Self = CutOff(spin::Mutex::new(()));
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        if CUT_OFF_AT.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::panic::panic_any(());
        }
        lock_api::RawMutex::lock(&self.0);
    }
    fn try_lock(&self) -> bool {
        lock_api::RawMutex::try_lock(&self.0)
    }
    unsafe fn unlock(&self) {
        // SAFETY: forwarded.
        unsafe { lock_api::RawMutex::unlock(&self.0) }
    }
}

#[test]
fn nothing_is_lost_when_whoever_gives_back_is_cut_off() {
    let pages = Pages::new(64 * MIB, 64 * MIB);
    let pool: BackedPool<CutOff, Pages> = BackedPool::new(pages, panic_on_fault).unwrap();
    pool.set_purge_policy(PurgePolicy::AtOnce);
    let layout = Layout::from_size_align(MIB, 16).unwrap();
    // SAFETY: the empty local heap is anybody's.
    let blocks: Vec<_> = (0..8)
        .map(|_| unsafe { pool.allocate_in(LocalHeap::EMPTY, layout) }.unwrap())
        .collect();
    for &block in blocks.iter().step_by(2) {
        // SAFETY: freed once.
        unsafe { pool.pool().free(block) }
    }
    let before = pool.pool().stats();
    for at in 1..20 {
        CUT_OFF_AT.store(at, Ordering::Relaxed);
        let work = std::panic::AssertUnwindSafe(|| pool.give_back_idle(usize::MAX));
        let cut_off = std::panic::catch_unwind(work).is_err();
        CUT_OFF_AT.store(0, Ordering::Relaxed);
        pool.give_back_idle(0);
        assert_eq!(
            pool.pool().stats().free_bytes,
            before.free_bytes,
            "{at}: {cut_off}"
        );
        pool.pool().check().unwrap();
    }
}

#[test]
fn a_resize_that_is_refused_does_not_make_the_pool_grow() {
    static FAULTS: AtomicUsize = AtomicUsize::new(0);
    let pool = BackedPool::new(Pages::new(64 * MIB, 64 * MIB), |_| {
        FAULTS.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    let (block, _next) = (filled(&pool, 1000, 1), filled(&pool, 1000, 2));
    free(&pool, block);
    let (committed, layout) = (pool.backing().committed(), Layout::new::<[u8; 1000]>());
    // SAFETY: the block is free, so nothing is done.
    unsafe {
        let resized = pool.resize_in(LocalHeap::EMPTY, block, 5000);
        assert_eq!(resized, None);
        let resized = pool.reallocate_in(LocalHeap::EMPTY, block, layout, 5000);
        assert_eq!(resized, None);
    }
    assert_eq!(pool.backing().committed(), committed);
    assert_eq!(FAULTS.load(Ordering::Relaxed), 2);
}
