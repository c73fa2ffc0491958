//! Which tier an allocation goes to.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::count;
use super::threshold::Threshold;
use crate::kind::Memkind;

/// A kind and its share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tier {
    pub(super) kind: *mut Memkind,
    pub(super) ratio: u32,
}

impl Tier {
    pub(super) fn kind(&self) -> &Memkind {
        // SAFETY: a tier's kind outlives the tier: the caller of `memtier_builder_add_tier` promised it.
        unsafe { &*self.kind }
    }

    /// Bytes in relation to the share.
    fn load(&self) -> f64 {
        if self.ratio == 0 {
            return f64::INFINITY;
        }
        count::of(self.kind()) as f64 / f64::from(self.ratio)
    }
}

/// The policy with thresholds.
#[derive(Debug)]
pub(super) struct Dynamic {
    pub(super) thresholds: Vec<Threshold>,
    pub(super) check_count: usize,
    pub(super) trigger: f32,
    pub(super) degree: f32,
    /// Allocations since the last look at the ratio.
    pub(super) since: AtomicUsize,
}

/// `struct memtier_memory`: tiers, and how one of them is chosen.
#[derive(Debug)]
pub struct Memory {
    pub(super) tiers: Vec<Tier>,
    /// `None`: the tier that is farthest behind its share.
    pub(super) dynamic: Option<Dynamic>,
}

impl Memory {
    /// The tier for an allocation.
    pub(super) fn choose(&self, size: usize) -> *mut Memkind {
        let Some(dynamic) = &self.dynamic else {
            let mut best = &self.tiers[0];
            for tier in &self.tiers[1..] {
                if tier.load() < best.load() {
                    best = tier;
                }
            }
            return best.kind;
        };
        if dynamic.since.fetch_add(1, Ordering::Relaxed) + 1 >= dynamic.check_count {
            dynamic.since.store(0, Ordering::Relaxed);
            self.adapt(dynamic);
        }
        let at = dynamic
            .thresholds
            .iter()
            .position(|threshold| size < threshold.value.load(Ordering::Relaxed));
        self.tiers[at.unwrap_or(self.tiers.len() - 1)].kind
    }

    /// Moves the limits between tiers whose bytes are not in their ratio.
    fn adapt(&self, dynamic: &Dynamic) {
        for (pair, threshold) in self.tiers.windows(2).zip(&dynamic.thresholds) {
            let (former, latter) = (pair[0].load(), pair[1].load());
            let deviation = (former - latter).abs() / former.max(latter).max(1.0);
            if deviation >= f64::from(dynamic.trigger) {
                threshold.shift(former < latter, dynamic.degree);
            }
        }
    }
}
