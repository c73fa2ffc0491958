//! What a path leads to: a Device DAX, or a directory of a file system.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use super::KindError;
use crate::map::{self, Flags};
use crate::mapping::{ALIGNMENT, Mapping};
use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;

/// A mapping that is not a [`Mapping`]'s own, and goes with the kind.
#[derive(Debug)]
pub(super) struct Borrowed {
    start: NonNull<u8>,
    len: usize,
    /// The device that is mapped, if it is one; locked, so that no other kind uses it.
    device: Option<File>,
}

impl Borrowed {
    /// # Safety
    /// The range is mapped, and nobody uses it once the value is dropped.
    pub(super) unsafe fn new(start: NonNull<u8>, len: usize) -> Borrowed {
        Borrowed {
            start,
            len,
            device: None,
        }
    }

    /// The device's descriptor.
    pub(super) fn descriptor(&self) -> Option<RawFd> {
        self.device.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Leaves nothing at the addresses in children of a fork. Best effort: what they find otherwise is
    /// the parent's, which they do not use.
    pub(super) fn withhold_from_children(&self) {
        // SAFETY: the range is mapped (condition of `new`); nothing changes in this process.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_DONTFORK) };
    }

    /// The range as a region, as long as this lives.
    ///
    /// # Safety
    /// The caller drops the region's user first, and takes one region only.
    pub(super) unsafe fn region(&self, len: usize) -> Mapping {
        let len = len.min(self.len);
        // SAFETY: mapped as long as this lives (condition of `new`).
        let region = unsafe {
            core::slice::from_raw_parts_mut(self.start.as_ptr().cast::<MaybeUninit<u8>>(), len)
        };
        Mapping::region(region)
    }
}

// SAFETY: an address and a length; what is there is the pool's matter.
unsafe impl Send for Borrowed {}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: mapped by the one who made this, and used by nobody any more.
        let _ = unsafe { map::unmap(self.start.as_ptr(), self.len) };
    }
}

fn status(path: &PathBuffer) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with a null byte, and the result is writable.
    unsafe {
        (libc::stat(path.as_c_str().as_ptr(), status.as_mut_ptr()) == 0)
            .then(|| status.assume_init())
    }
}

/// Whether a path leads to a character device, which a Device DAX is.
pub(super) fn is_device(path: &PathBuffer) -> bool {
    status(path).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFCHR)
}

/// Maps a Device DAX, which no other kind of this or another process may have.
pub(super) fn map(path: &Path, max_size: usize) -> Result<(Mapping, Borrowed), KindError> {
    let device = map::map_file(path, 0, Flags::from_bits(0), 0)
        .map_err(|error| KindError::System("cannot map the device", error.os_error()))?;
    let (start, len) = device.into_raw_parts();
    // SAFETY: mapped just now, and known to nobody else.
    let mut device = unsafe { Borrowed::new(start, len) };
    device.device = Some(lock(path)?);
    let size = if max_size == 0 { len } else { max_size };
    // SAFETY: the kind drops its pool before the device.
    let mapping = unsafe { device.region(size) };
    Ok((mapping, device))
}

/// Opens a device for one kind alone: until the descriptor, and those that children of a fork have of it, are closed.
fn lock(path: &Path) -> Result<File, KindError> {
    let refused = |error| KindError::System("cannot lock the device", error);
    let device = File::open(path).map_err(|error| {
        let number = error.raw_os_error().unwrap_or(libc::EIO);
        refused(OsError(number))
    })?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(device.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(device);
    }
    Err(match OsError::last() {
        OsError(libc::EWOULDBLOCK) => {
            KindError::System("another kind uses the device", OsError(libc::EBUSY))
        }
        error => refused(error),
    })
}

/// The size of the file system that a directory is in, in bytes, down to a multiple of 2 MiB; generous if it is
/// unknown.
pub(super) fn file_system_size(directory: &PathBuffer) -> usize {
    const UNKNOWN: usize = 64 << 30;
    capacity_of(directory).map_or(UNKNOWN, |size| (size & !(ALIGNMENT - 1)).max(ALIGNMENT))
}

/// The same, exactly.
fn capacity_of(directory: &PathBuffer) -> Result<usize, OsError> {
    let mut status = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a null byte, and the result is writable.
    let status = unsafe {
        if libc::statvfs(directory.as_c_str().as_ptr(), status.as_mut_ptr()) != 0 {
            return Err(OsError::last());
        }
        status.assume_init()
    };
    let size = u128::from(status.f_blocks) * u128::from(status.f_frsize);
    match usize::try_from(size) {
        // Some file systems do not say.
        Ok(0) | Err(_) => Err(OsError(libc::EOVERFLOW)),
        Ok(size) => Ok(size),
    }
}
