//! From a granule's number to its slab: an entry for each granule, and their count, which only grows.
//!
//! ```text
//! owner of the pool's lock: reveal(until)         any thread: look_up(granule)
//!     write the entries limit..until   1.             read the limit          3.
//!     publish the limit                2.             below it: read the entry
//! ```
//!
//! 1. The bytes of these entries may hold anything before.
//! 2. Release; 3. acquire: whoever sees a limit sees the entries below it.
//!
//! What an entry leads to is there for whoever reads the entry: it is stored with release and read
//! with acquire, so that even the look-up of an address that was never handed out, just when its
//! granule gets a slab, finds an initialised descriptor.

use core::ops::Range;

use crate::sync::{AtomicUsize, Ordering};

/// The entries of a pool's granules.
#[derive(Clone, Copy)]
pub(crate) struct GranuleMap<'a> {
    entries: &'a [AtomicUsize],
    /// So many entries are initialised. At most their number.
    limit: &'a AtomicUsize,
}

impl<'a> GranuleMap<'a> {
    /// A map over words of the region.
    ///
    /// # Safety
    /// As long as `limit` is in use, nobody but [`GranuleMap::reveal`] writes to it, and it is at
    /// most the number of entries: at first 0.
    #[inline(always)]
    pub(crate) unsafe fn new(entries: &'a [AtomicUsize], limit: &'a AtomicUsize) -> Self {
        Self { entries, limit }
    }

    /// The entry of a granule; `None` for those that have none yet.
    #[inline(always)]
    pub(crate) fn look_up(self, granule: usize) -> Option<usize> {
        if granule < self.limit.load(Ordering::Acquire) {
            // SAFETY: the limit is at most the number of entries, which `new`'s caller answers for
            // and `reveal` asserts.
            let entry = unsafe { self.entries.get_unchecked(granule) };
            Some(entry.load(Ordering::Acquire))
        } else {
            None
        }
    }

    /// Lets the granules below `until` be looked up: those that are new with the entry `none`. Only
    /// for the owner of the pool's lock.
    ///
    /// # Panics
    /// If there are fewer than `until` entries.
    pub(crate) fn reveal(self, until: usize, none: usize) {
        let limit = self.limit.load(Ordering::Relaxed);
        if until <= limit {
            return;
        }
        for entry in &self.entries[limit..until] {
            entry.store(none, Ordering::Relaxed);
        }
        self.limit.store(until, Ordering::Release);
    }

    /// Gives all of these granules the same entry. What it leads to must be complete. Only for the
    /// owner of the pool's lock.
    ///
    /// # Panics
    /// If one of them is not revealed.
    pub(crate) fn set(self, granules: Range<usize>, value: usize) {
        assert!(
            granules.end <= self.limit.load(Ordering::Relaxed),
            "a granule without an entry"
        );
        for entry in &self.entries[granules] {
            entry.store(value, Ordering::Release);
        }
    }
}
