//! The system's error numbers and their texts.

use core::fmt;

/// An error number of the system (`errno(3)`). Its text is found without allocating and without
/// the locale, which `strerror(3)` does not promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsError(
    /// The number: `libc::ENOMEM` and so on.
    pub i32,
);

impl OsError {
    /// The calling thread's present `errno`.
    #[must_use]
    pub fn last() -> OsError {
        // SAFETY: the C library gives each thread a valid place for its errno.
        OsError(unsafe { *libc::__errno_location() })
    }

    /// Makes it the calling thread's `errno`.
    pub fn set(self) {
        // SAFETY: the C library gives each thread a valid place for its errno.
        unsafe { *libc::__errno_location() = self.0 }
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::EPERM => "Operation not permitted",
            libc::ENOENT => "No such file or directory",
            libc::EINTR => "Interrupted",
            libc::EIO => "Input/output error",
            libc::ENXIO => "No such device",
            libc::EBADF => "Bad file descriptor",
            libc::EAGAIN => "Resource temporarily unavailable",
            libc::ENOMEM => "Cannot allocate memory",
            libc::EACCES => "Permission denied",
            libc::EBUSY => "Device or resource busy",
            libc::EEXIST => "File exists",
            libc::ENODEV => "Not supported by the device",
            libc::ENOTDIR => "Not a directory",
            libc::EISDIR => "Is a directory",
            libc::EINVAL => "Invalid argument",
            libc::ENFILE => "Too many open files in system",
            libc::EMFILE => "Too many open files",
            libc::ETXTBSY => "Text file busy",
            libc::EFBIG => "File too large",
            libc::ENOSPC => "No space left on device",
            libc::EROFS => "Read-only file system",
            libc::EMLINK => "Too many links",
            libc::ENAMETOOLONG => "File name too long",
            libc::ENOSYS => "Function not implemented",
            libc::ELOOP => "Too many levels of symbolic links",
            libc::EOVERFLOW => "Value too large",
            libc::EOPNOTSUPP => "Operation not supported",
            libc::EDQUOT => "Disk quota exceeded",
            number => return write!(f, "error number {number}"),
        })
    }
}

impl core::error::Error for OsError {}

/// Puts `errno` back to what it was when this is dropped: system calls on the way to a success
/// must leave no trace.
#[derive(Debug)]
pub struct KeepErrno(OsError);

impl KeepErrno {
    /// Remembers the calling thread's `errno`.
    #[must_use]
    pub fn new() -> KeepErrno {
        KeepErrno(OsError::last())
    }
}

impl Default for KeepErrno {
    fn default() -> Self {
        KeepErrno::new()
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_kept() {
        OsError(libc::EBUSY).set();
        {
            let _keep = KeepErrno::new();
            OsError(libc::EIO).set();
        }
        assert_eq!(OsError::last(), OsError(libc::EBUSY));
    }

    #[test]
    fn texts() {
        assert_eq!(OsError(libc::ENOSPC).to_string(), "No space left on device");
        assert_eq!(OsError(9999).to_string(), "error number 9999");
    }
}
