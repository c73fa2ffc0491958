//! [`Handle`]: a local heap that one value owns.

use core::alloc::Layout;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use lock_api::RawMutex;

use super::Pool;
use crate::local::LocalHeap;

/// A local heap of a pool, bound to this value: the explicit way to say whose it is.
///
/// It may be sent to another thread, not shared. Dropping it gives the local heap up for the next
/// one; what was allocated stays valid.
///
/// # Examples
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use allotment_core::Pool;
///
/// let mut region = vec![MaybeUninit::uninit(); 1 << 20];
/// let pool: Pool = Pool::create_in_region(&mut region)?;
/// std::thread::scope(|threads| {
///     for _ in 0..4 {
///         threads.spawn(|| {
///             let handle = pool.handle().expect("room for a local heap");
///             let layout = Layout::new::<[u8; 100]>();
///             let p = handle.allocate(layout).expect("1 MiB suffices");
///             // SAFETY: `p` was just allocated with this layout.
///             unsafe { handle.deallocate(p, layout) };
///         });
///     }
/// });
/// assert_eq!(pool.stats().live_blocks, 0);
/// # Ok::<(), allotment_core::CreateError>(())
/// ```
pub struct Handle<'p, 'r, R: RawMutex> {
    pool: &'p Pool<'r, R>,
    local: NonNull<LocalHeap>,
    /// Not to be shared: one operation at a time.
    alone: PhantomData<Cell<()>>,
}

// SAFETY: a local heap is bound to whoever has the handle; nothing in it depends on the thread.
unsafe impl<R: RawMutex + Sync> Send for Handle<'_, '_, R> {}

impl<R: RawMutex> fmt::Debug for Handle<'_, '_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl<'r, R: RawMutex> Pool<'r, R> {
    /// A local heap for the caller: see [`Pool::attach`]. `None` if there is no memory for it.
    #[must_use]
    pub fn handle(&self) -> Option<Handle<'_, 'r, R>> {
        self.attach().map(|local| Handle {
            pool: self,
            local,
            alone: PhantomData,
        })
    }
}

impl<R: RawMutex> Handle<'_, '_, R> {
    #[inline(always)]
    fn local(&self) -> &LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        unsafe { self.local.as_ref() }
    }

    /// As [`Pool::allocate`], without the lock where that is possible: see [`Pool::allocate_in`].
    /// `None` only after everything else was tried.
    #[inline]
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the local heap is this value's, which is not shared.
        unsafe { self.pool.allocate_or_fail(self.local(), layout) }
    }

    /// As [`Pool::deallocate`], without the lock where that is possible.
    ///
    /// # Safety
    /// As for [`Pool::deallocate`].
    #[inline]
    pub unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded; the local heap is this value's, which is not shared.
        unsafe { self.pool.deallocate_in(self.local(), ptr, layout) }
    }

    /// As [`Pool::free`], without the lock where that is possible.
    ///
    /// # Safety
    /// As for [`Pool::free`].
    #[inline]
    pub unsafe fn free(&self, ptr: NonNull<u8>) {
        // SAFETY: as above.
        unsafe { self.pool.free_in(self.local(), ptr) }
    }

    /// As [`Pool::reallocate`], without the lock where that is possible.
    ///
    /// # Safety
    /// As for [`Pool::reallocate`].
    pub unsafe fn reallocate(
        &self,
        ptr: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: as above.
        unsafe { self.pool.reallocate_in(self.local(), ptr, layout, new_size) }
    }

    /// Gives all memory back that the local heap does not need: see [`Pool::trim`].
    pub fn trim(&self) {
        // SAFETY: as above.
        unsafe { self.pool.trim(self.local()) }
    }
}

impl<R: RawMutex> Drop for Handle<'_, '_, R> {
    fn drop(&mut self) {
        // SAFETY: the local heap came from this pool, and ends to be used here.
        unsafe { self.pool.detach(self.local) }
    }
}
