//! The header of a heap's first region: geometry, counters, and the index of free lists.
//!
//! ```text
//!  region start                              origin
//!  | prefix | ... bitmap words 2, 1, 0 | control | list heads 0, 1, 2 ... | header | block ...
//!             <-- grows this way                 grows this way -->
//! ```
//!
//! Bitmap and heads grow away from the origin, so that both are reached at fixed displacements
//! and a small region pays only for the lists that it can fill.

use core::cell::Cell;
use core::mem::offset_of;

use static_assertions::{const_assert, const_assert_eq};

use super::block::{self, MIN_BLOCK, header};
use super::class::{SL_LOG2, bin_of};
use crate::region::{GRANULE, Memory, Region, WORD};

/// First eight bytes of every region that holds a heap.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"ALLOTHP\0");

/// Version of the layout that `docs/format.md` describes.
pub(crate) const FORMAT: u16 = 1;

/// What stands at the very start of the region, the same on every target.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) magic: u64,
    pub(crate) format: u16,
    /// Bytes in a word.
    pub(crate) word: u8,
    /// Binary logarithm of the lists per power of two.
    pub(crate) lists_log2: u8,
    /// Distance from the prefix to the origin, in bytes.
    pub(crate) origin: u32,
}

const_assert_eq!(size_of::<Prefix>(), 16);
const_assert_eq!(offset_of!(Prefix, format), 8);
const_assert_eq!(offset_of!(Prefix, word), 10);
const_assert_eq!(offset_of!(Prefix, lists_log2), 11);
const_assert_eq!(offset_of!(Prefix, origin), 12);

/// The words at the origin. Offsets and sizes are bytes; offsets count from the origin.
#[repr(C)]
pub(crate) struct Control {
    /// Equal to `end` as long as there is one region and each of its blocks has a list of its own
    /// size, else 0. What the fast paths compare with.
    pub(crate) reach: Cell<usize>,
    /// Offset of the end mark: the first region's blocks lie in `first..end`.
    pub(crate) end: Cell<usize>,
    /// The largest size that belongs to a list up to `last_bin`; 0 if `reach` is 0.
    pub(crate) listed: Cell<usize>,
    /// The highest list's number. It takes all blocks that would belong beyond it, too.
    pub(crate) last_bin: Cell<usize>,
    /// The highest place of a block so far: everything from its links on to `end`, but for the last
    /// free block's footer, was never written since the heap was made over zeroed memory.
    /// `usize::MAX` if it was not. See [`Control::fresh`].
    pub(crate) written: Cell<usize>,
    /// A bit for each bitmap word, set if that word is not 0. It may be set although the word is
    /// 0: only a search clears it.
    pub(crate) summary: Cell<usize>,
    /// What used headers are combined with.
    pub(crate) key: Cell<usize>,
    /// Bytes in used blocks, and the most there were.
    pub(crate) used: Cell<usize>,
    pub(crate) peak: Cell<usize>,
    pub(crate) allocations: Cell<usize>,
    pub(crate) deallocations: Cell<usize>,
    pub(crate) reallocations: Cell<usize>,
    pub(crate) failures: Cell<usize>,
    /// The block that was made free last, 0 if none. It may be gone since.
    pub(crate) freed: Cell<usize>,
    /// Offset of the first region's first block.
    pub(crate) first: Cell<usize>,
    /// Bytes in blocks, used or free, of all regions.
    pub(crate) block_bytes: Cell<usize>,
    /// Bytes of all regions as they were given.
    pub(crate) region_bytes: Cell<usize>,
    /// Bytes behind the first region's end mark that do not fill a granule.
    pub(crate) tail: Cell<usize>,
    /// Offset of the descriptor of the region that was added last, 0 if none.
    pub(crate) regions: Cell<usize>,
    /// Address of the origin when the heap was made: tells a reader in another mapping how to
    /// translate the pointers that the user stored.
    pub(crate) created_at: Cell<usize>,
}

const CONTROL_WORDS: usize = 20;
const_assert_eq!(size_of::<Control>(), CONTROL_WORDS * WORD);
const_assert_eq!(align_of::<Control>(), WORD);
// A bitmap word has a bit in the summary, and so has the mark behind the last.
const_assert!(bin_of_largest() / BITS + 2 <= BITS);

const fn bin_of_largest() -> usize {
    // As `bin_of(isize::MAX)`.
    (1 << (SL_LOG2 + 1)) - 1 + ((BITS - 2 - SL_LOG2 - GRANULE.ilog2() as usize) << SL_LOG2)
}
const_assert_eq!(offset_of!(Control, reach), 0);
const_assert_eq!(offset_of!(Control, first), 14 * WORD);
const_assert_eq!(offset_of!(Control, created_at), 19 * WORD);

impl Control {
    /// From which offset on the first region, but for the last free block's footer, is known to be
    /// zero.
    pub(crate) fn fresh(&self) -> usize {
        self.written.get().saturating_add(2 * WORD)
    }

    /// Counts a block of `taken` bytes that was handed out.
    #[inline(always)]
    pub(crate) fn count_allocation(&self, taken: usize) {
        self.count_used(self.used.get() + taken);
        self.allocations.set(self.allocations.get() + 1);
    }

    /// Notes that `used` bytes are in used blocks now.
    #[inline(always)]
    pub(crate) fn count_used(&self, used: usize) {
        self.used.set(used);
        if used > self.peak.get() {
            self.peak.set(used);
        }
    }

    /// Counts a block of `size` bytes that was taken back.
    #[inline(always)]
    pub(crate) fn count_free(&self, size: usize) {
        self.used.set(self.used.get().wrapping_sub(size));
        self.deallocations
            .set(self.deallocations.get().wrapping_add(1));
    }

    /// Moves the first region's end. `last_bin` and `first` have been set.
    pub(crate) fn set_end(&self, end: usize) {
        self.end.set(end);
        self.set_reach();
    }

    /// Opens or closes the fast paths, after a change of the regions.
    #[cfg(not(feature = "fast"))]
    pub(crate) fn set_reach(&self) {}

    /// Opens or closes the fast paths, after a change of the regions.
    #[cfg(feature = "fast")]
    pub(crate) fn set_reach(&self) {
        let largest = self.end.get() - self.first.get();
        let near = self.regions.get() == 0 && bin_of(largest) <= self.last_bin.get();
        self.reach.set(if near { self.end.get() } else { 0 });
        let listed = super::class::floor_of(self.last_bin.get() + 1) - GRANULE;
        self.listed.set(if near { listed } else { 0 });
    }
}

/// Bits in a bitmap word, one for each list.
pub(crate) const BITS: usize = usize::BITS as usize;

/// Offset of the bitmap word with number `word`.
#[inline(always)]
pub(crate) const fn bitmap(word: usize) -> usize {
    (!word).wrapping_mul(WORD)
}

/// Where the bit of list `bin` is, counted in bits from the origin: bit `bin % BITS` of the word
/// at `bitmap(bin / BITS)`.
#[inline(always)]
pub(crate) const fn bit_of(bin: usize) -> isize {
    (bin ^ BITS.wrapping_neg()) as isize
}

/// Offset of the head of list `bin`.
#[inline(always)]
pub(crate) const fn head(bin: usize) -> usize {
    CONTROL_WORDS * WORD + bin * WORD
}

/// Where the parts of a heap come to lie in a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Bytes from the region's start to the origin.
    pub(crate) origin: usize,
    /// The highest list.
    pub(crate) last_bin: usize,
    /// Offset of the first block.
    pub(crate) first: usize,
    /// Offset of the end mark.
    pub(crate) end: usize,
}

// A list's number and a block's offset share the `back` word: a head's offset is larger than its
// list's number, and blocks come after all heads.
const_assert!(head(0) > 0);

impl Layout {
    /// Lays out a heap over `region` with lists for blocks of up to `capacity` bytes, or only as
    /// long as the region if there is no room for that many. `None` if not even one smallest block
    /// fits.
    pub(crate) fn of(region: Region, capacity: usize) -> Option<Layout> {
        let planned = bin_of(capacity & !(GRANULE - 1));
        if capacity > region.len && Layout::room(region.len, planned) != 0 {
            return Some(Layout::with_lists(region.len, planned));
        }
        let roomy = bin_of(region.len);
        let largest = Layout::room(region.len, roomy);
        if largest == 0 {
            return None;
        }
        // The header takes part of the region, so the largest block is smaller and may need fewer
        // lists.
        let tight = bin_of(largest);
        let covered = bin_of(Layout::room(region.len, tight)) <= tight;
        let last_bin = if covered { tight } else { roomy };
        Some(Layout::with_lists(region.len, last_bin))
    }

    fn with_lists(len: usize, last_bin: usize) -> Layout {
        // One word more than the lists need ends every search.
        let words = last_bin / BITS + 2;
        let origin = (size_of::<Prefix>() + words * WORD).next_multiple_of(GRANULE);
        Layout {
            origin,
            last_bin,
            first: (head(last_bin + 1) + WORD).next_multiple_of(GRANULE),
            end: len.wrapping_sub(origin),
        }
    }

    /// Bytes for blocks of a region of `len` bytes with lists up to `last_bin`, 0 if not even the smallest fits.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    fn room(len: usize, last_bin: usize) -> usize {
        let layout = Layout::with_lists(len, last_bin);
        let room = len.saturating_sub(layout.origin + layout.first);
        if room < MIN_BLOCK { 0 } else { room }
    }
}

/// Writes prefix, bitmap, control and heads of an empty heap without regions' blocks.
///
/// # Safety
/// `region` is exposed memory that nobody else uses, and `layout` was made for it.
pub(crate) unsafe fn write_header(region: Region, layout: Layout, zeroed: bool) -> Memory {
    let memory = Memory::new(region.start + layout.origin);
    let prefix = Prefix {
        magic: MAGIC,
        format: FORMAT,
        word: WORD as u8,
        lists_log2: SL_LOG2 as u8,
        origin: layout.origin as u32,
    };
    let words = layout.last_bin / BITS + 2;
    // SAFETY: the prefix, `words` words below the origin, and the words from the origin up to
    // `first` all lie inside the region: `Layout::for_largest` sized them so and refused regions
    // that are too short. The region's start is aligned to a granule, which suffices for `Prefix`
    // when it is written as bytes of an unaligned value.
    unsafe {
        // Whatever was there. It may never have been written: a volatile read keeps the compiler from
        // reasoning about it.
        let control = memory.pointer(0).cast::<Control>();
        let previous = (&raw const (*control).key).cast::<usize>().read_volatile();
        let key = block::key(memory.address_of(0), previous);
        let place = core::ptr::with_exposed_provenance_mut::<Prefix>(region.start);
        place.write_unaligned(prefix);
        let mut at = bitmap(words - 1);
        while at != header(layout.first) {
            memory.write(at, 0);
            at = at.wrapping_add(WORD);
        }
        // The mark that ends every search: a list beyond the last.
        memory.write(bitmap(words - 1), 1 << (BITS - 1));
        let control = &*memory.pointer(0).cast::<Control>();
        control.last_bin.set(layout.last_bin);
        control.first.set(layout.first);
        control.set_end(layout.end);
        control
            .written
            .set(if zeroed { layout.first } else { usize::MAX });
        control.created_at.set(memory.address_of(0));
        control.key.set(key);
        // Where nobody reads it, it stays as wide as it may ever be.
        let least = if cfg!(feature = "fast") { words - 1 } else { 0 };
        control.summary.set((1 << words) - (1 << least));
        // The end mark: a used block of size 0.
        memory.write(layout.end - WORD, key);
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_cost_of_small_regions() {
        let cost = |len: usize| {
            let region = Region::trim(1 << 20, len).unwrap();
            let layout = Layout::of(region, 0).unwrap();
            len - (layout.end - layout.first)
        };
        if WORD == 4 {
            assert!(cost(4096) <= 512, "{}", cost(4096));
            assert!(cost(1024) <= 384, "{}", cost(1024));
        } else {
            assert_eq!((cost(4096), cost(1024)), (1248, 736));
        }
    }

    #[test]
    fn least_region_always_fits() {
        for start in 0..64 {
            let region = Region::trim((1 << 20) + start, crate::region::MIN_REGION).unwrap();
            assert!(Layout::of(region, 0).is_some());
        }
    }

    #[test]
    fn no_capacity_makes_a_region_too_small() {
        for start in 0..GRANULE {
            for log2 in 10..usize::BITS - 1 {
                let region = Region::trim((1 << 20) + start, crate::region::MIN_REGION).unwrap();
                assert!(Layout::of(region, 1 << log2).is_some(), "2^{log2}");
            }
        }
    }

    #[test]
    fn lists_cover_the_largest_block() {
        for log2 in 10..usize::BITS - 1 {
            let region = Region::trim(1 << 8, 1 << log2).unwrap();
            let layout = Layout::of(region, 0).unwrap();
            assert!(bin_of(layout.end - layout.first) <= layout.last_bin);
        }
    }
}
