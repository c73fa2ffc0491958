//! The address space of one reservation, and what is mapped where in it.

use core::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::ReservationError;
use super::address_space::{release, reserve, reserve_at, vacate};
use super::map::Mapped;
use super::ordered_maps::OrderedMaps;
use crate::os_error::OsError;
use crate::source::page;

/// What the handles of a reservation and of its maps share. The last of them gives the address space
/// back.
#[derive(Debug)]
pub(super) struct Space {
    state: RwLock<State>,
}

/// What the one lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) start: usize,
    /// Bytes; 0 once the address space was given back.
    pub(super) size: usize,
    pub(super) maps: OrderedMaps<Entry>,
    /// Maps whose handles are gone, but whose pages the system refused to take back.
    stranded: Vec<Range<usize>>,
}

/// A map, for as long as there are handles to it; then just its place.
#[derive(Debug)]
pub(super) struct Entry {
    /// The end of its content, which need not be a page's.
    pub(super) content_end: usize,
    pub(super) map: Weak<Mapped>,
}

const RESERVE: &str = "cannot reserve addresses";
const RELEASE: &str = "cannot give the addresses back";

impl Space {
    pub(super) fn anywhere(size: usize, alignment: usize) -> Result<Space, ReservationError> {
        check_size(size)?;
        let start = reserve(size, alignment).map_err(ReservationError::system(RESERVE))?;
        Ok(Space::new(start, size))
    }

    pub(super) fn at(start: usize, size: usize) -> Result<Space, ReservationError> {
        if !page::is_aligned(start) {
            return Err(ReservationError::AddressUnaligned {
                address: start,
                alignment: page::size(),
            });
        }
        check_size(size)?;
        take(start, size)?;
        Ok(Space::new(start, size))
    }

    fn new(start: usize, size: usize) -> Space {
        Space {
            state: RwLock::new(State {
                start,
                size,
                maps: OrderedMaps::new(),
                stranded: Vec::new(),
            }),
        }
    }

    // Nothing under the lock panics half-way through a change, so what a panic elsewhere has poisoned is
    // in order.

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To change something: whatever is stranded is retried first.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.stranded.is_empty() {
            state.retry_stranded();
        }
        state
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.size > 0 {
            // All of it belongs to this value alone. Where the process has too many mappings for that, the
            // addresses stay reserved.
            let _ = release(state.start, state.size);
        }
    }
}

impl State {
    pub(super) fn end(&self) -> usize {
        self.start + self.size
    }

    pub(super) fn extend(&mut self, additional: usize) -> Result<(), ReservationError> {
        check_len(additional)?;
        if additional == 0 {
            return Ok(());
        }
        take(self.end(), additional)?;
        self.size += additional;
        Ok(())
    }

    pub(super) fn shrink(&mut self, offset: usize, len: usize) -> Result<(), ReservationError> {
        check_offset(offset)?;
        check_len(len)?;
        let size = self.size;
        if offset >= size {
            return Err(ReservationError::OffsetOutOfRange { offset, size });
        }
        if len == 0 || len > size - offset {
            return Err(ReservationError::LengthOutOfRange { offset, len, size });
        }
        let (from_start, to_end) = (offset == 0, len == size - offset);
        if !from_start && !to_end {
            return Err(ReservationError::NotAtAnEnd);
        }
        if from_start && to_end {
            return Err(ReservationError::WholeReservation);
        }
        let first = self.start + offset;
        if self.maps.is_occupied(first..first + len) {
            return Err(ReservationError::NotEmpty);
        }
        release(first, len).map_err(ReservationError::system(RELEASE))?;
        self.size -= len;
        if from_start {
            self.start += len;
        }
        Ok(())
    }

    /// Where a map of `len` bytes, a multiple of the page size, at an offset would be.
    pub(super) fn vacancy(
        &self,
        offset: usize,
        len: usize,
        alignment: usize,
    ) -> Result<Range<usize>, ReservationError> {
        check_offset(offset)?;
        let size = self.size;
        if size.checked_sub(offset).is_none_or(|rest| len > rest) {
            return Err(ReservationError::LengthOutOfRange { offset, len, size });
        }
        let address = self.start + offset;
        if !address.is_multiple_of(alignment) {
            return Err(ReservationError::AddressUnaligned { address, alignment });
        }
        let range = address..address + len;
        if self.maps.is_occupied(range.clone()) {
            return Err(ReservationError::Occupied { address, len });
        }
        Ok(range)
    }

    /// Puts a map's pages back into the reserved state.
    ///
    /// # Safety
    /// The range is a map's of this reservation, and nobody uses it.
    pub(super) unsafe fn vacate(&mut self, range: &Range<usize>) -> Result<(), ReservationError> {
        // SAFETY: the condition is the same.
        unsafe { vacate(range.start, range.len()) }.map_err(ReservationError::system(
            "cannot turn the map back into reserved pages",
        ))?;
        self.maps.remove(range.start);
        Ok(())
    }

    /// Remembers to vacate a map, to which there is no handle any more, later.
    pub(super) fn strand(&mut self, range: Range<usize>) {
        self.stranded.push(range);
    }

    fn retry_stranded(&mut self) {
        for range in core::mem::take(&mut self.stranded) {
            // SAFETY: the last handle to the map is gone.
            if unsafe { self.vacate(&range) }.is_err() {
                self.strand(range);
            }
        }
    }

    pub(super) fn delete(&mut self) -> Result<(), ReservationError> {
        if !self.maps.is_empty() {
            return Err(ReservationError::NotEmpty);
        }
        release(self.start, self.size).map_err(ReservationError::system(RELEASE))?;
        self.size = 0;
        Ok(())
    }
}

fn take(start: usize, len: usize) -> Result<(), ReservationError> {
    let refused = |error| match error {
        OsError(libc::EEXIST) => ReservationError::Occupied {
            address: start,
            len,
        },
        error => ReservationError::System {
            step: RESERVE,
            error,
        },
    };
    if start.checked_add(len).is_none() {
        return Err(refused(OsError(libc::ENOMEM)));
    }
    reserve_at(start, len).map_err(refused)
}

fn check_size(size: usize) -> Result<(), ReservationError> {
    check_len(size)?;
    if size == 0 {
        return Err(ReservationError::SizeZero);
    }
    Ok(())
}

fn check_len(len: usize) -> Result<(), ReservationError> {
    if page::is_aligned(len) {
        return Ok(());
    }
    let alignment = page::size();
    Err(ReservationError::LengthUnaligned { len, alignment })
}

fn check_offset(offset: usize) -> Result<(), ReservationError> {
    if page::is_aligned(offset) {
        return Ok(());
    }
    let alignment = page::size();
    Err(ReservationError::OffsetUnaligned { offset, alignment })
}
