//! Which addresses are persistent memory: an ordered map of what was mapped here.
//!
//! One lock stands around it. Unmapping holds it from before `munmap` until the range is off the
//! list, so that another thread whose mapping gets the same addresses finds them free, and a failed `munmap`
//! leaves the list as it was.

use core::ops::Range;
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rangemap::RangeMap;

use super::WhyNotPmem;
use crate::os_error::OsError;

/// What a mapped range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    /// A file mapped with `MAP_SYNC`.
    SyncFile,
    /// A Device DAX, and the nvdimm region that it is part of, if it is on an nvdimm.
    DeviceDax(Option<u32>),
    /// A file whose pages are in the page cache.
    NotDax,
    /// A file on DAX whose mappings cannot have `MAP_SYNC`.
    NoSync,
}

impl Tracked {
    fn why_not_pmem(self) -> Option<WhyNotPmem> {
        match self {
            Tracked::SyncFile | Tracked::DeviceDax(_) => None,
            Tracked::NotDax => Some(WhyNotPmem::NotDax),
            Tracked::NoSync => Some(WhyNotPmem::NoSync),
        }
    }
}

/// A range is in the list that was not unmapped here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate;

/// The list.
pub(super) struct Ranges(RwLock<RangeMap<usize, Tracked>>);

/// The process's.
pub(super) static RANGES: LazyLock<Ranges> = LazyLock::new(Ranges::new);

impl Ranges {
    fn new() -> Ranges {
        Ranges(RwLock::new(RangeMap::new()))
    }

    // A panic in between leaves the map whole: it is changed by single calls.
    fn read(&self) -> RwLockReadGuard<'_, RangeMap<usize, Tracked>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RangeMap<usize, Tracked>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a range, which is not empty. Persistent memory must not overlap persistent memory; what
    /// is left of other files gives way.
    pub(super) fn add(&self, range: Range<usize>, tracked: Tracked) -> Result<(), Duplicate> {
        let mut ranges = self.write();
        let is_pmem = |tracked: Tracked| tracked.why_not_pmem().is_none();
        if is_pmem(tracked) && ranges.overlapping(&range).any(|(_, &other)| is_pmem(other)) {
            return Err(Duplicate);
        }
        ranges.insert(range, tracked);
        Ok(())
    }

    /// Takes a range off the list if `unmap` succeeds; what is listed around it stays.
    pub(super) fn remove_if_unmapped(
        &self,
        range: Range<usize>,
        unmap: impl FnOnce() -> Result<(), OsError>,
    ) -> Result<(), OsError> {
        let mut ranges = self.write();
        unmap()?;
        if !range.is_empty() {
            ranges.remove(range);
        }
        Ok(())
    }

    /// Why a range, which is not empty, is not persistent memory; `None` if all of it is.
    pub(super) fn why_not_pmem(&self, range: Range<usize>) -> Option<WhyNotPmem> {
        let ranges = self.read();
        let mut at = range.start;
        for (part, tracked) in ranges.overlapping(&range) {
            if part.start > at {
                return Some(WhyNotPmem::NotMapped);
            }
            if let Some(reason) = tracked.why_not_pmem() {
                return Some(reason);
            }
            at = part.end;
        }
        (at < range.end).then_some(WhyNotPmem::NotMapped)
    }

    /// The parts of a range in order, each with what it is; `None` for what is not listed.
    pub(super) fn parts(&self, range: Range<usize>) -> Vec<(Range<usize>, Option<Tracked>)> {
        let ranges = self.read();
        let mut parts = Vec::new();
        let mut at = range.start;
        for (part, &tracked) in ranges.overlapping(&range) {
            let part = part.start.max(range.start)..part.end.min(range.end);
            if part.start > at {
                parts.push((at..part.start, None));
            }
            at = part.end;
            parts.push((part, Some(tracked)));
        }
        if at < range.end {
            parts.push((at..range.end, None));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn listed(ranges: &[(Range<usize>, Tracked)]) -> Ranges {
        let list = Ranges::new();
        for (range, tracked) in ranges {
            list.add(range.clone(), *tracked).unwrap();
        }
        list
    }

    #[test]
    fn adjacent_ranges_add_up() {
        let list = listed(&[
            (0x10000..0x12000, Tracked::SyncFile),
            (0x12000..0x14000, Tracked::DeviceDax(Some(1))),
        ]);
        assert_eq!(list.why_not_pmem(0x10000..0x14000), None);
        assert_eq!(list.why_not_pmem(0x11fff..0x12001), None);
        for outside in [0xffff..0x10001, 0x13fff..0x14001, 0x20000..0x20001] {
            assert_eq!(list.why_not_pmem(outside), Some(WhyNotPmem::NotMapped));
        }
    }

    #[test]
    fn removing_the_middle_splits() {
        let list = listed(&[(0x10000..0x18000, Tracked::SyncFile)]);
        list.remove_if_unmapped(0x12000..0x13000, || Ok(()))
            .unwrap();
        assert_eq!(list.why_not_pmem(0x10000..0x12000), None);
        assert_eq!(list.why_not_pmem(0x13000..0x18000), None);
        assert_eq!(
            list.why_not_pmem(0x10000..0x18000),
            Some(WhyNotPmem::NotMapped)
        );
        let parts = list.parts(0x11000..0x14000);
        assert_eq!(
            parts,
            [
                (0x11000..0x12000, Some(Tracked::SyncFile)),
                (0x12000..0x13000, None),
                (0x13000..0x14000, Some(Tracked::SyncFile)),
            ]
        );
    }

    #[test]
    fn a_failed_unmap_changes_nothing() {
        let list = listed(&[(0x10000..0x18000, Tracked::DeviceDax(None))]);
        let refused = list.remove_if_unmapped(0x10000..0x11000, || Err(OsError(libc::EINVAL)));
        assert_eq!(refused, Err(OsError(libc::EINVAL)));
        assert_eq!(list.why_not_pmem(0x10000..0x18000), None);
    }

    #[test]
    fn only_persistent_memory_is_a_duplicate() {
        let list = listed(&[
            (0x10000..0x18000, Tracked::NotDax),
            (0x10000..0x12000, Tracked::SyncFile),
        ]);
        let again = list.add(0x11000..0x13000, Tracked::DeviceDax(None));
        assert_eq!(again, Err(Duplicate));
        assert_eq!(
            list.why_not_pmem(0x10000..0x18000),
            Some(WhyNotPmem::NotDax)
        );
        assert_eq!(list.why_not_pmem(0x10000..0x12000), None);
    }

    /// Against one flag a page.
    #[test]
    fn as_a_naive_oracle_has_it() {
        let list = Ranges::new();
        let mut oracle = [false; 64];
        let mut state = 7_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for step in 0..4000 {
            let start = random(64);
            let end = start + 1 + random(64 - start);
            let range = start * PAGE..end * PAGE;
            let pages = &mut oracle[start..end];
            match random(3) {
                0 => {
                    let added = list.add(range, Tracked::SyncFile).is_ok();
                    assert_eq!(added, pages.iter().all(|&listed| !listed), "step {step}");
                    if added {
                        pages.fill(true);
                    }
                }
                1 => {
                    list.remove_if_unmapped(range, || Ok(())).unwrap();
                    pages.fill(false);
                }
                _ => {
                    let is_pmem = list.why_not_pmem(range).is_none();
                    assert_eq!(is_pmem, pages.iter().all(|&listed| listed), "step {step}");
                }
            }
        }
    }
}
