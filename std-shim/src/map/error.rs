//! Why a file could not be mapped.

use core::fmt;
use std::path::{Path, PathBuf};

use super::Flags;
use crate::os_error::OsError;
use crate::source::SourceError;

/// Why a file could not be mapped: the path, the reason, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFileError {
    path: Option<PathBuf>,
    reason: MapFileFailure,
}

/// The step at which mapping a file failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapFileFailure {
    /// There is no path.
    NoPath,
    /// The path cannot be looked at: `access(2)`, `stat(2)`.
    Inaccessible(OsError),
    /// A character device that sysfs does not know.
    UnknownDevice(OsError),
    /// A pipe, a socket, a device that is not a Device DAX.
    NotMappable,
    /// These bits are no flags.
    UnknownFlags(Flags),
    /// These flags mean nothing for a Device DAX.
    DeviceFlags(Flags),
    /// A Device DAX has its own length; only that, or 0 for it, can be asked for.
    DeviceLength {
        /// Bytes asked for.
        asked: usize,
        /// Bytes that the device has.
        size: usize,
    },
    /// Sysfs does not tell the device's size or alignment.
    Device(SourceError),
    /// No file can be that long.
    TooLong(usize),
    /// A length without [`Flags::CREATE`]: an existing file is mapped whole.
    LengthWithoutCreate(usize),
    /// [`Flags::CREATE`] without a length.
    CreateWithoutLength,
    /// [`Flags::TEMPORARY`] without [`Flags::CREATE`].
    TemporaryWithoutCreate,
    /// The file cannot be opened or created with these flags: `open(2)`.
    Open(Flags, OsError),
    /// The file is longer than the length that it should get, and may not be truncated.
    WouldTruncate {
        /// Bytes asked for.
        len: usize,
        /// Bytes that the file has.
        size: u64,
    },
    /// The file cannot get that length: `ftruncate(2)`.
    SetLength(usize, OsError),
    /// The file's space cannot be allocated: `posix_fallocate(3)`.
    Allocate(usize, OsError),
    /// The file does not tell its size.
    Size(SourceError),
    /// There is nothing to map: the file is empty, or the part begins at its end.
    Empty,
    /// Offset, length or address of the mapping is not a multiple of this.
    Unaligned {
        /// Which of them.
        what: &'static str,
        /// Bytes that it must be a multiple of.
        alignment: usize,
    },
    /// The part ends behind the file's end.
    BeyondEnd {
        /// Bytes that the file has.
        size: usize,
    },
    /// No addresses are left for a mapping of that length.
    NoRoom(usize, OsError),
    /// Something is mapped at the address asked for, or programs may map nothing there.
    AddressTaken(usize),
    /// The system does not map it: `mmap(2)`.
    Map(OsError),
    /// Persistent memory that was mapped here went away by a plain `munmap(2)`, and is still listed.
    Duplicate,
}

impl MapFileError {
    /// There is no path, not even an empty one.
    #[must_use]
    pub fn no_path() -> MapFileError {
        MapFileError {
            path: None,
            reason: MapFileFailure::NoPath,
        }
    }

    pub(super) fn new(path: &Path, reason: MapFileFailure) -> MapFileError {
        MapFileError {
            path: Some(path.to_owned()),
            reason,
        }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What failed.
    #[must_use]
    pub fn failure(&self) -> MapFileFailure {
        self.reason
    }

    /// The error number, as `pmem_map_file(3)` sets it.
    #[must_use]
    pub fn os_error(&self) -> OsError {
        self.reason.os_error()
    }
}

impl MapFileFailure {
    /// The error number.
    #[must_use]
    pub fn os_error(&self) -> OsError {
        use MapFileFailure as F;
        match *self {
            F::Inaccessible(error)
            | F::UnknownDevice(error)
            | F::Open(_, error)
            | F::SetLength(_, error)
            | F::Allocate(_, error)
            | F::NoRoom(_, error)
            | F::Map(error) => error,
            F::Size(error) => error.os_error(),
            F::WouldTruncate { .. } | F::AddressTaken(_) => OsError(libc::EEXIST),
            F::Duplicate => OsError(libc::ENOMEM),
            F::NoPath
            | F::NotMappable
            | F::UnknownFlags(_)
            | F::DeviceFlags(_)
            | F::DeviceLength { .. }
            | F::Device(_)
            | F::TooLong(_)
            | F::LengthWithoutCreate(_)
            | F::CreateWithoutLength
            | F::TemporaryWithoutCreate
            | F::Empty
            | F::Unaligned { .. }
            | F::BeyondEnd { .. } => OsError(libc::EINVAL),
        }
    }
}

impl fmt::Display for MapFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "cannot map {}: {}", path.display(), self.reason),
            None => write!(f, "cannot map a file: {}", self.reason),
        }
    }
}

impl fmt::Display for MapFileFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use MapFileFailure as F;
        match self {
            F::NoPath => f.write_str("the path is NULL"),
            F::Inaccessible(error) => write!(f, "the path cannot be looked at: {error}"),
            F::UnknownDevice(error) => write!(
                f,
                "sysfs does not tell what kind of device it is, is /sys mounted? {error}"
            ),
            F::NotMappable => f.write_str(
                "only regular files, Device DAX (/dev/daxX.Y) and, for temporary files, \
                 directories will do",
            ),
            F::UnknownFlags(flags) => write!(f, "unknown flags {flags}"),
            F::DeviceFlags(flags) => write!(f, "a Device DAX cannot be mapped with {flags}"),
            F::DeviceLength { asked, size } => write!(
                f,
                "a length of {asked} bytes was asked for, but the Device DAX has {size}; pass 0 or that"
            ),
            F::Device(error) => write!(f, "{error}"),
            F::TooLong(len) => write!(f, "no file can be {len} bytes long"),
            F::LengthWithoutCreate(len) => write!(
                f,
                "a length ({len}) needs PMEM_FILE_CREATE; pass 0 to map an existing file"
            ),
            F::CreateWithoutLength => f.write_str("PMEM_FILE_CREATE needs a length"),
            F::TemporaryWithoutCreate => {
                f.write_str("PMEM_FILE_TMPFILE needs PMEM_FILE_CREATE and a length")
            }
            F::Open(flags, error) => {
                write!(f, "it cannot be opened with flags {flags}: {error}")?;
                f.write_str(match (error.0, flags.contains(Flags::TEMPORARY)) {
                    (libc::ENOENT, false) if !flags.contains(Flags::CREATE) => {
                        "; PMEM_FILE_CREATE would create it"
                    }
                    (libc::EEXIST, _) => "; leave out PMEM_FILE_EXCL to use the one that is there",
                    (libc::EISDIR, false) => "; only PMEM_FILE_TMPFILE takes a directory",
                    (libc::ENOTDIR, true) => "; PMEM_FILE_TMPFILE takes a directory",
                    _ => "",
                })
            }
            F::WouldTruncate { len, size } => write!(
                f,
                "it has {size} bytes and would be cut to {len}; allow that with truncate(true)"
            ),
            F::SetLength(len, error) => {
                write!(f, "it cannot be made {len} bytes long: {error}")?;
                limit_hint(f, *error)
            }
            F::Allocate(len, error) => {
                write!(
                    f,
                    "{len} bytes of space cannot be allocated for it: {error}"
                )?;
                match error.0 {
                    libc::ENOSPC | libc::EOPNOTSUPP => {
                        f.write_str("; PMEM_FILE_SPARSE would not allocate them")
                    }
                    _ => limit_hint(f, *error),
                }
            }
            F::Size(error) => write!(f, "{error}"),
            F::Empty => f.write_str("there is nothing to map, it is empty there"),
            F::Unaligned { what, alignment } => {
                write!(f, "the {what} is not a multiple of {alignment}")
            }
            F::BeyondEnd { size } => {
                write!(f, "the part ends behind the end, at {size} bytes")
            }
            F::NoRoom(len, error) => {
                write!(f, "no addresses are left for {len} bytes: {error}")?;
                f.write_str("; is RLIMIT_AS (ulimit -v) too low?")
            }
            F::AddressTaken(address) => write!(
                f,
                "something is mapped at {address:#x} already, or nothing can be"
            ),
            F::Map(error) => write!(f, "mmap: {error}"),
            F::Duplicate => f.write_str(
                "duplicated persistent memory range; one that was mapped here was unmapped \
                 with munmap() instead of pmem_unmap()",
            ),
        }
    }
}

/// What stands behind `EFBIG`.
fn limit_hint(f: &mut fmt::Formatter<'_>, error: OsError) -> fmt::Result {
    match error.0 {
        libc::EFBIG => {
            f.write_str("; the file system or RLIMIT_FSIZE (ulimit -f) allows no such length")
        }
        _ => Ok(()),
    }
}

impl core::error::Error for MapFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_path_flag_errno_and_way_out() {
        let error = |reason| MapFileError::new(Path::new("/p/f"), reason).to_string();
        let missing = MapFileFailure::Open(Flags::NONE, OsError(libc::ENOENT));
        assert_eq!(
            error(missing),
            "cannot map /p/f: it cannot be opened with flags 0: No such file or directory; \
             PMEM_FILE_CREATE would create it"
        );
        let full = MapFileFailure::Allocate(4096, OsError(libc::ENOSPC));
        assert_eq!(
            error(full),
            "cannot map /p/f: 4096 bytes of space cannot be allocated for it: No space left on \
             device; PMEM_FILE_SPARSE would not allocate them"
        );
        assert_eq!(
            MapFileError::no_path().to_string(),
            "cannot map a file: the path is NULL"
        );
    }
}
