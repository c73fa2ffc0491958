//! [`LockedHeap`]: a lock around a heap that is given its region later.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::NonNull;

use lock_api::{Mutex, RawMutex};

use crate::heap::{Heap, Options};
use crate::pool::{no_unwinding, or_null};
use crate::region::CreateError;
use crate::stats::Stats;
use crate::tlsf::refusal::Refusal;

/// A [`Heap`] behind a lock, made empty by a `const fn`, for `#[global_allocator]` where the
/// region is known only at run time. Until [`init`](LockedHeap::init) it has no memory to give.
///
/// # Examples
/// ```
/// use allotment_core::LockedHeap;
///
/// // In a kernel: #[global_allocator]
/// static HEAP: LockedHeap = LockedHeap::empty();
///
/// static mut MEMORY: [u8; 65536] = [0; 65536];
/// // SAFETY: nothing else uses `MEMORY`.
/// unsafe { HEAP.init((&raw mut MEMORY).cast(), 65536)? };
/// assert!(HEAP.stats().free_bytes > 60_000);
/// # Ok::<(), allotment_core::CreateError>(())
/// ```
#[cfg(feature = "spin")]
pub struct LockedHeap<R = spin::Mutex<()>> {
    heap: Mutex<R, Option<Heap<'static>>>,
}

/// A [`Heap`] behind a lock, made empty by a `const fn`, for `#[global_allocator]` where the
/// region is known only at run time. Until [`init`](LockedHeap::init) it has no memory to give.
#[cfg(not(feature = "spin"))]
pub struct LockedHeap<R> {
    heap: Mutex<R, Option<Heap<'static>>>,
}

impl<R> fmt::Debug for LockedHeap<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedHeap").finish_non_exhaustive()
    }
}

impl<R: RawMutex> Default for LockedHeap<R> {
    fn default() -> Self {
        LockedHeap::empty()
    }
}

impl<R: RawMutex> LockedHeap<R> {
    /// A heap without a region.
    #[must_use]
    pub const fn empty() -> Self {
        LockedHeap {
            heap: Mutex::new(None),
        }
    }

    /// Gives the heap its region; one that it had before is forgotten, with all its blocks.
    ///
    /// # Errors
    /// See [`Heap::from_raw`]. The heap stays as it was.
    ///
    /// # Safety
    /// As for [`Heap::from_raw`], for as long as the program runs.
    pub unsafe fn init(&self, start: *mut u8, len: usize) -> Result<(), CreateError> {
        // SAFETY: forwarded.
        unsafe { self.init_with(start, len, Options::default()) }
    }

    /// As [`LockedHeap::init`], with options.
    ///
    /// # Errors
    /// See [`Heap::from_raw`]. The heap stays as it was.
    ///
    /// # Safety
    /// As for [`LockedHeap::init`].
    pub unsafe fn init_with(
        &self,
        start: *mut u8,
        len: usize,
        options: Options,
    ) -> Result<(), CreateError> {
        // SAFETY: forwarded.
        let heap = unsafe { Heap::from_raw(start, len, options)? };
        *self.heap.lock() = Some(heap);
        Ok(())
    }

    /// Runs `f` on the heap, locked, for what this type does not offer itself, such as
    /// [`Heap::add_region`]. `None` before [`LockedHeap::init`]. `f` must not use this heap in
    /// another way.
    pub fn with<T>(&self, f: impl FnOnce(&mut Heap<'static>) -> T) -> Option<T> {
        self.heap.lock().as_mut().map(f)
    }

    /// The heap's figures; all zero before [`LockedHeap::init`]. O(1).
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.with(|heap| heap.stats()).unwrap_or_default()
    }

    /// Runs an operation locked, and deals with its refusal unlocked.
    #[inline]
    fn attempt<T>(
        &self,
        size: usize,
        operation: impl FnOnce(&mut Heap<'static>) -> Result<T, Refusal>,
    ) -> Option<T> {
        let mut guard = self.heap.lock();
        let heap = guard.as_mut()?;
        match operation(heap) {
            Ok(value) => Some(value),
            Err(Refusal::NoMemory) => heap.refuse(Refusal::NoMemory, size),
            Err(fault) => {
                let reporter = heap.reporter();
                drop(guard);
                reporter.report(fault, size);
                None
            }
        }
    }
}

// SAFETY: blocks come from one heap, which hands out each byte once; layouts are honoured, and
// misuse of the trait's contract is reported and refused.
unsafe impl<R: RawMutex> GlobalAlloc for LockedHeap<R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.attempt(0, |heap| heap.try_allocate(layout))))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Some(ptr) = NonNull::new(ptr) {
            no_unwinding(|| {
                self.attempt(layout.size(), |heap| {
                    heap.try_free(ptr, Some(layout.size()))
                })
            });
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let zeroed = |heap: &mut Heap<'static>| {
            let fresh = heap.fresh();
            heap.try_allocate(layout)
                .map(|p| (p, heap.stale_part(p, layout.size(), fresh)))
        };
        let found = no_unwinding(|| self.attempt(0, zeroed));
        or_null(found.map(|(p, stale)| {
            // SAFETY: the block is new and at least `stale` bytes long.
            unsafe { p.write_bytes(0, stale) };
            p
        }))
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(from) = NonNull::new(ptr) else {
            return ptr;
        };
        let begin = |heap: &mut Heap<'static>| heap.begin_resize(from, Some(layout), new_size);
        let to = no_unwinding(|| match self.attempt(layout.size(), begin)? {
            None => Some(from),
            Some(moving) => {
                // SAFETY: the caller gives up the old block; the new one is known to us alone.
                unsafe { moving.copy() };
                self.attempt(0, |heap| heap.finish_resize(moving))
                    .map(|()| moving.to)
            }
        });
        or_null(to)
    }
}
