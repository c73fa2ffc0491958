//! A lock for code that interrupt handlers share.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

use lock_api::{GuardNoSend, RawMutex};

/// How the CPU that runs turns its interrupts off and on again.
///
/// # Safety
/// From a [`disable`](Interrupts::disable) to the next [`enable`](Interrupts::enable) on the same
/// CPU, no interrupt handler that allocates runs there.
pub unsafe trait Interrupts {
    /// Turns interrupts off, and answers whether they were on.
    fn disable() -> bool;

    /// Turns interrupts on.
    ///
    /// # Safety
    /// They were on before the [`disable`](Interrupts::disable) that this call ends.
    unsafe fn enable();
}

/// A lock that keeps interrupts off on the CPU that holds it, so that handlers may take it too: one
/// that interrupted the holder would wait for ever.
///
/// Whoever waits does so with interrupts as they were, by trying again. `R` is the lock between
/// CPUs; its own queue, if it has one, is not used.
pub struct InterruptLock<R, I> {
    raw: R,
    /// Whether the holder had interrupts on.
    was_on: Cell<bool>,
    interrupts: PhantomData<fn() -> I>,
}

// SAFETY: the cell is used by the holder of the lock alone.
unsafe impl<R: Sync, I> Sync for InterruptLock<R, I> {}

impl<R, I> fmt::Debug for InterruptLock<R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterruptLock").finish_non_exhaustive()
    }
}

// SAFETY: it is held exactly while `raw` is.
unsafe impl<R: RawMutex, I: Interrupts> RawMutex for InterruptLock<R, I> {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait's way to make a lock"
    )]
    const INIT: Self = InterruptLock {
        raw: R::INIT,
        was_on: Cell::new(false),
        interrupts: PhantomData,
    };

    /// It is the CPU that takes the lock which has its interrupts off.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        while !self.try_lock() {
            while self.raw.is_locked() {
                core::hint::spin_loop();
            }
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let was_on = I::disable();
        let locked = self.raw.try_lock();
        if locked {
            self.was_on.set(was_on);
        } else if was_on {
            // SAFETY: they were on.
            unsafe { I::enable() }
        }
        locked
    }

    #[inline]
    unsafe fn unlock(&self) {
        let was_on = self.was_on.get();
        // SAFETY: the caller holds the lock (condition); `lock` turned interrupts off.
        unsafe {
            self.raw.unlock();
            if was_on {
                I::enable();
            }
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }
}
