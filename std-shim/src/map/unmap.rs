//! Unmapping.

use super::ranges::RANGES;
use crate::os_error::OsError;
use crate::source::page;

/// Unmaps a range of pages, as `munmap(2)`: whole mappings, parts, several, and what was never mapped.
/// The length is rounded up to whole pages. What is left of a mapping stays known as persistent
/// memory or not.
///
/// # Errors
/// As `munmap(2)`: `EINVAL` if the address is not a multiple of the page size or the length is 0, or
/// for a part of a Device DAX that is not a multiple of its alignment; `ENOMEM`. Nothing has changed then.
///
/// # Safety
/// Nobody uses the range any more.
pub unsafe fn unmap(address: *mut u8, len: usize) -> Result<(), OsError> {
    let start = address.addr();
    let end = page::round_up(len).and_then(|len| start.checked_add(len));
    let end = end.ok_or(OsError(libc::EINVAL))?;
    // SAFETY: the caller's promise.
    RANGES.remove_if_unmapped(start..end, || unsafe {
        match libc::munmap(address.cast(), len) {
            0 => Ok(()),
            _ => Err(OsError::last()),
        }
    })
}
