//! How a source gets into a reservation without ever opening a hole in it.
//!
//! `mmap(2)` with `MAP_FIXED` replaces what was in the place, but not always in one step: the kernel
//! first unmaps the place and then asks the file, or its accounts, and if these refuse, it returns
//! an error and leaves a hole. ext4 and xfs refuse `MAP_SYNC` on a disk so (also in Linux 6.18);
//! hugetlbfs a length without huge pages to back it; shared anonymous memory may fail to get its file; a
//! private writable map may exceed the commit limit. Any thread's `mmap` may land in the hole, and a second
//! `MAP_FIXED` then destroys it. So:
//!
//! 1. **The source is mapped elsewhere**, where the kernel likes. All that a file, a device, the accounts
//!    or the limits can object to, they object to here. Whether `MAP_SYNC` works is known before, from a
//!    probe of its own, and the granularity is checked here, too. The reservation has not been touched.
//! 2. **`mremap(2)` moves the map over the reserved pages**, under the kernel's one lock of the address
//!    space: whoever looks sees either the reserved pages or the map, and nobody can map anything in between.
//!
//! What can go wrong in the second step:
//!
//! | the kernel | looks at it | what is done |
//! |---|---|---|
//! | `max_map_count`: `ENOMEM` | before it unmaps (since 5.2) | the map elsewhere is unmapped; nothing has changed |
//! | address, length, sealing (`mseal`), security modules, seccomp | before it unmaps | the same |
//! | `RLIMIT_AS`, `RLIMIT_MEMLOCK`, the commit limit | never: the length does not grow, and it was counted in step 1 | - |
//! | huge pages (hugetlbfs) that cannot be moved: before 5.16 | after it has unmapped | such a map is first moved to a place of its own, to see whether it can be |
//! | the kernel's own memory runs out, or `max_map_count` before 5.2 | after it has unmapped | see below |
//!
//! In the last case, where the kernel is about to kill processes for memory, the reserved pages are taken
//! again with `MAP_FIXED_NOREPLACE`. A hole was open for that moment, but nothing of anybody's is overwritten:
//! that call fails where something is mapped, and the moved map is never put there a second time.
//!
//! Back from a map to reserved pages it is one `mmap(2)` with `MAP_FIXED` of private memory without access:
//! there is no file to refuse it, nothing to account for, and `max_map_count` and `RLIMIT_AS` are checked before
//! anything is unmapped. If it fails, the map is as it was; only if the kernel's own memory ran out (before Linux
//! 6.12) it may be gone, and then the pages are taken again in the same way.

use super::address_space::{map_anywhere, move_over, release, reserve};
use super::options::{Plan, Sharing};
use super::{Granularity, ReservationError};
use crate::os_error::OsError;
use crate::source::Source;

/// Maps the source over reserved pages, in one step, and says what the map's granularity is. If it fails,
/// the pages are as they were.
///
/// # Safety
/// The planned bytes from `at` on are reserved, nothing is in them, and nobody else puts anything there
/// meanwhile.
pub(super) unsafe fn place(
    source: &Source<'_>,
    plan: &Plan,
    at: usize,
) -> Result<Granularity, ReservationError> {
    let refused = |error| match error {
        OsError(libc::EACCES) => ReservationError::NoAccess,
        error => ReservationError::System {
            step: "cannot map the source",
            error,
        },
    };
    // If the probe itself fails, so will the map, with the same reason.
    let synced = plan.wants_sync() && source.supports_sync().unwrap_or(false);
    let flags = match plan.sharing {
        Sharing::Private => libc::MAP_PRIVATE,
        Sharing::Shared if synced => libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC,
        Sharing::Shared => libc::MAP_SHARED,
    };
    let file = match source.fd() {
        Some(fd) => {
            let offset = libc::off_t::try_from(plan.offset)
                .map_err(|_| refused(OsError(libc::EOVERFLOW)))?;
            Some((fd, offset))
        }
        None => None,
    };
    let len = plan.reserved_len;
    let start = map_anywhere(len, plan.access, flags, file).map_err(refused)?;
    let mut elsewhere = Elsewhere { start, len };
    let granularity = plan.granularity(source, synced)?;
    if plan.huge_pages {
        elsewhere.try_moving(plan.alignment).map_err(refused)?;
    }
    // SAFETY: the pages are reserved and nobody's (condition).
    unsafe { elsewhere.move_over(at) }.map_err(refused)?;
    Ok(granularity)
}

/// A map that nobody uses yet, in a place of the kernel's choice. It is unmapped if it does not get to a
/// better one.
struct Elsewhere {
    start: usize,
    len: usize,
}

impl Elsewhere {
    /// Moves it to a place of its own, to see whether it can be moved.
    fn try_moving(&mut self, alignment: usize) -> Result<(), OsError> {
        let place = reserve(self.len, alignment)?;
        // SAFETY: both ranges are ours alone, and in one piece.
        match unsafe { move_over(self.start, self.len, place) } {
            Ok(()) => {
                self.start = place;
                Ok(())
            }
            Err(error) => {
                let _ = release(place, self.len);
                Err(error)
            }
        }
    }

    /// Moves it to where it belongs.
    ///
    /// # Safety
    /// The pages there are reserved, and nobody else uses them.
    unsafe fn move_over(self, at: usize) -> Result<(), OsError> {
        // SAFETY: the pages are nobody's (condition), the map is ours, in one piece.
        unsafe { move_over(self.start, self.len, at)? };
        core::mem::forget(self);
        Ok(())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // It can only fail if the process has too many mappings, and then this one stays.
        let _ = release(self.start, self.len);
    }
}
