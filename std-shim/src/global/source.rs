//! Where a global allocator's memory comes from.

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::mapping::{MapError, Mapping};
use crate::path_buffer::{PathBuffer, PathError};

/// What an [`Allotment`](super::Allotment) was asked to allocate from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Anonymous,
    Directory(&'static str),
    File(&'static str),
    /// Exclusively borrowed for ever.
    Region(NonNull<[MaybeUninit<u8>]>),
    RegionOf(fn() -> &'static mut [MaybeUninit<u8>]),
}

/// Why a source has no memory to give.
pub(super) enum SourceError {
    Path(PathError),
    Map(MapError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Path(error) => write!(f, "{error}"),
            SourceError::Map(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Anonymous => f.write_str("anonymous memory"),
            Source::Directory(path) => write!(f, "directory {path}"),
            Source::File(path) => write!(f, "file {path}"),
            Source::Region(region) => write!(f, "region of {} bytes", region.len()),
            Source::RegionOf(_) => f.write_str("region"),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Source {
    /// Maps the memory, at most `size` bytes if that is said.
    ///
    /// # Safety
    /// This is done once, for a region has one user.
    pub(super) unsafe fn map(&self, size: Option<usize>) -> Result<Mapping, SourceError> {
        let path = |path: &str| PathBuffer::from_bytes(path.as_bytes()).map_err(SourceError::Path);
        match *self {
            Source::Anonymous => Mapping::anonymous(size).inspect(|mapping| {
                // Without them it is slower, and that is all.
                let _ = mapping.prefer_huge_pages();
            }),
            Source::Directory(directory) => Mapping::temporary_file(&path(directory)?, size),
            Source::File(file) => Mapping::file(&path(file)?, size),
            // SAFETY: borrowed for ever, and used this once (condition).
            Source::Region(mut region) => Ok(Mapping::region(unsafe { region.as_mut() })),
            Source::RegionOf(find) => Ok(Mapping::region(find())),
        }
        .map_err(SourceError::Map)
    }
}
