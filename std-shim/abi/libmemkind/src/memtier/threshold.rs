//! Limits of size between neighbouring tiers, which move until the ratio of bytes holds.

use core::sync::atomic::{AtomicUsize, Ordering};

/// The limit between a tier and the next: smaller blocks go to the former.
#[derive(Debug)]
pub(super) struct Threshold {
    pub(super) value: AtomicUsize,
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Threshold {
    /// The first limit is at 1 KiB, each next one 1 KiB further, and moves by less than 512 bytes.
    pub(super) fn new(number: usize) -> Threshold {
        let value = 1024 * (number + 1);
        Threshold {
            value: AtomicUsize::new(value),
            least: value - 511,
            most: value + 512,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let value = self.value.load(Ordering::Relaxed);
        self.least <= value && value <= self.most
    }

    /// Moves by a part of itself: up, so that more goes to the former tier, or down.
    pub(super) fn shift(&self, up: bool, degree: f32) {
        let value = self.value.load(Ordering::Relaxed);
        let step = ((value as f32 * degree) as usize).max(1);
        let moved = if up {
            value.saturating_add(step)
        } else {
            value.saturating_sub(step)
        };
        self.value
            .store(moved.clamp(self.least, self.most), Ordering::Relaxed);
    }
}
