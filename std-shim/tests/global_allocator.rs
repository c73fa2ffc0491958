//! A whole test program on anonymous memory.
#![cfg(target_os = "linux")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use allotment::Allotment;

mod workload;

use workload::{churn, collections, fork, layouts, threads};

#[global_allocator]
static ALLOCATOR: Allotment = Allotment::new();

/// The tests look at figures of the whole process, so they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check() {
    ALLOCATOR.check().expect("the heap is in order");
    let stats = ALLOCATOR.stats();
    assert_eq!(
        stats.used_bytes + stats.free_bytes + stats.overhead_bytes,
        stats.region_bytes
    );
    assert!(stats.live_blocks > 0 && stats.used_bytes > 0);
}

#[test]
fn it_serves_this_program() {
    let _alone = alone();
    let boxed = Box::new(7);
    assert!(ALLOCATOR.contains(&raw const *boxed));
    let on_stack = 7;
    assert!(!ALLOCATOR.contains(&raw const on_stack));
    check();
}

#[test]
fn a_mixed_program_runs() {
    let _alone = alone();
    workload::everything();
    check();
}

#[test]
fn collections_hold_what_was_put_in() {
    let _alone = alone();
    collections();
    churn(11, 20_000);
    check();
}

#[test]
fn blocks_go_from_thread_to_thread() {
    let _alone = alone();
    threads::stress(8, 4000);
    threads::channels();
    check();
}

#[test]
fn short_lived_threads_leave_nothing_behind() {
    let _alone = alone();
    threads::short_lived(100);
    ALLOCATOR.trim();
    let before = ALLOCATOR.stats();
    threads::short_lived(1000);
    ALLOCATOR.trim();
    let after = ALLOCATOR.stats();
    // The test harness allocates a little meanwhile.
    assert!(
        after.used_bytes <= before.used_bytes + 16_384,
        "{before:?} {after:?}"
    );
    assert!(
        after.overhead_bytes <= before.overhead_bytes + 65_536,
        "{before:?} {after:?}"
    );
    check();
}

#[test]
fn thread_local_destructors_may_allocate() {
    let _alone = alone();
    threads::thread_local_destructors();
    check();
}

#[test]
fn vectors_grow() {
    let _alone = alone();
    layouts::growth();
    check();
}

#[test]
fn alignments_are_kept() {
    let _alone = alone();
    layouts::alignment();
    check();
}

#[test]
fn zeroed_memory_is_zero() {
    let _alone = alone();
    layouts::zeros();
    check();
}

#[test]
fn too_large_is_null() {
    let _alone = alone();
    layouts::too_large();
    check();
}

#[test]
fn children_of_forks_go_on() {
    let _alone = alone();
    fork::forks(60, 3);
    check();
}
