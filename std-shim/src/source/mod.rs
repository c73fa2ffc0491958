//! What a mapping is made of: a regular file, a Device DAX, or anonymous memory.
//!
//! ```text
//! Source          its kind, size, alignment and descriptor
//!   device_dax      a Device DAX as sysfs describes it: nvdimm, hmem and CXL alike
//!     sysfs           what sysfs says about a character device, without the heap
//!   sync_support    whether MAP_SYNC works on it, found out without disturbing any mapping
//!   page            page arithmetic, whether pages are mapped
//! ```

pub mod device_dax;
pub mod page;
mod sync_support;
pub(crate) mod sysfs;

use core::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use device_dax::DeviceDax;

use crate::os_error::OsError;

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A regular file, on any file system, or a memfd.
    File,
    /// A character device of the subsystem `dax`.
    DeviceDax,
    /// Memory without a file.
    Anonymous,
}

/// Why something cannot be a source, or cannot say its size or alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    /// The descriptor is not open, or the system does not answer about it.
    Descriptor(OsError),
    /// The descriptor is open for writing only; a mapping must be able to read.
    NotReadable,
    /// A directory.
    Directory,
    /// Neither a regular file nor a Device DAX: a pipe, a socket, another device.
    OtherType,
    /// What sysfs should say about the device cannot be read.
    Sysfs {
        /// What was looked for: `subsystem`, `size` or `align`.
        attribute: &'static str,
        /// The system's answer; `EINVAL` if the text there is not a number.
        error: OsError,
    },
    /// The device's alignment is not a power of two.
    Alignment(usize),
    /// The size is beyond what an address can express.
    TooLarge,
}

impl SourceError {
    /// The closest error number.
    #[must_use]
    pub fn os_error(&self) -> OsError {
        match *self {
            SourceError::Descriptor(error) | SourceError::Sysfs { error, .. } => error,
            SourceError::NotReadable => OsError(libc::EBADF),
            SourceError::Directory => OsError(libc::EISDIR),
            SourceError::OtherType | SourceError::Alignment(_) => OsError(libc::EINVAL),
            SourceError::TooLarge => OsError(libc::EOVERFLOW),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Descriptor(error) => {
                write!(f, "the file descriptor is of no use: {error}")
            }
            SourceError::NotReadable => {
                f.write_str("the file is open for writing only; open it for reading, too")
            }
            SourceError::Directory => f.write_str("it is a directory"),
            SourceError::OtherType => {
                f.write_str("only regular files and Device DAX (/dev/daxX.Y) can be mapped")
            }
            SourceError::Sysfs { attribute, error } => write!(
                f,
                "cannot read the device's {attribute} from sysfs, is /sys mounted? {error}"
            ),
            SourceError::Alignment(alignment) => {
                write!(
                    f,
                    "the device's alignment {alignment} is not a power of two"
                )
            }
            SourceError::TooLarge => f.write_str("it is larger than the address space"),
        }
    }
}

impl core::error::Error for SourceError {}

/// Something that can be mapped. It borrows its descriptor, and no mapping needs it, or the
/// descriptor, any longer once it is made.
#[derive(Debug)]
pub struct Source<'fd> {
    medium: Medium<'fd>,
    /// Whether `MAP_SYNC` works, once that was found out.
    sync: OnceLock<bool>,
}

#[derive(Debug)]
enum Medium<'fd> {
    File(BorrowedFd<'fd>),
    DeviceDax(BorrowedFd<'fd>, DeviceDax),
    Anonymous(usize),
}

impl<'fd> Source<'fd> {
    /// A regular file or a Device DAX, by its descriptor. Reading must be allowed; writing need
    /// not be.
    ///
    /// # Errors
    /// If it is something else, or sysfs does not tell what kind of device it is.
    pub fn from_fd(fd: BorrowedFd<'fd>) -> Result<Source<'fd>, SourceError> {
        // SAFETY: only asks for the flags.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        if flags < 0 {
            return Err(SourceError::Descriptor(OsError::last()));
        }
        if flags & libc::O_ACCMODE == libc::O_WRONLY {
            return Err(SourceError::NotReadable);
        }
        let status = status(fd)?;
        let medium = match status.st_mode & libc::S_IFMT {
            libc::S_IFREG => Medium::File(fd),
            libc::S_IFDIR => return Err(SourceError::Directory),
            libc::S_IFCHR => match DeviceDax::identify(status.st_rdev) {
                Ok(Some(device)) => Medium::DeviceDax(fd, device),
                Ok(None) => return Err(SourceError::OtherType),
                Err(error) => {
                    return Err(SourceError::Sysfs {
                        attribute: "subsystem",
                        error,
                    });
                }
            },
            _ => return Err(SourceError::OtherType),
        };
        Ok(Source::new(medium))
    }

    /// A regular file whose descriptor is known to be one. Nothing is asked of the system.
    #[must_use]
    pub fn from_regular_file(fd: BorrowedFd<'fd>) -> Source<'fd> {
        Source::new(Medium::File(fd))
    }

    /// A Device DAX that was identified before.
    #[must_use]
    pub fn from_device_dax(fd: BorrowedFd<'fd>, device: DeviceDax) -> Source<'fd> {
        Source::new(Medium::DeviceDax(fd, device))
    }

    /// `size` bytes of anonymous memory, of any size.
    #[must_use]
    pub fn anonymous(size: usize) -> Source<'static> {
        Source::new(Medium::Anonymous(size))
    }

    fn new<'any>(medium: Medium<'any>) -> Source<'any> {
        Source {
            medium,
            sync: OnceLock::new(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        match self.medium {
            Medium::File(_) => SourceKind::File,
            Medium::DeviceDax(..) => SourceKind::DeviceDax,
            Medium::Anonymous(_) => SourceKind::Anonymous,
        }
    }

    /// The descriptor. Anonymous memory has none.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'fd>> {
        match self.medium {
            Medium::File(fd) | Medium::DeviceDax(fd, _) => Some(fd),
            Medium::Anonymous(_) => None,
        }
    }

    /// The device, if it is a Device DAX.
    #[must_use]
    pub fn device_dax(&self) -> Option<&DeviceDax> {
        match &self.medium {
            Medium::DeviceDax(_, device) => Some(device),
            _ => None,
        }
    }

    /// Its size in bytes as it is now: another process may change a file's.
    ///
    /// # Errors
    /// If the descriptor was closed, or sysfs does not tell the device's size.
    pub fn size(&self) -> Result<usize, SourceError> {
        let size = match &self.medium {
            // No size is negative; on 32 bits it has fewer of them.
            Medium::File(fd) => status(*fd)?.st_size as u64,
            Medium::DeviceDax(fd, device) => {
                status(*fd)?;
                device.size().map_err(|error| SourceError::Sysfs {
                    attribute: "size",
                    error,
                })?
            }
            Medium::Anonymous(size) => return Ok(*size),
        };
        usize::try_from(size).map_err(|_| SourceError::TooLarge)
    }

    /// The alignment in bytes of offsets, lengths and addresses of its mappings, a power of two:
    /// the page size, or the alignment of the Device DAX.
    ///
    /// # Errors
    /// If sysfs does not tell the device's alignment, or tells nonsense.
    pub fn alignment(&self) -> Result<usize, SourceError> {
        let Medium::DeviceDax(_, device) = &self.medium else {
            return Ok(page::size());
        };
        let alignment = device.alignment().map_err(|error| SourceError::Sysfs {
            attribute: "align",
            error,
        })?;
        let alignment = usize::try_from(alignment).map_err(|_| SourceError::TooLarge)?;
        if alignment.is_power_of_two() {
            Ok(alignment)
        } else {
            Err(SourceError::Alignment(alignment))
        }
    }

    /// Whether its shared mappings can be made with `MAP_SYNC`, so that what the CPU's caches have
    /// flushed is safe without `msync`. The first call maps and unmaps a piece of it, anywhere.
    ///
    /// # Errors
    /// What `mmap(2)` says, other than that it does not know `MAP_SYNC` here.
    pub fn supports_sync(&self) -> Result<bool, OsError> {
        if let Some(&known) = self.sync.get() {
            return Ok(known);
        }
        let found = match &self.medium {
            Medium::Anonymous(_) => false,
            Medium::File(fd) => sync_support::probe(*fd, page::size())?,
            Medium::DeviceDax(fd, _) => {
                let unit = self.alignment().map_err(|error| error.os_error())?;
                sync_support::probe(*fd, unit)?
            }
        };
        Ok(*self.sync.get_or_init(|| found))
    }
}

fn status(fd: BorrowedFd<'_>) -> Result<libc::stat, SourceError> {
    let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
    unsafe {
        if libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()) != 0 {
            return Err(SourceError::Descriptor(OsError::last()));
        }
        Ok(status.assume_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn a_regular_file_says_its_size_as_it_is_now() {
        let file = tempfile::tempfile().unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        assert_eq!(source.kind(), SourceKind::File);
        assert_eq!(source.size(), Ok(0));
        file.set_len(5000).unwrap();
        assert_eq!(source.size(), Ok(5000));
        assert_eq!(source.alignment(), Ok(page::size()));
        assert!(source.fd().is_some() && source.device_dax().is_none());
    }

    #[test]
    fn anonymous_memory_has_no_descriptor() {
        let source = Source::anonymous(12345);
        assert_eq!(source.kind(), SourceKind::Anonymous);
        assert_eq!(source.size(), Ok(12345));
        assert!(source.fd().is_none());
        assert_eq!(source.supports_sync(), Ok(false));
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let refused = |file: File| Source::from_fd(file.as_fd()).map(|_| ()).unwrap_err();
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            refused(File::open(directory.path()).unwrap()),
            SourceError::Directory
        );
        assert_eq!(
            refused(File::open("/dev/zero").unwrap()),
            SourceError::OtherType
        );
        let path = directory.path().join("write-only");
        let write_only = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .unwrap();
        assert_eq!(refused(write_only), SourceError::NotReadable);
        // It fails when it is mapped, not before.
        let by_path = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(&path)
            .unwrap();
        assert!(Source::from_fd(by_path.as_fd()).is_ok());
    }

    #[test]
    fn sync_is_probed_without_a_trace() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        let first = source.supports_sync().unwrap();
        assert_eq!(source.supports_sync(), Ok(first));
    }
}
