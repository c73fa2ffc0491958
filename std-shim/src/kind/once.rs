//! What is done once in a process, whenever it forks.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::os_error::KeepErrno;

const NEW: i32 = 0;
const DONE: i32 = -1;

/// As `std::sync::Once`, but the child of a `fork(2)` that came while another thread was at it does not wait for that
/// thread, which it has not got: it begins again.
#[derive(Debug)]
pub struct OnceAcrossForks {
    /// [`NEW`], [`DONE`], or the process that is at it.
    state: AtomicI32,
}

impl OnceAcrossForks {
    /// Nothing is done yet.
    #[must_use]
    pub const fn new() -> OnceAcrossForks {
        OnceAcrossForks {
            state: AtomicI32::new(NEW),
        }
    }

    /// Whether it is done, with all that was written meanwhile.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Calls `f` unless that is done; waits for a thread that is at it. `f` must not come here again, and what it leaves
    /// when a fork cuts it off must do as its beginning.
    #[inline]
    pub fn call(&self, f: impl FnOnce()) {
        if !self.is_done() {
            self.call_slowly(f);
        }
    }

    #[cold]
    fn call_slowly(&self, f: impl FnOnce()) {
        static NAP: libc::timespec = libc::timespec {
            tv_sec: 0,
            tv_nsec: 50_000,
        };
        // SAFETY: always succeeds.
        let me = unsafe { libc::getpid() };
        loop {
            match self.state.load(Ordering::Acquire) {
                DONE => return,
                current if current == me => {
                    let _errno = KeepErrno::new();
                    // SAFETY: the time is a constant; what is left of it is not asked for.
                    unsafe { libc::nanosleep(&raw const NAP, null_mut()) };
                }
                // Nobody is at it, or a thread of the parent.
                other => {
                    let (taken, order) = (Ordering::Acquire, Ordering::Relaxed);
                    let claim = self.state.compare_exchange(other, me, taken, order);
                    if claim.is_ok() {
                        f();
                        self.state.store(DONE, Ordering::Release);
                        return;
                    }
                }
            }
        }
    }
}

impl Default for OnceAcrossForks {
    fn default() -> OnceAcrossForks {
        OnceAcrossForks::new()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    #[test]
    fn it_is_done_once() {
        let (once, times) = (OnceAcrossForks::new(), AtomicUsize::new(0));
        thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    once.call(|| {
                        thread::yield_now();
                        times.fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(once.is_done());
                });
            }
        });
        assert_eq!(times.into_inner(), 1);
    }

    #[test]
    fn a_child_does_not_wait_for_its_parents_thread() {
        // The parent's number instead of a fork in the middle.
        // SAFETY: always succeeds.
        let parent = unsafe { libc::getppid() };
        let once = OnceAcrossForks {
            state: AtomicI32::new(parent),
        };
        let mut times = 0;
        once.call(|| times += 1);
        once.call(|| times += 1);
        assert_eq!(times, 1);
    }
}
