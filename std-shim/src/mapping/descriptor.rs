//! A descriptor of ours among the program's.

use core::ffi::CStr;
use core::ptr::with_exposed_provenance_mut;

use super::limits::soft_limit;
use crate::os_error::OsError;

/// Ours go to the upper end of the first thousand, where programs that choose numbers by themselves
/// (shells, daemons that close "all" files) do not look for room.
const HIGH: usize = 1024 - 64;

/// An open file or device. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Descriptor {
    number: i32,
    /// To recognise it: the program may have closed it and opened another file that got its number.
    device: libc::dev_t,
    inode: libc::ino_t,
}

impl Descriptor {
    /// Takes an open descriptor over, and moves it to where it is in nobody's way.
    pub(super) fn new(number: i32) -> Result<Descriptor, OsError> {
        let lowest = soft_limit(libc::RLIMIT_NOFILE).saturating_sub(64).min(HIGH);
        // SAFETY: the descriptor is open and ours.
        let high = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, lowest as libc::c_int) };
        let number = if high < 0 {
            number
        } else {
            // SAFETY: it is ours, and its copy takes its place.
            unsafe { libc::close(number) };
            high
        };
        let mut descriptor = Descriptor {
            number,
            device: 0,
            inode: 0,
        };
        let status = descriptor.status()?;
        (descriptor.device, descriptor.inode) = (status.st_dev, status.st_ino);
        Ok(descriptor)
    }

    /// Its number, if that still is ours.
    pub(super) fn number(&self) -> Option<i32> {
        let status = self.status().ok()?;
        (status.st_dev == self.device && status.st_ino == self.inode).then_some(self.number)
    }

    pub(super) fn status(&self) -> Result<libc::stat, OsError> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
        unsafe {
            if libc::fstat(self.number, status.as_mut_ptr()) != 0 {
                return Err(OsError::last());
            }
            Ok(status.assume_init())
        }
    }

    /// Locks what is open here (`flock(2)`), until this descriptor, those that children have of it,
    /// and mappings made by it are gone. Answers `false` if somebody else has done that.
    pub(super) fn lock(&self) -> Result<bool, OsError> {
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(self.number, libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        match OsError::last() {
            OsError(libc::EWOULDBLOCK) => Ok(false),
            error => Err(error),
        }
    }

    /// Maps the first `len` bytes, shared, over whatever is at the address.
    ///
    /// # Safety
    /// Nobody needs what is there.
    pub(super) unsafe fn map_over(
        &self,
        start: usize,
        len: usize,
        access: i32,
    ) -> Result<(), OsError> {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let place = with_exposed_provenance_mut(start);
        // SAFETY: the caller gives the place up.
        let found = unsafe { libc::mmap(place, len, access, flags, self.number, 0) };
        if found == libc::MAP_FAILED {
            Err(OsError::last())
        } else {
            Ok(())
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(number) = self.number() {
            // SAFETY: the descriptor is open and still ours.
            unsafe { libc::close(number) };
        }
    }
}

/// What a path leads to, without opening it.
pub(super) fn status_of(path: &CStr) -> Result<libc::stat, OsError> {
    let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is a string, `status` is writable; all-zero bytes are a valid value of it.
    unsafe {
        if libc::stat(path.as_ptr(), status.as_mut_ptr()) != 0 {
            return Err(OsError::last());
        }
        Ok(status.assume_init())
    }
}

/// Opens a path; a file that is created is its owner's alone.
pub(super) fn open(path: &CStr, flags: i32) -> Result<i32, OsError> {
    loop {
        // SAFETY: the path ends with a null byte.
        let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o600 as libc::c_uint) };
        if descriptor >= 0 {
            return Ok(descriptor);
        }
        match OsError::last() {
            OsError(libc::EINTR) => {}
            error => return Err(error),
        }
    }
}
