//! The segregated free lists: find a block, take it out, put it in.
//!
//! ```text
//! find(need):
//!     bin = bin_of(need)
//!     if the first block of list `bin` is large enough: that one            1.
//!     bin = the lowest non-empty list above `bin`; its first block          2. 3.
//!     if there is none: look at LOOK - 1 more blocks of list bin_of(need)   4.
//! ```
//!
//! 1. Most requests end here, without a look at the bitmap: what was freed last at this size is
//!    handed out first, and nothing is split.
//! 2. Any block of a higher list is large enough, so one look suffices (good fit).
//! 3. The bitmap has one bit for each list, and a summary one bit for each word of the bitmap. A
//!    bit of the summary is set with the first block of its word, but cleared only by a search
//!    that finds the word empty: removals need not look at it. A search clears at most one bit for
//!    every two powers of two that the region's length has.
//! 4. Without this the block of that very size, or the largest one, could not be had although it
//!    is there. The look is bounded, so the whole search is.
//!
//! Every link is checked before it is followed: it must point into a region, and the block there
//! must point back.

use core::mem::offset_of;

use super::Tlsf;
use super::bits;
use super::block::{self, MIN_BLOCK, SIZE_MASK, footer, header, next};
use super::class::opaque;
use super::control::{BITS, Control, bit_of, bitmap, head};
use super::refusal::Refusal;
use super::regions::Scope;
use crate::region::WORD;

/// How many blocks of one list are looked at.
pub(crate) const LOOK: usize = 4;

impl<S: Scope> Tlsf<S> {
    /// First block of a list, 0 if it is empty. It is not checked yet.
    #[inline(always)]
    pub(crate) fn first_of(self, bin: usize) -> usize {
        debug_assert!(bin <= self.control().last_bin.get());
        // SAFETY: heads of lists up to `last_bin` lie in the header.
        unsafe { self.memory.read(head(bin)) }
    }

    /// Size of the free block at `block`, 0 if there is none: the word before `block` is not a
    /// free block's header, what it says leaves the region, or the footer there says otherwise.
    pub(crate) fn free_size(self, block: usize) -> usize {
        match self.claimed_size(block) {
            Ok(size) if size >= MIN_BLOCK && size & !SIZE_MASK == 0 => {
                // SAFETY: the size was found to end in the region, so the footer lies there.
                let end = unsafe { self.memory.read_any(footer(block.wrapping_add(size))) };
                if end == block::free(size) { size } else { 0 }
            }
            _ => 0,
        }
    }

    /// Finds a free block of at least `need` bytes.
    #[inline(always)]
    pub(crate) fn find(self, need: usize) -> Result<Found, Refusal> {
        if !S::THOROUGH && need > self.control().listed.get() {
            return Err(Refusal::NoMemory);
        }
        let bin = self.list_for(need);
        let first = self.first_of(bin);
        if first != 0
            && let Some(end) = self.end_of_first(first, need)?
        {
            return Ok(Found {
                block: first,
                end,
                list: Some(bin),
            });
        }
        if let Some(bin) = self.list_above(bin) {
            let first = self.first_of(bin);
            let Some(end) = self.end_of_first(first, need)? else {
                return Err(Refusal::corrupt(first));
            };
            return Ok(Found {
                block: first,
                end,
                list: Some(bin),
            });
        }
        if S::THOROUGH {
            self.thorough().find_in_list(first, |_, size| size >= need)
        } else {
            Err(Refusal::NoMemory)
        }
    }

    /// Where the first block of a list ends, if it has `need` bytes. That it is at a block's place
    /// need not be looked at again in the first region: it was when it became the first.
    #[inline(always)]
    fn end_of_first(self, block: usize, need: usize) -> Result<Option<usize>, Refusal> {
        if S::THOROUGH {
            let size = self.claimed_size(block)?;
            return Ok((size >= need).then(|| block.wrapping_add(size)));
        }
        // SAFETY: a region has a word before each place where a block may begin.
        let word = unsafe { self.memory.read(header(block)) };
        // With a word that is not negative, this is less than `block`, or wraps round to more than
        // half of all addresses. Places and what is listed are less than half of them.
        let end = block.wrapping_sub(word);
        if end > self.first_bounds().len {
            return Err(Refusal::corrupt(block));
        }
        Ok((end >= block.wrapping_add(need)).then_some(end))
    }

    /// What the header at `block` says of a free block's size, if that ends in the region.
    #[inline(always)]
    pub(crate) fn claimed_size(self, block: usize) -> Result<usize, Refusal> {
        let Some(bounds) = self.bounds_of(block) else {
            return Err(Refusal::corrupt(block));
        };
        // SAFETY: a region has a word before each place where a block may begin.
        let size = block::free(unsafe { self.memory.read_any(header(block)) });
        if size <= bounds.room(block) {
            Ok(size)
        } else {
            Err(Refusal::corrupt(block))
        }
    }

    /// The lowest non-empty list above `bin`.
    #[inline(always)]
    pub(crate) fn list_above(self, bin: usize) -> Option<usize> {
        let bin = bin + 1;
        let word = |number: usize| {
            // SAFETY: a list up to `last_bin` is given, so its own word or the one after lies in
            // the header; the mark in the header's last bitmap word ends the search there.
            unsafe { self.memory.read(bitmap(number)) }
        };
        let number = bin / BITS;
        let bits = word(number) >> (bin % BITS);
        let found = if bits != 0 {
            bin + bits.trailing_zeros() as usize
        } else {
            let summary = &self.control().summary;
            let mut later = summary.get() & (!1 << number);
            loop {
                if later == 0 {
                    return None;
                }
                let number = later.trailing_zeros() as usize;
                let bits = word(number);
                if bits != 0 {
                    break number * BITS + bits.trailing_zeros() as usize;
                }
                summary.set(summary.get() & !(1 << number));
                later &= later - 1;
            }
        };
        let found = opaque(found);
        (found <= self.control().last_bin.get()).then_some(found)
    }

    /// Takes a found block out of its list. Nothing is changed if its links are not in order.
    #[inline(always)]
    pub(crate) fn take_out(self, found: Found) -> Result<(), Refusal> {
        // SAFETY: the found block was seen to end in the region.
        let end = unsafe { self.memory.read_any_foot(found.end) };
        if end != block::free(found.size()) {
            return Err(Refusal::corrupt(found.block));
        }
        self.take_out_checked(found)
    }

    /// [`Tlsf::take_out`] of a block whose footer was compared with its header.
    #[inline(always)]
    pub(crate) fn take_out_checked(self, found: Found) -> Result<(), Refusal> {
        let Found {
            block,
            list: Some(bin),
            ..
        } = found
        else {
            return self.unlink(found.block);
        };
        let memory = self.memory;
        // SAFETY: the block is the first of a list, and its header was read: both links lie in
        // the region. The block after it is touched only if it is at a block's place.
        unsafe {
            let after = memory.read(next(block));
            if memory.read_second(block) != bin {
                return Err(Refusal::corrupt(block));
            }
            if after == 0 {
                memory.write(head(bin), 0);
                self.mark_empty(bin);
            } else {
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Refusal::corrupt(block));
                }
                memory.write(head(bin), after);
                memory.write_second(after, bin);
            }
        }
        Ok(())
    }

    /// Takes a free block out of its list. Nothing is changed if its links are not in order.
    #[inline(always)]
    pub(crate) fn unlink(self, block: usize) -> Result<(), Refusal> {
        let memory = self.memory;
        // SAFETY: the caller found a free block's header here, so at least `MIN_BLOCK` bytes lie
        // in the region: the two links among them. Words behind `after` and `before` are reached
        // only once these were found to be places of blocks, or heads of lists.
        unsafe {
            let after = memory.read(next(block));
            let before = memory.read_second(block);
            if before <= self.control().last_bin.get() {
                if memory.read(head(before)) != block {
                    return Err(Refusal::corrupt(block));
                }
                if after == 0 {
                    memory.write(head(before), 0);
                    self.mark_empty(before);
                    return Ok(());
                }
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Refusal::corrupt(block));
                }
                memory.write(head(before), after);
                memory.write_second(after, before);
                return Ok(());
            }
            if !self.is_place(before) || memory.read_any(next(before)) != block {
                return Err(Refusal::corrupt(block));
            }
            if after != 0 {
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Refusal::corrupt(block));
                }
                memory.write_second(after, before);
            }
            memory.write(next(before), after);
        }
        Ok(())
    }

    /// Makes `size` bytes at `block` a free block and puts it first in its list.
    ///
    /// # Safety
    /// The bytes from `block`'s header up to the next block's header are the allocator's, in one
    /// region, and in no list; `size` is at least [`MIN_BLOCK`].
    #[inline(always)]
    pub(crate) unsafe fn insert(self, block: usize, size: usize) {
        // SAFETY: forwarded.
        unsafe { self.insert_until(block, block.wrapping_add(size), size) }
    }

    /// [`Tlsf::insert`], when it is known, too, that `end` is `block + size`.
    ///
    /// # Safety
    /// As for [`Tlsf::insert`].
    #[inline(always)]
    pub(crate) unsafe fn insert_until(self, block: usize, end: usize, size: usize) {
        debug_assert!(size >= MIN_BLOCK);
        let bin = self.list_for(size);
        // SAFETY: forwarded.
        unsafe {
            let after = self.before_inserting(bin, block);
            self.write_first(bin, block, end, block::free(size), after);
        }
    }

    /// Makes the first block of list `bin` name `block` as the one before it, and answers its
    /// place, or marks the list as filled.
    ///
    /// # Safety
    /// [`Tlsf::write_first`] comes next.
    #[inline(always)]
    pub(crate) unsafe fn before_inserting(self, bin: usize, block: usize) -> usize {
        let memory = self.memory;
        let first = self.first_of(bin);
        // SAFETY: the old first block's `back` word is reached only after it was found to be a
        // place of a block that names this list.
        unsafe {
            if first == 0 {
                self.mark_filled(bin);
            } else if (!S::THOROUGH || self.is_place(first)) && memory.read_second(first) == bin {
                memory.write_second(first, block);
            } else {
                // The head was written over. What it led to cannot be reached safely.
                return 0;
            }
        }
        first
    }

    /// Writes a free block that becomes the first of list `bin`, before `after`: its header and
    /// the footer before `end` are `word`.
    ///
    /// # Safety
    /// As for [`Tlsf::insert`].
    #[inline(always)]
    pub(crate) unsafe fn write_first(
        self,
        bin: usize,
        block: usize,
        end: usize,
        word: usize,
        after: usize,
    ) {
        let memory = self.memory;
        let bin = opaque(bin);
        // SAFETY: all words lie in the block's own bytes, or are a head in the header.
        unsafe {
            memory.write(next(block), after);
            memory.write_second(block, bin);
            memory.write(head(bin), block);
            memory.write_foot(end, word);
            memory.write(header(block), word);
        }
    }

    /// Prepares for the part of a found block behind its first `need` bytes to take that block's place as the
    /// first of list `bin`: makes the list's second block name it as the one before, and answers
    /// the second block's place. Nothing is changed if the links are not in order. Most allocations from a
    /// large free block leave it in the same list, and then need not touch the bitmap.
    ///
    /// # Safety
    /// [`Tlsf::write_first`] comes next.
    #[inline(always)]
    pub(crate) unsafe fn before_replacing(
        self,
        found: Found,
        bin: usize,
        need: usize,
    ) -> Result<usize, Refusal> {
        let memory = self.memory;
        let old = found.block;
        // SAFETY: the found block's header was read: the links lie in the region. The block after
        // it is touched only if it is at a block's place.
        unsafe {
            if memory.read_second(old) != bin {
                return Err(Refusal::corrupt(old));
            }
            let after = memory.read(next(old));
            if after != 0 {
                if !self.is_place(after) || memory.read_any_second(after) != old {
                    return Err(Refusal::corrupt(old));
                }
                memory.write_second(after, old.wrapping_add(need));
            }
            Ok(after)
        }
    }

    #[inline(always)]
    fn mark_filled(self, bin: usize) {
        // SAFETY: the bitmap's words for lists up to `last_bin` lie in the header, and so does the
        // summary, which has a bit for each of them.
        unsafe {
            bits::set::<0>(self.memory.pointer(0), bit_of(bin));
            bits::set::<{ offset_of!(Control, summary) }>(
                self.memory.pointer(0),
                (bin / BITS) as isize,
            );
        }
    }

    #[inline(always)]
    fn mark_empty(self, bin: usize) {
        // SAFETY: as in `mark_filled`.
        unsafe { bits::clear::<0>(self.memory.pointer(0), bit_of(bin)) }
    }

    /// Whether there is a free block at `block`, and a list that it is in.
    pub(crate) fn is_listed(self, block: usize) -> bool {
        if self.free_size(block) == 0 {
            return false;
        }
        // SAFETY: `free_size` found what looks like a free block, so the links' places lie in the
        // region, and so do the heads of lists and the links of other blocks' places.
        unsafe {
            let before = self.memory.read_second(block);
            if before <= self.control().last_bin.get() {
                self.first_of(before) == block
            } else {
                self.is_place(before) && self.memory.read_any(next(before)) == block
            }
        }
    }

    /// The first of at most [`LOOK`] blocks of a list, from `first` on, that `fits`.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_in_list(
        self,
        first: usize,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Result<Found, Refusal> {
        let mut block = first;
        for _ in 0..LOOK {
            if block == 0 {
                break;
            }
            let size = self.free_size(block);
            if size == 0 {
                return Err(Refusal::corrupt(block));
            }
            if fits(block, size) {
                return Ok(Found {
                    block,
                    end: block.wrapping_add(size),
                    list: None,
                });
            }
            // SAFETY: `free_size` found a free block, whose links lie in the region.
            block = unsafe { self.memory.read(next(block)) };
        }
        Err(Refusal::NoMemory)
    }
}

impl Tlsf {
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
        let Some(bin) = self.list_highest() else {
            return 0;
        };
        let mut block = self.first_of(bin);
        let mut largest = 0;
        for _ in 0..LOOK {
            let size = if block == 0 { 0 } else { self.free_size(block) };
            if size == 0 {
                break;
            }
            largest = largest.max(size - WORD);
            // SAFETY: `free_size` found a free block, whose links lie in the region.
            block = unsafe { self.memory.read(next(block)) };
        }
        largest
    }
}

/// A free block that will serve.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) block: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// The list that it is the first block of, if it is known to be.
    pub(crate) list: Option<usize>,
}

impl Found {
    #[inline(always)]
    pub(crate) fn size(self) -> usize {
        self.end.wrapping_sub(self.block)
    }
}
