//! What is mapped into a reservation.

use core::fmt;
use core::ops::Range;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use std::sync::Arc;

use super::space::Space;
use super::{Granularity, ReservationError, Retained, Sharing};
use crate::persist;
use crate::source::SourceKind;

/// A source mapped into a reservation: the handle that keeps it there, and the reservation with it.
///
/// Cloning the handle does not map anything; [`Reservation::find`](super::Reservation::find) and its like answer
/// such clones. When the last handle is dropped, or [`ReservedMap::unmap`] is called, the pages go back to the
/// reservation in one step. The source's descriptor is not needed any longer.
///
/// Reading or writing the bytes is up to the caller: another process, or another thread, may change them at
/// any time, and if a file is cut off below the map, an access beyond its end raises `SIGBUS`.
#[derive(Clone)]
pub struct ReservedMap {
    pub(super) mapped: Arc<Mapped>,
}

/// A map, until the last handle is gone.
#[derive(Debug)]
pub(super) struct Mapped {
    pub(super) space: Arc<Space>,
    /// Whole pages.
    pub(super) range: Range<usize>,
    /// Bytes of the content.
    pub(super) len: usize,
    pub(super) granularity: Granularity,
    pub(super) kind: SourceKind,
    pub(super) sharing: Sharing,
    /// Whether the pages are reserved again.
    pub(super) vacated: bool,
}

impl ReservedMap {
    /// The first byte. It stays where it is until the map is unmapped.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        let start = with_exposed_provenance_mut(self.mapped.range.start);
        // SAFETY: no map begins at address 0: a reservation does not.
        unsafe { NonNull::new_unchecked(start) }
    }

    /// Bytes that are mapped: not 0, and not always a multiple of the page size. The rest of the last page can
    /// be used, but is no part of a file.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.mapped.len
    }

    /// In what pieces stores become persistent. For a shared file that was mapped without asking for a
    /// [granularity](super::MapOptions::granularity) it is the page.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.mapped.granularity
    }

    /// What is mapped.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.mapped.kind
    }

    /// Who sees what is written.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.mapped.sharing
    }

    /// Makes `len` bytes at `offset` persistent, as the granularity asks for it: a fence, flushed caches
    /// ([`persist::flush()`](crate::persist::flush())), or `msync(2)`.
    ///
    /// # Errors
    /// [`ReservationError::LengthOutOfRange`] if not all of them are in the map; what `msync(2)` says.
    pub fn persist(&self, offset: usize, len: usize) -> Result<(), ReservationError> {
        let size = self.mapped.len;
        if size.checked_sub(offset).is_none_or(|rest| len > rest) {
            return Err(ReservationError::LengthOutOfRange { offset, len, size });
        }
        let start = self.start().as_ptr().wrapping_add(offset);
        match self.mapped.granularity {
            Granularity::Byte => persist::drain(),
            Granularity::CacheLine => {
                // SAFETY: inside the map, which the handle keeps.
                unsafe { persist::deep_flush(start, len) };
                persist::drain();
            }
            Granularity::Page => persist::msync(start, len)
                .map_err(ReservationError::system("cannot write the map back"))?,
        }
        Ok(())
    }

    /// Whether two handles are of one map.
    #[must_use]
    pub fn is(&self, other: &ReservedMap) -> bool {
        Arc::ptr_eq(&self.mapped, &other.mapped)
    }

    /// Turns the pages back into reserved ones, in one step: nobody else's mapping can get there, and no
    /// neighbour is touched.
    ///
    /// # Errors
    /// [`ReservationError::InUse`] if there are other handles, and [`ReservationError::System`] if the system
    /// refuses (`ENOMEM`: the process has too many mappings). The map is as it was, and comes back with the error.
    pub fn unmap(self) -> Result<(), Retained<ReservedMap>> {
        let mut mapped = Arc::try_unwrap(self.mapped).map_err(|mapped| Retained {
            value: ReservedMap { mapped },
            error: ReservationError::InUse,
        })?;
        let space = Arc::clone(&mapped.space);
        let mut state = space.write();
        // SAFETY: this was the last handle to the map.
        match unsafe { state.vacate(&mapped.range) } {
            Ok(()) => {
                mapped.vacated = true;
                Ok(())
            }
            Err(error) => {
                // The old address of the shared part is in the entry.
                let mapped = Arc::new(mapped);
                state.replace(&mapped);
                drop(state);
                Err(Retained {
                    value: ReservedMap { mapped },
                    error,
                })
            }
        }
    }
}

impl fmt::Debug for ReservedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReservedMap")
            .field("start", &self.start())
            .field("len", &self.len())
            .field("granularity", &self.granularity())
            .field("kind", &self.kind())
            .field("sharing", &self.sharing())
            .finish()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.vacated {
            return;
        }
        let mut state = self.space.write();
        // SAFETY: the last handle to the map is being dropped.
        if unsafe { state.vacate(&self.range) }.is_err() {
            state.strand(self.range.clone());
        }
    }
}
