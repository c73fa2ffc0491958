//! talc: boundary tags and 191 bins.

use std::alloc::{GlobalAlloc, Layout};

use talc::TalcCell;
use talc::source::Manual;

use crate::peer::Peer;

/// talc without a lock and without a source of more memory.
pub struct Talc(TalcCell<Manual>);

impl Peer for Talc {
    const NAME: &'static str = "talc";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        let talc = TalcCell::new(Manual);
        // SAFETY: the caller gives the range to this allocator alone, for its life.
        unsafe { talc.claim(start, len) }.expect("a page is enough for a heap");
        Self(talc)
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises a size.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: block and layout belong together by the caller's promise.
        unsafe { self.0.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `deallocate`; the caller promises a valid new size.
        unsafe { self.0.realloc(ptr, layout, new_size) }
    }
}
