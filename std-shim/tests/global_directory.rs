//! A whole test program on a temporary file.
#![cfg(target_os = "linux")]

use allotment::Allotment;

mod workload;

use workload::{churn, fork};

#[global_allocator]
static ALLOCATOR: Allotment = Allotment::in_directory("/tmp").size(1 << 30);

/// The files that the process has open and that have no name any more.
fn unnamed_files() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc is there");
    descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| {
            let target = target.to_string_lossy();
            target.starts_with("/tmp/") && target.ends_with(" (deleted)")
        })
        .count()
}

// One test, since the number of open files is the process's.
#[test]
fn a_program_lives_in_a_file() {
    assert_eq!(unnamed_files(), 1);
    let first = ALLOCATOR.stats().region_bytes;
    assert!(first < 100 << 20, "the file begins small");
    let large = vec![1u8; 100 << 20];
    assert!(ALLOCATOR.contains(large.as_ptr()));
    assert!(ALLOCATOR.stats().region_bytes > 100 << 20, "it grows");
    assert!(large.iter().step_by(4096).all(|&byte| byte == 1));
    drop(large);
    workload::everything();
    ALLOCATOR.check().expect("the heap is in order");
    children_of_forks_have_a_copy();
}

fn children_of_forks_have_a_copy() {
    let mut value = Box::new(1);
    let status = fork::in_child(|| {
        *value = 2;
        churn(3, 500);
        unnamed_files() == 1 && *value == 2
    });
    assert_eq!((status, *value), (0, 1));
    fork::forks(10, 2);
    ALLOCATOR.check().expect("the heap is in order");
}
