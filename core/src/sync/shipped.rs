//! What ships: the types of `core`, and nothing to be told.

use core::alloc::Layout;
use core::ptr::NonNull;

pub(crate) use core::cell::Cell;
pub(crate) use core::sync::atomic::AtomicUsize;

/// Reads an atomic word for whoever only wants to know what he wrote there himself. It is not an
/// atomic load, since compilers do not compare with such a one in memory.
///
/// # Safety
/// An [`AtomicUsize`] is at the address, and no other thread writes it now.
#[inline(always)]
pub(crate) unsafe fn read_own(address: usize) -> usize {
    // SAFETY: forwarded.
    unsafe { core::ptr::with_exposed_provenance::<usize>(address).read() }
}

/// The caller is about to make something of the pool's in memory of the heap. For the models.
#[inline(always)]
pub(crate) fn allocated(_: NonNull<u8>, _: Layout) {}

/// What the caller had made there is given back. For the models.
#[inline(always)]
pub(crate) fn given_back(_: NonNull<u8>) {}
