//! Lines on standard error, without allocating.

use core::fmt;

pub use allotment::message::{abort, line, write_all};

/// Reports why the program cannot be started on a pool as asked, and ends the process with exit
/// status 2. Nothing of the program has run yet, so there is nothing to clean up.
#[cold]
pub fn refuse_to_start(message: fmt::Arguments<'_>) -> ! {
    line(message);
    // SAFETY: always allowed.
    unsafe { libc::_exit(2) }
}
