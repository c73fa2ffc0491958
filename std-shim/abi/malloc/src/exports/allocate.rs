//! `malloc` and `calloc`.

use core::ffi::c_void;

use allotment_core::GRANULE;

use super::{block_or_enomem, layout};
use crate::heap;

/// `malloc(3)`: `size` bytes at a multiple of 16 (on 64-bit machines), or null and `ENOMEM`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    match heap::take(size) {
        Some(block) => block.as_ptr().cast(),
        None => malloc_slowly(size),
    }
}

#[cold]
#[inline(never)]
fn malloc_slowly(size: usize) -> *mut c_void {
    if let Some(block) = heap::take_from_slabs(size) {
        return block.as_ptr().cast();
    }
    block_or_enomem(layout(size, GRANULE).and_then(heap::allocate))
}

/// `calloc(3)`: `count` objects of `size` bytes, all zero, or null and `ENOMEM`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let layout = count
        .checked_mul(size)
        .and_then(|size| layout(size, GRANULE));
    block_or_enomem(layout.and_then(heap::allocate_zeroed))
}
