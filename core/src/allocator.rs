//! `allocator_api2` for shared references.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use lock_api::RawMutex;

use crate::locked::LockedHeap;
use crate::pool::Pool;

fn slice(p: *mut u8, len: usize) -> Result<NonNull<[u8]>, AllocError> {
    let p = NonNull::new(p).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(p, len))
}

/// Resizes with the alignment of the new layout, which the trait allows to differ.
///
/// # Safety
/// As for [`Allocator::grow`] and [`Allocator::shrink`].
unsafe fn resize(
    allocator: &impl GlobalAlloc,
    ptr: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if new.align() <= old.align() {
        // SAFETY: `ptr` was allocated with `old`; the stricter alignment is kept.
        return slice(
            unsafe { allocator.realloc(ptr.as_ptr(), old, new.size()) },
            new.size(),
        );
    }
    // SAFETY: the allocators here take sizes of 0, too.
    let moved = unsafe { allocator.alloc(new) };
    let result = slice(moved, new.size())?;
    // SAFETY: both blocks hold that many bytes and are distinct; the old one is given up.
    unsafe {
        ptr.as_ptr()
            .copy_to_nonoverlapping(moved, old.size().min(new.size()));
        allocator.dealloc(ptr.as_ptr(), old);
    }
    Ok(result)
}

macro_rules! impl_allocator {
    ($($type:ty),*) => { $(
        // SAFETY: blocks stay valid when the reference is copied or moved, until they are
        // deallocated: they lie in the region, which outlives the allocator.
        unsafe impl<R: RawMutex> Allocator for &$type {
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: these allocators take sizes of 0, too.
                slice(unsafe { self.alloc(layout) }, layout.size())
            }

            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: as in `allocate`.
                slice(unsafe { self.alloc_zeroed(layout) }, layout.size())
            }

            unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
                // SAFETY: forwarded.
                unsafe { self.dealloc(ptr.as_ptr(), layout) }
            }

            unsafe fn grow(
                &self,
                ptr: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: forwarded.
                unsafe { resize(*self, ptr, old, new) }
            }

            unsafe fn grow_zeroed(
                &self,
                ptr: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: forwarded; the bytes beyond the old size belong to the new block.
                unsafe {
                    let grown = resize(*self, ptr, old, new)?;
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
                unsafe { resize(*self, ptr, old, new) }
            }
        }
    )* };
}

impl_allocator!(Pool<'_, R>, LockedHeap<R>);
