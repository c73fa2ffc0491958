//! The trait that each allocator is measured through.

use std::alloc::Layout;
use std::ptr;

/// An allocator over one region of memory that the caller gives.
pub trait Peer: Sized {
    /// The name in the tables.
    const NAME: &'static str;

    /// An allocator that serves from the `len` bytes at `start`. The value may be moved until its first allocation.
    ///
    /// # Safety
    /// `start` is aligned to a page; `start..start + len` is readable and writable as long as the peer lives, and nobody
    /// else uses it.
    unsafe fn new(start: *mut u8, len: usize) -> Self;

    /// A block of memory for `layout`, or null.
    ///
    /// # Safety
    /// `layout.size()` is not zero.
    unsafe fn allocate(&mut self, layout: Layout) -> *mut u8;

    /// Gives a block back.
    ///
    /// # Safety
    /// `ptr` is a live block of this peer that was allocated with `layout`.
    unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout);

    /// Changes a block's size and keeps its alignment and contents; null, with the old block untouched, if there is no
    /// room. For peers without a realloc of their own: what [`GlobalAlloc`](std::alloc::GlobalAlloc) does by default.
    ///
    /// # Safety
    /// As for [`deallocate`](Self::deallocate); `new_size` is not zero, and makes a valid layout with `layout.align()`.
    #[inline]
    unsafe fn reallocate(&mut self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid size and a live block; the copy stays within both blocks, which are
        // distinct because both are live.
        unsafe {
            let new = self.allocate(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(ptr, new, layout.size().min(new_size));
                self.deallocate(ptr, layout);
            }
            new
        }
    }
}
