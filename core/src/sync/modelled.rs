//! The word that loom follows.
//!
//! loom 0.7 goes back only to the last access of a word to try another order. A load hides an earlier
//! load by another thread from the store that follows it: of `a: load`, `b: load`, `b: store`, it
//! never tries the order in which `a` sees what `b` stored. All our protocols load a word before they
//! change it; so here each access also changes a word of its own, for which the last access is always
//! the one that matters. Relaxed, it puts nothing into an order that was in none.

use core::sync::atomic::Ordering;

use loom::sync::atomic;

/// A word with the methods of [`core::sync::atomic::AtomicUsize`] that the crate uses.
#[derive(Debug)]
pub(crate) struct AtomicUsize {
    value: atomic::AtomicUsize,
    accesses: atomic::AtomicUsize,
}

impl AtomicUsize {
    #[track_caller]
    pub(crate) fn new(value: usize) -> Self {
        Self {
            value: atomic::AtomicUsize::new(value),
            accesses: atomic::AtomicUsize::new(0),
        }
    }

    #[track_caller]
    fn access(&self) -> &atomic::AtomicUsize {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        &self.value
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> usize {
        self.access().load(order)
    }

    #[track_caller]
    pub(crate) fn store(&self, value: usize, order: Ordering) {
        self.access().store(value, order);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: usize, order: Ordering) -> usize {
        self.access().swap(value, order)
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, bits: usize, order: Ordering) -> usize {
        self.access().fetch_or(bits, order)
    }

    #[track_caller]
    pub(crate) fn compare_exchange_weak(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.access()
            .compare_exchange_weak(current, new, success, failure)
    }

    /// The value, without an atomic access: loom reports each store that is not ordered before it or
    /// after it.
    #[track_caller]
    pub(crate) fn unordered(&self) -> usize {
        // SAFETY: loom checks what the caller has to answer for.
        unsafe { self.value.unsync_load() }
    }
}
