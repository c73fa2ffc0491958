//! What allocators keep for themselves of 4 KiB.
#![no_std]
#![no_main]

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

use allotment_core::{Heap, LockedHeap, Options};
use allotment_microcontroller::{line, machine};
use critical_section::RawRestoreState;

/// How the others turn interrupts off.
struct Sections;
critical_section::set_impl!(Sections);

// SAFETY: with interrupts off, nobody else runs.
unsafe impl critical_section::Impl for Sections {
    unsafe fn acquire() -> RawRestoreState {
        machine::disable_interrupts()
    }

    unsafe fn release(were_on: RawRestoreState) {
        if were_on {
            // SAFETY: they were on.
            unsafe { machine::enable_interrupts() }
        }
    }
}

/// embedded-alloc wants that there is one. It has no memory.
#[global_allocator]
static NONE: LockedHeap = LockedHeap::empty();

/// Bytes of the region.
const LEN: usize = 4096;

#[repr(C, align(16))]
struct Memory([MaybeUninit<u8>; LEN]);

/// Prints what is left of the region: one block as large as can be had, or blocks of 16 bytes.
/// Before each attempt, `make` makes the allocator anew. Its value lies outside the region, and counts.
fn row<A>(
    name: &str,
    make: impl Fn(*mut u8) -> A,
    allocate: impl Fn(&mut A, Layout) -> *mut u8,
) -> usize {
    static mut MEMORY: Memory = Memory([MaybeUninit::uninit(); LEN]);
    let start = (&raw mut MEMORY).cast::<u8>();
    let own = size_of::<A>();
    let mut sizes = (0..=LEN).rev().step_by(4);
    let largest = sizes
        .find(|&size| {
            let mut allocator = make(start);
            let layout = Layout::from_size_align(size, 4).unwrap();
            !allocate(&mut allocator, layout).is_null()
        })
        .expect("a block of no bytes can be had");
    let mut allocator = make(start);
    let mut small = 0;
    while !allocate(&mut allocator, Layout::from_size_align(16, 4).unwrap()).is_null() {
        small += 1;
    }
    let cost = LEN - largest + own;
    line!("{name:22} {own:8} {largest:8} {cost:6} {small:9}");
    cost
}

fn memory(start: *mut u8) -> NonNull<[u8]> {
    NonNull::new(core::ptr::slice_from_raw_parts_mut(start, LEN)).unwrap()
}

/// None is null.
fn or_null(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(null_mut(), NonNull::as_ptr)
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", unsafe(no_mangle))]
fn main() -> ! {
    line!("of 4096 bytes           outside  largest   cost  of 16 bytes");
    let ours = row(
        "allotment Heap",
        // SAFETY: in all of these, the region is the allocator's alone, as long as it is used.
        |start| unsafe { Heap::from_raw(start, LEN, Options::default()) }.unwrap(),
        |heap, layout| or_null(heap.allocate(layout)),
    );
    row(
        "talc",
        |start| {
            let talc = talc::TalcCell::new(talc::source::Manual);
            // SAFETY: as above.
            unsafe { talc.claim(start, LEN) }.unwrap();
            talc
        },
        // SAFETY: the layout may have no size.
        |talc, layout| unsafe { core::alloc::GlobalAlloc::alloc(talc, layout) },
    );
    row(
        "rlsf, 8 by 8 lists",
        |start| {
            let mut tlsf = rlsf::Tlsf::<'static, u8, u8, 8, 8>::new();
            // SAFETY: as above.
            unsafe { tlsf.insert_free_block_ptr(memory(start)) };
            tlsf
        },
        |tlsf, layout| or_null(tlsf.allocate(layout)),
    );
    row(
        "embedded-alloc, TLSF",
        |start| {
            let heap = embedded_alloc::TlsfHeap::empty();
            // SAFETY: as above.
            unsafe { heap.init(start.addr(), LEN) };
            heap
        },
        // SAFETY: as above.
        |heap, layout| unsafe { core::alloc::GlobalAlloc::alloc(heap, layout) },
    );
    row(
        "linked_list_allocator",
        |start| {
            let mut heap = linked_list_allocator::Heap::empty();
            // SAFETY: as above.
            unsafe { heap.init(start, LEN) };
            heap
        },
        |heap, layout| {
            heap.allocate_first_fit(layout)
                .map_or(null_mut(), NonNull::as_ptr)
        },
    );
    assert!(ours <= 512, "the fixed cost is more than 512 bytes");
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
