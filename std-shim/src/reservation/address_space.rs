//! The system calls behind reservations: address space is taken, given back, and handed over
//! between reserved pages and mappings.
//!
//! Every address and length here is a multiple of the page size.

use core::ptr::{null_mut, with_exposed_provenance_mut};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::os_error::OsError;
use crate::source::page;

const PLACEHOLDER: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

const HUGE_PAGE: usize = 2 << 20;
const GIGANTIC_PAGE: usize = 1 << 30;

/// The alignment that lets a range of this many bytes be mapped with the largest pages.
pub(super) fn natural_alignment(len: usize) -> usize {
    if len >= 2 * GIGANTIC_PAGE {
        GIGANTIC_PAGE
    } else {
        HUGE_PAGE
    }
}

/// Takes address space at a multiple of `alignment`, a power of two, and not a page more.
pub(super) fn reserve(len: usize, alignment: usize) -> Result<usize, OsError> {
    // `mmap` aligns to pages: map more, and cut off both ends.
    let longer = len
        .checked_add(alignment - page::size())
        .ok_or(OsError(libc::ENOMEM))?;
    let found = map(0, longer, libc::PROT_NONE, PLACEHOLDER, None, 0)?;
    let start = found.next_multiple_of(alignment);
    let (mut at, end) = (found, found + longer);
    let mut cut = |from: usize, len: usize| {
        if len == 0 {
            return Ok(());
        }
        // It only fails if the process has as many mappings as it may have, and then the range is
        // not kept, either: what is left of it.
        release(from, len).inspect_err(|_| {
            let _ = release(at, end - at);
        })?;
        at = start;
        Ok(())
    };
    cut(found, start - found)?;
    cut(start + len, end - start - len)?;
    Ok(start)
}

/// Takes address space at exactly this address.
///
/// # Errors
/// `EEXIST` if anything is mapped there.
pub(super) fn reserve_at(start: usize, len: usize) -> Result<(), OsError> {
    let flags = PLACEHOLDER | libc::MAP_FIXED_NOREPLACE;
    let found = map(start, len, libc::PROT_NONE, flags, None, 0)?;
    if found == start {
        return Ok(());
    }
    // A kernel before 4.17 takes the address for a hint.
    let _ = release(found, len);
    Err(OsError(libc::EEXIST))
}

/// Gives address space back that nobody uses: reserved, or a mapping just made.
pub(super) fn release(start: usize, len: usize) -> Result<(), OsError> {
    // SAFETY: the range is this module's own and unused (condition of this function).
    if unsafe { libc::munmap(with_exposed_provenance_mut(start), len) } == 0 {
        Ok(())
    } else {
        Err(OsError::last())
    }
}

/// Turns a mapping back into reserved pages, in one step. If that fails, the mapping is as it was.
///
/// # Safety
/// The range belongs to a reservation, and nobody uses what is mapped there.
pub(super) unsafe fn vacate(start: usize, len: usize) -> Result<(), OsError> {
    let flags = PLACEHOLDER | libc::MAP_FIXED;
    match map(start, len, libc::PROT_NONE, flags, None, 0) {
        Ok(_) => Ok(()),
        // See the module `placement`: the mapping may be gone all the same; then its pages are taken again.
        Err(error) => reserve_at(start, len).map_err(|_| error),
    }
}

/// Maps a file, or anonymous memory, where the kernel likes.
pub(super) fn map_anywhere(
    len: usize,
    access: i32,
    flags: i32,
    file: Option<(BorrowedFd<'_>, libc::off_t)>,
) -> Result<usize, OsError> {
    match file {
        Some((fd, offset)) => map(0, len, access, flags, Some(fd), offset),
        None => map(0, len, access, flags | libc::MAP_ANONYMOUS, None, 0),
    }
}

/// Moves a whole mapping over reserved pages, in one step.
///
/// # Errors
/// What `mremap(2)` says. The mapping is where it was, and the pages are reserved.
///
/// # Safety
/// The pages belong to a reservation and are not in use, nor is the mapping; the mapping was made
/// in one piece.
pub(super) unsafe fn move_over(from: usize, len: usize, to: usize) -> Result<(), OsError> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let place = with_exposed_provenance_mut::<libc::c_void>(to);
    // SAFETY: nobody uses either range (condition).
    let moved = unsafe { libc::mremap(with_exposed_provenance_mut(from), len, len, flags, place) };
    if moved != libc::MAP_FAILED {
        moved.expose_provenance();
        return Ok(());
    }
    let error = OsError::last();
    // See the module `placement`: the pages may be gone now, on kernels that are short of memory for
    // themselves or old. What can be had of the range without touching anybody is taken again.
    let _ = reserve_at(to, len);
    Err(error)
}

fn map(
    at: usize,
    len: usize,
    access: i32,
    flags: i32,
    fd: Option<BorrowedFd<'_>>,
    offset: libc::off_t,
) -> Result<usize, OsError> {
    let at = match at {
        0 => null_mut(),
        at => with_exposed_provenance_mut(at),
    };
    let fd = fd.map_or(-1, |fd| fd.as_raw_fd());
    // SAFETY: without MAP_FIXED a new mapping disturbs nobody; with it, `vacate` was called, whose
    // condition is that nobody uses the range.
    let found = unsafe { libc::mmap(at, len, access, flags, fd, offset) };
    if found == libc::MAP_FAILED {
        Err(OsError::last())
    } else {
        Ok(found.expose_provenance())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_follows_the_length() {
        assert_eq!(natural_alignment(1), HUGE_PAGE);
        assert_eq!(natural_alignment((2 << 30) - page::size()), HUGE_PAGE);
        assert_eq!(natural_alignment(2 << 30), GIGANTIC_PAGE);
    }

    #[test]
    fn an_exact_hole_is_found_again() {
        let page = page::size();
        let start = reserve(4 * page, HUGE_PAGE).unwrap();
        assert_eq!(start % HUGE_PAGE, 0);
        assert_eq!(reserve_at(start, page), Err(OsError(libc::EEXIST)));
        release(start + page, page).unwrap();
        reserve_at(start + page, page).unwrap();
        assert_eq!(reserve_at(start + page, page), Err(OsError(libc::EEXIST)));
        release(start, 4 * page).unwrap();
    }

    #[test]
    fn lengths_that_cannot_be_had() {
        let most = usize::MAX & !(page::size() - 1);
        for len in [most, most - HUGE_PAGE, (most / 4) & !(HUGE_PAGE - 1)] {
            assert_eq!(reserve(len, HUGE_PAGE), Err(OsError(libc::ENOMEM)));
        }
    }
}
