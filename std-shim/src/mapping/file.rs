//! Files that pools lie in.

use core::fmt::Write;
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::AtomicUsize;

use super::anonymous::reserve;
use super::descriptor::{Descriptor, open};
use super::limits::{candidates, soft_limit};
use super::{ALIGNMENT, Backing, FIRST_PART, MapError, Mapping, NEITHER, is_pool_or_blank};
use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;
use crate::text_buffer::TextBuffer;

/// What a pool that is not in memory of its process alone lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A file without a name, made in the directory asked for.
    Temporary,
    /// The file asked for.
    Named,
    /// A file without a name: the file asked for is another process's pool.
    InsteadOfNamed,
    /// The Device DAX asked for.
    Device,
}

/// An open file and where it lies.
#[derive(Debug)]
pub(super) struct BackingFile {
    pub(super) descriptor: Descriptor,
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
        let status = file.descriptor.status().map_err(|error| MapError {
            step: "cannot open the file",
            error,
        })?;
        if status.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(MapError::plain(NEITHER));
        }
        match file.descriptor.lock() {
            Ok(true) => {}
            Ok(false) => return BackingFile::unnamed(&path.parent(), FileKind::InsteadOfNamed),
            Err(error) => {
                return Err(MapError {
                    step: "cannot lock the file",
                    error,
                });
            }
        }
        if status.st_size > 0 && !file.is_ours_or_blank() {
            return Err(MapError::plain(
                "the file holds something other than a pool: remove it first",
            ));
        }
        file.set_len(0).map_err(|error| MapError {
            step: "cannot empty the file",
            error,
        })?;
        Ok(file)
    }

    fn new(
        descriptor: i32,
        directory: PathBuffer,
        kind: FileKind,
    ) -> Result<BackingFile, MapError> {
        let descriptor = Descriptor::new(descriptor).map_err(|error| MapError {
            step: "cannot look at the file",
            error,
        })?;
        Ok(BackingFile {
            descriptor,
            directory,
            kind,
        })
    }

    pub(super) fn kind(&self) -> FileKind {
        self.kind
    }

    /// The descriptor's number, if it still is our file's.
    pub(super) fn descriptor(&self) -> Option<i32> {
        self.descriptor.number()
    }

    /// Whether the file begins as a pool does, or with nothing but zeros.
    fn is_ours_or_blank(&self) -> bool {
        let mut first = [0u8; FIRST_PART];
        let Some(descriptor) = self.descriptor() else {
            return false;
        };
        // SAFETY: the buffer is writable for its length.
        let read = unsafe { libc::pread(descriptor, first.as_mut_ptr().cast(), first.len(), 0) };
        usize::try_from(read).is_ok_and(|read| is_pool_or_blank(&first[..read]))
    }

    /// Gives the file its full length; no space is allocated for it yet.
    pub(super) fn set_len(&self, len: usize) -> Result<(), OsError> {
        let Ok(len) = libc::off_t::try_from(len) else {
            return Err(OsError(libc::EFBIG));
        };
        let descriptor = self.descriptor().ok_or(OsError(libc::EBADF))?;
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(descriptor, len) } != 0 {
            return Err(OsError::last());
        }
        Ok(())
    }

    /// Maps the file's first `len` bytes, shared, over whatever is at the address.
    ///
    /// # Safety
    /// Nobody needs what is there.
    pub(super) unsafe fn map_over(&self, start: usize, len: usize) -> Result<(), OsError> {
        // SAFETY: forwarded.
        unsafe {
            self.descriptor
                .map_over(start, len, libc::PROT_READ | libc::PROT_WRITE)
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
        let start = match reserve(size, libc::PROT_NONE, ALIGNMENT) {
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
                    is_zeroed: true,
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
