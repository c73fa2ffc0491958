//! A whole test program in a static region.
#![cfg(target_os = "linux")]

use std::mem::MaybeUninit;
use std::slice::from_raw_parts_mut;

use allotment::Allotment;

mod workload;

use workload::fork;

const SIZE: usize = 64 << 20;

static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];

#[global_allocator]
static ALLOCATOR: Allotment = Allotment::in_region(
    // SAFETY: nothing else uses `MEMORY`.
    unsafe { from_raw_parts_mut((&raw mut MEMORY).cast(), SIZE) },
);

#[test]
fn a_program_lives_in_a_region() {
    let start = (&raw const MEMORY).addr();
    let boxed = Box::new(7);
    assert!((start..start + SIZE).contains(&(&raw const *boxed).addr()));
    assert!(ALLOCATOR.stats().region_bytes <= SIZE);
    workload::everything();
    fork::forks(5, 2);
    ALLOCATOR.check().expect("the heap is in order");
}
