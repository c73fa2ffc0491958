//! Sizes of blocks: the smaller, the more.

use crate::random::Random;

/// A table of sizes to choose from: a logarithm for each choice would take longer than the allocator.
#[derive(Debug)]
pub(super) struct Sizes([u32; 4096]);

impl Sizes {
    /// Sizes from `low` to `high`; each power of two is as likely as the next.
    pub(super) fn log_between(low: u32, high: u32, seed: u64) -> Self {
        Self::new(seed, |random| random.log_between(low, high))
    }

    /// Sizes from `low` to `high`; one that is twice as large is a quarter as likely.
    pub(super) fn inverse_square(low: u32, high: u32, seed: u64) -> Self {
        let (most, least) = (1.0 / f64::from(low), 1.0 / f64::from(high));
        Self::new(seed, |random| {
            (1.0 / (most - (most - least) * random.unit())) as u32
        })
    }

    /// Sizes from `low` to `high`, a sixth of the way on average: the way is a random part of the distance of two other
    /// random parts' sum from one.
    pub(super) fn falling(low: u32, high: u32, seed: u64) -> Self {
        Self::new(seed, |random| {
            let part = random.unit() * (random.unit() + random.unit() - 1.0).abs();
            low + (f64::from(high - low) * part) as u32
        })
    }

    fn new(seed: u64, mut size: impl FnMut(&mut Random) -> u32) -> Self {
        let mut random = Random::new(seed);
        Self([(); 4096].map(|()| size(&mut random)))
    }

    /// The one that these bits choose.
    #[inline]
    pub(super) fn choose(&self, bits: u64) -> usize {
        self.0[bits as usize % self.0.len()] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest, the median, the mean and the largest.
    fn summary(sizes: Sizes) -> (u32, u32, u32, u32) {
        let mut sorted = sizes.0;
        sorted.sort_unstable();
        let sum: u32 = sorted.iter().sum();
        let len = sorted.len();
        (
            sorted[0],
            sorted[len / 2],
            sum / len as u32,
            sorted[len - 1],
        )
    }

    #[test]
    fn sizes_lie_between_the_bounds_and_are_spread_as_they_should() {
        let (least, median, mean, most) = summary(Sizes::log_between(8, 1024, 1));
        assert!(least == 8 && (80..=102).contains(&median) && mean > median && most <= 1024);
        let (least, median, mean, most) = summary(Sizes::inverse_square(4, 32 << 10, 1));
        assert!(least == 4 && (7..=8).contains(&median) && mean > median && most <= 32 << 10);
        let (least, median, mean, most) = summary(Sizes::falling(8, 16_000, 1));
        assert!(least >= 8 && median < mean && most <= 16_000);
        assert!((2500..=2850).contains(&mean));
    }
}
