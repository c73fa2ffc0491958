//! Pages: arithmetic, and whether there are any in a range.

use core::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::os_error::OsError;

/// Bytes in a page, a power of two.
#[must_use]
pub fn size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: only asks.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize };
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// The multiple of the page size at or above `len`, `None` if there is none.
#[must_use]
pub fn round_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(size())
}

/// Whether the address or length is a multiple of the page size.
#[must_use]
pub fn is_aligned(value: usize) -> bool {
    value & (size() - 1) == 0
}

/// Whether all of a range is mapped. In the child of a fork it is not if the program wants it so
/// (`MADV_DONTFORK`). Changes nothing but `errno`; see
/// [`msync(2)`](https://man7.org/linux/man-pages/man2/msync.2.html).
#[must_use]
pub fn is_mapped(start: usize, len: usize) -> bool {
    let first = start - start % size();
    let place = with_exposed_provenance_mut(first);
    let len = start.saturating_add(len) - first;
    // SAFETY: the kernel looks at its own tables only.
    let result = unsafe { libc::msync(place, len, libc::MS_ASYNC) };
    result == 0 || OsError::last() != OsError(libc::ENOMEM)
}

#[cfg(test)]
mod tests {
    use core::ptr::null_mut;

    use super::*;

    #[test]
    fn all_of_a_range_is_mapped_or_not() {
        let page = size();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody; a part of it is
        // unmapped before anybody knows of it.
        let start = unsafe {
            let start = libc::mmap(null_mut(), 3 * page, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::munmap(start.wrapping_byte_add(page), page), 0);
            start.expose_provenance()
        };
        assert!(is_mapped(start, page) && is_mapped(start + 1, page - 1));
        assert!(!is_mapped(start + 1, page) && !is_mapped(start, 3 * page));
        assert!(is_mapped(start + 2 * page, page));
    }

    #[test]
    fn rounding() {
        let page = size();
        assert!(page.is_power_of_two());
        assert_eq!(round_up(0), Some(0));
        assert_eq!(round_up(1), Some(page));
        assert_eq!(round_up(page), Some(page));
        assert_eq!(round_up(usize::MAX), None);
        assert!(is_aligned(0) && is_aligned(page) && !is_aligned(page + 1));
    }
}
