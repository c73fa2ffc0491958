//! A program that does nothing but allocate and free, with one allocator or none: what it grows by
//! is that allocator's code. It is not run.
#![no_std]
#![no_main]

use core::alloc::Layout;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

// Links what the part needs to start.
use allotment_microcontroller as _;

/// The memory.
const LEN: usize = 4096;
#[repr(C, align(16))]
struct Memory([MaybeUninit<u8>; LEN]);
static mut MEMORY: Memory = Memory([MaybeUninit::uninit(); LEN]);

#[cfg(not(any(
    feature = "size-allotment",
    feature = "size-talc",
    feature = "size-rlsf",
    feature = "size-linked-list",
    feature = "size-embedded-alloc"
)))]
mod allocator {
    use super::*;

    pub(crate) struct Allocator(*mut u8);

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            Allocator(start)
        }

        pub(crate) fn allocate(&mut self, _: Layout) -> Option<NonNull<u8>> {
            NonNull::new(self.0)
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, _: Layout) {
            self.0 = block.as_ptr();
        }
    }
}

#[cfg(feature = "size-allotment")]
mod allocator {
    use super::*;
    use allotment_core::{Fault, Heap, Options};

    pub(crate) struct Allocator(Heap<'static>);

    fn stop(_: &Fault) {
        loop {
            core::hint::spin_loop();
        }
    }

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            let options = Options {
                on_fault: stop,
                ..Options::default()
            };
            // SAFETY: the memory is used here alone.
            match unsafe { Heap::from_raw(start, LEN, options) } {
                Ok(heap) => Allocator(heap),
                Err(_) => loop {
                    core::hint::spin_loop();
                },
            }
        }

        pub(crate) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
            self.0.allocate(layout)
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: forwarded.
            unsafe { self.0.deallocate(block, layout) }
        }
    }
}

#[cfg(feature = "size-talc")]
mod allocator {
    use super::*;
    use core::alloc::GlobalAlloc;
    use talc::{TalcCell, source::Manual};

    /// It links `alloc`, which wants that there is one.
    struct Nothing;

    #[global_allocator]
    static NOTHING: Nothing = Nothing;

    // SAFETY: it has no memory.
    unsafe impl GlobalAlloc for Nothing {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    pub(crate) struct Allocator(TalcCell<Manual>);

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            let talc = TalcCell::new(Manual);
            // SAFETY: the memory is used here alone.
            unsafe { talc.claim(start, LEN) };
            Allocator(talc)
        }

        pub(crate) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
            // SAFETY: the layout has a size.
            NonNull::new(unsafe { self.0.alloc(layout) })
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: forwarded.
            unsafe { self.0.dealloc(block.as_ptr(), layout) }
        }
    }
}

#[cfg(feature = "size-rlsf")]
mod allocator {
    use super::*;

    pub(crate) struct Allocator(rlsf::Tlsf<'static, u8, u8, 8, 8>);

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            let mut tlsf = rlsf::Tlsf::new();
            if let Some(memory) = NonNull::new(core::ptr::slice_from_raw_parts_mut(start, LEN)) {
                // SAFETY: the memory is used here alone.
                unsafe { tlsf.insert_free_block_ptr(memory) };
            }
            Allocator(tlsf)
        }

        pub(crate) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
            self.0.allocate(layout)
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: forwarded.
            unsafe { self.0.deallocate(block, layout.align()) }
        }
    }
}

#[cfg(feature = "size-linked-list")]
mod allocator {
    use super::*;

    pub(crate) struct Allocator(linked_list_allocator::Heap);

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            let mut heap = linked_list_allocator::Heap::empty();
            // SAFETY: the memory is used here alone.
            unsafe { heap.init(start, LEN) };
            Allocator(heap)
        }

        pub(crate) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
            self.0.allocate_first_fit(layout).ok()
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: forwarded.
            unsafe { self.0.deallocate(block, layout) }
        }
    }
}

#[cfg(feature = "size-embedded-alloc")]
mod allocator {
    use super::*;
    use core::alloc::GlobalAlloc;
    use critical_section::RawRestoreState;

    /// It wants to be the global allocator.
    #[global_allocator]
    static HEAP: embedded_alloc::TlsfHeap = embedded_alloc::TlsfHeap::empty();

    pub(crate) struct Allocator(&'static embedded_alloc::TlsfHeap);

    /// Costs nothing, as the others take no lock either.
    struct Sections;
    critical_section::set_impl!(Sections);

    // SAFETY: there are no interrupts.
    unsafe impl critical_section::Impl for Sections {
        unsafe fn acquire() -> RawRestoreState {
            false
        }

        unsafe fn release(_: RawRestoreState) {}
    }

    impl Allocator {
        pub(crate) fn new(start: *mut u8) -> Self {
            // SAFETY: the memory is used here alone.
            unsafe { HEAP.init(start.addr(), LEN) };
            Allocator(&HEAP)
        }

        pub(crate) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
            // SAFETY: the layout has a size.
            NonNull::new(unsafe { self.0.alloc(layout) })
        }

        pub(crate) unsafe fn free(&mut self, block: NonNull<u8>, layout: Layout) {
            // SAFETY: forwarded.
            unsafe { self.0.dealloc(block.as_ptr(), layout) }
        }
    }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", unsafe(no_mangle))]
fn main() -> ! {
    let mut allocator = allocator::Allocator::new((&raw mut MEMORY).cast());
    loop {
        // Neither size nor alignment is known to the compiler.
        let layout = Layout::from_size_align(black_box(100), black_box(8));
        if let Ok(layout) = layout
            && let Some(block) = allocator.allocate(layout)
        {
            // SAFETY: the block was allocated above.
            unsafe { allocator.free(black_box(block), layout) }
        }
    }
}

#[cfg(target_arch = "riscv32")]
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the name that it has on a Cortex-M")]
fn SysTick() {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
