//! What a pool lies in.

use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut, slice_from_raw_parts_mut, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use allotment::mapping::Mapping;
use allotment::os_error::OsError;
use allotment::source::device_dax::DeviceDax;
use allotment::source::page;

use crate::copy::PrivateCopy;
use crate::failure::Failure;
use crate::place::{self, ALIGNMENT};

/// The least size of a pool.
pub(crate) const LEAST: usize = 14 << 20;

/// The memory of a pool. Its first page, whose address is the pool's handle, cannot be accessed as long
/// as the pool lives.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    kind: Kind,
    /// The child of a fork has the same bytes, not a copy of them.
    is_shared: AtomicBool,
}

/// Whose the memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A temporary file's, mapped here.
    File,
    /// A device's, mapped here.
    Device,
    /// The caller's.
    Region,
}

impl Memory {
    /// A temporary file in a directory, or all of a Device DAX.
    pub(crate) fn of_path(path: Option<&CStr>, size: usize) -> Result<Memory, Failure> {
        check_size(size)?;
        let Some(path) = path else {
            return Err(Failure::new(
                libc::EINVAL,
                format_args!("invalid (NULL) path"),
            ));
        };
        if is_character_device(path) {
            return of_device(path);
        }
        let Some(len) = page::round_up(size) else {
            return Err(Failure::new(
                libc::EINVAL,
                format_args!("size {size} is too large to be rounded up to whole pages"),
            ));
        };
        let Ok(file_len) = libc::off_t::try_from(len) else {
            return Err(Failure::new(
                libc::EFBIG,
                format_args!("invalid size ({size}) for off_t"),
            ));
        };
        let file = temporary_file(path)?;
        allocate(&file, file_len)?;
        map(&file, len, ALIGNMENT, Kind::File)
    }

    /// The caller's region.
    ///
    /// # Safety
    /// It is mapped for reading and writing if the kernel says that it is mapped, and nobody else uses it.
    pub(crate) unsafe fn of_region(start: *mut u8, len: usize) -> Result<Memory, Failure> {
        let invalid = |text: core::fmt::Arguments<'_>| Err(Failure::new(libc::EINVAL, text));
        let Some(place) = NonNull::new(start) else {
            return invalid(format_args!("invalid (NULL) addr"));
        };
        if !page::is_aligned(start.addr()) {
            let page = page::size();
            return invalid(format_args!(
                "addr {start:p} not aligned to pagesize {page}"
            ));
        }
        check_size(len)?;
        if start.addr().checked_add(len).is_none() || isize::try_from(len).is_err() {
            return invalid(format_args!(
                "{len} bytes at {start:p} are more than there are addresses"
            ));
        }
        if !page::is_mapped(start.addr(), len) {
            return invalid(format_args!(
                "not all of {len} bytes at {start:p} is mapped"
            ));
        }
        start.expose_provenance();
        let memory = Memory {
            start: place,
            len,
            kind: Kind::Region,
            is_shared: AtomicBool::new(place::is_shared(start.addr(), len)),
        };
        memory.forbid_first_page();
        Ok(memory)
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the child of a fork has the same bytes, not a copy of them.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// See [`page::is_mapped`].
    pub(crate) fn is_mapped(&self) -> bool {
        page::is_mapped(self.start.addr().get(), self.len)
    }

    /// Puts a copy in the memory's place: it is this process's own from now on.
    ///
    /// # Errors
    /// If the system refuses. The memory must not be used then.
    ///
    /// # Safety
    /// It is a copy of this memory, and nobody uses the memory now.
    pub(crate) unsafe fn replace(&self, copy: PrivateCopy) -> Result<(), OsError> {
        // SAFETY: nobody needs what was there (condition).
        unsafe { copy.put(self.start)? };
        self.forbid_first_page();
        self.is_shared.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// All but the first page.
    pub(crate) fn mapping(&self) -> Mapping {
        let page = page::size();
        let start = self.start.as_ptr().wrapping_add(page);
        let bytes = slice_from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), self.len - page);
        // SAFETY: it is mapped, for this pool alone, as long as there is this value, which outlives the
        // pool.
        Mapping::region(unsafe { &mut *bytes })
    }

    /// Where the system does not allow it, as within a huge page, it can be accessed.
    fn forbid_first_page(&self) {
        // SAFETY: nobody needs what is in it.
        unsafe { libc::mprotect(self.start.as_ptr().cast(), page::size(), libc::PROT_NONE) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.kind == Kind::Region {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the caller gets back what it gave.
            unsafe { libc::mprotect(self.start.as_ptr().cast(), page::size(), access) };
        } else {
            place::release(self.start.addr().get(), self.len);
        }
    }
}

fn check_size(size: usize) -> Result<(), Failure> {
    if size < LEAST {
        return Err(Failure::new(
            libc::EINVAL,
            format_args!("size {size} smaller than {LEAST}"),
        ));
    }
    Ok(())
}

/// What a path leads to, as far as it can be seen.
fn status_of(path: &CStr) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is a string, `status` is writable; all-zero bytes are a valid value of it.
    unsafe { (libc::stat(path.as_ptr(), status.as_mut_ptr()) == 0).then(|| status.assume_init()) }
}

fn is_character_device(path: &CStr) -> bool {
    status_of(path).is_some_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFCHR)
}

fn of_device(path: &CStr) -> Result<Memory, Failure> {
    let Some(status) = status_of(path) else {
        return Err(Failure::of_call("stat", OsError::last()));
    };
    let Ok(Some(device)) = DeviceDax::identify(status.st_rdev) else {
        // The text stays as it was.
        return Err(Failure {
            error: OsError(libc::EINVAL),
            text: None,
        });
    };
    let size = device
        .size()
        .and_then(|size| usize::try_from(size).map_err(|_| OsError(libc::EFBIG)))
        .map_err(|error| Failure::of_call("the device's size", error))?;
    if size < LEAST {
        return Err(Failure::new(
            libc::EINVAL,
            format_args!("size {size} of the device smaller than {LEAST}"),
        ));
    }
    let alignment = device
        .alignment()
        .ok()
        .and_then(|alignment| usize::try_from(alignment).ok())
        .filter(|alignment| alignment.is_power_of_two())
        .map_or(ALIGNMENT, |alignment| alignment.max(ALIGNMENT));
    let file = open(path, libc::O_RDWR | libc::O_CLOEXEC)
        .map_err(|error| Failure::of_call("open", error))?;
    map(&file, size, alignment, Kind::Device)
}

/// Opens a file, which is created, where that is asked for, for its owner alone.
fn open(path: &CStr, flags: i32) -> Result<OwnedFd, OsError> {
    loop {
        // SAFETY: the path is a string.
        let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o600 as libc::c_uint) };
        if descriptor >= 0 {
            // SAFETY: it is open, and nobody else's.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
        match OsError::last() {
            OsError(libc::EINTR) => {}
            error => return Err(error),
        }
    }
}

/// A file without a name in a directory.
fn temporary_file(directory: &CStr) -> Result<OwnedFd, Failure> {
    let flags = libc::O_TMPFILE | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC;
    match open(directory, flags) {
        Ok(file) => Ok(file),
        // EISDIR: a kernel that takes it for an ordinary open.
        Err(OsError(libc::EOPNOTSUPP | libc::EISDIR)) => {
            named_and_unlinked(directory).map_err(|error| Failure::of_call("mkstemp", error))
        }
        Err(error) => Err(Failure::of_call("open", error)),
    }
}

/// The same where files cannot be without a name from the first. Signals wait meanwhile, so that none
/// ends the process before the name is gone.
fn named_and_unlinked(directory: &CStr) -> Result<OwnedFd, OsError> {
    let mut path = directory.to_bytes().to_vec();
    path.extend_from_slice(b"/vmem.XXXXXX\0");
    // SAFETY: the path is a string that may be written to; all-zero bytes are a valid set of signals.
    unsafe {
        let mut all = MaybeUninit::zeroed().assume_init();
        let mut before = MaybeUninit::zeroed().assume_init();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        // The file has mode 0600, whatever the mask for modes says.
        let descriptor = libc::mkostemp(path.as_mut_ptr().cast(), libc::O_CLOEXEC);
        let error = OsError::last();
        if descriptor >= 0 {
            libc::unlink(path.as_ptr().cast());
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, null_mut());
        if descriptor < 0 {
            return Err(error);
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Allocates a file's space.
fn allocate(file: &OwnedFd, len: libc::off_t) -> Result<(), Failure> {
    let failed = |error| Err(Failure::of_call("posix_fallocate", error));
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable.
    let limited = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } == 0;
    if limited && limit.rlim_cur < len as libc::rlim_t {
        // Asking would bring a SIGXFSZ.
        return failed(OsError(libc::EFBIG));
    }
    loop {
        // SAFETY: the descriptor is open.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return failed(OsError(error)),
        }
    }
}

/// Maps the first `len` bytes, shared.
fn map(file: &OwnedFd, len: usize, alignment: usize, kind: Kind) -> Result<Memory, Failure> {
    let start = place::reserve(len, alignment).map_err(|error| Failure::of_call("mmap", error))?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    let place = with_exposed_provenance_mut(start);
    // SAFETY: the range was reserved for this.
    let found = unsafe { libc::mmap(place, len, access, flags, file.as_raw_fd(), 0) };
    let error = OsError::last();
    match NonNull::new(found) {
        Some(found) if found.as_ptr() != libc::MAP_FAILED => {
            let memory = Memory {
                start: found.cast(),
                len,
                kind,
                is_shared: AtomicBool::new(true),
            };
            memory.forbid_first_page();
            Ok(memory)
        }
        _ => {
            place::release(start, len);
            Err(Failure::of_call("mmap", error))
        }
    }
}
