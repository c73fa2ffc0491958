//! Opening the file, and giving it its length and space.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Flags;
use crate::os_error::OsError;

/// Opens an existing file or device.
pub(super) fn existing(path: &Path) -> Result<File, OsError> {
    options().open(path).map_err(os_error)
}

/// Opens a file that is created if it is missing, or has to be missing.
pub(super) fn create(path: &Path, exclusive: bool, mode: u32) -> Result<File, OsError> {
    options()
        .create(true)
        .truncate(false)
        .create_new(exclusive)
        .mode(mode)
        .open(path)
        .map_err(os_error)
}

/// Opens an unnamed file in a directory. `exclusive`: it can never get a name (`O_TMPFILE`,
/// `open(2)`).
pub(super) fn temporary(directory: &Path, exclusive: bool) -> Result<File, OsError> {
    let mut flags = libc::O_TMPFILE;
    if exclusive {
        flags |= libc::O_EXCL;
    }
    match options().mode(0o600).custom_flags(flags).open(directory) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            create_and_unlink(directory)
        }
        result => result.map_err(os_error),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// For file systems without `O_TMPFILE`. No signal handler may leave in between, lest the name stay.
fn create_and_unlink(directory: &Path) -> Result<File, OsError> {
    let name = directory.join("allotment.XXXXXX");
    let name = CString::new(name.as_os_str().as_bytes()).map_err(|_| OsError(libc::EINVAL))?;
    let name = name.into_raw();
    let mut all = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the sets are writable; the name ends with a null byte and with what `mkostemp` replaces,
    // and is taken back below; the descriptor is new and ours.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        // The file's mode is 0600 at the most.
        let descriptor = libc::mkostemp(name, libc::O_CLOEXEC);
        let error = OsError::last();
        if descriptor >= 0 {
            libc::unlink(name);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), core::ptr::null_mut());
        drop(CString::from_raw(name));
        if descriptor < 0 {
            return Err(error);
        }
        Ok(File::from_raw_fd(descriptor))
    }
}

/// Gives the file its length: `ftruncate(2)`, by the name that programs interpose.
pub(super) fn set_len(file: &File, len: libc::off_t) -> Result<(), OsError> {
    // SAFETY: the descriptor is open.
    match unsafe { libc::ftruncate(file.as_raw_fd(), len) } {
        0 => Ok(()),
        _ => Err(OsError::last()),
    }
}

/// Allocates the space of the file's first `len` bytes: `posix_fallocate(3)`.
///
/// All of it at first, so that a full disk is found at once. A tmpfs may lack memory for so much in one
/// go, and signals interrupt it: then it is tried piece by piece.
pub(super) fn allocate(file: &File, len: libc::off_t) -> Result<(), OsError> {
    const LARGEST: libc::off_t = 1 << 30;
    const SMALLEST: libc::off_t = 1 << 20;
    const ATTEMPTS: u32 = 5;
    let allocate = |offset, len| {
        // SAFETY: the descriptor is open.
        unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, len) }
    };
    let is_passing = |error| matches!(error, libc::ENOMEM | libc::EINTR);
    match allocate(0, len) {
        0 => return Ok(()),
        error if is_passing(error) => {}
        error => return Err(OsError(error)),
    }
    let (mut offset, mut piece, mut attempts) = (0, LARGEST, 0);
    while offset < len {
        piece = piece.min(len - offset);
        match allocate(offset, piece) {
            0 => {
                offset += piece;
                attempts = 0;
            }
            error if !is_passing(error) => return Err(OsError(error)),
            error => {
                attempts += 1;
                if attempts == ATTEMPTS {
                    attempts = 0;
                    piece /= 2;
                    if piece < SMALLEST {
                        return Err(OsError(error));
                    }
                }
            }
        }
    }
    Ok(())
}

/// What remains of a failed exclusive creation.
pub(super) fn remove_created(path: &Path, flags: Flags) {
    let ours = Flags::CREATE | Flags::EXCLUSIVE;
    if flags.contains(ours) && !flags.contains(Flags::TEMPORARY) {
        // The failure that led here is the one to report.
        let _ = std::fs::remove_file(path);
    }
}

pub(super) fn os_error(error: io::Error) -> OsError {
    // Without a number it is a path with a null byte in it.
    OsError(error.raw_os_error().unwrap_or(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_leaves_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(directory.path()).unwrap().count();
        for file in [
            temporary(directory.path(), false).unwrap(),
            temporary(directory.path(), true).unwrap(),
            create_and_unlink(directory.path()).unwrap(),
        ] {
            assert_eq!(count(), 0);
            set_len(&file, 5000).unwrap();
            allocate(&file, 5000).unwrap();
            assert_eq!(file.metadata().unwrap().len(), 5000);
        }
        let missing = directory.path().join("missing");
        assert_eq!(
            create_and_unlink(&missing).unwrap_err(),
            OsError(libc::ENOENT)
        );
    }
}
