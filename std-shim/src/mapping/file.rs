//! Files that pools lie in.

use core::ffi::CStr;
use core::fmt::Write;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::AtomicUsize;

use super::anonymous::reserve;
use super::limits::{candidates, soft_limit};
use super::{Backing, MapError, Mapping};
use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;
use crate::text_buffer::TextBuffer;

/// How a pool's file came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// It has no name: it was made in the directory asked for.
    Temporary,
    /// It is the file asked for.
    Named,
    /// It has no name: the file asked for is another process's pool.
    InsteadOfNamed,
}

/// What the first bytes of a file with a pool are.
const MAGIC: &[u8] = b"ALLOT";

/// Our descriptor goes to the upper end of the first thousand, where programs that choose numbers
/// by themselves (shells, daemons that close "all" files) do not look for room.
const HIGH_DESCRIPTOR: usize = 1024 - 64;

/// An open file and where it lies.
#[derive(Debug)]
pub(super) struct BackingFile {
    descriptor: i32,
    /// To recognise the file: the program may have closed our descriptor and opened another file
    /// that got its number.
    device: libc::dev_t,
    inode: libc::ino_t,
    directory: PathBuffer,
    kind: FileKind,
}

impl BackingFile {
    pub(super) fn temporary(directory: &PathBuffer) -> Result<BackingFile, MapError> {
        BackingFile::unnamed(directory, FileKind::Temporary)
    }

    /// A new file without a name, in the same directory as this one.
    pub(super) fn sibling(&self) -> Result<BackingFile, MapError> {
        let kind = match self.kind {
            FileKind::Named => FileKind::InsteadOfNamed,
            unnamed => unnamed,
        };
        BackingFile::unnamed(&self.directory, kind)
    }

    fn unnamed(directory: &PathBuffer, kind: FileKind) -> Result<BackingFile, MapError> {
        const STEP: &str = "cannot make a temporary file there";
        let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_EXCL | libc::O_CLOEXEC;
        match open(directory.as_c_str(), flags) {
            Ok(descriptor) => BackingFile::new(descriptor, *directory, kind),
            // EISDIR: a kernel that takes it for an ordinary open; the others: a file system that
            // has no files without names.
            Err(OsError(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOSYS | libc::EINVAL)) => {
                let descriptor =
                    create_and_unlink(directory).map_err(|error| MapError { step: STEP, error })?;
                BackingFile::new(descriptor, *directory, kind)
            }
            Err(error) => Err(MapError { step: STEP, error }),
        }
    }

    pub(super) fn named(path: &PathBuffer) -> Result<BackingFile, MapError> {
        // Without O_NONBLOCK, opening a pipe would wait for its other end.
        let flags =
            libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
        let descriptor = open(path.as_c_str(), flags).map_err(|error| MapError {
            step: "cannot open the file",
            error,
        })?;
        let file = BackingFile::new(descriptor, path.parent(), FileKind::Named)?;
        let status = file.status().map_err(|error| MapError {
            step: "cannot open the file",
            error,
        })?;
        if status.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(MapError::plain("not a regular file"));
        }
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(file.descriptor, libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return match OsError::last() {
                OsError(libc::EWOULDBLOCK) => {
                    BackingFile::unnamed(&path.parent(), FileKind::InsteadOfNamed)
                }
                error => Err(MapError {
                    step: "cannot lock the file",
                    error,
                }),
            };
        }
        if status.st_size > 0 && !file.is_ours_or_blank() {
            return Err(MapError::plain(
                "the file holds something other than a pool: remove it first",
            ));
        }
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(file.descriptor, 0) } != 0 {
            return Err(MapError::last("cannot empty the file"));
        }
        Ok(file)
    }

    fn new(
        descriptor: i32,
        directory: PathBuffer,
        kind: FileKind,
    ) -> Result<BackingFile, MapError> {
        let lowest = soft_limit(libc::RLIMIT_NOFILE)
            .saturating_sub(64)
            .min(HIGH_DESCRIPTOR);
        // SAFETY: the descriptor is open and ours.
        let high = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, lowest as libc::c_int) };
        let descriptor = if high < 0 {
            descriptor
        } else {
            // SAFETY: it is ours, and its copy takes its place.
            unsafe { libc::close(descriptor) };
            high
        };
        let mut file = BackingFile {
            descriptor,
            device: 0,
            inode: 0,
            directory,
            kind,
        };
        let status = file.status().map_err(|error| MapError {
            step: "cannot look at the file",
            error,
        })?;
        (file.device, file.inode) = (status.st_dev, status.st_ino);
        Ok(file)
    }

    pub(super) fn kind(&self) -> FileKind {
        self.kind
    }

    fn status(&self) -> Result<libc::stat, OsError> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
        unsafe {
            if libc::fstat(self.descriptor, status.as_mut_ptr()) != 0 {
                return Err(OsError::last());
            }
            Ok(status.assume_init())
        }
    }

    /// The descriptor, if it still is our file's.
    pub(super) fn descriptor(&self) -> Option<i32> {
        let status = self.status().ok()?;
        (status.st_dev == self.device && status.st_ino == self.inode).then_some(self.descriptor)
    }

    /// Whether the file begins as a pool does, or with nothing but zeros.
    fn is_ours_or_blank(&self) -> bool {
        let mut first = [0u8; 4096];
        // SAFETY: the buffer is writable for its length.
        let read =
            unsafe { libc::pread(self.descriptor, first.as_mut_ptr().cast(), first.len(), 0) };
        let Ok(read) = usize::try_from(read) else {
            return false;
        };
        first.starts_with(MAGIC) || first[..read].iter().all(|&b| b == 0)
    }

    /// Gives the file its full length; no space is allocated for it yet.
    pub(super) fn set_len(&self, len: usize) -> Result<(), OsError> {
        let Ok(len) = libc::off_t::try_from(len) else {
            return Err(OsError(libc::EFBIG));
        };
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(self.descriptor, len) } != 0 {
            return Err(OsError::last());
        }
        Ok(())
    }

    /// Maps the file's first `len` bytes, shared, over whatever is at the address.
    ///
    /// # Safety
    /// Nobody needs what is there.
    pub(super) unsafe fn map_over(&self, start: usize, len: usize) -> Result<(), OsError> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let place = with_exposed_provenance_mut(start);
        // SAFETY: the caller gives the place up.
        let found = unsafe { libc::mmap(place, len, access, flags, self.descriptor, 0) };
        if found == libc::MAP_FAILED {
            Err(OsError::last())
        } else {
            Ok(())
        }
    }

    /// Allocates the file's space from `committed` to `len`.
    pub(super) fn commit(&self, start: usize, committed: usize, len: usize) -> Result<(), OsError> {
        let Some(descriptor) = self.descriptor() else {
            return populate(start + committed, len - committed);
        };
        let (offset, additional) = (committed as libc::off_t, (len - committed) as libc::off_t);
        loop {
            // SAFETY: the descriptor is open; the part is inside the file's length.
            match unsafe { libc::posix_fallocate(descriptor, offset, additional) } {
                0 => return Ok(()),
                libc::EINTR => {}
                error => {
                    // Some of it may have been had: the disk is full, so give it back.
                    punch(descriptor, offset, additional);
                    return Err(OsError(error));
                }
            }
        }
    }

    /// Gives up the page cache's copy of a part, and its contents, but not its space.
    pub(super) fn release(&self, offset: usize, len: usize) -> bool {
        let Some(descriptor) = self.descriptor() else {
            return false;
        };
        let mode = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: the descriptor is open; the caller needs none of the bytes.
        unsafe { libc::fallocate(descriptor, mode, offset as libc::off_t, len as libc::off_t) == 0 }
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        if let Some(descriptor) = self.descriptor() {
            // SAFETY: the descriptor is open and still ours.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Maps a file that is empty.
pub(super) fn map(file: BackingFile, asked: Option<usize>) -> Result<Mapping, MapError> {
    let mut refused = MapError::plain("");
    let most = soft_limit(libc::RLIMIT_FSIZE);
    for size in candidates(asked) {
        if size > most {
            // Asking would bring a SIGXFSZ.
            refused = MapError {
                step: "cannot give the file that size",
                error: OsError(libc::EFBIG),
            };
            continue;
        }
        if let Err(error) = file.set_len(size) {
            refused = MapError {
                step: "cannot give the file that size",
                error,
            };
            continue;
        }
        let start = match reserve(size, libc::PROT_NONE) {
            Ok(start) => start,
            Err(error) => {
                refused = error;
                continue;
            }
        };
        // SAFETY: the range was reserved for this.
        match unsafe { file.map_over(start, size) } {
            Ok(()) => {
                let committed = AtomicUsize::new(0);
                return Ok(Mapping {
                    start,
                    capacity: size,
                    committed,
                    backing: Backing::File(file),
                });
            }
            Err(error) => {
                refused = MapError {
                    step: "cannot map the file",
                    error,
                };
                // SAFETY: the range is ours and unused.
                unsafe { libc::munmap(with_exposed_provenance_mut(start), size) };
            }
        }
    }
    Err(refused)
}

fn open(path: &CStr, flags: i32) -> Result<i32, OsError> {
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

fn create_and_unlink(directory: &PathBuffer) -> Result<i32, OsError> {
    const ATTEMPTS: u32 = 100;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    for attempt in 0..ATTEMPTS {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is writable.
        let pid = unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
            libc::getpid()
        };
        let mut name = TextBuffer::<80>::new();
        // A TextBuffer takes everything.
        let _ = write!(name, "/.allotment-{pid}-{:x}-{attempt}", now.tv_nsec);
        let mut path = *directory;
        if path.push(name.as_str().as_bytes()).is_err() {
            return Err(OsError(libc::ENAMETOOLONG));
        }
        match open(path.as_c_str(), flags) {
            Ok(descriptor) => {
                // SAFETY: the path ends with a null byte.
                unsafe { libc::unlink(path.as_c_str().as_ptr()) };
                return Ok(descriptor);
            }
            Err(OsError(libc::EEXIST)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(OsError(libc::EEXIST))
}

/// Allocates space by touching the mapping, for a file whose descriptor the program has closed.
/// Unlike a plain write it does not raise `SIGBUS` on a full disk.
fn populate(address: usize, len: usize) -> Result<(), OsError> {
    // SAFETY: the part belongs to a mapping of ours; populating changes no bytes.
    let done = unsafe {
        libc::madvise(
            with_exposed_provenance_mut(address),
            len,
            libc::MADV_POPULATE_WRITE,
        )
    } == 0;
    match OsError::last() {
        _ if done => Ok(()),
        OsError(libc::EFAULT) => Err(OsError(libc::ENOSPC)),
        error => Err(error),
    }
}

fn punch(descriptor: i32, offset: libc::off_t, len: libc::off_t) {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the descriptor is open; nothing is in that part yet.
    unsafe { libc::fallocate(descriptor, mode, offset, len) };
}
