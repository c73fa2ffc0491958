//! dlmalloc: Doug Lea's bins and tries, ported to Rust.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr;

use crate::peer::Peer;

/// The only memory that dlmalloc can have: a region, handed out whole at its first request.
#[derive(Debug)]
struct FixedRegion {
    start: Cell<*mut u8>,
    len: usize,
}

// SAFETY: the pointer is the only owner of the region.
unsafe impl Send for FixedRegion {}

// SAFETY: `alloc` returns the region at most once, and memory is never taken back.
unsafe impl dlmalloc::Allocator for FixedRegion {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size > self.len {
            return (ptr::null_mut(), 0, 0);
        }
        (self.start.replace(ptr::null_mut()), self.len, 0)
    }

    fn remap(&self, _ptr: *mut u8, _old_size: usize, _new_size: usize, _can_move: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _ptr: *mut u8, _old_size: usize, _new_size: usize) -> bool {
        false
    }

    fn free(&self, _ptr: *mut u8, _size: usize) -> bool {
        false
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        false
    }

    fn page_size(&self) -> usize {
        4096
    }
}

/// dlmalloc over a fixed region.
pub struct Dlmalloc(dlmalloc::Dlmalloc<FixedRegion>);

impl Peer for Dlmalloc {
    const NAME: &'static str = "dlmalloc";

    unsafe fn new(start: *mut u8, len: usize) -> Self {
        Self(dlmalloc::Dlmalloc::new_with_allocator(FixedRegion {
            start: Cell::new(start),
            len,
        }))
    }

    #[inline]
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
        // SAFETY: a layout's size and alignment are what `malloc` asks for.
        unsafe { self.0.malloc(layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
        // SAFETY: block and layout belong together by the caller's promise.
        unsafe { self.0.free(ptr, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn reallocate(&mut self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `deallocate`; the caller promises a valid new size.
        unsafe { self.0.realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}
