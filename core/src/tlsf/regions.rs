//! Which region a place lies in, and regions that were added after the first.
//!
//! The first region is found by one comparison. The others hang in a list, each with a descriptor
//! at its own start, and there are at most [`MAX_REGIONS`] of them, so a look-up is bounded.

use static_assertions::const_assert_eq;

use super::Tlsf;
use super::block::{self, KEY, MIN_BLOCK, header};
use crate::region::{GRANULE, Region, WORD};

/// How many regions may be added to a heap.
pub const MAX_REGIONS: usize = 64;

/// Where the blocks of one region may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Offset of the lowest place of a block. For the first region 0: the header is readable
    /// memory too, and nothing in it decodes as a block.
    pub(crate) low: usize,
    /// Bytes from there to the end mark.
    pub(crate) len: usize,
}

impl Bounds {
    /// Whether a block may begin at `place`.
    #[inline(always)]
    pub(crate) fn hold(self, place: usize) -> bool {
        place.wrapping_sub(self.low) < self.len
    }

    /// Bytes from `place`, which is inside, to the end mark.
    #[inline(always)]
    pub(crate) fn room(self, place: usize) -> usize {
        self.len - place.wrapping_sub(self.low)
    }

    /// Whether a block may end at `place`.
    #[inline(always)]
    pub(crate) fn reach(self, place: usize) -> bool {
        place.wrapping_sub(self.low) <= self.len
    }
}

/// What stands at the start of an added region, in words from its descriptor's offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    /// Offset of the end mark.
    pub(crate) end: usize,
    /// Offset of the next descriptor, 0 at the end.
    pub(crate) next: usize,
    /// Address and length as given.
    pub(crate) given_start: usize,
    pub(crate) given_len: usize,
}

/// Words of a descriptor: the four of [`Descriptor`] and a check word.
const DESCRIPTOR_WORDS: usize = 5;

/// Bytes from a descriptor to the region's first block.
const FIRST: usize = (DESCRIPTOR_WORDS + 1) * WORD;
const_assert_eq!(FIRST % GRANULE, 0);

impl Descriptor {
    #[inline(always)]
    fn check_word(self) -> usize {
        self.end ^ self.next ^ self.given_start ^ self.given_len ^ KEY
    }

    fn words(self) -> [usize; DESCRIPTOR_WORDS] {
        let Descriptor {
            end,
            next,
            given_start,
            given_len,
        } = self;
        [end, next, given_start, given_len, self.check_word()]
    }

    /// Offset of the region's first block, given the descriptor's.
    pub(crate) fn first(at: usize) -> usize {
        at.wrapping_add(FIRST)
    }

    pub(crate) fn bounds(self, at: usize) -> Bounds {
        let low = Descriptor::first(at);
        Bounds {
            low,
            len: self.end.wrapping_sub(low),
        }
    }
}

impl Tlsf {
    /// Bytes from `place` to the end of its region, 0 if no block may begin there.
    #[cfg_attr(feature = "fast", inline(always))]
    #[cfg_attr(not(feature = "fast"), inline(never))]
    pub(crate) fn room(self, place: usize) -> usize {
        let end = self.control().end.get();
        if place < end {
            // The first region's own header is readable memory, too, and nothing in it decodes as a block.
            return end - place;
        }
        self.added_room(place)
    }

    #[cfg_attr(feature = "fast", cold, inline(never))]
    fn added_room(self, place: usize) -> usize {
        let mut added = self.descriptors().map(|(at, d)| d.bounds(at));
        added
            .find(|bounds| bounds.hold(place))
            .map_or(0, |bounds| bounds.room(place))
    }

    /// Whether a block may begin at `place`.
    #[inline(always)]
    pub(crate) fn is_place(self, place: usize) -> bool {
        self.room(place) != 0
    }

    /// The added regions, with their descriptors' offsets. Ends early at a damaged descriptor.
    pub(crate) fn descriptors(self) -> impl Iterator<Item = (usize, Descriptor)> {
        let mut at = self.control().regions.get();
        let mut left = MAX_REGIONS;
        core::iter::from_fn(move || {
            if at == 0 || left == 0 {
                return None;
            }
            let here = at;
            let descriptor = self.descriptor(here)?;
            at = descriptor.next;
            left -= 1;
            Some((here, descriptor))
        })
    }

    fn descriptor(self, at: usize) -> Option<Descriptor> {
        // SAFETY: `at` comes from the header or from a descriptor whose check word was right, and
        // descriptors are removed before their memory is given up.
        let word = |number: usize| unsafe { self.memory.read(at.wrapping_add(number * WORD)) };
        let descriptor = Descriptor {
            end: word(0),
            next: word(1),
            given_start: word(2),
            given_len: word(3),
        };
        (descriptor.check_word() == word(4)).then_some(descriptor)
    }

    /// # Safety
    /// `at` is the place of a descriptor in a region of this heap.
    unsafe fn write_descriptor(self, at: usize, descriptor: Descriptor) {
        for (i, word) in descriptor.words().into_iter().enumerate() {
            // SAFETY: the descriptor's words lie at the region's start (condition).
            unsafe { self.memory.write(at.wrapping_add(i * WORD), word) }
        }
    }

    /// Takes in a region. `given` is how the caller named it. Answers whether it was long enough.
    ///
    /// # Safety
    /// `region` is exposed memory that nobody else uses, as long as it is part of the heap.
    pub(crate) unsafe fn add_region(self, region: Region, given: (usize, usize)) -> bool {
        if region.len < FIRST + MIN_BLOCK {
            return false;
        }
        let control = self.control();
        let at = self.memory.offset_of(region.start);
        let block = Descriptor::first(at);
        let end = at.wrapping_add(region.len);
        let size = end.wrapping_sub(block);
        // SAFETY: descriptor, block and end mark lie inside the region, whose length was checked.
        unsafe {
            self.write_descriptor(
                at,
                Descriptor {
                    end,
                    next: control.regions.get(),
                    given_start: given.0,
                    given_len: given.1,
                },
            );
            self.memory
                .write(header(end), self.key() | block::PREV_FREE);
            self.insert(block, size);
        }
        control.regions.set(at);
        control.set_reach();
        control.block_bytes.set(control.block_bytes.get() + size);
        control
            .region_bytes
            .set(control.region_bytes.get() + given.1);
        true
    }

    /// Gives up an added region that is one free block. `at` is its descriptor's offset.
    pub(crate) fn remove_region(self, at: usize) -> bool {
        let Some(descriptor) = self.descriptor(at) else {
            return false;
        };
        let block = Descriptor::first(at);
        let size = descriptor.end.wrapping_sub(block);
        if self.free_size(block) != size || self.take_out(block) == 0 {
            return false;
        }
        self.forget_freed();
        let control = self.control();
        if control.regions.get() == at {
            control.regions.set(descriptor.next);
        } else if let Some((before, mut d)) = self.descriptors().find(|(_, d)| d.next == at) {
            d.next = descriptor.next;
            // SAFETY: `before` is the place of a descriptor that was just read.
            unsafe { self.write_descriptor(before, d) }
        }
        control.set_reach();
        control.block_bytes.set(control.block_bytes.get() - size);
        control
            .region_bytes
            .set(control.region_bytes.get() - descriptor.given_len);
        true
    }
}
