//! The segregated free lists: find a block, take it out, put it in.
//!
//! ```text
//! find(need):
//!     bin = bin_of(need)
//!     if the first block of list `bin` is large enough: that one            1.
//!     bin = the lowest non-empty list above `bin`; its first block          2. 3.
//!     if there is none: look at LOOK blocks of list bin_of(need)            4.
//! ```
//!
//! 1. Most requests end here, without a look at the bitmap: what was freed last at this size is
//!    handed out first, and nothing is split.
//! 2. Any block of a higher list is large enough, so one look suffices (good fit).
//! 3. The bitmap has one bit for each list, and a summary one bit for each word of the bitmap, for the fast paths. A
//!    bit of the summary is set with the first block of its word, but cleared only by a search
//!    that finds the word empty: removals need not look at it. A search clears at most one bit for
//!    every two powers of two that the region's length has.
//! 4. Without this the block of that very size, or the largest one, could not be had although it
//!    is there. The look is bounded, so the whole search is.
//!
//! Every link is checked before it is followed: it must point into a region, and the block there
//! must point back.

use super::Tlsf;
use super::bits;
use super::block::{self, MIN_BLOCK, SIZE_MASK, back, header, next};
use super::class::bin_of;
use super::control::{BITS, bit_of, bitmap, head};
use crate::region::{GRANULE, WORD};

/// How many blocks of one list are looked at.
pub(crate) const LOOK: usize = 4;

/// How many lists' first blocks are looked at.
const LISTS: usize = 3;

impl Tlsf {
    /// The list for a free block of `size` bytes.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    pub(crate) fn list_for(self, size: usize) -> usize {
        bin_of(size).min(self.control().last_bin.get())
    }

    /// First block of a list, 0 if it is empty. It is not checked yet.
    #[inline(always)]
    pub(crate) fn first_of(self, bin: usize) -> usize {
        debug_assert!(bin <= self.control().last_bin.get());
        // SAFETY: heads of lists up to `last_bin` lie in the header.
        unsafe { self.memory.read(head(bin)) }
    }

    /// Size of the free block at `block`, 0 if there is none: the word before `block` is not a
    /// free block's header, what it says leaves the region, or the footer there says otherwise.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    pub(crate) fn free_size(self, block: usize) -> usize {
        let room = self.room(block);
        if room == 0 {
            return 0;
        }
        // SAFETY: a region has a word before each place where a block may begin, and a footer's place
        // before each where one may end.
        unsafe {
            let word = self.memory.read_any(header(block));
            let size = block::free(word);
            let end = block.wrapping_add(size);
            if size > room
                || size < MIN_BLOCK
                || (size | block) & !SIZE_MASK != 0
                || self.memory.read_any_foot(end) != word
            {
                return 0;
            }
            size
        }
    }

    /// Finds a free block that `need` bytes at a multiple of `align` fit into: 0 if there is none. If
    /// the block that would be the one is damaged, that is what this answers.
    ///
    /// ```text
    ///     first block of list bin_of(need), if it fits as it lies; so of the next lists
    ///     else any block of need + align + GRANULE bytes: fits wherever it lies
    ///     else one of a few blocks that fits as it lies: `find_by_luck`
    /// ```
    pub(super) fn find(self, need: usize, align: usize) -> usize {
        let roomy = if align > GRANULE {
            need + align + GRANULE
        } else {
            need
        };
        let mut block = self.first_above(self.list_for(need) - 1, need, align);
        if block == 0 {
            block = self.first_above(self.list_for(roomy) - 1, need, align);
        }
        if block == 0 {
            block = self.find_by_luck(need, align);
        }
        block
    }

    /// [`Tlsf::find`] without the blocks that the fast path has looked at.
    #[cfg(feature = "fast")]
    pub(super) fn find_near_exhausted(self, need: usize, align: usize) -> usize {
        if align > GRANULE {
            let block = self.first_above(self.list_for(need), need, align);
            if block != 0 {
                return block;
            }
        }
        self.find_by_luck(need, align)
    }

    /// Near the end of memory: some block that is not certain to fit may do so as it lies. Looks at the block that was
    /// freed last, and at a few of the request's own list behind the first. Answers as [`Tlsf::find`] does.
    fn find_by_luck(self, need: usize, align: usize) -> usize {
        // What was freed last can be had again, whatever else is free.
        let freed = self.control().freed.get();
        if self.suiting(freed, need, align) != 0 && self.link_to(freed) != 0 {
            return freed;
        }
        let mut block = self.first_of(self.list_for(need));
        for _ in 1..LOOK {
            if block == 0 {
                break;
            }
            // SAFETY: heads of lists are trusted, and lead to free blocks; the others were looked at by
            // `suiting`. Their links lie in the region.
            block = unsafe { self.memory.read(next(block)) };
            if self.suiting(block, need, align) != 0 {
                return block;
            }
        }
        0
    }

    /// Looks at the first blocks of the next non-empty lists above `bin`. Answers as [`Tlsf::find`] does.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    fn first_above(self, bin: usize, need: usize, align: usize) -> usize {
        let mut list = bin;
        for _ in 0..LISTS {
            list = self.list_above(list);
            if list == 0 {
                break;
            }
            let block = self.suiting(self.first_of(list), need, align);
            if block != 0 {
                return block;
            }
        }
        0
    }

    /// `block` if a request fits into that free block, or that is damaged; else 0, as if it is 0.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    fn suiting(self, block: usize, need: usize, align: usize) -> usize {
        if block != 0 {
            let size = self.free_size(block);
            if size == 0 || (size >= need && self.pad_for(block, align) <= size - need) {
                return block;
            }
        }
        0
    }

    /// The lowest non-empty list above `bin`, 0 if there is none.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    fn list_above(self, bin: usize) -> usize {
        let bin = bin + 1;
        // SAFETY: a list up to `last_bin` is given, so its own word or the one after lies in
        // the header; the mark in the header's last bitmap word ends the search there.
        let word = |number: usize| unsafe { self.memory.read(bitmap(number)) };
        let mut number = bin / BITS;
        let mut bits = word(number) & (usize::MAX << (bin % BITS));
        while bits == 0 {
            number += 1;
            bits = word(number);
        }
        let found = number * BITS + bits.trailing_zeros() as usize;
        if found <= self.control().last_bin.get() {
            found
        } else {
            0
        }
    }

    /// Offset of the word that names the free block at `block`: the head of its list or the block before it there. 0
    /// if there is no such block, or its words do not lead to one that leads back.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    fn link_to(self, block: usize) -> usize {
        if self.free_size(block) == 0 {
            return 0;
        }
        // SAFETY: there is a free block's header here, so the links lie in the region. The word behind `before`
        // is reached only if that is a place of a block, or a list's number.
        unsafe {
            let before = self.memory.read(back(block));
            let link = if before <= self.control().last_bin.get() {
                head(before)
            } else if self.is_place(before) {
                next(before)
            } else {
                return 0;
            };
            if self.memory.read_any(link) == block {
                link
            } else {
                0
            }
        }
    }

    /// Takes the free block at `block` out of its list, and answers its size. Answers 0 and changes nothing if there is
    /// none, or its words are not in order.
    #[cfg_attr(not(feature = "fast"), inline(never))]
    pub(crate) fn take_out(self, block: usize) -> usize {
        let link = self.link_to(block);
        let memory = self.memory;
        // SAFETY: `link_to` found a free block, whose words lie in the region, and so does the word that names it.
        // The block after it is touched only if it is at a block's place.
        unsafe {
            if link == 0 {
                return 0;
            }
            let after = memory.read(next(block));
            let before = memory.read(back(block));
            if after != 0 {
                if !self.is_place(after) || memory.read_any(back(after)) != block {
                    return 0;
                }
                memory.write(back(after), before);
            } else if before <= self.control().last_bin.get() {
                self.mark_empty(before);
            }
            memory.write(link, after);
            block::free(memory.read(header(block)))
        }
    }

    /// Makes `size` bytes at `block` a free block and puts it first in its list.
    ///
    /// # Safety
    /// The bytes from `block`'s header up to the next block's header are the allocator's, in one
    /// region, and in no list; `size` is at least [`MIN_BLOCK`].
    #[cfg_attr(not(feature = "fast"), inline(never))]
    pub(crate) unsafe fn insert(self, block: usize, size: usize) {
        debug_assert!(size >= MIN_BLOCK);
        let memory = self.memory;
        let bin = self.list_for(size);
        let mut first = self.first_of(bin);
        // SAFETY: all words lie in the block's own bytes, or are a head in the header, but for the old first block's
        // `back` word, which is reached only after it was found to be a place of a block that names this list.
        unsafe {
            if first == 0 {
                self.mark_filled(bin);
            } else if self.is_place(first) && memory.read(back(first)) == bin {
                memory.write(back(first), block);
            } else {
                // The head was written over. What it led to cannot be reached safely.
                first = 0;
            }
            memory.write(next(block), first);
            memory.write(back(block), bin);
            memory.write(head(bin), block);
            memory.write_foot(block.wrapping_add(size), block::free(size));
            memory.write(header(block), block::free(size));
        }
    }

    #[inline(always)]
    pub(super) fn mark_filled(self, bin: usize) {
        // SAFETY: the bitmap's words for lists up to `last_bin` lie in the header, and so does the
        // summary, which has a bit for each of them.
        unsafe {
            bits::set::<0>(self.memory.pointer(0), bit_of(bin));
            #[cfg(feature = "fast")]
            bits::set::<{ core::mem::offset_of!(super::Control, summary) }>(
                self.memory.pointer(0),
                (bin / BITS) as isize,
            );
        }
    }

    #[inline(always)]
    pub(super) fn mark_empty(self, bin: usize) {
        // SAFETY: as in `mark_filled`.
        unsafe { bits::clear::<0>(self.memory.pointer(0), bit_of(bin)) }
    }

    /// The highest non-empty list.
    pub(crate) fn list_highest(self) -> Option<usize> {
        for word in (0..=self.control().last_bin.get() / BITS).rev() {
            // SAFETY: words up to that of `last_bin` lie in the header.
            let bits = unsafe { self.memory.read(bitmap(word)) };
            if bits != 0 {
                return Some(word * BITS + bits.ilog2() as usize);
            }
        }
        None
    }

    /// Forgets all lists.
    ///
    /// # Safety
    /// Nothing is in the lists that the caller will not put back or give up.
    #[cfg(feature = "lock")]
    pub(crate) unsafe fn clear_lists(self) {
        let last_bin = self.control().last_bin.get();
        for word in 0..=last_bin / BITS {
            // SAFETY: the bitmap's words for lists up to `last_bin` lie in the header.
            unsafe { self.memory.write(bitmap(word), 0) }
        }
        for bin in 0..=last_bin {
            // SAFETY: heads of lists up to `last_bin` lie in the header.
            unsafe { self.memory.write(head(bin), 0) }
        }
    }

    /// The largest payload among the blocks that an allocation would look at: see
    /// [`Stats::largest_free`](crate::Stats::largest_free).
    pub(crate) fn largest_free(self) -> usize {
        self.largest_block().1.saturating_sub(WORD)
    }

    /// Where that block is, and its size; 0 if there is none.
    pub(crate) fn largest_block(self) -> (usize, usize) {
        let Some(bin) = self.list_highest() else {
            return (0, 0);
        };
        let mut block = self.first_of(bin);
        let mut largest = (0, 0);
        for _ in 0..LOOK {
            let size = if block == 0 { 0 } else { self.free_size(block) };
            if size == 0 {
                break;
            }
            if size > largest.1 {
                largest = (block, size);
            }
            // SAFETY: `free_size` found a free block, whose links lie in the region.
            block = unsafe { self.memory.read(next(block)) };
        }
        largest
    }
}
