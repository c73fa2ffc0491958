//! `free` and its relatives.

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::NonNull;

use allotment_core::GRANULE;

use super::layout;
use crate::{heap, message};

/// `free(3)`. Null is allowed. A pointer that is no block of malloc's, or is free already, ends the
/// process with one line on standard error and `SIGABRT`.
///
/// # Safety
/// The block is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: forwarded.
    unsafe { heap::free(block.cast()) }
}

/// `cfree(3)`, which old programs call: the same as [`free`].
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: forwarded.
    unsafe { free(block) }
}

/// C23's `free_sized`: frees a block of `malloc`, `calloc` or `realloc` that was asked for with
/// `size` bytes. A size that the block cannot have been asked for with ends the process.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, size: usize) {
    if let Some(block) = NonNull::new(block.cast()) {
        // SAFETY: forwarded.
        unsafe { release(block, layout(size, GRANULE), size) }
    }
}

/// C23's `free_aligned_sized`: frees a block of `aligned_alloc` that was asked for with this
/// alignment and size. Those that it cannot have been asked for with end the process.
///
/// # Safety
/// As for [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, alignment: usize, size: usize) {
    if let Some(block) = NonNull::new(block.cast::<u8>()) {
        if !alignment.is_power_of_two() || block.addr().get() % alignment != 0 {
            message::abort(format_args!(
                "alignment mismatch: {block:p} was not allocated with alignment {alignment}"
            ));
        }
        // SAFETY: forwarded.
        unsafe { release(block, layout(size, alignment), size) }
    }
}

/// # Safety
/// As for [`free`].
unsafe fn release(block: NonNull<u8>, layout: Option<Layout>, size: usize) {
    match layout {
        // SAFETY: forwarded.
        Some(layout) => unsafe { heap::free_sized(block, layout) },
        None => message::abort(format_args!(
            "size mismatch: {block:p} was not allocated with {size} bytes"
        )),
    }
}
