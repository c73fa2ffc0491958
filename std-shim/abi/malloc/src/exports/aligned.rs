//! Allocations at multiples of more than malloc's alignment.

use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};

use allotment_core::GRANULE;

use super::{block_or_enomem, fail, layout};
use crate::heap;
use crate::product::product;

/// Up to here a request is looked at more closely only if the local heap has nothing ready for it.
const QUICK: usize = 64 << 10;

/// A block for this alignment, if it is a power of two, and the calling thread's local heap has it
/// ready.
#[inline(always)]
fn take(alignment: usize, size: usize) -> Option<NonNull<u8>> {
    if size > QUICK || alignment > QUICK {
        return None;
    }
    let layout = Layout::from_size_align(size, alignment).ok()?;
    heap::take_aligned(layout)
}

/// Allocates with an alignment that is a power of two.
#[inline(always)]
fn allocate(alignment: usize, size: usize) -> *mut c_void {
    match take(alignment, size) {
        Some(block) => block.as_ptr().cast(),
        None => allocate_slowly(alignment, size),
    }
}

#[cold]
#[inline(never)]
fn allocate_slowly(alignment: usize, size: usize) -> *mut c_void {
    block_or_enomem(layout(size, alignment.max(GRANULE)).and_then(heap::allocate))
}

/// `aligned_alloc(3)`: null and `EINVAL` unless the alignment is a power of two. The size need not
/// be a multiple of it.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return fail(libc::EINVAL);
    }
    allocate(alignment, size)
}

/// `memalign(3)`: the alignment is rounded up to a power of two, as glibc does; null and `EINVAL`
/// if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    match alignment.checked_next_power_of_two() {
        Some(alignment) => allocate(alignment, size),
        None => fail(libc::EINVAL),
    }
}

/// `posix_memalign(3)`: answers 0 and stores the block, or answers `EINVAL` (the alignment is not a
/// power of two or not a multiple of a pointer's size) or `ENOMEM` and stores nothing. `errno` is
/// kept in any case.
///
/// # Safety
/// `place` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    if alignment.is_multiple_of(size_of::<*mut c_void>())
        && let Some(block) = take(alignment, size)
    {
        // SAFETY: forwarded.
        unsafe { *place = block.as_ptr().cast() };
        return 0;
    }
    // SAFETY: forwarded.
    unsafe { posix_memalign_slowly(place, alignment, size) }
}

/// # Safety
/// As for [`posix_memalign`].
#[cold]
#[inline(never)]
unsafe fn posix_memalign_slowly(place: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if (!alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()))
        // SAFETY: forwarded.
        && unsafe { refuses(place, alignment) }
    {
        return libc::EINVAL;
    }
    match layout(size, alignment.max(GRANULE)).and_then(heap::allocate) {
        Some(block) => {
            // SAFETY: forwarded.
            unsafe { *place = block.as_ptr().cast() };
            0
        }
        None => libc::ENOMEM,
    }
}

/// Whether an alignment that POSIX does not allow is refused.
///
/// # Safety
/// `place` may be written.
unsafe fn refuses(place: *mut *mut c_void, alignment: usize) -> bool {
    if !product().lax_posix_memalign {
        return true;
    }
    if alignment.is_power_of_two() {
        return false;
    }
    // SAFETY: forwarded.
    unsafe { *place = null_mut() };
    true
}

fn page_size() -> usize {
    // SAFETY: only asks.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// `valloc(3)`: at the start of a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    allocate(page_size(), size)
}

/// `pvalloc(3)`: whole pages, at least one.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = page_size();
    match size.max(1).checked_next_multiple_of(page) {
        Some(size) => allocate(page, size),
        None => fail(libc::ENOMEM),
    }
}
