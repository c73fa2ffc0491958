//! All steps from a path to a mapping, in the order that decides which error wins.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::place::Shared;
use super::ranges::{RANGES, Tracked};
use super::{FileMap, Flags, MapFileError, MapFileFailure, open};
use crate::os_error::OsError;
use crate::source::device_dax::DeviceDax;
use crate::source::{Source, SourceKind, page};

/// What is to be mapped, and how. What libpmem can't ask for has a default that means libpmem's way.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// libpmem's length: the one that a created file gets, else 0.
    pub(super) len: usize,
    pub(super) flags: Flags,
    pub(super) mode: u32,
    /// A created file may become shorter.
    pub(super) truncate: bool,
    /// Where in the file the mapping begins.
    pub(super) offset: usize,
    /// Bytes to map; all that is left of the file by default.
    pub(super) part: Option<usize>,
    /// The address to map it at.
    pub(super) address: Option<usize>,
}

/// What a path leads to.
enum Target {
    Missing,
    File,
    DeviceDax(DeviceDax),
}

impl Request {
    /// Maps it.
    pub(super) fn map(&self, path: &Path) -> Result<FileMap, MapFileError> {
        let mapped = self.check(path).and_then(|target| match target {
            Target::DeviceDax(device) => self.map_device(path, device),
            _ => self.map_file(path),
        });
        mapped.map_err(|failure| MapFileError::new(path, failure))
    }

    /// Looks at the path, then at the arguments.
    fn check(&self, path: &Path) -> Result<Target, MapFileFailure> {
        let target = look_at(path)?;
        let Request { flags, len, .. } = *self;
        let has = |flag| flags.contains(flag);
        if flags.unknown() != Flags::NONE {
            return Err(MapFileFailure::UnknownFlags(flags.unknown()));
        }
        if let Target::DeviceDax(device) = &target {
            let meaningless = flags.intersection(Flags::EXCLUSIVE | Flags::TEMPORARY);
            if meaningless != Flags::NONE {
                return Err(MapFileFailure::DeviceFlags(meaningless));
            }
            if len != 0 {
                let size = device_size(device)?;
                if len != size {
                    return Err(MapFileFailure::DeviceLength { asked: len, size });
                }
            }
            return Ok(target);
        }
        if has(Flags::CREATE) && libc::off_t::try_from(len).is_err() {
            return Err(MapFileFailure::TooLong(len));
        }
        if len != 0 && !has(Flags::CREATE) {
            return Err(MapFileFailure::LengthWithoutCreate(len));
        }
        if len == 0 && has(Flags::CREATE) {
            return Err(MapFileFailure::CreateWithoutLength);
        }
        if has(Flags::TEMPORARY) && !has(Flags::CREATE) {
            return Err(MapFileFailure::TemporaryWithoutCreate);
        }
        Ok(target)
    }

    fn map_device(&self, path: &Path, device: DeviceDax) -> Result<FileMap, MapFileFailure> {
        let file = open::existing(path).map_err(|error| MapFileFailure::Open(self.flags, error))?;
        let source = Source::from_device_dax(file.as_fd(), device);
        let size = source.size().map_err(MapFileFailure::Device)?;
        self.map_source(&source, size)
    }

    fn map_file(&self, path: &Path) -> Result<FileMap, MapFileFailure> {
        let file = self
            .open(path)
            .map_err(|error| MapFileFailure::Open(self.flags, error))?;
        let mapped = self.size(&file).and_then(|size| {
            let source = Source::from_regular_file(file.as_fd());
            self.map_source(&source, size)
        });
        if mapped.is_err() {
            open::remove_created(path, self.flags);
        }
        mapped
    }

    fn open(&self, path: &Path) -> Result<File, OsError> {
        let has = |flag| self.flags.contains(flag);
        if has(Flags::TEMPORARY) {
            open::temporary(path, has(Flags::EXCLUSIVE))
        } else if has(Flags::CREATE) {
            open::create(path, has(Flags::EXCLUSIVE), self.mode)
        } else {
            open::existing(path)
        }
    }

    /// The file's length, which a created file gets now.
    fn size(&self, file: &File) -> Result<usize, MapFileFailure> {
        if !self.flags.contains(Flags::CREATE) {
            let size = Source::from_regular_file(file.as_fd()).size();
            return size.map_err(MapFileFailure::Size);
        }
        let len = self.len;
        let length = libc::off_t::try_from(len).map_err(|_| MapFileFailure::TooLong(len))?;
        if !self.truncate {
            let status = file.metadata().map_err(open::os_error);
            let size = status.map_err(MapFileFailure::Inaccessible)?.len();
            if size > len as u64 {
                return Err(MapFileFailure::WouldTruncate { len, size });
            }
        }
        open::set_len(file, length).map_err(|error| MapFileFailure::SetLength(len, error))?;
        if !self.flags.contains(Flags::SPARSE) {
            open::allocate(file, length).map_err(|error| MapFileFailure::Allocate(len, error))?;
        }
        Ok(len)
    }

    /// Maps the part of the source that is wanted, and lists it.
    fn map_source(&self, source: &Source<'_>, size: usize) -> Result<FileMap, MapFileFailure> {
        let fd = source.fd().ok_or(MapFileFailure::NotMappable)?;
        let alignment = source.alignment().map_err(MapFileFailure::Device)?;
        let len = self.part_of(size, source.kind(), alignment)?;
        let sync = source.supports_sync().map_err(MapFileFailure::Map)?;
        let shared = Shared {
            fd,
            offset: libc::off_t::try_from(self.offset)
                .map_err(|_| MapFileFailure::BeyondEnd { size })?,
            len,
            sync,
            alignment,
        };
        let start = match self.address {
            Some(address) => shared.map_at(address)?,
            None => shared.map()?,
        };
        let tracked = match source.device_dax() {
            Some(device) => Tracked::DeviceDax(device.nvdimm_region()),
            None if sync => Tracked::SyncFile,
            None if is_dax(fd) => Tracked::NoSync,
            None => Tracked::NotDax,
        };
        if RANGES.add(start..start + len, tracked).is_err() {
            let place = core::ptr::with_exposed_provenance_mut(start);
            // SAFETY: it was just made, and nobody else knows of it.
            unsafe { libc::munmap(place, len) };
            return Err(MapFileFailure::Duplicate);
        }
        Ok(FileMap::new(start, len))
    }

    /// Bytes to map, of a file of this size.
    fn part_of(
        &self,
        size: usize,
        kind: SourceKind,
        alignment: usize,
    ) -> Result<usize, MapFileFailure> {
        let unaligned = |what| MapFileFailure::Unaligned { what, alignment };
        if self.offset & (alignment - 1) != 0 {
            return Err(unaligned("offset"));
        }
        let left = size
            .checked_sub(self.offset)
            .ok_or(MapFileFailure::BeyondEnd { size })?;
        let len = self.part.unwrap_or(left);
        if len == 0 {
            return Err(MapFileFailure::Empty);
        }
        if len > left {
            return Err(MapFileFailure::BeyondEnd { size });
        }
        if kind == SourceKind::DeviceDax && len & (alignment - 1) != 0 {
            return Err(unaligned("length"));
        }
        page::round_up(len).ok_or(MapFileFailure::NoRoom(len, OsError(libc::ENOMEM)))?;
        Ok(len)
    }
}

/// What the path leads to, by its name and type.
fn look_at(path: &Path) -> Result<Target, MapFileFailure> {
    let inaccessible = |error| MapFileFailure::Inaccessible(error);
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| inaccessible(OsError(libc::EINVAL)))?;
    // SAFETY: the path ends with a null byte.
    if unsafe { libc::access(name.as_ptr(), libc::F_OK) } != 0 {
        return match OsError::last() {
            OsError(libc::ENOENT) => Ok(Target::Missing),
            error => Err(inaccessible(error)),
        };
    }
    let status = fs::metadata(path).map_err(|error| inaccessible(open::os_error(error)))?;
    let kind = status.file_type();
    if kind.is_file() || kind.is_dir() {
        return Ok(Target::File);
    }
    if !kind.is_char_device() {
        return Err(MapFileFailure::NotMappable);
    }
    match DeviceDax::identify(status.rdev()) {
        Ok(Some(device)) => Ok(Target::DeviceDax(device)),
        Ok(None) => Err(MapFileFailure::NotMappable),
        Err(error) => Err(MapFileFailure::UnknownDevice(error)),
    }
}

fn device_size(device: &DeviceDax) -> Result<usize, MapFileFailure> {
    let unreadable = |error| {
        MapFileFailure::Device(crate::source::SourceError::Sysfs {
            attribute: "size",
            error,
        })
    };
    let size = device.size().map_err(unreadable)?;
    usize::try_from(size).map_err(|_| unreadable(OsError(libc::EOVERFLOW)))
}

/// Whether the file's pages are its memory itself, not copies in the page cache.
fn is_dax(fd: BorrowedFd<'_>) -> bool {
    let mut status = core::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path ends with a null byte, `status` is writable, and all-zero bytes are a valid
    // value of it.
    let status = unsafe {
        let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        libc::statx(fd.as_raw_fd(), path, flags, 0, status.as_mut_ptr());
        status.assume_init()
    };
    status.stx_attributes & libc::STATX_ATTR_DAX as u64 != 0
}
