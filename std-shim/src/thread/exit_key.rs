//! A function that runs when a thread ends.

use core::ffi::c_void;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::os_error::OsError;

/// What is called with a thread's value when the thread ends.
pub type Destructor = unsafe extern "C" fn(*mut c_void);

/// A key of [`pthread_key_create(3)`](https://man7.org/linux/man-pages/man3/pthread_key_create.3p.html),
/// made when it is first needed, and never deleted: it belongs into a static variable.
pub struct ExitKey {
    destructor: Destructor,
    /// One more than the key, 0 before there is one.
    key: AtomicUsize,
}

impl ExitKey {
    /// A key with this destructor, not made yet.
    #[must_use]
    pub const fn new(destructor: Destructor) -> ExitKey {
        ExitKey {
            destructor,
            key: AtomicUsize::new(0),
        }
    }

    /// Makes the key, if nobody has yet. The first few of a process have room in every thread; for
    /// later ones the C library allocates.
    ///
    /// # Errors
    /// The C library has no key left (`EAGAIN`).
    pub fn make(&self) -> Result<(), OsError> {
        self.get().map(|_| ())
    }

    /// Has the destructor called with `value` when the calling thread ends; a null `value` is for
    /// nothing. Destructors of other keys may run before and after that. It is not called when the
    /// process ends, nor for a thread that calls `exit(3)`.
    ///
    /// # Errors
    /// The C library has no key left (`EAGAIN`), or no memory for the thread's value (`ENOMEM`).
    ///
    /// # Safety
    /// The destructor may be called with `value` in this thread, stays in memory as long as
    /// threads may end, and does not unwind.
    pub unsafe fn set(&self, value: *mut c_void) -> Result<(), OsError> {
        let key = self.get()?;
        // SAFETY: the key is never deleted.
        match unsafe { libc::pthread_setspecific(key, value) } {
            0 => Ok(()),
            error => Err(OsError(error)),
        }
    }

    fn get(&self) -> Result<libc::pthread_key_t, OsError> {
        let known = self.key.load(Ordering::Relaxed);
        if known != 0 {
            return Ok((known - 1) as libc::pthread_key_t);
        }
        let mut key = 0;
        // SAFETY: `key` is writable; the destructor is called only with what `set` was given.
        let error = unsafe { libc::pthread_key_create(&raw mut key, Some(self.destructor)) };
        if error != 0 {
            return Err(OsError(error));
        }
        let made = key as usize + 1;
        match self
            .key
            .compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => Ok(key),
            Err(first) => {
                // Another thread, or a signal handler, was faster.
                // SAFETY: nobody else has seen this key.
                unsafe { libc::pthread_key_delete(key) };
                Ok((first - 1) as libc::pthread_key_t)
            }
        }
    }
}

impl fmt::Debug for ExitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExitKey").finish_non_exhaustive()
    }
}
