//! Frees that have to wait, since their pool cannot be locked at the moment.

use core::ptr::{NonNull, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

/// How many blocks can wait. They wait for the next operation only.
const PLACES: usize = 1024;

/// Addresses of blocks, in no order, kept outside the pool: the blocks' own bytes stay as they are
/// for a fork's child. Lock-free.
///
/// Nothing is checked before the pool takes a block back, so a block that is put in twice, or is
/// none, is found then.
pub(crate) struct Deferred {
    places: [AtomicUsize; PLACES],
}

impl Deferred {
    pub(crate) const fn new() -> Deferred {
        Deferred {
            places: [const { AtomicUsize::new(0) }; PLACES],
        }
    }

    /// Puts a block in. Answers whether there was room.
    pub(crate) fn push(&self, block: NonNull<u8>) -> bool {
        let address = block.as_ptr().expose_provenance();
        self.places.iter().any(|place| {
            place.load(Ordering::Relaxed) == 0
                && place
                    .compare_exchange(0, address, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        })
    }

    /// Takes all blocks out; they stay allocated.
    pub(crate) fn forget(&self) {
        self.drain(|_| {});
    }

    /// Takes all blocks out and hands each to `free`.
    pub(crate) fn drain(&self, mut free: impl FnMut(NonNull<u8>)) {
        for place in &self.places {
            if place.load(Ordering::Relaxed) != 0 {
                let block = with_exposed_provenance_mut(place.swap(0, Ordering::Acquire));
                if let Some(block) = NonNull::new(block) {
                    free(block);
                }
            }
        }
    }
}
