//! Kinds as allocators of Rust's collections.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use allocator_api2::alloc::{AllocError, Allocator};

use super::Kind;

fn slice(block: Option<NonNull<u8>>, len: usize) -> Result<NonNull<[u8]>, AllocError> {
    let block = block.ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(block, len))
}

// SAFETY: blocks stay valid when the reference is copied or moved, until they are deallocated: the kind is
// borrowed, and so is not dropped.
unsafe impl Allocator for &Kind {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(Kind::allocate(self, layout), layout.size())
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(Kind::allocate_zeroed(self, layout), layout.size())
    }

    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { Kind::deallocate(self, ptr, layout) }
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded.
        unsafe { resize(self, ptr, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded; the bytes beyond the old size belong to the new block.
        unsafe {
            let grown = resize(self, ptr, old, new)?;
            let tail = grown.cast::<u8>().add(old.size());
            tail.write_bytes(0, new.size() - old.size());
            Ok(grown)
        }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: forwarded.
        unsafe { resize(self, ptr, old, new) }
    }
}

/// Resizes with the alignment of the new layout, which the trait allows to differ.
///
/// # Safety
/// As for [`Allocator::grow`] and [`Allocator::shrink`].
unsafe fn resize(
    kind: &Kind,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if new.align() <= old.align() {
        // SAFETY: the block was allocated with `old`, whose stricter alignment is kept.
        return slice(
            unsafe { kind.reallocate(block, old, new.size()) },
            new.size(),
        );
    }
    let moved = kind.allocate(new).ok_or(AllocError)?;
    // SAFETY: both blocks hold that many bytes and are apart; the old one is given up.
    unsafe {
        moved.copy_from_nonoverlapping(block, old.size().min(new.size()));
        kind.deallocate(block, old);
    }
    slice(Some(moved), new.size())
}

// SAFETY: blocks are apart from each other, as large and aligned as asked for, and stay until they are
// deallocated. Making the pool allocates from the system, never from the kind.
unsafe impl GlobalAlloc for Kind {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocate_zeroed(layout)
            .map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(ptr) {
            // SAFETY: forwarded.
            unsafe { self.deallocate(block, layout) };
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(ptr) else {
            return null_mut();
        };
        // SAFETY: forwarded.
        unsafe { self.reallocate(block, layout, new_size) }.map_or(null_mut(), NonNull::as_ptr)
    }
}
