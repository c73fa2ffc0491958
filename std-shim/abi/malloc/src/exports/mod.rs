//! The C functions that the library defines, and nothing else.
//!
//! Where the standards leave a choice, glibc's is taken: `malloc(0)`, `calloc(0, n)` and
//! `realloc(NULL, 0)` give a block of its own; `realloc(p, 0)` frees and gives null. `errno` is set
//! on failure and kept on success.

pub mod aligned;
pub mod allocate;
pub mod inspect;
pub mod release;
pub mod resize;
pub mod signals;
pub mod tune;

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

use allotment::os_error::OsError;

/// What C gets: the block, or null and `ENOMEM`.
#[inline(always)]
fn block_or_enomem(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => fail(libc::ENOMEM),
    }
}

/// Sets `errno`. Answers null.
#[cold]
#[inline(never)]
fn fail(error: i32) -> *mut c_void {
    OsError(error).set();
    null_mut()
}

/// The layout for `size` bytes at a multiple of `align`. `None` if no object can be so large.
/// Objects of no bytes need an address of their own, so they take one.
#[inline(always)]
fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(if size == 0 { 1 } else { size }, align).ok()
}
