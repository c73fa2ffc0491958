//! A mutex that threads sleep on, and that knows its owner.

use core::hint;
use core::sync::atomic::{AtomicUsize, Ordering};

use lock_api::{GuardNoSend, RawMutex};

use crate::os_error::KeepErrno;

/// Set in the state while threads may be asleep. Thread pointers are multiples of 8.
const WAITERS: usize = 1;

/// Set in the state while the owner keeps the lock without being inside an operation.
const FROZEN: usize = 2;

/// Set in the state while the owner is inside an operation and another thread wants to freeze.
const FREEZING: usize = 4;

const FLAGS: usize = WAITERS | FROZEN | FREEZING;

/// How long a thread sleeps before it looks again at the lock: one that was woken in its place may run a signal
/// handler first, which may wait for this thread. And how often it finds the lock frozen before it takes it over.
static NAP: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
const FROZEN_NAPS: u32 = 10;

/// How often [`FutexMutex::freeze`] tries, and how long it sleeps in between after the first few:
/// the owner may have to get the processor first.
const FREEZE_ATTEMPTS: u32 = 2000;
const FREEZE_SPINS: u32 = 50;
static FREEZE_NAP: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 50_000,
};

/// Looks at the lock this often before sleeping.
const SPINS: u32 = 100;

/// A mutex over a futex (`futex(2)`).
///
/// Its one word is 0 when it is free and else holds the owner's thread pointer, so owner and state
/// change in one step: a signal handler can always tell whether the thread that it interrupted is
/// inside, and a fork's child whether the owner came along.
///
/// For `fork(2)` it can be frozen: see [`FutexMutex::freeze`].
///
/// It may lie in a shared mapping, but only the threads of one process may use it: thread pointers
/// mean nothing elsewhere. It keeps `errno` as it was.
#[derive(Debug)]
pub struct FutexMutex {
    state: AtomicUsize,
}

impl FutexMutex {
    /// A free mutex.
    #[must_use]
    pub const fn new() -> FutexMutex {
        FutexMutex {
            state: AtomicUsize::new(0),
        }
    }

    /// Who holds it.
    #[must_use]
    pub fn owner(&self) -> Option<ThreadPointer> {
        match self.state.load(Ordering::Relaxed) & !FLAGS {
            0 => None,
            pointer => Some(ThreadPointer(pointer)),
        }
    }

    /// Whether the calling thread holds it.
    #[inline(always)]
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.state.load(Ordering::Relaxed) & !FLAGS == ThreadPointer::current().0
    }

    /// Whether the calling thread may lock it without waiting for itself or for the end of a
    /// freeze.
    #[inline(always)]
    #[must_use]
    pub fn is_available(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & (FROZEN | FREEZING) == 0 && state & !FLAGS != ThreadPointer::current().0
    }

    /// Takes the lock, so that nothing changes behind it, before a step in which the caller may
    /// come to wait for a thread that waits for this lock. Such a thread waits for a tenth of a
    /// second, and then takes the lock over: what the lock protects is in order, since the owner
    /// is in no operation.
    ///
    /// Answers whether the lock was to be had within a bounded number of attempts.
    #[must_use]
    pub fn freeze(&self) -> bool {
        let frozen = ThreadPointer::current().0 | FROZEN;
        let _errno = KeepErrno::new();
        for attempt in 0..FREEZE_ATTEMPTS {
            let seen = self.state.load(Ordering::Relaxed);
            // Those who ask whether the lock is available leave it alone from now on.
            let wanted = if seen == 0 { frozen } else { seen | FREEZING };
            if seen != wanted
                && self
                    .state
                    .compare_exchange(seen, wanted, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                && seen == 0
            {
                return true;
            }
            if attempt < FREEZE_SPINS {
                hint::spin_loop();
            } else {
                // SAFETY: the time is a constant; what is left of it is not asked for.
                unsafe { libc::nanosleep(&raw const FREEZE_NAP, core::ptr::null_mut()) };
            }
        }
        false
    }

    /// Makes an ordinarily held lock of one that the caller froze, so that it cannot be taken
    /// over any more. Answers `false` if it was taken over already, and is not the caller's.
    #[must_use]
    pub fn keep_frozen(&self) -> bool {
        let me = ThreadPointer::current().0;
        let mut seen = self.state.load(Ordering::Relaxed);
        while seen & !(WAITERS | FREEZING) == me | FROZEN {
            match self.state.compare_exchange(
                seen,
                seen & !FROZEN,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Frees it whoever holds it.
    ///
    /// # Safety
    /// The owner will never unlock it, as in a fork's child, and no thread sleeps on it.
    pub unsafe fn reset(&self) {
        self.state.store(0, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self, me: usize) {
        for _ in 0..SPINS {
            hint::spin_loop();
            if self.state.load(Ordering::Relaxed) == 0
                && self
                    .state
                    .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
        }
        let _errno = KeepErrno::new();
        let mut naps = 0;
        loop {
            let seen = self.state.load(Ordering::Relaxed);
            if seen == 0 {
                // Others may sleep still, so the mark stays.
                if self
                    .state
                    .compare_exchange(0, me | WAITERS, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return;
                }
            } else if seen & FROZEN != 0 && naps == FROZEN_NAPS {
                if self
                    .state
                    .compare_exchange(seen, me | WAITERS, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return;
                }
            } else if seen & WAITERS != 0
                || self
                    .state
                    .compare_exchange(seen, seen | WAITERS, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                let frozen = seen & FROZEN != 0;
                naps = if frozen { naps + 1 } else { 0 };
                self.wait(seen | WAITERS);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_one(&self) {
        let _errno = KeepErrno::new();
        // SAFETY: waking takes the word's address only as a name.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.futex_word(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            );
        }
    }

    fn wait(&self, expected: usize) {
        // SAFETY: the word is readable as long as `self` lives, and the time is a constant. The word holds the
        // state's low half: with the waiters' mark, which an unlock takes away.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.futex_word(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                expected as u32,
                &raw const NAP,
            );
        }
    }

    /// The futex is 32 bits: the state's low half.
    fn futex_word(&self) -> *const u32 {
        let half = if cfg!(target_endian = "big") {
            size_of::<usize>() / 4 - 1
        } else {
            0
        };
        self.state
            .as_ptr()
            .cast_const()
            .cast::<u32>()
            .wrapping_add(half)
    }
}

impl Default for FutexMutex {
    fn default() -> Self {
        FutexMutex::new()
    }
}

// SAFETY: only the thread whose exchange took the state from 0 returns from `lock`, and only
// `unlock` takes it back to 0: one thread at a time, with acquire and release in between.
unsafe impl RawMutex for FutexMutex {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = FutexMutex::new();
    type GuardMarker = GuardNoSend;

    #[inline(always)]
    fn lock(&self) {
        let me = ThreadPointer::current().0;
        if self
            .state
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_contended(me);
        }
    }

    #[inline(always)]
    fn try_lock(&self) -> bool {
        let me = ThreadPointer::current().0;
        self.state
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline(always)]
    unsafe fn unlock(&self) {
        if self.state.swap(0, Ordering::Release) & WAITERS != 0 {
            self.wake_one();
        }
    }

    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != 0
    }
}

/// A thread's name within its process: the address of its control block. Read without a system
/// call and kept over `fork(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPointer(usize);

impl ThreadPointer {
    /// The calling thread's.
    #[inline(always)]
    #[must_use]
    pub fn current() -> ThreadPointer {
        ThreadPointer(thread_pointer())
    }

    /// As a number, never 0 and never odd.
    #[inline(always)]
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the ABI puts the control block's own address into its first word.
    unsafe {
        core::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    pointer
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reading the thread register has no effect.
    unsafe {
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
    }
    pointer
}

#[cfg(not(any(
    all(target_arch = "x86_64", target_pointer_width = "64"),
    target_arch = "aarch64"
)))]
#[inline(always)]
fn thread_pointer() -> usize {
    // SAFETY: always allowed.
    unsafe { libc::pthread_self() as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn excludes() {
        let counter = lock_api::Mutex::<FutexMutex, u64>::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for i in 0..20_000 {
                        let mut value = counter.lock();
                        let seen = *value;
                        if i % 1000 == 0 {
                            thread::yield_now();
                        }
                        *value = seen + 1;
                    }
                });
            }
        });
        assert_eq!(*counter.lock(), 160_000);
    }

    #[test]
    fn knows_its_owner() {
        let mutex = FutexMutex::new();
        assert!(!mutex.is_owned());
        assert!(mutex.owner().is_none());
        mutex.lock();
        assert!(mutex.is_owned());
        assert_eq!(mutex.owner(), Some(ThreadPointer::current()));
        assert!(!mutex.try_lock());
        thread::scope(|scope| {
            scope.spawn(|| assert!(mutex.is_locked() && !mutex.is_owned()));
        });
        // SAFETY: locked above.
        unsafe { mutex.unlock() }
        assert!(mutex.try_lock());
        // SAFETY: nobody sleeps on it.
        unsafe { mutex.reset() }
        assert!(!mutex.is_locked());
    }

    #[test]
    fn frozen_is_taken_over_in_the_end() {
        let mutex = FutexMutex::new();
        assert!(mutex.is_available());
        assert!(mutex.freeze());
        assert!(mutex.is_owned() && !mutex.is_available());
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!mutex.is_available());
                mutex.lock();
                assert!(mutex.is_owned());
                // SAFETY: locked above by this thread.
                unsafe { mutex.unlock() }
            });
        });
        assert!(!mutex.keep_frozen());
        assert!(!mutex.is_locked());

        assert!(mutex.freeze());
        // Another thread that wants to freeze it, too, does not take it over.
        mutex.state.fetch_or(FREEZING, Ordering::Relaxed);
        assert!(mutex.keep_frozen());
        thread::scope(|scope| {
            scope.spawn(|| assert!(!mutex.is_available() && mutex.is_locked()));
        });
        assert!(!mutex.keep_frozen());
        // SAFETY: still locked by this thread.
        unsafe { mutex.unlock() }
        assert!(!mutex.is_locked());
    }

    /// As one who was woken, and before he could look ran a signal handler that waits for a lock of the other's.
    #[test]
    fn sleepers_do_not_depend_on_others_that_were_woken() {
        let mutex = FutexMutex::new();
        let entered = AtomicBool::new(false);
        let pause = || thread::sleep(std::time::Duration::from_millis(20));
        mutex.lock();
        thread::scope(|scope| {
            scope.spawn(|| {
                let seen = mutex.state.fetch_or(WAITERS, Ordering::Relaxed) | WAITERS;
                mutex.wait(seen);
            });
            pause();
            scope.spawn(|| {
                mutex.lock();
                entered.store(true, Ordering::SeqCst);
                // SAFETY: locked above by this thread.
                unsafe { mutex.unlock() }
            });
            pause();
            // SAFETY: locked by this thread.
            unsafe { mutex.unlock() }
            for _ in 0..250 {
                if entered.load(Ordering::SeqCst) {
                    break;
                }
                pause();
            }
            let in_time = entered.load(Ordering::SeqCst);
            mutex.wake_one();
            assert!(in_time, "asleep on a free lock");
        });
    }

    #[test]
    fn sleepers_keep_errno_and_wake() {
        let mutex = FutexMutex::new();
        let entered = AtomicBool::new(false);
        mutex.lock();
        thread::scope(|scope| {
            scope.spawn(|| {
                crate::os_error::OsError(libc::EBUSY).set();
                mutex.lock();
                assert_eq!(crate::os_error::OsError::last().0, libc::EBUSY);
                entered.store(true, Ordering::SeqCst);
                // SAFETY: locked above by this thread.
                unsafe { mutex.unlock() }
            });
            // Until the other thread sleeps.
            while mutex.state.load(Ordering::Relaxed) & WAITERS == 0 {
                thread::yield_now();
            }
            assert!(!entered.load(Ordering::SeqCst));
            // SAFETY: locked by this thread.
            unsafe { mutex.unlock() }
        });
        assert!(entered.into_inner());
    }
}
