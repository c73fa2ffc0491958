//! Where a file is mapped: at a multiple of a huge page, so that it can have huge pages.
//!
//! A place is found by a mapping of nothing, which is taken away again before the file is mapped there;
//! but the file never takes a place by force. So nobody's mapping is ever replaced, and there is no
//! placeholder that a failure could leave behind or tear a hole into. (`MAP_FIXED_NOREPLACE` would do
//! the same, but not together with `MAP_SYNC`: the kernel refuses that. Hence the place is a wish, and
//! a mapping elsewhere is taken back.)
//!
//! If another thread's mapping was quicker, the search begins again, and farther away from where the
//! kernel puts new mappings. Mappings made here take turns: their searches would meet for ever.

use core::ptr::{null_mut, with_exposed_provenance_mut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use super::MapFileFailure;
use super::hint;
use crate::os_error::OsError;
use crate::source::page;

const HUGE: usize = 2 << 20;
#[cfg(target_pointer_width = "64")]
const GIGANTIC: usize = 1 << 30;
/// See the 64-bit value.
#[cfg(not(target_pointer_width = "64"))]
const GIGANTIC: usize = HUGE;

/// Searches for a place before the kernel may choose any, aligned or not.
const ATTEMPTS: u32 = 100;

/// Held while a place is searched and taken.
static TURN: Mutex<()> = Mutex::new(());

/// A file's part to be mapped, shared, for reading and writing.
pub(super) struct Shared<'fd> {
    pub(super) fd: BorrowedFd<'fd>,
    pub(super) offset: libc::off_t,
    /// Bytes, not 0.
    pub(super) len: usize,
    /// With `MAP_SYNC`, which is known to work.
    pub(super) sync: bool,
    /// What the file demands of addresses.
    pub(super) alignment: usize,
}

impl Shared<'_> {
    /// Maps it at a multiple of 2 MiB, of 1 GiB if it has 2 GiB or more, and of what the file demands.
    /// `PMEM_MMAP_HINT` says from where on; otherwise the kernel chooses.
    pub(super) fn map(&self) -> Result<usize, MapFileFailure> {
        let no_room = |error| MapFileFailure::NoRoom(self.len, error);
        let alignment = alignment(self.len).max(self.alignment);
        let mut hint = hint::hint();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in 0..ATTEMPTS {
            let hinted = hint.and_then(|hint| hint::first_gap(hint, self.len, alignment));
            let place = match hinted {
                Some(place) => place,
                None => free_place(self.len, alignment, attempt as usize).map_err(no_room)?,
            };
            match self.try_at(place) {
                Ok(true) => return Ok(place),
                // Taken by now; but a hint can also be beyond the addresses that programs have.
                Ok(false) if attempt > 8 => hint = None,
                Ok(false) => {}
                Err(error) => return Err(MapFileFailure::Map(error)),
            }
        }
        self.mmap(0).map_err(MapFileFailure::Map)
    }

    /// Maps it there or not at all.
    pub(super) fn map_at(&self, address: usize) -> Result<usize, MapFileFailure> {
        if address & (self.alignment - 1) != 0 {
            return Err(MapFileFailure::Unaligned {
                what: "address",
                alignment: self.alignment,
            });
        }
        match self.try_at(address) {
            Ok(true) => Ok(address),
            Ok(false) => Err(MapFileFailure::AddressTaken(address)),
            Err(error) => Err(MapFileFailure::Map(error)),
        }
    }

    /// Maps it if nothing is mapped there; answers whether.
    fn try_at(&self, place: usize) -> Result<bool, OsError> {
        let found = self.mmap(place)?;
        if found != place {
            // SAFETY: it was just made, and nobody else knows of it.
            unsafe { libc::munmap(with_exposed_provenance_mut(found), self.len) };
        }
        Ok(found == place)
    }

    /// Maps it there, or elsewhere if something is mapped there.
    fn mmap(&self, place: usize) -> Result<usize, OsError> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let sharing = if self.sync {
            libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC
        } else {
            libc::MAP_SHARED
        };
        let place = with_exposed_provenance_mut(place);
        let fd = self.fd.as_raw_fd();
        // SAFETY: a new mapping that replaces none disturbs nobody.
        match unsafe { libc::mmap(place, self.len, access, sharing, fd, self.offset) } {
            libc::MAP_FAILED => Err(OsError::last()),
            found => Ok(found.expose_provenance()),
        }
    }
}

/// Of which size of huge pages a mapping begins at a multiple.
fn alignment(len: usize) -> usize {
    if len / 2 >= GIGANTIC { GIGANTIC } else { HUGE }
}

/// Addresses that are free now, with so many places above them if there is room.
fn free_place(len: usize, alignment: usize, above: usize) -> Result<usize, OsError> {
    let places = |number: usize| {
        page::round_up(len)
            .and_then(|len| len.checked_add(alignment.checked_mul(number)?))
            .ok_or(OsError(libc::ENOMEM))
            .and_then(free_range)
    };
    let found = match above {
        0 => places(1),
        above => places(above + 1).or_else(|_| places(1)),
    };
    found.map(|found| found.next_multiple_of(alignment))
}

/// The start of so many free bytes.
fn free_range(len: usize) -> Result<usize, OsError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping in a place of the kernel's choice disturbs nobody; nobody else knows of
    // it when it is taken away.
    unsafe {
        match libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) {
            libc::MAP_FAILED => Err(OsError::last()),
            found => {
                libc::munmap(found, len);
                Ok(found.expose_provenance())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn alignment_follows_the_length() {
        assert_eq!(alignment(1), HUGE);
        assert_eq!(alignment(HUGE), HUGE);
        #[cfg(target_pointer_width = "64")]
        {
            assert_eq!(alignment((2 << 30) - 1), HUGE);
            assert_eq!(alignment(2 << 30), GIGANTIC);
        }
    }

    #[test]
    fn nothing_that_is_mapped_is_replaced() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let shared = Shared {
            fd: file.as_fd(),
            offset: 0,
            len: 4096,
            sync: false,
            alignment: page::size(),
        };
        let place = shared.map().unwrap();
        assert_eq!(place % HUGE, 0);
        assert_eq!(
            shared.map_at(place),
            Err(MapFileFailure::AddressTaken(place))
        );
        assert!(matches!(
            shared.map_at(place + 1),
            Err(MapFileFailure::Unaligned {
                what: "address",
                ..
            })
        ));
        // SAFETY: only this test knows of it.
        unsafe { libc::munmap(with_exposed_provenance_mut(place), 4096) };
    }

    #[test]
    fn no_room_is_an_error() {
        for above in [0, 7, usize::MAX / HUGE] {
            for len in [usize::MAX, usize::MAX / 2] {
                assert_eq!(free_place(len, HUGE, above), Err(OsError(libc::ENOMEM)));
            }
        }
        // Fewer places above rather than none at all.
        assert_eq!(free_place(1, HUGE, usize::MAX / HUGE).unwrap() % HUGE, 0);
    }
}
