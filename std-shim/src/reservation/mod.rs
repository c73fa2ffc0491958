//! Address space held without memory, into which files, devices and anonymous memory are mapped.
//!
//! ```text
//!            offset 0            65536     81920                            size
//! Reservation  |  reserved pages   |  map    |  map  |    reserved pages      |
//!                                     |         |
//! ReservedMap  a handle for each map -+---------+   of a file, a Device DAX, or anonymous memory
//! ```
//!
//! A [`Reservation`] is a range of addresses that nobody else in the process can get. A [`Source`] is mapped at an
//! offset into it with [`MapOptions`]; the [`ReservedMap`] that comes of it keeps the pages, and the reservation,
//! until its last handle is gone. Then the pages are reserved again. So neither can be used after it is gone, and
//! the memory of maps that lie next to each other can be used as one piece.
//!
//! All of it can be used by many threads at once: share the reservation in an [`Arc`] or by reference. **No hole is
//! ever open in a reservation**: pages change from reserved to mapped and back in one step, so that no mapping of
//! somebody else's can get in between and be destroyed. How that is done, and what happens where the kernel
//! refuses, is written down in the module `placement`.
//!
//! A child of `fork(2)` has a reservation of its own at the same addresses. Memory that is shared is shared with it,
//! too. It must not use a reservation that another thread was changing at that moment.
//!
//! ```text
//! Reservation        space         what the handles share: the range, the maps in it, the one lock
//!                      ordered_maps  what is mapped where
//!                      address_space the system calls
//! MapOptions         options       what is to be mapped, and the checks
//!                      huge_pages    files on hugetlbfs
//!                      granularity   in what pieces stores become persistent
//! ReservedMap        map           a handle to what is mapped
//!                      placement     how it gets there without a hole
//! ```
//!
//! ```
//! use std::os::fd::AsFd;
//! use allotment::reservation::{MapOptions, Reservation};
//! use allotment::source::Source;
//!
//! let mut reservation = Reservation::new(16 << 20)?;
//! let file = tempfile::tempfile()?;
//! file.set_len(8192)?;
//! let first = MapOptions::new().map_into(&reservation, 0, &Source::from_fd(file.as_fd())?)?;
//! let second = MapOptions::new().map_into(&reservation, 8192, &Source::anonymous(4096))?;
//! assert_eq!(first.start().addr().get() + 8192, second.start().addr().get());
//!
//! assert!(reservation.find(0, 4096).unwrap().is(&first));
//! assert!(reservation.next(&first).unwrap().is(&second));
//! if reservation.extend(1 << 20).is_err() {
//!     println!("something is mapped right behind it");
//! }
//!
//! // A reservation with maps in it is not deleted, but comes back.
//! reservation = reservation.delete().unwrap_err().value;
//! drop((first, second));
//! reservation.delete()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address_space;
mod error;
mod granularity;
mod huge_pages;
mod map;
mod options;
mod ordered_maps;
mod placement;
mod space;

use core::fmt;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use std::sync::{Arc, Weak};

pub use error::ReservationError;
pub use granularity::Granularity;
pub use map::ReservedMap;
pub use options::{MapOptions, Sharing};

use crate::source::Source;
use map::Mapped;
use space::{Entry, Space, State};

/// A range of addresses that is held without memory.
///
/// Dropping it gives the addresses back, once there are no handles to maps in it any more, either;
/// [`Reservation::delete`] does it at once, or says why not.
#[derive(Debug)]
pub struct Reservation {
    space: Arc<Space>,
}

impl Reservation {
    /// Reserves `size` bytes, a multiple of the page size, where the system likes: at a multiple of 2 MiB,
    /// or 1 GiB if there are at least 2 GiB of them. Exactly that many are taken.
    ///
    /// # Errors
    /// [`ReservationError::LengthUnaligned`], [`ReservationError::SizeZero`], or what `mmap(2)` says: `ENOMEM` if there
    /// is no room.
    pub fn new(size: usize) -> Result<Reservation, ReservationError> {
        Reservation::aligned(size, address_space::natural_alignment(size))
    }

    /// Reserves `size` bytes, a multiple of the page size, at a multiple of `alignment`, which is rounded up to
    /// a power of two and to the page size. A Device DAX may need that.
    ///
    /// # Errors
    /// As [`Reservation::new`].
    pub fn aligned(size: usize, alignment: usize) -> Result<Reservation, ReservationError> {
        let alignment = alignment
            .max(crate::source::page::size())
            .checked_next_power_of_two()
            .unwrap_or(1 << (usize::BITS - 1));
        let space = Arc::new(Space::anywhere(size, alignment)?);
        Ok(Reservation { space })
    }

    /// Reserves `size` bytes at exactly this address, both multiples of the page size. Nothing else may be mapped
    /// there.
    ///
    /// # Errors
    /// [`ReservationError::AddressUnaligned`], [`ReservationError::LengthUnaligned`],
    /// [`ReservationError::SizeZero`], [`ReservationError::Occupied`], or what `mmap(2)` says: `ENOMEM` beyond the end
    /// of the address space, `EPERM` for addresses that are kept free.
    pub fn at(address: NonNull<u8>, size: usize) -> Result<Reservation, ReservationError> {
        let space = Arc::new(Space::at(address.as_ptr().expose_provenance(), size)?);
        Ok(Reservation { space })
    }

    /// The first byte. It moves up when the reservation is shrunk from the start.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        let start = with_exposed_provenance_mut(self.space.read().start);
        // SAFETY: no reservation begins at address 0, since the system never answers that, and nobody can ask
        // for it.
        unsafe { NonNull::new_unchecked(start) }
    }

    /// Bytes, of which there is at least a page.
    #[must_use]
    pub fn size(&self) -> usize {
        self.space.read().size
    }

    /// Adds `additional` bytes, a multiple of the page size, at the end. The start and the maps stay where they are.
    /// 0 is nothing to do.
    ///
    /// # Errors
    /// [`ReservationError::LengthUnaligned`], [`ReservationError::Occupied`] if something is mapped behind
    /// the reservation, or what `mmap(2)` says. Nothing has changed.
    pub fn extend(&self, additional: usize) -> Result<(), ReservationError> {
        self.space.write().extend(additional)
    }

    /// Gives `len` bytes at `offset` back to the system, at the start or at the end. From the start, **the
    /// reservation's start moves up**: maps keep their addresses, and have smaller offsets from then on.
    ///
    /// # Errors
    /// In this order: [`ReservationError::OffsetUnaligned`], [`ReservationError::LengthUnaligned`] (both by the page);
    /// [`ReservationError::OffsetOutOfRange`], [`ReservationError::LengthOutOfRange`];
    /// [`ReservationError::NotAtAnEnd`], [`ReservationError::WholeReservation`]; [`ReservationError::NotEmpty`]; what
    /// `munmap(2)` says. Nothing has changed.
    pub fn shrink(&self, offset: usize, len: usize) -> Result<(), ReservationError> {
        self.space.write().shrink(offset, len)
    }

    /// The first map of which any byte lies in the `len` bytes at `offset`; with `len` 0, the map in which the
    /// offset lies.
    #[must_use]
    pub fn find(&self, offset: usize, len: usize) -> Option<ReservedMap> {
        let state = self.space.read();
        if offset >= state.size {
            return None;
        }
        let first = state.start + offset;
        let end = first.saturating_add(len).min(state.end());
        let found = state.maps.overlapping(first..end);
        found
            .filter(|entry| entry.content_end > first)
            .find_map(Entry::handle)
    }

    /// The map with the lowest address.
    #[must_use]
    pub fn first(&self) -> Option<ReservedMap> {
        self.space.read().maps.all().find_map(Entry::handle)
    }

    /// The map with the highest address.
    #[must_use]
    pub fn last(&self) -> Option<ReservedMap> {
        self.space.read().maps.all().rev().find_map(Entry::handle)
    }

    /// The map behind this one, however far.
    #[must_use]
    pub fn next(&self, map: &ReservedMap) -> Option<ReservedMap> {
        let start = map.mapped.range.start;
        self.space.read().maps.behind(start).find_map(Entry::handle)
    }

    /// The map before this one, however far.
    #[must_use]
    pub fn previous(&self, map: &ReservedMap) -> Option<ReservedMap> {
        let start = map.mapped.range.start;
        self.space.read().maps.before(start).find_map(Entry::handle)
    }

    /// Whether the map is in this reservation.
    #[must_use]
    pub fn contains(&self, map: &ReservedMap) -> bool {
        Arc::ptr_eq(&self.space, &map.mapped.space)
    }

    /// Gives the addresses back to the system.
    ///
    /// # Errors
    /// [`ReservationError::NotEmpty`] if there are maps in it, or what `munmap(2)` says. The reservation is as it was,
    /// and comes back with the error.
    pub fn delete(self) -> Result<(), Retained<Reservation>> {
        let deleted = self.space.write().delete();
        deleted.map_err(|error| Retained { value: self, error })
    }
}

impl MapOptions {
    /// Maps the source, or the part of it that was chosen, at an offset into the reservation. The pages there
    /// change from reserved to mapped in one step.
    ///
    /// # Errors
    /// In this order: [`ReservationError::Source`]; [`ReservationError::OffsetUnaligned`],
    /// [`ReservationError::PrivateDeviceDax`], [`ReservationError::SourceEmpty`],
    /// [`ReservationError::LengthUnaligned`], [`ReservationError::BeyondSource`] of the source;
    /// [`ReservationError::OffsetUnaligned`], [`ReservationError::LengthOutOfRange`],
    /// [`ReservationError::AddressUnaligned`], [`ReservationError::Occupied`] of the reservation;
    /// [`ReservationError::NoAccess`] and what else `mmap(2)` or `mremap(2)` says;
    /// [`ReservationError::GranularityNotSupported`]. The pages are reserved as they were.
    pub fn map_into(
        &self,
        reservation: &Reservation,
        offset: usize,
        source: &Source<'_>,
    ) -> Result<ReservedMap, ReservationError> {
        let plan = self.plan(source)?;
        let space = &reservation.space;
        let mut state = space.write();
        let range = state.vacancy(offset, plan.reserved_len, plan.alignment)?;
        // SAFETY: the lock is held, and no map is in this part of the reservation.
        let granularity = unsafe { placement::place(source, &plan, range.start)? };
        let mapped = Arc::new(Mapped {
            space: Arc::clone(space),
            range: range.clone(),
            len: plan.len,
            granularity,
            kind: source.kind(),
            sharing: plan.sharing,
            vacated: false,
        });
        state.maps.insert(
            range,
            Entry {
                content_end: mapped.range.start + mapped.len,
                map: Arc::downgrade(&mapped),
            },
        );
        Ok(ReservedMap { mapped })
    }

    /// Maps the source into a reservation of its own that is just as long. Its start is a multiple of 2 MiB, of
    /// 1 GiB if there are at least 2 GiB, and of the source's alignment.
    ///
    /// # Errors
    /// As [`MapOptions::map_into`] and [`Reservation::new`].
    pub fn map(&self, source: &Source<'_>) -> Result<ReservedMap, ReservationError> {
        let plan = self.plan(source)?;
        let alignment = address_space::natural_alignment(plan.reserved_len).max(plan.alignment);
        let reservation = Reservation::aligned(plan.reserved_len, alignment)?;
        self.map_into(&reservation, 0, source)
    }
}

impl Entry {
    /// A handle to the map, unless the last one is being dropped. Handles must not be dropped while
    /// the lock is held.
    fn handle(&self) -> Option<ReservedMap> {
        self.map.upgrade().map(|mapped| ReservedMap { mapped })
    }
}

impl State {
    /// Another place for what the handles of a map share.
    fn replace(&mut self, mapped: &Arc<Mapped>) {
        let start = mapped.range.start;
        if self.maps.remove(start).is_some() {
            let content_end = start + mapped.len;
            let map: Weak<Mapped> = Arc::downgrade(mapped);
            self.maps
                .insert(mapped.range.clone(), Entry { content_end, map });
        }
    }
}

/// Why something could not be given up, and the thing itself, as it was.
#[derive(Debug)]
pub struct Retained<T> {
    /// What is still there.
    pub value: T,
    /// Why.
    pub error: ReservationError,
}

impl<T> fmt::Display for Retained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: fmt::Debug> core::error::Error for Retained<T> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}
