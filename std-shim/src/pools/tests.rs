use core::mem::MaybeUninit;
use core::ptr::{null_mut, without_provenance_mut};
use std::sync::Barrier;
use std::sync::mpsc;
use std::thread;
use std::vec;

use allotment_core::Fault;

use super::*;

fn fault(fault: &Fault) {
    panic!("{fault}");
}

fn anonymous(size: usize) -> SharedPool {
    let mapping = Mapping::anonymous(Some(size)).unwrap();
    SharedPool::new(mapping, fault, null_mut(), Overlap::Refuse).unwrap()
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

fn region(len: usize) -> &'static mut [MaybeUninit<u8>] {
    vec![MaybeUninit::uninit(); len].leak()
}

fn start_of(pool: &SharedPool) -> usize {
    pool.arena().mapping().start().addr().get()
}

#[test]
fn threads_use_many_pools_at_once() {
    let pools: Vec<_> = (0..8).map(|_| anonymous(16 << 20)).collect();
    thread::scope(|scope| {
        for number in 0..4 {
            let pools = &pools;
            scope.spawn(move || {
                let mut blocks = Vec::new();
                for round in 0..4000 {
                    let pool = &pools[(round * 5 + number) % pools.len()];
                    let size = 1 + round * 37 % 3000;
                    let block = pool.allocate(layout(size)).expect("there is room");
                    // SAFETY: the block was just allocated with this size.
                    unsafe { block.write_bytes(number as u8, size) };
                    blocks.push((pool, block, size));
                }
                for (pool, block, size) in blocks {
                    assert!(pool.usable_size(block).is_some_and(|usable| usable >= size));
                    // SAFETY: the block is this thread's, and is freed once.
                    unsafe {
                        assert_eq!(block.add(size - 1).read(), number as u8);
                        pool.free(block);
                    }
                }
            });
        }
    });
    for pool in &pools {
        pool.arena().pool().check().unwrap();
        assert_eq!(pool.arena().pool().stats().live_blocks, 0);
    }
}

#[test]
fn ended_threads_leave_nothing_behind() {
    let pool = anonymous(14 << 20);
    let run = || {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                for size in [16, 100, 1000, 5000] {
                    let block = pool.allocate(layout(size)).expect("there is room");
                    // SAFETY: allocated just now.
                    unsafe { pool.free(block) };
                }
            });
            // The scope ends before the thread does.
            thread.join().unwrap();
        });
        pool.arena().pool().stats()
    };
    let first = run();
    for _ in 0..300 {
        run();
    }
    let last = run();
    assert_eq!(last.live_blocks, 0);
    assert_eq!(last.largest_free, first.largest_free);
}

#[test]
fn what_a_dead_pool_leaves_in_tables_has_no_meaning() {
    let (to_thread, pools) = mpsc::channel::<SharedPool>();
    let (back, answers) = mpsc::channel();
    let user = thread::spawn(move || {
        for pool in pools {
            let block = pool.allocate(layout(64)).expect("there is room");
            assert!(pool.contains(block.addr().get()));
            // The pool goes in another thread, with this one's entry in place.
            back.send(pool).unwrap();
        }
    });
    for _ in 0..50 {
        to_thread.send(anonymous(1 << 20)).unwrap();
        let pool = answers.recv().unwrap();
        pool.arena().pool().check().unwrap();
        drop(pool);
    }
    drop(to_thread);
    user.join().unwrap();
}

#[test]
fn a_thread_may_use_more_pools_than_its_first_table_holds() {
    let pools: Vec<_> = (0..700).map(|_| anonymous(1 << 20)).collect();
    let blocks: Vec<_> = pools
        .iter()
        .map(|pool| pool.allocate(layout(48)).expect("there is room"))
        .collect();
    for (pool, &block) in pools.iter().zip(&blocks) {
        assert!(table::enter(&pool.number).is_some());
        // SAFETY: the block is this pool's.
        unsafe { pool.free(block) };
        assert_eq!(pool.arena().pool().stats().live_blocks, 0);
    }
}

#[test]
fn an_interrupted_operation_is_not_disturbed() {
    let pool = anonymous(4 << 20);
    let first = pool.allocate(layout(64)).expect("there is room");
    let entered = table::enter(&pool.number).expect("it has a local heap");
    // As a signal handler would.
    let second = pool.allocate(layout(64)).expect("the lock is free");
    // SAFETY: both are this thread's.
    unsafe {
        pool.free(second);
        pool.free(first);
    }
    assert!(table::enter(&pool.number).is_none());
    drop(entered);
    assert!(table::enter(&pool.number).is_some());
    assert_eq!(pool.arena().pool().stats().live_blocks, 0);
    pool.arena().pool().check().unwrap();
}

#[test]
fn addresses_lead_to_owners() {
    let owner = without_provenance_mut(0x1234);
    let mapping = Mapping::anonymous(Some(6 << 20)).unwrap();
    let pool = SharedPool::new(mapping, fault, owner, Overlap::Refuse).unwrap();
    let start = start_of(&pool);
    for inside in [start, start + 1, start + (3 << 20), start + (6 << 20) - 1] {
        assert_eq!(owner_of(inside), Some(owner));
    }
    let local = 0u8;
    let foreign = [
        0,
        1,
        start - 1,
        start + (6 << 20),
        (&raw const local).addr(),
    ];
    // Pools of other tests may be there.
    for outside in foreign.into_iter().chain([usize::MAX, usize::MAX >> 16]) {
        assert_ne!(owner_of(outside), Some(owner), "{outside:#x}");
    }
    assert_eq!(owner_of((&raw const local).addr()), None);
    let other = without_provenance_mut(0x5678);
    pool.set_owner(other);
    assert_eq!(owner_of(start + 100), Some(other));
    drop(pool);
    assert_ne!(owner_of(start + 100), Some(other));
}

#[test]
fn pools_in_one_granule_are_told_apart() {
    let memory = region(3 << 20);
    let base = memory.as_ptr().addr();
    let owners = [1, 2, 3].map(|n| without_provenance_mut::<()>(n * 16));
    let mut pools: Vec<_> = memory
        .chunks_exact_mut(1 << 20)
        .zip(owners)
        .map(|(part, owner)| {
            SharedPool::new(Mapping::region(part), fault, owner, Overlap::Refuse).unwrap()
        })
        .collect();
    let owner_at = |mib: usize| owner_of(base + (mib << 20) + 77);
    assert_eq!([0, 1, 2].map(owner_at), owners.map(Some));
    pools.remove(1);
    assert_eq!(
        [0, 1, 2].map(owner_at),
        [Some(owners[0]), None, Some(owners[2])]
    );
    pools.remove(0);
    assert_eq!([0, 1, 2].map(owner_at), [None, None, Some(owners[2])]);
}

#[test]
fn the_largest_ranges_are_entered_whole() {
    // Many entries of 4 GiB each, with edges.
    let mapping = Mapping::anonymous(Some(40 << 30)).unwrap();
    let owner = without_provenance_mut(0x40);
    let pool = SharedPool::new(mapping, fault, owner, Overlap::Refuse).unwrap();
    let start = start_of(&pool);
    for gib in 0..40 {
        assert_eq!(owner_of(start + (gib << 30)), Some(owner));
    }
    drop(pool);
    for gib in 0..40 {
        assert_ne!(owner_of(start + (gib << 30)), Some(owner));
    }
}

#[test]
fn overlap_is_refused_or_told() {
    let memory = region(4 << 20);
    let (start, len) = (memory.as_mut_ptr(), memory.len());
    let part = |from: usize, to: usize| {
        // SAFETY: inside the region, which lives for ever; only one of two that overlap is used.
        Mapping::region(unsafe { core::slice::from_raw_parts_mut(start.add(from), to - from) })
    };
    let first = SharedPool::new(part(0, 3 << 20), fault, null_mut(), Overlap::Refuse).unwrap();
    assert!(!first.overlaps());
    for (from, to) in [(0, 3 << 20), (2 << 20, len), (1 << 20, 2 << 20), (0, len)] {
        assert_eq!(
            SharedPool::new(part(from, to), fault, null_mut(), Overlap::Refuse).unwrap_err(),
            SharedPoolError::Overlaps
        );
    }
    first.arena().pool().check().unwrap();
    let second = SharedPool::new(part(2 << 20, len), fault, null_mut(), Overlap::Allow).unwrap();
    assert!(first.overlaps() && second.overlaps());
    drop(second);
    assert!(!first.overlaps());
    let behind = SharedPool::new(part(3 << 20, len), fault, null_mut(), Overlap::Refuse);
    assert!(!behind.unwrap().overlaps());
}

#[test]
fn pools_come_and_go_in_many_threads() {
    let threads = 8;
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for round in 0..100 {
                    let pool = anonymous(1 << 20);
                    let block = pool.allocate(layout(1 + round)).expect("there is room");
                    let owner = without_provenance_mut(block.addr().get());
                    pool.set_owner(owner);
                    assert_eq!(owner_of(block.addr().get()), Some(owner));
                }
            });
        }
    });
}

#[test]
fn purged_pages_are_counted_and_blocks_keep_their_content() {
    let pool = anonymous(64 << 20);
    let kept = pool.allocate(layout(1000)).expect("there is room");
    // SAFETY: allocated with this size.
    unsafe { kept.write_bytes(7, 1000) };
    let large: Vec<_> = (0..8).map(|_| pool.allocate(layout(4 << 20))).collect();
    for block in large {
        let block = block.expect("there is room");
        // SAFETY: allocated with this size, and freed once.
        unsafe {
            block.write_bytes(1, 4 << 20);
            pool.free(block);
        }
    }
    assert!(pool.purge() >= 30 << 20);
    // SAFETY: still allocated.
    unsafe {
        assert!((0..1000).all(|at| kept.add(at).read() == 7));
        pool.free(kept);
    }
    pool.arena().pool().check().unwrap();
}

#[test]
fn what_interrupts_the_use_of_a_table_leaves_it_alone() {
    // More than a first table has entries for.
    let pools: Vec<_> = (0..300).map(|_| anonymous(1 << 20)).collect();
    let far = pools.iter().max_by_key(|pool| pool.number.place()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let near = pools.iter().min_by_key(|pool| pool.number.place()).unwrap();
            let _block = near.allocate(layout(16)).expect("there is room");
            let table = crate::thread::table();
            let entered = table::enter(&near.number).expect("it has a local heap");
            let block = far.allocate(layout(16)).expect("the lock is free");
            assert_eq!(crate::thread::table(), table);
            drop(entered);
            // SAFETY: allocated just now.
            unsafe { far.free(block) };
            let _block = far.allocate(layout(16)).expect("there is room");
            assert_ne!(crate::thread::table(), table);
        });
    });
}

#[test]
fn a_live_pool_is_found_while_its_neighbour_comes_and_goes() {
    let memory = region(2 << 20);
    let (first, second) = memory.split_at_mut(1 << 20);
    let owner = without_provenance_mut(0x70);
    let pool = SharedPool::new(Mapping::region(second), fault, owner, Overlap::Refuse).unwrap();
    let address = start_of(&pool) + 5000;
    let (start, len) = (first.as_mut_ptr().expose_provenance(), first.len());
    thread::scope(|scope| {
        let neighbour = scope.spawn(move || {
            for _ in 0..3000 {
                // SAFETY: the memory lives for ever, and the pool before is gone.
                let part = unsafe {
                    let start = core::ptr::with_exposed_provenance_mut(start);
                    core::slice::from_raw_parts_mut(start, len)
                };
                let mapping = Mapping::region(part);
                drop(SharedPool::new(mapping, fault, null_mut(), Overlap::Refuse).unwrap());
            }
        });
        while !neighbour.is_finished() {
            assert_eq!(owner_of(address), Some(owner));
        }
    });
}
