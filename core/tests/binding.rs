//! Local heaps that a handle owns, or that belong to CPUs.
#![cfg(feature = "spin")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::mem::MaybeUninit;
use std::sync::Mutex;
use std::thread;

use allotment_core::{BoundPool, CurrentCpu, PerCpu, Pool};

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
