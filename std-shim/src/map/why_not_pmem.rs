//! Whether addresses are persistent memory, and if not, why.

use core::fmt;
use std::sync::OnceLock;

use super::ranges::RANGES;
use crate::persist::environment::{leading_number, variable};

/// Why a range is not persistent memory: stores to it need `msync(2)` to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNotPmem {
    /// The range is empty.
    Empty,
    /// A part of it is a file in the page cache: its file system is not mounted with DAX, or the
    /// file is not in DAX mode.
    NotDax,
    /// A part of it is a file on DAX, but the kernel, the file system or the device (virtio-pmem) does not
    /// offer `MAP_SYNC`.
    NoSync,
    /// A part of it was not mapped here.
    NotMapped,
    /// The environment variable `PMEM_IS_PMEM_FORCE` says so.
    Forced,
}

impl fmt::Display for WhyNotPmem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WhyNotPmem::Empty => "the range is empty",
            WhyNotPmem::NotDax => {
                "the file is in the page cache; its file system is not mounted with -o dax, or \
                 its memory is no persistent memory"
            }
            WhyNotPmem::NoSync => {
                "the file is on DAX, but cannot be mapped with MAP_SYNC; use msync"
            }
            WhyNotPmem::NotMapped => "a part of the range was not mapped by this library",
            WhyNotPmem::Forced => "the environment variable PMEM_IS_PMEM_FORCE says so",
        })
    }
}

/// Whether all of a range is persistent memory that was mapped here and not unmapped since: whether
/// flushing the CPU's caches makes stores to it durable. Any addresses may be asked about.
///
/// The first call reads `PMEM_IS_PMEM_FORCE`: 1 means always, 0 never.
#[must_use]
pub fn is_pmem(address: *const u8, len: usize) -> bool {
    why_not_pmem(address, len).is_none()
}

/// Why [`is_pmem`] says no; `None` if it says yes.
#[must_use]
pub fn why_not_pmem(address: *const u8, len: usize) -> Option<WhyNotPmem> {
    // Whatever the first question is.
    let forced = forced();
    if len == 0 {
        return Some(WhyNotPmem::Empty);
    }
    match forced {
        Some(true) => None,
        Some(false) => Some(WhyNotPmem::Forced),
        None => match address.addr().checked_add(len) {
            Some(end) => RANGES.why_not_pmem(address.addr()..end),
            None => Some(WhyNotPmem::NotMapped),
        },
    }
}

/// What the environment variable says.
fn forced() -> Option<bool> {
    static FORCED: OnceLock<Option<bool>> = OnceLock::new();
    *FORCED.get_or_init(|| {
        match variable(c"PMEM_IS_PMEM_FORCE").map(|text| leading_number(&text)) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_mapped_here() {
        let local = 7_u64;
        let address = (&raw const local).cast::<u8>();
        assert_eq!(why_not_pmem(address, 8), Some(WhyNotPmem::NotMapped));
        assert_eq!(why_not_pmem(address, 0), Some(WhyNotPmem::Empty));
        assert_eq!(
            why_not_pmem(address, usize::MAX),
            Some(WhyNotPmem::NotMapped)
        );
        assert!(!is_pmem(core::ptr::null(), 1));
    }
}
