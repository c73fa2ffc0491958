//! Arrays of blocks, outside of the heap that is measured.

use std::slice;

use crate::random::Random;
use crate::region::Region;

/// An array in a mapping of its own, so that it is neither among the measured blocks nor placed by the measured
/// allocator. Its pages are touched when it is made.
#[derive(Debug)]
pub struct Slots {
    region: Region,
    len: usize,
}

// SAFETY: the mapping is the value's own, and may be used and unmapped by any thread.
unsafe impl Send for Slots {}

impl Slots {
    /// `len` words.
    ///
    /// # Panics
    /// When there is no memory.
    pub fn new(len: usize) -> Self {
        let bytes = (len * size_of::<usize>()).next_power_of_two().max(4096);
        let mut region = Region::map(bytes).expect("memory for an array of blocks");
        region.populate();
        Self { region, len }
    }

    /// Room for `len` blocks. What is in it at first is no block.
    pub fn blocks(&mut self) -> &mut [*mut u8] {
        // SAFETY: `len` words lie within the mapping, which is page-aligned, written as a whole and borrowed as long as the
        // slice; any bits are a raw pointer.
        unsafe { slice::from_raw_parts_mut(self.region.start().cast(), self.len) }
    }

    /// The numbers from 0 to the length in random order.
    pub fn shuffled(len: usize, seed: u64) -> Self {
        let mut slots = Self::new(len);
        let mut random = Random::new(seed);
        let numbers = slots.numbers();
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = place;
        }
        for last in (1..len).rev() {
            numbers.swap(last, random.below(last as u32 + 1) as usize);
        }
        slots
    }

    /// The words as numbers.
    pub fn numbers(&mut self) -> &mut [usize] {
        // SAFETY: as for blocks; any bits are a number.
        unsafe { slice::from_raw_parts_mut(self.region.start().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_has_every_number_once_in_another_order() {
        let mut slots = Slots::shuffled(1000, 1);
        let numbers = slots.numbers().to_vec();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(numbers, sorted);
    }
}
