//! The local heaps that are not anybody's: nothing can be taken from them, and no slab is theirs.

pub use allotment_core::LocalHeap;

/// Of a thread that has none yet. Every thread begins with it.
pub(super) static EMPTY: LocalHeap = LocalHeap::empty();

/// While a signal handler runs.
pub(super) static SUSPENDED: LocalHeap = LocalHeap::empty();

/// Of a thread that has given its own back.
pub(super) static ENDED: LocalHeap = LocalHeap::empty();

/// As the word holds it. Nobody writes through it: what is written to a local heap is what was
/// taken from it, or its slabs'.
#[inline(always)]
pub(super) const fn address_of(heap: &'static LocalHeap) -> *mut LocalHeap {
    (&raw const *heap).cast_mut()
}
