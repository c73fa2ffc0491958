//! One pool, many threads: nothing is lost, nothing overlaps, and nobody waits for a fault handler.
#![cfg(feature = "spin")]

mod shadow;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, OnceLock};

use allotment_core::lock_api::{GuardSend, RawMutex};
use allotment_core::{
    CreateError, Fault, FaultKind, LocalHeap, LockedHeap, MIN_REGION, Options, Pool,
};

use shadow::faults;
use shadow::memory::{Dirt, Memory};
use shadow::pattern::{Pattern, first_nonzero};

const THREADS: usize = 8;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn recording() -> Options {
    Options {
        on_fault: faults::record,
        ..Options::default()
    }
}

/// A lock other than the default: it gives way while it waits, and knows whether this thread holds it.
struct YieldingLock(AtomicBool);

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the exchange from false to true lets one thread in, and only `unlock` turns it back.
unsafe impl RawMutex for YieldingLock {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for a constant that is copied into place"
    )]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardSend;

    fn lock(&self) {
        while !self.try_lock() {
            std::thread::yield_now();
        }
    }

    fn try_lock(&self) -> bool {
        let locked = self
            .0
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if locked {
            HELD.set(HELD.get() + 1);
        }
        locked
    }

    unsafe fn unlock(&self) {
        HELD.set(HELD.get() - 1);
        self.0.store(false, Ordering::Release);
    }

    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A block with what was written into it.
struct Parcel {
    pointer: NonNull<u8>,
    layout: Layout,
    pattern: Pattern,
}

// SAFETY: a parcel owns its block, and the pool lets any thread use and free it.
unsafe impl Send for Parcel {}

impl Parcel {
    fn new<R: RawMutex>(pool: &Pool<'_, R>, layout: Layout, seed: u64) -> Option<Self> {
        let zeroed = seed.is_multiple_of(5);
        let pointer = if zeroed {
            pool.allocate_zeroed(layout)?
        } else {
            pool.allocate(layout)?
        };
        assert_eq!(pointer.as_ptr().addr() % layout.align(), 0);
        let pattern = Pattern(seed);
        // SAFETY: the pool gave these bytes to this thread alone.
        unsafe {
            if zeroed {
                assert_eq!(first_nonzero(pointer.as_ptr(), layout.size()), None);
            }
            pattern.fill(pointer.as_ptr(), layout.size());
        }
        Some(Self {
            pointer,
            layout,
            pattern,
        })
    }

    fn check(&self, kept: usize) {
        // SAFETY: the block is live and at least this long.
        let difference = unsafe {
            self.pattern
                .first_difference(self.pointer.as_ptr(), self.layout.size(), kept)
        };
        assert_eq!(
            difference, None,
            "{:p} was written to by another",
            self.pointer
        );
    }

    fn resize<R: RawMutex>(&mut self, pool: &Pool<'_, R>, size: usize) {
        // SAFETY: the block is live with this layout.
        let moved = unsafe { pool.reallocate(self.pointer, self.layout, size) };
        if let Some(pointer) = moved {
            self.pointer = pointer;
            let kept = self.layout.size().min(size);
            self.check(kept);
            self.layout = layout(size, self.layout.align());
            // SAFETY: the block has this size now.
            unsafe { self.pattern.fill(pointer.as_ptr(), size) };
        }
    }

    fn free<R: RawMutex>(self, pool: &Pool<'_, R>, sized: bool) {
        self.check(self.layout.size());
        // SAFETY: the block is live with this layout, and `self` is gone.
        unsafe {
            if sized {
                pool.deallocate(self.pointer, self.layout);
            } else {
                pool.free(self.pointer);
            }
        }
    }
}

/// Allocates, resizes, frees, and hands every third block to the next thread, which frees it.
fn work<R: RawMutex>(
    pool: &Pool<'_, R>,
    seed: u64,
    rounds: usize,
    inbox: &Receiver<Parcel>,
    next: &Sender<Parcel>,
) {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut kept: Vec<Parcel> = Vec::new();
    for _ in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let choice = (random >> 8) as usize;
        let size = choice % (1 << (3 + choice % 11));
        let align = 1 << ((choice >> 20) % 9);
        if let Some(parcel) = Parcel::new(pool, layout(size, align), random) {
            if choice.is_multiple_of(3) {
                // The next thread may be done already; then the block is freed here.
                if let Err(unsent) = next.send(parcel) {
                    unsent.0.free(pool, true);
                }
            } else {
                kept.push(parcel);
            }
        }
        if choice.is_multiple_of(7) && !kept.is_empty() {
            let index = choice % kept.len();
            kept[index].resize(pool, (choice >> 12) % 3000);
        }
        if kept.len() > 40 || choice.is_multiple_of(2) && !kept.is_empty() {
            kept.swap_remove(choice % kept.len())
                .free(pool, choice.is_multiple_of(4));
        }
        for parcel in inbox.try_iter() {
            parcel.free(pool, false);
        }
    }
    for parcel in kept {
        parcel.free(pool, true);
    }
}

fn hammer<R: RawMutex + Send + Sync>(pool: &Pool<'_, R>, rounds: usize) {
    let (mut senders, mut receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    // Each thread sends to the one after it.
    senders.rotate_left(1);
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|threads| {
        for seed in 0..THREADS {
            let inbox = receivers.pop().expect("one for each thread");
            let next = senders.pop().expect("one for each thread");
            let barrier = &barrier;
            threads.spawn(move || {
                work(pool, seed as u64 + 1, rounds, &inbox, &next);
                drop(next);
                // After this nobody sends any more, so nothing is left behind in a channel.
                barrier.wait();
                for parcel in inbox.iter() {
                    parcel.free(pool, true);
                }
                faults::assert_none("this thread's work");
            });
        }
    });
}

#[track_caller]
fn assert_empty<R: RawMutex>(pool: &Pool<'_, R>) {
    let report = match pool.check() {
        Ok(report) => report,
        Err(damage) => panic!("{damage}"),
    };
    let stats = pool.stats();
    assert_eq!((stats.live_blocks, stats.used_bytes), (0, 0), "{stats:?}");
    assert_eq!(stats.allocations, stats.deallocations);
    assert_eq!(
        (report.used_blocks, report.free_blocks),
        (0, 1),
        "{report:?}"
    );
    let mut blocks = 0;
    pool.for_each_block(|block| {
        assert!(!block.used);
        blocks += 1;
    });
    assert_eq!(blocks, 1);
}

#[test]
fn many_threads_free_for_one_another() {
    let memory = Memory::new(24, 4 << 20, 4 << 20, Dirt::Noise(9));
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
    let whole = pool.stats().largest_free;
    hammer(&pool, 4000);
    assert_empty(&pool);
    assert_eq!(pool.stats().largest_free, whole);
    memory.check_margins();
}

#[test]
fn a_pool_that_is_nearly_always_full() {
    let memory = Memory::new(8, 40 << 10, 40 << 10, Dirt::Addresses);
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
    hammer(&pool, 3000);
    assert!(pool.stats().failures > 0, "the pool was never full");
    assert_empty(&pool);
    memory.check_margins();
}

#[test]
fn any_lock_will_do() {
    let memory = Memory::new(1, 1 << 20, 1 << 20, Dirt::Ones);
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool<'_, YieldingLock> =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
    hammer(&pool, 2000);
    assert_empty(&pool);
    assert_eq!(HELD.get(), 0);
    memory.check_margins();
}

/// What idle local heaps hold is there for all who lack memory, also while one of them collects it.
#[test]
fn several_who_lack_memory_at_once_all_get_it() {
    let memory = Memory::new(0, 14 << 20, 14 << 20, Dirt::Zero);
    let sizes = [16, 32, 64, 100, 200, 400, 600, 640];
    for _ in 0..20 {
        // SAFETY: the memory outlives the pool, and only the pool touches it.
        let pool: Pool<'_, YieldingLock> =
            unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
        let idle: Vec<_> = (0..64).map(|_| pool.handle().unwrap()).collect();
        for (handle, size) in idle
            .iter()
            .flat_map(|handle| sizes.map(|size| (handle, size)))
        {
            let objects: Vec<_> = (0..(60 << 10) / size)
                .map_while(|_| handle.allocate(layout(size, 1)))
                .collect();
            for object in objects {
                // SAFETY: allocated above and freed once.
                unsafe { handle.free(object) };
            }
        }
        assert!(pool.stats().largest_free < 2 << 20);
        drop(idle);
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            let needy = || {
                let handle = pool.handle().unwrap();
                barrier.wait();
                handle.allocate(layout(2 << 20, 1)).is_some()
            };
            let threads = [(); 4].map(|()| scope.spawn(needy));
            // 12 MiB are free. Joined one by one, which the thread sanitizer sees.
            assert_eq!(threads.map(|thread| thread.join().unwrap()), [true; 4]);
        });
    }
}

/// A checker that runs all the time never sees a heap that is half changed.
#[test]
fn figures_add_up_to_what_was_given() {
    for (edge, len) in [(0, 4096), (1, 4095), (7, 100_001), (40, 1 << 20)] {
        let memory = Memory::new(edge, len, len, Dirt::Zero);
        assert_eq!(memory.start().addr() % 64, edge);
        // SAFETY: the memory outlives the pool, and only the pool touches it.
        let pool: Pool<'_> =
            unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
        let stats = pool.stats();
        assert_eq!(stats.region_bytes, len);
        let sum = stats.used_bytes + stats.free_bytes + stats.overhead_bytes;
        assert_eq!(sum, len);
    }
}

#[test]
fn checks_and_figures_while_others_work() {
    let memory = Memory::new(0, 256 << 10, 256 << 10, Dirt::Zero);
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool<'_, YieldingLock> =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
    let done = AtomicBool::new(false);
    let checks = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pool.check().unwrap();
                let stats = pool.stats();
                assert_eq!(
                    stats.used_bytes + stats.free_bytes + stats.overhead_bytes,
                    stats.region_bytes
                );
                let mut bytes = 0;
                pool.for_each_block(|block| bytes += block.size);
                assert_eq!(bytes, stats.region_bytes - stats.overhead_bytes);
                checks.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        hammer(&pool, 1000);
        done.store(true, Ordering::Relaxed);
    });
    assert!(checks.load(Ordering::Relaxed) > 0);
    assert_empty(&pool);
}

#[test]
fn a_pool_grows_while_others_work() {
    let memory = Memory::new(40, 64 << 10, 4 << 20, Dirt::Noise(2));
    let options = Options {
        capacity: 4 << 20,
        ..recording()
    };
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool<'_, YieldingLock> =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), options) }.unwrap();
    let mut left = memory.room();
    let pool_ref = &pool;
    std::thread::scope(|threads| {
        threads.spawn(move || {
            for round in 0.. {
                let additional = left.min(100 + round * 777 % 20_000);
                if additional == 0 {
                    break;
                }
                // SAFETY: the bytes lie behind the region in the same memory.
                unsafe { pool_ref.extend(additional) }.unwrap();
                left -= additional;
                std::thread::yield_now();
            }
        });
        hammer(&pool, 1000);
    });
    assert_empty(&pool);
    assert!(pool.stats().largest_free > (4 << 20) - (64 << 10));
    memory.check_margins();
}

#[test]
fn a_double_free_by_another_thread_is_reported_there() {
    let mut bytes = vec![MaybeUninit::<u8>::uninit(); 64 << 10];
    // SAFETY: the bytes are borrowed for the pool's life.
    let pool: Pool =
        unsafe { Pool::create_in_raw(bytes.as_mut_ptr().cast(), bytes.len(), recording()) }
            .unwrap();
    let parcel = Parcel::new(&pool, layout(100, 8), 1).unwrap();
    let (pointer, size) = (
        parcel.pointer.as_ptr().expose_provenance(),
        parcel.layout.size(),
    );
    parcel.free(&pool, true);
    let before = pool.stats();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let pointer = NonNull::new(std::ptr::with_exposed_provenance_mut(pointer)).unwrap();
            // SAFETY: none; the block is free already.
            unsafe {
                pool.free(pointer);
                pool.deallocate(pointer, layout(size, 8));
                assert_eq!(pool.resize(pointer, 10), None);
                assert_eq!(pool.reallocate(pointer, layout(size, 8), 10), None);
                assert!(!pool.resize_in_place(pointer, 10));
            }
            assert_eq!(pool.usable_size(pointer), None);
            let reports = faults::take();
            assert_eq!(reports.len(), 6, "{reports:?}");
            for report in reports {
                assert_eq!(report.kind, FaultKind::AlreadyFree);
                assert_eq!(report.address, pointer.as_ptr().addr());
            }
        });
    });
    faults::assert_none("another thread's misuse");
    assert_eq!(pool.stats().deallocations, before.deallocations);
    assert_empty(&pool);
}

/// A handler may look at the pool: it is not locked.
#[test]
fn the_handler_runs_unlocked() {
    static POOL: OnceLock<Pool<'static, YieldingLock>> = OnceLock::new();
    fn look(fault: &Fault) {
        assert_eq!(HELD.get(), 0, "the handler runs with the lock held");
        POOL.get().unwrap().check().unwrap();
        faults::record(fault);
    }
    let bytes = vec![MaybeUninit::<u8>::uninit(); 64 << 10].leak();
    let options = Options {
        on_fault: look,
        ..Options::default()
    };
    // SAFETY: the bytes are the pool's for good.
    let pool = unsafe { Pool::create_in_raw(bytes.as_mut_ptr().cast(), bytes.len(), options) };
    let pool = POOL.get_or_init(|| pool.unwrap());
    let block = pool.allocate(layout(10, 1)).unwrap();
    // SAFETY: the block is live; the second and third call are wrong on purpose.
    unsafe {
        pool.free(block);
        pool.free(block);
        assert_eq!(pool.resize(block, 10), None);
    }
    assert_eq!(faults::take().len(), 2);
}

#[test]
fn a_region_too_small_for_a_pool_is_refused_with_what_was_given() {
    for len in 0..MIN_REGION {
        let mut bytes = vec![MaybeUninit::<u8>::uninit(); len];
        let result: Result<Pool, _> = Pool::create_in_region(&mut bytes);
        if let Err(error) = result {
            assert_eq!(error, CreateError::TooSmall { given: len });
        } else {
            assert!(len > 256, "{len} bytes hold a pool");
        }
    }
    // SAFETY: none; null must be refused.
    let result: Result<Pool, _> =
        unsafe { Pool::create_in_raw(std::ptr::null_mut(), 4096, Options::default()) };
    assert_eq!(result.err(), Some(CreateError::Null));
}

/// What a fork leaves in the child: a lock whose holder is gone.
#[test]
fn a_lock_that_was_left_held_is_opened() {
    let mut bytes = vec![MaybeUninit::<u8>::uninit(); 64 << 10];
    let pool: Pool = Pool::create_in_region(&mut bytes).unwrap();
    let parcel = Parcel::new(&pool, layout(1000, 64), 3).unwrap();
    let freed = Parcel::new(&pool, layout(2000, 8), 4).unwrap();
    let last = Parcel::new(&pool, layout(50, 8), 5).unwrap();
    freed.free(&pool, true);
    let before = pool.stats();
    RawMutex::lock(pool.lock_raw());
    assert!(pool.lock_raw().is_locked());
    // SAFETY: nobody else uses the pool, and the lock's holder does not go on.
    unsafe { pool.recover_after_fork(LocalHeap::EMPTY, false) }.unwrap();
    assert!(!pool.lock_raw().is_locked());
    let after = pool.stats();
    assert_eq!(
        (
            after.live_blocks,
            after.used_bytes,
            after.free_bytes,
            after.largest_free
        ),
        (
            before.live_blocks,
            before.used_bytes,
            before.free_bytes,
            before.largest_free
        )
    );
    pool.check().unwrap();
    parcel.free(&pool, true);
    last.free(&pool, false);
    assert_empty(&pool);
}

/// Forks at any moment of other threads' operations: the child finds its own blocks as they were,
/// and goes on with the pool.
#[cfg(unix)]
#[test]
fn the_child_of_a_fork_goes_on() {
    const FORKS: usize = 100;
    let memory = Memory::new(0, 256 << 10, 256 << 10, Dirt::Noise(5));
    // SAFETY: the memory outlives the pool, and only the pool touches it.
    let pool: Pool<'_, YieldingLock> =
        unsafe { Pool::create_in_raw(memory.start(), memory.len(), recording()) }.unwrap();
    let done = AtomicBool::new(false);
    let child = |own: &[Parcel]| -> bool {
        // SAFETY: the child of a fork has this one thread.
        let recovered = unsafe { pool.recover_after_fork(LocalHeap::EMPTY, false) }.is_ok();
        let kept = own.iter().all(|parcel| {
            let size = parcel.layout.size();
            // SAFETY: the block is live and this long.
            let difference = unsafe {
                parcel
                    .pattern
                    .first_difference(parcel.pointer.as_ptr(), size, size)
            };
            difference.is_none()
        });
        let mut served = true;
        for parcel in own {
            // SAFETY: the block is live, and this process does not use it again.
            unsafe { pool.free(parcel.pointer) };
            served &= pool.allocate(parcel.layout).is_some();
        }
        recovered && kept && served && pool.check().is_ok()
    };
    std::thread::scope(|threads| {
        for seed in 0..3 {
            let (pool, done) = (&pool, &done);
            threads.spawn(move || {
                let (sender, receiver) = channel();
                let mut seed = seed + 1;
                while !done.load(Ordering::Relaxed) {
                    work(pool, seed, 50, &receiver, &sender);
                    seed += 10;
                }
                drop(sender);
                receiver.iter().for_each(|parcel| parcel.free(pool, true));
            });
        }
        let own: Vec<Parcel> = (1..20)
            .filter_map(|seed| Parcel::new(&pool, layout(seed as usize * 50, 16), seed))
            .collect();
        let mut failed = 0;
        for _ in 0..FORKS {
            // SAFETY: the child calls only the pool, which takes no lock of the C library, and ends
            // by `_exit`.
            let process = unsafe { libc::fork() };
            assert_ne!(process, -1, "{}", std::io::Error::last_os_error());
            if process == 0 {
                let status = i32::from(!child(&own));
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(status) };
            }
            let mut status = 0;
            // SAFETY: `process` is our child, and is waited for once.
            let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
            assert_eq!(waited, process);
            failed += usize::from(status != 0);
        }
        done.store(true, Ordering::Relaxed);
        for parcel in own {
            parcel.free(&pool, false);
        }
        assert_eq!(failed, 0, "children of {FORKS}");
    });
    assert_empty(&pool);
}

/// The global allocator's calls, as the language makes them.
fn through_global_alloc(heap: &impl GlobalAlloc) {
    // SAFETY: every pointer is passed back with the layout that it was allocated or resized to.
    unsafe {
        for shift in 0..13 {
            let asked = layout(300, 1 << shift);
            let first = heap.alloc(asked);
            assert!(!first.is_null() && first.addr().is_multiple_of(asked.align()));
            Pattern(7).fill(first, 300);
            let zeroed = heap.alloc_zeroed(asked);
            assert_eq!(first_nonzero(zeroed, 300), None);
            Pattern(8).fill(zeroed, 300);
            let grown = heap.realloc(first, asked, 5000);
            assert!(grown.addr().is_multiple_of(asked.align()));
            assert_eq!(Pattern(7).first_difference(grown, 300, 300), None);
            let shrunk = heap.realloc(grown, layout(5000, asked.align()), 20);
            assert_eq!(Pattern(7).first_difference(shrunk, 300, 20), None);
            assert_eq!(Pattern(8).first_difference(zeroed, 300, 300), None);
            heap.dealloc(zeroed, asked);
            heap.dealloc(shrunk, layout(20, asked.align()));
        }
        let huge = layout(isize::MAX as usize - 4095, 4096);
        assert!(heap.alloc(huge).is_null());
        assert!(heap.alloc_zeroed(huge).is_null());
        let small = heap.alloc(layout(10, 1));
        assert!(
            heap.realloc(small, layout(10, 1), isize::MAX as usize)
                .is_null()
        );
        heap.dealloc(small, layout(10, 1));
    }
}

#[test]
fn a_pool_is_a_global_allocator() {
    let mut bytes = vec![MaybeUninit::new(0xFF_u8); 64 << 10];
    let pool: Pool = Pool::create_in_region(&mut bytes).unwrap();
    through_global_alloc(&pool);
    assert_empty(&pool);
}

#[test]
fn a_locked_heap_is_a_global_allocator_once_it_has_memory() {
    static HEAP: LockedHeap = LockedHeap::empty();
    // SAFETY: a null answer is not used.
    assert!(unsafe { HEAP.alloc(layout(8, 8)) }.is_null());
    assert_eq!(HEAP.stats().region_bytes, 0);
    let bytes = vec![MaybeUninit::new(0xFF_u8); 64 << 10].leak();
    // SAFETY: the bytes are the heap's for good.
    unsafe { HEAP.init(bytes.as_mut_ptr().cast(), bytes.len()) }.unwrap();
    through_global_alloc(&HEAP);
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                for round in 0..500 {
                    let asked = layout(1 + round % 700, 8);
                    // SAFETY: the pointer is passed back with its layout.
                    unsafe {
                        let pointer = HEAP.alloc(asked);
                        assert!(!pointer.is_null());
                        Pattern(round as u64).fill(pointer, asked.size());
                        let kept = Pattern(round as u64).first_difference(
                            pointer,
                            asked.size(),
                            asked.size(),
                        );
                        assert_eq!(kept, None);
                        HEAP.dealloc(pointer, asked);
                    }
                }
            });
        }
    });
    assert_eq!(HEAP.stats().live_blocks, 0);
    HEAP.with(|heap| heap.check().unwrap())
        .expect("it has memory");
}

#[cfg(feature = "allocator-api2")]
mod allocator {
    use super::*;
    use allocator_api2::alloc::Allocator;
    use allocator_api2::boxed::Box;
    use allocator_api2::vec::Vec;

    fn collections(allocator: impl Allocator + Copy) {
        let mut numbers = Vec::new_in(allocator);
        numbers.extend(0..2000_u64);
        numbers.retain(|number| number % 3 == 0);
        numbers.shrink_to_fit();
        assert_eq!(
            numbers.iter().sum::<u64>(),
            (0..2000).filter(|n| n % 3 == 0).sum()
        );
        let boxed = Box::new_in([7_u128; 20], allocator);
        assert_eq!(*boxed, [7; 20]);
        let mut nested: Vec<Vec<u8, _>, _> = Vec::new_in(allocator);
        for length in 0..100 {
            let mut inner = Vec::with_capacity_in(length, allocator);
            inner.resize(length, length as u8);
            nested.push(inner);
        }
        nested.reverse();
        for (position, inner) in nested.iter().enumerate() {
            assert!(
                inner.len() == 99 - position && inner.iter().all(|&b| b as usize == inner.len())
            );
        }
    }

    fn contract(allocator: impl Allocator) {
        // SAFETY: every pointer is passed back with the layout it was given for.
        unsafe {
            let empty = allocator.allocate(layout(0, 64)).unwrap();
            assert_eq!(empty.cast::<u8>().as_ptr().addr() % 64, 0);
            let grown = allocator
                .grow_zeroed(empty.cast(), layout(0, 64), layout(3000, 64))
                .unwrap();
            assert!(grown.len() >= 3000);
            assert_eq!(first_nonzero(grown.cast().as_ptr(), 3000), None);
            Pattern(1).fill(grown.cast().as_ptr(), 3000);
            // Both may change the alignment.
            let aligned = allocator
                .grow(grown.cast(), layout(3000, 64), layout(4000, 512))
                .unwrap();
            assert_eq!(aligned.cast::<u8>().as_ptr().addr() % 512, 0);
            assert_eq!(
                Pattern(1).first_difference(aligned.cast().as_ptr(), 3000, 3000),
                None
            );
            let shrunk = allocator
                .shrink(aligned.cast(), layout(4000, 512), layout(100, 1024))
                .unwrap();
            assert_eq!(shrunk.cast::<u8>().as_ptr().addr() % 1024, 0);
            assert_eq!(
                Pattern(1).first_difference(shrunk.cast().as_ptr(), 3000, 100),
                None
            );
            allocator.deallocate(shrunk.cast(), layout(100, 1024));
            assert!(
                allocator
                    .allocate(layout(1 << (usize::BITS - 4), 1))
                    .is_err()
            );
        }
    }

    #[test]
    fn of_a_pool() {
        let mut bytes = std::vec![MaybeUninit::new(0xFF_u8); 256 << 10];
        let pool: Pool = Pool::create_in_region(&mut bytes).unwrap();
        collections(&pool);
        contract(&pool);
        assert_empty(&pool);
    }

    #[test]
    fn of_a_locked_heap() {
        let heap: LockedHeap = LockedHeap::empty();
        assert!(heap_ref(&heap).allocate(layout(8, 8)).is_err());
        let bytes = std::vec![MaybeUninit::new(0xFF_u8); 256 << 10].leak();
        // SAFETY: the bytes are the heap's for good.
        unsafe { heap.init(bytes.as_mut_ptr().cast(), bytes.len()) }.unwrap();
        collections(&heap);
        contract(&heap);
        assert_eq!(heap.stats().live_blocks, 0);
    }

    fn heap_ref(heap: &LockedHeap) -> impl Allocator + Copy + '_ {
        heap
    }
}
