//! linked_list_allocator: first fit over an address-ordered list of holes.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use linked_list_allocator::Heap;

use crate::peer::Peer;

/// linked_list_allocator without a lock.
pub struct LinkedList(Heap);

impl Peer for LinkedList {
    const NAME: &'static str = "linked_list";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        // SAFETY: the caller gives the range to this allocator alone, for its life.
        Self(unsafe { Heap::new(start, len) })
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .allocate_first_fit(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: a live block is not null; block and layout belong together by the caller's promise.
        unsafe { self.0.deallocate(NonNull::new_unchecked(ptr), layout) }
    }
}
