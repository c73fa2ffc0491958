//! The three calls that both benches measure.
//!
//! None is inlined, and each takes its arguments in registers: every peer pays the same call, and the stepper knows
//! where an operation begins and ends.

use std::alloc::Layout;

use crate::peer::Peer;

/// [`Peer::allocate`] with the layout taken apart.
///
/// # Safety
/// As for [`Peer::allocate`]; `align` is a power of two, and `size` rounded up to it does not exceed `isize::MAX`.
#[inline(never)]
pub unsafe extern "C-unwind" fn allocate<P: Peer>(
    peer: &mut P,
    size: usize,
    align: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise is the callee's.
    unsafe { peer.allocate(Layout::from_size_align_unchecked(size, align)) }
}

/// [`Peer::deallocate`] with the layout taken apart.
///
/// # Safety
/// As for [`Peer::deallocate`].
#[inline(never)]
pub unsafe extern "C-unwind" fn deallocate<P: Peer>(
    peer: &mut P,
    ptr: *mut u8,
    size: usize,
    align: usize,
) {
    // SAFETY: the caller's promise is the callee's; the layout is the one that the block was allocated with.
    unsafe { peer.deallocate(ptr, Layout::from_size_align_unchecked(size, align)) }
}

/// [`Peer::reallocate`] with the layout taken apart.
///
/// # Safety
/// As for [`Peer::reallocate`].
#[inline(never)]
pub unsafe extern "C-unwind" fn reallocate<P: Peer>(
    peer: &mut P,
    ptr: *mut u8,
    size: usize,
    align: usize,
    new_size: usize,
) -> *mut u8 {
    // SAFETY: the caller's promise is the callee's; the layout is the one that the block was allocated with.
    unsafe {
        peer.reallocate(
            ptr,
            Layout::from_size_align_unchecked(size, align),
            new_size,
        )
    }
}
