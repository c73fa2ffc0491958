//! Page arithmetic.

use std::sync::atomic::{AtomicUsize, Ordering};

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

#[cfg(test)]
mod tests {
    use super::*;

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
