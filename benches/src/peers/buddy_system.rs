//! buddy_system_allocator: a binary buddy system.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use buddy_system_allocator::Heap;

use crate::peer::Peer;

/// buddy_system_allocator without a lock, for blocks up to 4 GiB.
pub struct BuddySystem(Heap<33>);

impl Peer for BuddySystem {
    const NAME: &'static str = "buddy_system";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        let mut heap = Heap::new();
        // SAFETY: the caller gives the range to this allocator alone, for its life.
        unsafe { heap.init(start.expose_provenance(), len) };
        Self(heap)
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .alloc(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: a live block is not null; block and layout belong together by the caller's promise.
        unsafe { self.0.dealloc(NonNull::new_unchecked(ptr), layout) }
    }
}
