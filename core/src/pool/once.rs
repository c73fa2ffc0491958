//! A pool in a `static`: [`OncePool`].

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

use lock_api::RawMutex;

use super::Pool;
use crate::heap::Options;
use crate::region::CreateError;
use crate::sync::{AtomicUsize, Ordering};

/// A pool that is made once, at run time: for a `static`, in a [`BoundPool`](crate::BoundPool) that is a
/// `#[global_allocator]`. Until [`create`](OncePool::create) it has no memory to give.
pub struct OncePool<R: RawMutex> {
    /// [`VACANT`], [`IN_MAKING`] or [`MADE`].
    state: AtomicUsize,
    pool: UnsafeCell<MaybeUninit<Pool<'static, R>>>,
}

const VACANT: usize = 0;
const IN_MAKING: usize = 1;
const MADE: usize = 2;

// SAFETY: the pool is written by the one who took the state from vacant, and read only when that is
// done.
unsafe impl<R: RawMutex + Send + Sync> Sync for OncePool<R> {}

impl<R: RawMutex> fmt::Debug for OncePool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OncePool")
            .field("pool", &self.get())
            .finish()
    }
}

impl<R: RawMutex> Default for OncePool<R> {
    fn default() -> Self {
        OncePool::empty()
    }
}

impl<R: RawMutex> OncePool<R> {
    /// No pool yet.
    #[must_use]
    pub const fn empty() -> Self {
        OncePool {
            state: AtomicUsize::new(VACANT),
            pool: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Makes the pool over `len` bytes at `start`: see [`Pool::create_in_raw`].
    ///
    /// # Errors
    /// See [`Pool::create_in_raw`]. There is no pool then, and another attempt may follow.
    ///
    /// # Panics
    /// If the pool is there already, or just being made.
    ///
    /// # Safety
    /// As for [`Pool::create_in_raw`], for as long as the program runs.
    pub unsafe fn create(
        &self,
        start: *mut u8,
        len: usize,
        options: Options,
    ) -> Result<&Pool<'static, R>, CreateError> {
        let taken =
            self.state
                .compare_exchange(VACANT, IN_MAKING, Ordering::Relaxed, Ordering::Relaxed);
        assert!(taken.is_ok(), "the pool is made once");
        // SAFETY: forwarded; the state keeps all others away.
        unsafe {
            match Pool::create_in_raw(start, len, options) {
                Ok(pool) => {
                    let pool = (*self.pool.get()).write(pool);
                    self.state.store(MADE, Ordering::Release);
                    Ok(pool)
                }
                Err(error) => {
                    self.state.store(VACANT, Ordering::Relaxed);
                    Err(error)
                }
            }
        }
    }

    /// The pool, if it was made.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&Pool<'static, R>> {
        let made = self.state.load(Ordering::Acquire) == MADE;
        // SAFETY: it was written before the state said so, and is never written again.
        made.then(|| unsafe { (*self.pool.get()).assume_init_ref() })
    }
}

/// Where a [`BoundPool`](crate::BoundPool) has its pool from.
///
/// # Safety
/// It is the same pool each time, once there is one.
pub unsafe trait PoolSource {
    /// The pool's lock.
    type Lock: RawMutex;

    /// Calls `f` with the pool, if there is one yet.
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, Self::Lock>) -> T) -> Option<T>;
}

// SAFETY: it is one pool.
unsafe impl<R: RawMutex> PoolSource for &Pool<'_, R> {
    type Lock = R;

    #[inline(always)]
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, R>) -> T) -> Option<T> {
        Some(f(self))
    }
}

// SAFETY: its pool is made once.
unsafe impl<R: RawMutex + 'static> PoolSource for OncePool<R> {
    type Lock = R;

    #[inline(always)]
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, R>) -> T) -> Option<T> {
        self.get().map(f)
    }
}
