//! Whose local heap an operation uses, when nobody hands one over: [`Binding`].

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{NonNull, null_mut};

use lock_api::RawMutex;

use super::{Pool, no_unwinding, or_null};
use crate::local::LocalHeap;
use crate::sync::{AtomicUsize, Ordering};

/// Names the local heap of whoever is running: a thread's, a CPU's.
///
/// # Safety
/// [`with`](Binding::with) hands out [`LocalHeap::EMPTY`], or a local heap of that very pool that
/// nobody else is given until the call returns, be it another thread, another CPU or an interrupt
/// handler.
pub unsafe trait Binding {
    /// Calls `f` with the local heap that is the caller's as long as `f` runs. It may be attached
    /// here, when it is first needed.
    fn with<R: RawMutex, T>(&self, pool: &Pool<'_, R>, f: impl FnOnce(&LocalHeap) -> T) -> T;
}

/// Which CPU runs, and how to stay on it.
///
/// # Safety
/// While the function that is given to [`pinned`](CurrentCpu::pinned) runs, no other code runs on
/// this CPU that allocates from the same pool: it is not preempted, and interrupts whose handlers
/// allocate are off.
pub unsafe trait CurrentCpu {
    /// Calls `f` with the number of the CPU, staying on it. CPUs are numbered from 0.
    fn pinned<T>(&self, f: impl FnOnce(usize) -> T) -> T;
}

/// A local heap for each of up to `N` CPUs. A CPU with a higher number uses the pool's lock.
pub struct PerCpu<C, const N: usize> {
    cpu: C,
    /// Addresses of local heaps, 0 where there is none yet.
    heaps: [AtomicUsize; N],
}

impl<C, const N: usize> PerCpu<C, N> {
    /// No CPU has a local heap yet; each gets one at its first allocation.
    #[must_use]
    pub const fn new(cpu: C) -> Self {
        PerCpu {
            cpu,
            heaps: [const { AtomicUsize::new(0) }; N],
        }
    }
}

impl<C, const N: usize> fmt::Debug for PerCpu<C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCpu").finish_non_exhaustive()
    }
}

// SAFETY: a CPU's local heap is handed out on that CPU alone, and to one function at a time, since it
// is pinned. One that was attached to another pool is not handed out.
unsafe impl<C: CurrentCpu, const N: usize> Binding for PerCpu<C, N> {
    #[inline]
    fn with<R: RawMutex, T>(&self, pool: &Pool<'_, R>, f: impl FnOnce(&LocalHeap) -> T) -> T {
        self.cpu.pinned(|number| {
            let Some(place) = self.heaps.get(number) else {
                return f(LocalHeap::EMPTY);
            };
            let mut address = place.load(Ordering::Relaxed);
            if address == 0
                && let Some(local) = pool.attach()
            {
                address = local.addr().get();
                place.store(address, Ordering::Relaxed);
            }
            if address == 0 {
                return f(LocalHeap::EMPTY);
            }
            // SAFETY: it was attached above or before, and stays where it is.
            let local = unsafe { &*core::ptr::with_exposed_provenance::<LocalHeap>(address) };
            f(if pool.owns(local) {
                local
            } else {
                LocalHeap::EMPTY
            })
        })
    }
}

/// A pool as a [`GlobalAlloc`] whose operations use the local heap that a [`Binding`] names.
#[derive(Debug)]
pub struct BoundPool<P, B> {
    pool: P,
    binding: B,
}

impl<P, B> BoundPool<P, B> {
    /// `pool` is a [`Pool`] or a reference to one.
    #[must_use]
    pub const fn new(pool: P, binding: B) -> Self {
        BoundPool { pool, binding }
    }

    /// The pool.
    pub const fn pool(&self) -> &P {
        &self.pool
    }
}

impl<'r, R: RawMutex + 'r, B: Binding> BoundPool<&Pool<'r, R>, B> {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the binding's promise.
        self.binding.with(self.pool, |local| unsafe {
            self.pool
                .allocate_in(local, layout)
                .or_else(|| self.pool.allocate_at_last(local, layout))
        })
    }
}

// SAFETY: as for `Pool`: blocks come from the pool, which hands out each byte once.
unsafe impl<'r, R: RawMutex + 'r, B: Binding> GlobalAlloc for BoundPool<&Pool<'r, R>, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.allocate(layout)))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let Some(ptr) = NonNull::new(ptr) else { return };
        no_unwinding(|| {
            // SAFETY: `ptr` was allocated here with `layout` (the trait's condition); the binding's
            // promise.
            self.binding.with(self.pool, |local| unsafe {
                self.pool.deallocate_in(local, ptr, layout);
            });
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = no_unwinding(|| or_null(self.allocate(layout)));
        if !block.is_null() {
            // SAFETY: the block was just allocated with this size. It is zeroed with nothing held.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(ptr) = NonNull::new(ptr) else {
            return null_mut();
        };
        no_unwinding(|| {
            // SAFETY: as in `dealloc`.
            or_null(self.binding.with(self.pool, |local| unsafe {
                self.pool.reallocate_in(local, ptr, layout, new_size)
            }))
        })
    }
}
