//! The global allocator of this program, as Rust's collections use it.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error, realloc};

use crate::preload::allocator::{Allocator, USUAL};

/// Whatever stands behind `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Global;

/// What Rust asks for a block of this size and alignment with.
///
/// # Safety
/// `alignment` is a power of two, and `size` is far below `isize::MAX`.
#[inline(always)]
unsafe fn layout(size: usize, alignment: usize) -> Layout {
    // SAFETY: the caller's promise.
    unsafe { Layout::from_size_align_unchecked(size, alignment) }
}

#[inline(always)]
fn written(block: *mut u8, layout: Layout) -> *mut u8 {
    if block.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: a new block of at least one byte, which nobody else knows.
    unsafe { block.write_volatile(1) };
    block
}

impl Allocator for Global {
    const WANTS_SIZES: bool = true;

    #[inline(always)]
    fn malloc(&self, size: usize) -> *mut u8 {
        // SAFETY: no workload asks for no bytes or for more than some MiB.
        unsafe {
            let layout = layout(size, USUAL);
            written(alloc(layout), layout)
        }
    }

    #[inline(always)]
    fn calloc(&self, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            let layout = layout(size, USUAL);
            written(alloc_zeroed(layout), layout)
        }
    }

    #[inline(always)]
    fn aligned(&self, alignment: usize, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            let layout = layout(size, alignment);
            written(alloc(layout), layout)
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: the caller promises a block of that size; the rest as above.
        unsafe {
            let layout = layout(old, USUAL);
            let block = realloc(block, layout, new);
            if block.is_null() {
                handle_alloc_error(layout);
            }
            block
        }
    }

    #[inline(always)]
    unsafe fn free(&self, block: *mut u8, size: usize, alignment: usize) {
        // SAFETY: the caller promises a block of that size and alignment.
        unsafe { dealloc(block, layout(size, alignment)) }
    }
}
