//! A whole test program whose heap is a temporary file in the working directory.

use std::env;
use std::fs::{read_dir, read_link};

use allotment::Allotment;

#[path = "../../../std-shim/tests/workload/mod.rs"]
#[expect(dead_code, reason = "a part of it takes long enough here")]
mod workload;

use workload::{fork, layouts, threads};

#[global_allocator]
static ALLOCATOR: Allotment = Allotment::in_directory(".").size(1 << 30);

/// The files in the working directory that the process has open and that have no name.
fn unnamed_files() -> usize {
    let directory = env::current_dir().expect("a working directory");
    let descriptors = read_dir("/proc/self/fd").expect("/proc is there");
    descriptors
        .filter_map(|entry| read_link(entry.ok()?.path()).ok())
        .filter(|target| {
            target.starts_with(&directory) && target.to_string_lossy().ends_with(" (deleted)")
        })
        .count()
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_program_lives_in_a_file() {
    assert_eq!(unnamed_files(), 1);
    let first = ALLOCATOR.stats().region_bytes;
    let large = vec![1u8; 32 << 20];
    assert!(ALLOCATOR.contains(large.as_ptr()));
    assert!(ALLOCATOR.stats().region_bytes > first, "it grows");
    drop(large);
    workload::churn(5, 500);
    layouts::alignment();
    threads::stress(4, 200);
    threads::short_lived(8);
    threads::thread_local_destructors();
    fork::forks(1, 1);
    ALLOCATOR.check().expect("the heap is in order");
    assert_eq!(unnamed_files(), 1);
}
