//! The heap alone, for parts without atomic operations: one owner, 4 KiB, then a second region.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use allotment_core::{Heap, Options};
use allotment_microcontroller::{line, machine, workload};

static mut FIRST: [MaybeUninit<u8>; 4096] = [MaybeUninit::uninit(); 4096];
static mut SECOND: [MaybeUninit<u8>; 2048] = [MaybeUninit::uninit(); 2048];

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", unsafe(no_mangle))]
fn main() -> ! {
    let options = Options {
        on_fault: workload::stop,
        ..Options::default()
    };
    // SAFETY: `main` runs once, and nobody else uses the region.
    let heap = unsafe { Heap::from_raw((&raw mut FIRST).cast(), 4096, options) };
    let mut heap = heap.expect("4 KiB suffice");
    let allocated = workload::run(&mut heap, 400, 5000);
    line!("4 KiB: {allocated} blocks allocated and verified");

    let second = &raw mut SECOND;
    // SAFETY: as above.
    let second = unsafe { &mut *second };
    heap.add_region(second).expect("it is another region");
    let allocated = workload::run(&mut heap, 400, 5000);
    line!("with 2 KiB elsewhere: {allocated} blocks allocated and verified");
    machine::exit(true)
}

#[cfg(target_arch = "riscv32")]
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the name that it has on a Cortex-M")]
fn SysTick() {}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    line!("{info}");
    machine::exit(false)
}
