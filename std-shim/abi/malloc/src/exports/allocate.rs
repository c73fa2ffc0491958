//! `malloc` and `calloc`.

use core::ffi::c_void;
use core::ptr::NonNull;

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
    if let Some(bytes) = count.checked_mul(size)
        && let Some(block) = heap::take(bytes)
    {
        // SAFETY: the block was just allocated with this size.
        unsafe { zero(block, bytes) };
        return block.as_ptr().cast();
    }
    calloc_slowly(count, size)
}

/// Sets the bytes of a block to 0. Up to 64 take a few stores, which may overlap: blocks have a
/// multiple of 16 bytes.
///
/// # Safety
/// The block has at least `bytes` bytes, and at least one.
#[inline(always)]
unsafe fn zero(block: NonNull<u8>, bytes: usize) {
    const PIECE: usize = 16;
    // SAFETY: the pieces lie in the block, whose size and address are multiples of theirs.
    unsafe {
        let piece = |offset| block.byte_add(offset).cast::<u128>().write(0);
        if bytes > 4 * PIECE {
            block.write_bytes(0, bytes);
            return;
        }
        piece(0);
        if bytes > PIECE {
            let last = (bytes - 1) & !(PIECE - 1);
            piece(last);
            if bytes > 2 * PIECE {
                piece(PIECE);
                piece(last - PIECE);
            }
        }
    }
}

#[cold]
#[inline(never)]
fn calloc_slowly(count: usize, size: usize) -> *mut c_void {
    let layout = count
        .checked_mul(size)
        .and_then(|size| layout(size, GRANULE));
    block_or_enomem(layout.and_then(heap::allocate_zeroed))
}
