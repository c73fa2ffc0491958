//! Size classes: which size of object serves a request, and how large its slabs are.
//!
//! Up to 128 bytes there is a class each 16 bytes; above, four to a power of two, so that at most a
//! fifth of an object is lost to rounding.

use core::alloc::Layout;

use static_assertions::const_assert;

use super::scale::{IS_WIDE, LEAST};

/// The slab map counts in these: bytes, a power of two.
pub(crate) const SLAB_GRANULE: usize = 1 << SLAB_GRANULE_LOG2;

/// Binary logarithm of [`SLAB_GRANULE`].
pub(crate) const SLAB_GRANULE_LOG2: usize = 13;

/// A slab has fewer objects than this: the bits of its descriptor.
pub(crate) const MAX_OBJECTS: usize = 512;

/// Sizes are multiples of this, and so are the objects' addresses.
pub(crate) const STEP: usize = 16;

/// Binary logarithm of [`STEP`].
pub(crate) const STEP_LOG2: usize = STEP.ilog2() as usize;

/// Up to here, classes are one [`STEP`] apart.
const LINEAR: usize = 128;

/// The largest size whose class is looked up in a table.
pub(crate) const QUICK: usize = if IS_WIDE { 64 << 10 } else { 8 << 10 };

/// The largest size that slabs serve.
pub(crate) const LARGEST: usize = if IS_WIDE { 1 << 20 } else { QUICK };

/// Granules of a slab whose objects are not larger than one.
const MOST_GRANULES: usize = 32;

/// The number of classes.
pub(crate) const CLASSES: usize = LINEAR / STEP + 4 * (LARGEST.ilog2() - LINEAR.ilog2()) as usize;

/// Objects of a slab whose objects are larger than a granule.
const fn large_count(size: usize) -> usize {
    match (512 << 10) / size {
        0..8 => 8,
        8..=32 => (512 << 10) / size,
        _ => 32,
    }
}

/// The same for objects that are larger than a granule.
const LEAST_LARGE: usize = 4;

/// Objects of a local heap's first slab of a class beyond [`QUICK`]. Most programs need only one or
/// two of these at a time, and the others would be resident with it where pages are huge.
const FIRST_BEYOND_QUICK: usize = 2;

/// What one class is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// Bytes of an object, a multiple of [`STEP`].
    pub(crate) size: usize,
    /// Objects of a slab, where there is room.
    pub(crate) count: usize,
    /// The inverse of the size, rounded up, as a binary fraction of one word.
    pub(crate) inverse: usize,
}

impl Class {
    const fn new(size: usize) -> Class {
        // The word before the next block is that block's header.
        let room = granules_for(size) * SLAB_GRANULE - size_of::<usize>();
        Class {
            size,
            count: if size > SLAB_GRANULE {
                large_count(size)
            } else {
                room / size
            },
            inverse: usize::MAX / size + 1,
        }
    }

    /// Objects of a slab that is to have at most `limit` bytes.
    pub(crate) const fn count_within(self, limit: usize) -> usize {
        if self.count * self.size <= limit {
            return self.count;
        }
        if self.size > SLAB_GRANULE {
            return limit / self.size;
        }
        let granules = limit / SLAB_GRANULE;
        (granules * SLAB_GRANULE).saturating_sub(size_of::<usize>()) / self.size
    }

    /// Objects of the largest slabs, if they are to have at most `limit` bytes. 0 if too few would fit
    /// to be worth a slab.
    pub(crate) const fn most_within(self, limit: usize) -> usize {
        let count = self.count_within(limit);
        let least = if self.size > SLAB_GRANULE {
            LEAST_LARGE
        } else {
            LEAST
        };
        if count < least { 0 } else { count }
    }

    /// Bytes for the first slab of a local heap. The next ones may be twice as large each.
    pub(crate) const fn first_limit(self) -> usize {
        if self.size > QUICK {
            FIRST_BEYOND_QUICK * self.size
        } else if self.size > SLAB_GRANULE {
            LEAST_LARGE * self.size
        } else {
            ((LEAST + 1) * self.size).next_multiple_of(SLAB_GRANULE)
        }
    }

    /// Granules in which `count` objects of a slab begin. A slab starts with a granule.
    pub(crate) const fn granules_of(self, count: usize) -> usize {
        (count - 1) * self.size / SLAB_GRANULE + 1
    }

    /// Bytes of a slab of `count` objects: nothing else may begin in its granules.
    pub(crate) const fn bytes_of(self, count: usize) -> usize {
        let objects = count * self.size;
        let granules = self.granules_of(count) * SLAB_GRANULE - size_of::<usize>();
        if objects > granules {
            objects
        } else {
            granules
        }
    }

    /// Whether [`divide`] is right for every place in the granules, and answers a number below
    /// [`MAX_OBJECTS`].
    const fn is_sound(self) -> bool {
        let last = self.granules_of(self.count) * SLAB_GRANULE - 1;
        // The inverse is too large by `error / size` units of the last place, so the product is by
        // `number * error`, which must not reach the next multiple's fraction.
        let error = self.inverse.wrapping_mul(self.size);
        last / self.size < MAX_OBJECTS
            && self.count < MAX_OBJECTS
            && (last / self.size + 1) * error < self.inverse
            && self.count_within(self.first_limit()) != 0
    }
}

/// Granules of the largest slabs of objects that are not larger than one: as many as the bits reach, within
/// reason. Whatever their number, a slab loses one object at most, and needs one descriptor.
const fn granules_for(size: usize) -> usize {
    let reach = MAX_OBJECTS * size / SLAB_GRANULE;
    if reach < MOST_GRANULES {
        reach
    } else {
        MOST_GRANULES
    }
}

/// The number of the object that begins `offset` bytes from its slab's start, and whether there
/// one begins at all.
#[inline(always)]
pub(crate) fn divide(offset: usize, inverse: usize) -> (usize, bool) {
    #[cfg(target_pointer_width = "64")]
    let product = offset as u128 * inverse as u128;
    #[cfg(not(target_pointer_width = "64"))]
    let product = offset as u64 * inverse as u64;
    let fraction = product as usize;
    ((product >> usize::BITS) as usize, fraction < inverse)
}

const fn size_of_class(number: usize) -> usize {
    let linear = LINEAR / STEP;
    if number < linear {
        (number + 1) * STEP
    } else {
        let above = number - linear;
        (above % 4 + 5) * ((LINEAR / 4) << (above / 4))
    }
}

/// All classes, by number.
pub(crate) static TABLE: [Class; CLASSES] = {
    let mut table = [Class::new(STEP); CLASSES];
    let mut number = 0;
    while number < CLASSES {
        let class = Class::new(size_of_class(number));
        assert!(class.is_sound());
        table[number] = class;
        number += 1;
    }
    table
};

const_assert!(size_of_class(CLASSES - 1) == LARGEST);

/// For each number of steps that a request up to [`QUICK`] is rounded up to, its class.
pub(crate) static CLASS_OF_STEPS: [u8; QUICK / STEP + 1] = {
    let mut classes = [0; QUICK / STEP + 1];
    let (mut steps, mut class) = (0, 0);
    while steps < classes.len() {
        if steps * STEP > size_of_class(class) {
            class += 1;
        }
        classes[steps] = class as u8;
        steps += 1;
    }
    classes
};

/// The smallest class that serves a size, if one does.
#[inline]
pub(crate) fn class_of_size(size: usize) -> Option<usize> {
    if size <= QUICK {
        return Some(CLASS_OF_STEPS[size.div_ceil(STEP)] as usize);
    }
    if size > LARGEST {
        return None;
    }
    // The sizes above a power of two up to the next: a quarter of them to a class.
    let log2 = (size - 1).ilog2() as usize;
    let quarter = (size - 1) >> (log2 - 2) & 3;
    Some(LINEAR / STEP + 4 * (log2 - LINEAR.ilog2() as usize) + quarter)
}

/// The class that serves a layout, if one does.
#[inline]
pub(crate) fn class_of(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align());
    if align <= STEP {
        return class_of_size(size);
    }
    if size > LARGEST || align > SLAB_GRANULE {
        return None;
    }
    // A multiple of the alignment, without a division.
    let rounded = (size.max(1) + (align - 1)) & !(align - 1);
    let first = class_of_size(rounded)?;
    let class = ALIGNED[align.trailing_zeros() as usize][first];
    (class != 0).then_some(class as usize)
}

/// As [`class_of`], for sizes up to [`QUICK`] alone.
#[inline(always)]
pub(crate) fn quick_class_of(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align());
    if size > QUICK || align > SLAB_GRANULE {
        return None;
    }
    // `QUICK` is a multiple of every such alignment.
    let rounded = (size + (align - 1)) & !(align - 1);
    // SAFETY: there is an entry for all steps up to that size, and one for each class and alignment.
    let class = unsafe {
        let first = *CLASS_OF_STEPS.get_unchecked((rounded + (STEP - 1)) >> STEP_LOG2);
        let aligned = ALIGNED.get_unchecked(align.trailing_zeros() as usize);
        *aligned.get_unchecked(first as usize)
    };
    Some(class as usize)
}

const_assert!(QUICK.is_multiple_of(SLAB_GRANULE));

/// For each binary logarithm of an alignment and each class, the smallest class from that on whose size
/// is a multiple of the alignment; 0 if there is none.
static ALIGNED: [[u8; CLASSES.next_power_of_two()]; SLAB_GRANULE_LOG2 + 1] = {
    let mut table = [[0; CLASSES.next_power_of_two()]; SLAB_GRANULE_LOG2 + 1];
    let mut log2 = 0;
    while log2 <= SLAB_GRANULE_LOG2 {
        let mut class = CLASSES;
        let mut aligned = 0;
        while class > 0 {
            class -= 1;
            if size_of_class(class).is_multiple_of(1 << log2) {
                aligned = class;
            }
            table[log2][class] = aligned as u8;
        }
        log2 += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_served_by_the_smallest_class() {
        for size in 0..=LARGEST {
            let class = class_of(Layout::from_size_align(size, 1).unwrap()).unwrap();
            assert!(TABLE[class].size >= size);
            assert!(class == 0 || TABLE[class - 1].size < size);
        }
        assert_eq!(
            class_of(Layout::from_size_align(LARGEST + 1, 1).unwrap()),
            None
        );
    }

    #[test]
    fn aligned_requests_get_aligned_objects() {
        for align in (0..=SLAB_GRANULE_LOG2).map(|log2| 1 << log2) {
            for size in [0, 1, 15, 16, 17, 100, 640, 1000, 4097, 5000, LARGEST] {
                let class = class_of(Layout::from_size_align(size, align).unwrap()).unwrap();
                assert!(TABLE[class].size >= size);
                assert_eq!(TABLE[class].size % align, 0, "{size} {align}");
                let quick = quick_class_of(Layout::from_size_align(size, align).unwrap());
                assert_eq!(quick, (size <= QUICK).then_some(class), "{size} {align}");
            }
        }
    }

    #[test]
    fn division_agrees_with_the_processors() {
        for class in TABLE {
            let end = class.granules_of(class.count) * SLAB_GRANULE;
            let all = 0..if class.size <= QUICK { end } else { 0 };
            let near_starts = (0..class.count).flat_map(|number| {
                let start = number * class.size;
                start.saturating_sub(64)..start + 64
            });
            for offset in all.chain(near_starts).chain(end - 64..end) {
                let (number, starts) = divide(offset, class.inverse);
                assert_eq!(starts, offset % class.size == 0, "{class:?} {offset}");
                assert_eq!(number, offset / class.size, "{class:?} {offset}");
            }
        }
    }
}
