//! Our own heap, freed with and without a layout.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use allotment_core::{Heap, Options};

use crate::peer::Peer;

/// [`Heap`], with the layout given to each free.
#[derive(Debug)]
pub struct Allotment(Heap<'static>);

impl Peer for Allotment {
    const NAME: &'static str = "allotment";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        // SAFETY: the caller gives the range to this heap alone, for the heap's life.
        let heap = unsafe { Heap::from_raw(start, len, Options::default()) };
        Self(heap.expect("a page is enough for a heap"))
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .allocate(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: a live block is not null; block and layout belong together by the caller's promise.
        unsafe { self.0.deallocate(NonNull::new_unchecked(ptr), layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `deallocate`; the caller promises a valid new size.
        let new = unsafe {
            self.0
                .reallocate(NonNull::new_unchecked(ptr), layout, new_size)
        };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// [`Heap`] as C uses it: free and realloc know only the pointer.
#[derive(Debug)]
pub struct AllotmentUnsized(Heap<'static>);

impl Peer for AllotmentUnsized {
    const NAME: &'static str = "allotment free(ptr)";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        // SAFETY: the caller gives the range to this heap alone, for the heap's life.
        let heap = unsafe { Heap::from_raw(start, len, Options::default()) };
        Self(heap.expect("a page is enough for a heap"))
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        self.0
            .allocate(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, _layout: Layout) {
        // SAFETY: a live block of this heap is not null.
        unsafe { self.0.free(NonNull::new_unchecked(ptr)) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, ptr: *mut u8, _layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: a live block of this heap is not null.
        let new = unsafe { self.0.resize(NonNull::new_unchecked(ptr), new_size) };
        new.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}
