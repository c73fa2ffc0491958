//! Local heaps that a handle owns, or that belong to CPUs.
#![cfg(feature = "spin")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::mem::MaybeUninit;
use std::sync::Mutex;
use std::thread;

use allotment_core::lock_api::{self, RawMutex};
use allotment_core::{
    BoundPool, CurrentCpu, InterruptLock, Interrupts, OncePool, Options, PerCpu, Pool,
};

const MIB: usize = 1 << 20;

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
}

/// Threads that take turns on four CPUs: whoever is pinned to one holds its lock.
struct Turns([Mutex<()>; 4]);

// SAFETY: the CPU's lock is held while `f` runs.
unsafe impl CurrentCpu for &Turns {
    fn pinned<T>(&self, f: impl FnOnce(usize) -> T) -> T {
        let cpu = CPU.get();
        let _turn = self.0.get(cpu).map(|lock| lock.lock().unwrap());
        f(cpu)
    }
}

#[test]
fn threads_on_changing_cpus_allocate_from_the_cpus_heaps() {
    let mut region = vec![MaybeUninit::uninit(); 16 * MIB];
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let turns = Turns([const { Mutex::new(()) }; 4]);
    // Three of the four CPUs have local heaps.
    let bound = BoundPool::new(&pool, PerCpu::<_, 3>::new(&turns));
    thread::scope(|scope| {
        for thread in 0..6usize {
            let bound = &bound;
            scope.spawn(move || {
                let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
                for step in 0..20_000usize {
                    CPU.set((thread + step / 7) % 4);
                    let layout = Layout::from_size_align(1 + step * 37 % 3000, 8).unwrap();
                    // SAFETY: the layout has a size; blocks are filled, verified and freed once, with
                    // the layout that they have.
                    unsafe {
                        let block = bound.alloc(layout);
                        assert!(!block.is_null());
                        block.write_bytes(step as u8, layout.size());
                        blocks.push((block, layout, step as u8));
                        if blocks.len() > 300 {
                            let (block, layout, byte) = blocks.swap_remove(step % 300);
                            let size = layout.size() + 100;
                            let block = bound.realloc(block, layout, size);
                            assert!(!block.is_null());
                            assert_eq!((*block, *block.add(layout.size() - 1)), (byte, byte));
                            let layout = Layout::from_size_align(size, 8).unwrap();
                            bound.dealloc(block, layout);
                        }
                    }
                }
                for (block, layout, byte) in blocks {
                    // SAFETY: as above.
                    unsafe {
                        assert_eq!(*block, byte);
                        bound.dealloc(block, layout);
                    }
                }
            });
        }
    });
    pool.check().unwrap();
    assert_eq!(pool.stats().live_blocks, 0);
}

#[test]
fn a_local_heap_of_another_pool_is_not_used() {
    let mut regions = [
        vec![MaybeUninit::uninit(); MIB],
        vec![MaybeUninit::uninit(); MIB],
    ];
    let [first, second] = &mut regions;
    let first: Pool = Pool::create_in_region(first).unwrap();
    let second: Pool = Pool::create_in_region(second).unwrap();
    let local = first.attach().unwrap();
    // SAFETY: local heaps live as long as their pool.
    let local = unsafe { local.as_ref() };
    assert!(first.owns(local));
    assert!(!second.owns(local));
}

#[test]
fn classes_say_what_their_slabs_hold() {
    let mut region = vec![MaybeUninit::uninit(); 16 * MIB];
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let handle = pool.handle().unwrap();
    let layout = |size| Layout::from_size_align(size, 1).unwrap();
    let small: Vec<_> = (0..1000)
        .map(|_| handle.allocate(layout(60)).unwrap())
        .collect();
    let large = handle.allocate(layout(500)).unwrap();
    let used = || {
        let mut used = Vec::new();
        pool.for_each_class(|class| {
            assert!(class.slabs > 0 && class.objects >= class.used_objects);
            used.push((class.size, class.used_objects));
        });
        used
    };
    assert_eq!(used(), [(64, 1000), (512, 1)]);
    assert_eq!(pool.stats().live_blocks, 1001);
    for &block in &small[..900] {
        // SAFETY: allocated above; freed by one who has no local heap.
        unsafe { pool.free(block) };
    }
    assert_eq!(used(), [(64, 100), (512, 1)]);
    // SAFETY: as above.
    unsafe {
        for &block in &small[900..] {
            handle.free(block);
        }
        handle.deallocate(large, layout(500));
    }
    handle.trim();
    assert_eq!(used(), []);
    assert_eq!(pool.stats().live_blocks, 0);
    pool.check().unwrap();
}

thread_local! {
    /// Whether this thread's interrupts are on, as it were.
    static INTERRUPTS: Cell<bool> = const { Cell::new(true) };
}

/// A CPU without handlers.
struct Quiet;

// SAFETY: there are no handlers.
unsafe impl Interrupts for Quiet {
    fn disable() -> bool {
        INTERRUPTS.replace(false)
    }

    unsafe fn enable() {
        assert!(!INTERRUPTS.replace(true), "they were on");
    }
}

type Lock = InterruptLock<spin::Mutex<()>, Quiet>;

#[test]
fn the_holder_of_the_lock_has_interrupts_off_and_gets_back_what_it_had() {
    let lock = <Lock as RawMutex>::INIT;
    for had in [true, false] {
        INTERRUPTS.set(had);
        lock.lock();
        assert!(!INTERRUPTS.get() && lock.is_locked());
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!lock.try_lock());
                assert!(INTERRUPTS.get(), "one who does not get the lock keeps them");
            });
        });
        // SAFETY: it is held.
        unsafe { lock.unlock() };
        assert_eq!(INTERRUPTS.get(), had);
        assert!(!lock.is_locked());
    }
}

#[test]
fn a_lock_keeps_threads_apart() {
    let counter = lock_api::Mutex::<Lock, usize>::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    *counter.lock() += 1;
                    assert!(INTERRUPTS.get());
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), 20_000);
}

#[test]
fn a_pool_that_is_not_made_yet_has_no_memory() {
    static TURNS: Turns = Turns([const { Mutex::new(()) }; 4]);
    static BOUND: BoundPool<OncePool<Lock>, PerCpu<&Turns, 4>> =
        BoundPool::new(OncePool::empty(), PerCpu::new(&TURNS));
    let layout = Layout::new::<[u64; 8]>();
    // SAFETY: the layout has a size; null is nobody's.
    unsafe {
        assert!(BOUND.alloc(layout).is_null());
        assert!(BOUND.alloc_zeroed(layout).is_null());
        BOUND.dealloc(std::ptr::null_mut(), layout);
    }
    assert!(BOUND.pool().get().is_none());

    let region = vec![0_u8; MIB].leak();
    // SAFETY: the range is too short, and then it is nobody else's.
    unsafe {
        let refused = BOUND
            .pool()
            .create(region.as_mut_ptr(), 100, Options::default());
        assert!(refused.is_err() && BOUND.pool().get().is_none());
        let pool = BOUND
            .pool()
            .create(region.as_mut_ptr(), MIB, Options::default());
        assert_eq!(pool.unwrap().stats().live_blocks, 0);
    }
    // SAFETY: the layout has a size; the block is freed once.
    unsafe {
        let block = BOUND.alloc(layout);
        assert!(!block.is_null() && INTERRUPTS.get());
        assert_eq!(BOUND.pool().get().unwrap().stats().live_blocks, 1);
        let block = BOUND.realloc(block, layout, 1000);
        BOUND.dealloc(block, Layout::from_size_align(1000, 8).unwrap());
    }
    BOUND.pool().get().unwrap().check().unwrap();
}

#[test]
#[should_panic(expected = "the pool is made once")]
fn a_pool_is_made_once() {
    let pool = OncePool::<Lock>::empty();
    let region = vec![0_u8; MIB].leak();
    // SAFETY: the range is nobody else's.
    unsafe {
        pool.create(region.as_mut_ptr(), MIB, Options::default())
            .unwrap();
        let _ = pool.create(region.as_mut_ptr(), MIB, Options::default());
    }
}

#[test]
fn a_cpu_gives_back_what_it_does_not_need() {
    let mut region = vec![MaybeUninit::uninit(); 4 * MIB];
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let turns = Turns([const { Mutex::new(()) }; 4]);
    let bound = BoundPool::new(&pool, PerCpu::<_, 4>::new(&turns));
    let layout = Layout::new::<[u64; 8]>();
    // SAFETY: the layout has a size; each block is freed once.
    unsafe {
        let blocks: Vec<_> = (0..5000).map(|_| bound.alloc(layout)).collect();
        for block in blocks {
            bound.dealloc(block, layout);
        }
    }
    assert!(pool.stats().slab_free_bytes > 0);
    bound.trim();
    assert_eq!(pool.stats().slab_free_bytes, 0);
    assert_eq!(pool.stats().live_blocks, 0);
}

#[test]
fn large_blocks_keep_their_content_and_alignment_when_they_are_resized() {
    let mut region = vec![MaybeUninit::uninit(); 16 * MIB];
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let turns = Turns([const { Mutex::new(()) }; 4]);
    let bound = BoundPool::new(&pool, PerCpu::<_, 4>::new(&turns));
    for align in [8, 64, 4096] {
        let mut layout = Layout::from_size_align(2000, align).unwrap();
        // SAFETY: the layout has a size, and always is the block's; what is read was written.
        unsafe {
            let mut block = bound.alloc(layout);
            for (byte, size) in [2001, 2500, 9000, 8000, 300_000, 1500, 7 * MIB, 1025, 100]
                .into_iter()
                .enumerate()
            {
                block.write_bytes(byte as u8, layout.size());
                // So that not all can grow where they are.
                let barrier = bound.alloc(layout);
                block = bound.realloc(block, layout, size);
                assert!(!block.is_null() && block.addr() % align == 0);
                let kept = std::slice::from_raw_parts(block, layout.size().min(size));
                assert!(kept.iter().all(|&found| found == byte as u8));
                bound.dealloc(barrier, layout);
                layout = Layout::from_size_align(size, align).unwrap();
            }
            bound.dealloc(block, layout);
            // Too large for the region: the block stays as it is.
            let layout = Layout::from_size_align(5000, align).unwrap();
            let block = bound.alloc(layout);
            block.write_bytes(7, 5000);
            assert!(bound.realloc(block, layout, 64 * MIB).is_null());
            assert_eq!(*block.add(4999), 7);
            bound.dealloc(block, layout);
        }
        assert_eq!(pool.stats().live_blocks, 0);
    }
    pool.check().unwrap();
}
