//! Whether `MAP_SYNC` works on a file.
//!
//! The kernel refuses it late on some file systems: after `MAP_FIXED` has already unmapped what was
//! in the place, so that for a moment anybody's mapping may land there. Hence the question is put
//! once, with a small mapping in a place of the kernel's choice; the real mapping then gets only
//! flags that are known to work.

use core::ptr::null_mut;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::os_error::OsError;

/// Maps `len` bytes with `MAP_SYNC` and without access, and unmaps them. `len` is a unit that the
/// file can be mapped in.
pub(super) fn probe(fd: BorrowedFd<'_>, len: usize) -> Result<bool, OsError> {
    let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
    // SAFETY: a new mapping in a place of the kernel's choice disturbs nobody.
    let found = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, fd.as_raw_fd(), 0) };
    if found != libc::MAP_FAILED {
        // SAFETY: it was just made, and nobody else knows of it.
        unsafe { libc::munmap(found, len) };
        return Ok(true);
    }
    match OsError::last() {
        OsError(libc::EINVAL | libc::EOPNOTSUPP) => Ok(false),
        error => Err(error),
    }
}
