//! What of a source is to be mapped, and how.

use super::{Granularity, ReservationError, granularity, huge_pages};
use crate::os_error::OsError;
use crate::source::{Source, SourceKind, page};

/// Who sees what is written to a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// The source, and everybody who maps it (`MAP_SHARED`).
    #[default]
    Shared,
    /// Only this process: a page is copied when it is first written (`MAP_PRIVATE`).
    Private,
}

/// What of a source is to be mapped, and how. At first: all of it, shared, to be read and written,
/// as memory that need not be persistent.
///
/// ```
/// use allotment::reservation::{MapOptions, Reservation, Sharing};
/// use allotment::source::Source;
///
/// let reservation = Reservation::new(1 << 20)?;
/// let map = MapOptions::new()
///     .sharing(Sharing::Private)
///     .map_into(&reservation, 65536, &Source::anonymous(8192))?;
/// assert_eq!(map.len(), 8192);
/// assert_eq!(map.start().addr(), reservation.start().addr().checked_add(65536).unwrap());
/// # Ok::<(), allotment::reservation::ReservationError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MapOptions {
    offset: usize,
    len: Option<usize>,
    access: i32,
    sharing: Sharing,
    required: Option<Granularity>,
    assumed: Option<Granularity>,
}

impl MapOptions {
    /// All of the source, shared, to be read and written, as memory that need not be persistent.
    pub const fn new() -> MapOptions {
        MapOptions {
            offset: 0,
            len: None,
            access: libc::PROT_READ | libc::PROT_WRITE,
            sharing: Sharing::Shared,
            required: None,
            assumed: None,
        }
    }

    /// Where in the source the map begins, in bytes: a multiple of the source's alignment. Anonymous
    /// memory is as long as if it began at 0.
    pub const fn offset(mut self, offset: usize) -> MapOptions {
        self.offset = offset;
        self
    }

    /// How long the map is, in bytes: a multiple of the source's alignment. It reaches to the end of
    /// the source if this is not called, or 0.
    pub const fn len(mut self, len: usize) -> MapOptions {
        self.len = if len == 0 { None } else { Some(len) };
        self
    }

    /// Whether the map can be read.
    pub const fn read(self, allowed: bool) -> MapOptions {
        self.access(libc::PROT_READ, allowed)
    }

    /// Whether the map can be written. A file needs to be open for writing, if the map is shared.
    pub const fn write(self, allowed: bool) -> MapOptions {
        self.access(libc::PROT_WRITE, allowed)
    }

    /// Whether the map can be executed.
    pub const fn execute(self, allowed: bool) -> MapOptions {
        self.access(libc::PROT_EXEC, allowed)
    }

    const fn access(mut self, bit: i32, allowed: bool) -> MapOptions {
        if allowed {
            self.access |= bit;
        } else {
            self.access &= !bit;
        }
        self
    }

    /// Who sees what is written.
    pub const fn sharing(mut self, sharing: Sharing) -> MapOptions {
        self.sharing = sharing;
        self
    }

    /// That stores must be persistent, in pieces no coarser than this. Only then a file is mapped with
    /// `MAP_SYNC`, which costs every first write to a page.
    pub const fn granularity(mut self, coarsest: Granularity) -> MapOptions {
        self.required = Some(coarsest);
        self
    }

    /// What to take the granularity of a shared file for, whatever it is: for tests and emulators.
    pub const fn assume_granularity(mut self, assumed: Option<Granularity>) -> MapOptions {
        self.assumed = assumed;
        self
    }

    /// Looks at the source, and says what exactly to map.
    pub(super) fn plan(&self, source: &Source<'_>) -> Result<Plan, ReservationError> {
        let huge_page = huge_pages::page_size(source);
        let alignment = source.alignment()?.max(huge_page.unwrap_or(1));
        let size = source.size()?;
        let offset = self.offset;
        if !offset.is_multiple_of(alignment) {
            return Err(ReservationError::OffsetUnaligned { offset, alignment });
        }
        if source.kind() == SourceKind::DeviceDax && self.sharing == Sharing::Private {
            return Err(ReservationError::PrivateDeviceDax);
        }
        if size == 0 {
            return Err(ReservationError::SourceEmpty);
        }
        if let Some(len) = self.len
            && !len.is_multiple_of(alignment)
        {
            return Err(ReservationError::LengthUnaligned { len, alignment });
        }
        let beyond = ReservationError::BeyondSource {
            offset,
            len: self.len.unwrap_or(0),
            size,
        };
        let rest = size.checked_sub(offset).ok_or(beyond)?;
        let anonymous = source.kind() == SourceKind::Anonymous;
        let len = match self.len {
            Some(len) if len > rest => return Err(beyond),
            Some(len) => len,
            None if anonymous => size,
            None => rest,
        };
        let nothing = ReservationError::system("the offset is the source's end");
        if len == 0 {
            return Err(nothing(OsError(libc::EINVAL)));
        }
        let too_long = ReservationError::system("the length is beyond the address space");
        let reserved_len = page::round_up(len).ok_or_else(|| too_long(OsError(libc::ENOMEM)))?;
        Ok(Plan {
            offset: if anonymous { 0 } else { offset },
            len,
            reserved_len,
            alignment,
            huge_pages: huge_page.is_some(),
            access: self.access,
            sharing: self.sharing,
            required: self.required,
            assumed: self.assumed,
        })
    }
}

impl Default for MapOptions {
    fn default() -> Self {
        MapOptions::new()
    }
}

/// What exactly to map: the part is inside the source, and aligned as the source needs it.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where in the source.
    pub(super) offset: usize,
    /// Bytes, not 0.
    pub(super) len: usize,
    /// The same, up to the next page.
    pub(super) reserved_len: usize,
    /// What the address has to be a multiple of.
    pub(super) alignment: usize,
    /// Whether it is made of pages from hugetlbfs.
    pub(super) huge_pages: bool,
    pub(super) access: i32,
    pub(super) sharing: Sharing,
    required: Option<Granularity>,
    assumed: Option<Granularity>,
}

impl Plan {
    /// Whether the map is to be made with `MAP_SYNC` where that works.
    pub(super) fn wants_sync(&self) -> bool {
        self.required.is_some() && self.sharing == Sharing::Shared
    }

    /// What the map's granularity is, unless it is too coarse.
    pub(super) fn granularity(
        &self,
        source: &Source<'_>,
        synced: bool,
    ) -> Result<Granularity, ReservationError> {
        let available = match self.sharing {
            Sharing::Private => Granularity::Byte,
            Sharing::Shared if source.kind() == SourceKind::Anonymous => Granularity::Byte,
            Sharing::Shared => self
                .assumed
                .unwrap_or_else(|| granularity::of_shared(source, synced)),
        };
        match self.required {
            Some(required) if available > required => {
                Err(ReservationError::GranularityNotSupported {
                    required,
                    available,
                })
            }
            _ => Ok(available),
        }
    }
}
