//! Address ranges, and anonymous memory in them.

use core::ptr::{null_mut, with_exposed_provenance_mut};
use core::sync::atomic::AtomicUsize;

use super::limits::{candidates, page_size};
use super::{ALIGNMENT, Backing, MapError, Mapping};
use crate::os_error::{KeepErrno, OsError};

const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

pub(super) fn map(asked: Option<usize>) -> Result<Mapping, MapError> {
    let mut refused = MapError::plain("");
    for size in candidates(asked) {
        // A kernel that does not overcommit refuses the first, since it counts all of it, but not
        // the second, which is committed step by step.
        for protection in [libc::PROT_READ | libc::PROT_WRITE, libc::PROT_NONE] {
            match reserve(size, protection, ALIGNMENT) {
                Ok(start) => {
                    let committed = if protection == libc::PROT_NONE {
                        0
                    } else {
                        size
                    };
                    return Ok(Mapping {
                        start,
                        capacity: size,
                        committed: AtomicUsize::new(committed),
                        is_zeroed: true,
                        backing: Backing::Anonymous,
                    });
                }
                Err(error) => refused = error,
            }
        }
    }
    Err(refused)
}

/// Maps private anonymous memory at a multiple of an alignment, which is at least a page.
pub(super) fn reserve(size: usize, protection: i32, alignment: usize) -> Result<usize, MapError> {
    const STEP: &str = "cannot reserve addresses";
    // `mmap` aligns to pages: map more, and cut off both ends.
    let longer = size.checked_add(alignment - page_size()).ok_or(MapError {
        step: STEP,
        error: OsError(libc::ENOMEM),
    })?;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
    let found = unsafe { libc::mmap(null_mut(), longer, protection, PRIVATE, -1, 0) };
    if found == libc::MAP_FAILED {
        return Err(MapError::last(STEP));
    }
    let found = found.expose_provenance();
    let start = found.next_multiple_of(alignment);
    let (before, behind) = (start - found, found + longer - (start + size));
    // SAFETY: both ends belong to the mapping just made, and nothing is in them yet.
    unsafe {
        if before > 0 {
            libc::munmap(with_exposed_provenance_mut(found), before);
        }
        if behind > 0 {
            libc::munmap(with_exposed_provenance_mut(start + size), behind);
        }
    }
    Ok(start)
}

/// Allows access to a part that was reserved without.
pub(super) fn commit(address: usize, len: usize) -> Result<(), OsError> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the part belongs to a mapping of ours and is not in use yet.
    let done = unsafe { libc::mprotect(with_exposed_provenance_mut(address), len, access) } == 0;
    if done { Ok(()) } else { Err(OsError::last()) }
}

/// Asks for huge pages.
pub(super) fn prefer_huge_pages(address: usize, len: usize) -> bool {
    let _errno = KeepErrno::new();
    // SAFETY: the part belongs to a mapping of ours; the advice changes nothing of its content.
    unsafe {
        libc::madvise(
            with_exposed_provenance_mut(address),
            len,
            libc::MADV_HUGEPAGE,
        ) == 0
    }
}

/// Gives pages back; they read as zero afterwards.
pub(super) fn release(address: usize, len: usize) -> bool {
    // SAFETY: the caller of `Mapping::release` vouches that nobody needs the bytes.
    unsafe {
        libc::madvise(
            with_exposed_provenance_mut(address),
            len,
            libc::MADV_DONTNEED,
        ) == 0
    }
}
