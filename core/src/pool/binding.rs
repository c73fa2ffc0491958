//! Whose local heap an operation uses, when nobody hands one over: [`Binding`]; and that of a CPU:
//! [`PerCpu`].

use core::fmt;

use lock_api::RawMutex;

use super::Pool;
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
            let address = place.load(Ordering::Relaxed);
            let local = if address == 0 {
                attach(pool, place)
            } else {
                // SAFETY: it was attached before, and stays where it is.
                unsafe { &*core::ptr::with_exposed_provenance::<LocalHeap>(address) }
            };
            f(if pool.owns(local) {
                local
            } else {
                LocalHeap::EMPTY
            })
        })
    }
}

/// A CPU's first local heap, noted at its place; the empty one if there is no memory for it.
#[cold]
#[inline(never)]
fn attach<'p, R: RawMutex>(pool: &'p Pool<'_, R>, place: &AtomicUsize) -> &'p LocalHeap {
    let Some(local) = pool.attach() else {
        return LocalHeap::EMPTY;
    };
    place.store(local.addr().get(), Ordering::Relaxed);
    // SAFETY: local heaps live as long as the pool.
    unsafe { local.as_ref() }
}
