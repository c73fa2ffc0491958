//! The fast paths: one region, the common cases.
//!
//! [`Near`] does what [`Tlsf`] does, for the first region only, while that has no other beside it and its lists cover
//! it. It calls nothing, so it needs no stack frame for calls. Where anything else turns up, be it another region, an
//! exhausted heap or a damage, it stops; then [`Tlsf`] does the work, or says what is wrong.
//!
//! Which one applies is not asked separately: `reach` is the end of the first region while the fast
//! paths are open, and 0 otherwise, so that the comparison that looks up a place fails for each
//! place. `listed` does the same for sizes.

use core::sync::atomic::{Ordering, compiler_fence};

use super::block::{self, MIN_BLOCK, PREV_FREE, SIZE_MASK, footer, header, next};
use super::class::{bin_of_near as bin_of, opaque};
use super::control::{BITS, bitmap, head};
use super::{Tlsf, Used};
use crate::region::GRANULE;

/// A heap, as the fast paths see it.
#[derive(Clone, Copy)]
pub(crate) struct Near(pub(super) Tlsf);

/// Why a fast path did not allocate. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// No block was found where this looks: only [`Tlsf::find_by_luck`] is left.
    Exhausted,
    /// The fast paths are closed, or a damage was met.
    Closed,
}

/// Where a fast free met something that is damaged or out of its reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StuckAt {
    /// Before it looked at a neighbour. Nothing was changed.
    Start,
    /// The payload was right. Nothing was changed.
    Next,
    /// The next block was taken out of its list, or marked as following a free block.
    Previous,
}

/// Some word is not what it should be.
struct Damaged;

impl From<Damaged> for Missed {
    fn from(Damaged: Damaged) -> Missed {
        Missed::Closed
    }
}

/// A free block that will serve: the first of its list.
#[derive(Clone, Copy)]
struct Found {
    block: usize,
    /// Where it ends.
    end: usize,
    list: usize,
}

impl Found {
    #[inline(always)]
    fn size(self) -> usize {
        self.end.wrapping_sub(self.block)
    }
}

impl Near {
    /// Hands out a block of at least `need` bytes, which is a block size.
    #[inline(always)]
    pub(crate) fn allocate(self, need: usize) -> Result<usize, Missed> {
        let found = self.find(need)?;
        let word = self.checked_word(found)?;
        let Found { block, end, list } = found;
        let tlsf = self.0;
        // What is left, negated as it will be written.
        let word = word.wrapping_add(need);
        let rest = block::free(word);
        if rest < MIN_BLOCK {
            self.take_out(found)?;
            self.hand_out_whole(block, found.size(), 0);
            return Ok(opaque(block));
        }
        let bin = bin_of(rest);
        // SAFETY: the rest is the end of the found block, which is the first of its list or is
        // taken out of it.
        unsafe {
            let rest_at;
            let after = if list == bin {
                let after = self.before_replacing(found, need)?;
                rest_at = opaque(block.wrapping_add(need));
                after
            } else {
                self.take_out(found)?;
                rest_at = opaque(block.wrapping_add(need));
                self.before_inserting(bin, rest_at)
            };
            self.write_first(bin, rest_at, end, word, after);
            compiler_fence(Ordering::Release);
            tlsf.memory.write(header(block), tlsf.used_word(need));
            self.count_allocation(rest_at, need);
        }
        // Opaque, so that the pointer takes no register till then.
        Ok(opaque(block))
    }

    /// Hands out a block of at least `need` bytes whose address is a multiple of `align`, a power
    /// of two larger than a granule.
    #[inline(always)]
    pub(crate) fn allocate_aligned(self, need: usize, align: usize) -> Result<usize, Missed> {
        let tlsf = self.0;
        let found = self.find_aligned(need, align)?;
        self.checked_word(found)?;
        self.take_out(found)?;
        let pad = tlsf.pad_for(found.block, align);
        let block = found.block.wrapping_add(pad);
        let follows_free = if pad == 0 { 0 } else { PREV_FREE };
        self.carve(
            block,
            found.size() - pad,
            need,
            block::align_code(align) | follows_free,
        );
        if pad != 0 {
            compiler_fence(Ordering::Release);
            // SAFETY: the bytes before the aligned block were part of the block that was taken
            // out; `pad_for` leaves either none or enough for a block.
            unsafe { self.insert(found.block, block, pad) }
        }
        Ok(block)
    }

    /// The first block of list `bin_of(need)` if it fits as it lies, else any block of
    /// `need + align + GRANULE` bytes.
    #[inline(always)]
    fn find_aligned(self, need: usize, align: usize) -> Result<Found, Missed> {
        let tlsf = self.0;
        if need > tlsf.control().listed.get() {
            return Err(Missed::Exhausted);
        }
        let list = bin_of(need);
        let block = tlsf.first_of(list);
        if block != 0 {
            let end = self.end_of(block)?;
            let cut = block.wrapping_add(need);
            if end >= cut && tlsf.pad_for(block, align) <= end.wrapping_sub(cut) {
                return Ok(Found { block, end, list });
            }
        }
        self.find(need + align + GRANULE)
    }

    /// Finds a free block of at least `need` bytes.
    #[inline(always)]
    fn find(self, need: usize) -> Result<Found, Missed> {
        let tlsf = self.0;
        if need > tlsf.control().listed.get() {
            return Err(Missed::Exhausted);
        }
        let list = bin_of(need);
        let block = tlsf.first_of(list);
        if block != 0 {
            let end = self.end_of(block)?;
            let cut = block.wrapping_add(need);
            if end >= cut {
                return Ok(Found { block, end, list });
            }
        }
        let list = self.list_above(list).ok_or(Missed::Exhausted)?;
        let block = tlsf.first_of(list);
        let end = self.end_of(block)?;
        let cut = block.wrapping_add(need);
        if end < cut {
            return Err(Missed::Closed);
        }
        Ok(Found { block, end, list })
    }

    /// Where the first block of a list ends. That it is at a block's place need not be looked at
    /// again: it was when it became the first.
    #[inline(always)]
    fn end_of(self, block: usize) -> Result<usize, Damaged> {
        // SAFETY: a region has a word before each place where a block may begin.
        let word = unsafe { self.0.memory.read(header(block)) };
        // With a word that is not negative, this is less than `block`, or wraps round to more than
        // half of all addresses. Places and what is listed are less than half of them.
        let end = block.wrapping_sub(word);
        if end > self.0.control().reach.get() {
            return Err(Damaged);
        }
        Ok(end)
    }

    /// What a found block's header is and its footer must be.
    #[inline(always)]
    fn checked_word(self, found: Found) -> Result<usize, Damaged> {
        let word = opaque(found.block.wrapping_sub(found.end));
        // SAFETY: the found block was seen to end in the region.
        if unsafe { self.0.memory.read_any_foot(found.end) } == word {
            Ok(word)
        } else {
            Err(Damaged)
        }
    }

    /// The lowest non-empty list above `bin`.
    #[inline(always)]
    fn list_above(self, bin: usize) -> Option<usize> {
        let bin = bin + 1;
        let control = self.0.control();
        let word = |number: usize| {
            // SAFETY: a list up to `last_bin` is given, so its own word or the one after lies in
            // the header; the mark in the header's last bitmap word ends the search there.
            unsafe { self.0.memory.read(bitmap(number)) }
        };
        let number = bin / BITS;
        let bits = word(number) >> (bin % BITS);
        let found = if bits != 0 {
            bin + bits.trailing_zeros() as usize
        } else {
            let summary = &control.summary;
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
        (found <= control.last_bin.get()).then_some(found)
    }

    /// Makes a block of `need` bytes at the start of `size` bytes that are in no list, and files
    /// the rest.
    #[inline(always)]
    fn carve(self, block: usize, size: usize, need: usize, code: usize) {
        let tlsf = self.0;
        let rest = size - need;
        if rest < MIN_BLOCK {
            return self.hand_out_whole(block, size, code);
        }
        let rest_at = block.wrapping_add(need);
        // SAFETY: `size` bytes from the block's header on are the allocator's and in no list.
        unsafe {
            self.insert(rest_at, block.wrapping_add(size), rest);
            compiler_fence(Ordering::Release);
            tlsf.memory
                .write(header(block), tlsf.used_word(need) | code);
        }
        self.count_allocation(rest_at, need);
    }

    /// Makes a block of `size` bytes that are in no list.
    #[inline(always)]
    fn hand_out_whole(self, block: usize, size: usize, code: usize) {
        let tlsf = self.0;
        let memory = tlsf.memory;
        let end = block.wrapping_add(size);
        // SAFETY: `size` bytes from the block's header on are the allocator's and in no list; the
        // word after them is the next block's header or the end mark.
        unsafe {
            memory.write(header(end), memory.read(header(end)) & !PREV_FREE);
            memory.write(header(block), tlsf.used_word(size) | code);
        }
        self.count_allocation(end, size);
    }

    #[inline(always)]
    fn count_allocation(self, following: usize, taken: usize) {
        let control = self.0.control();
        if following > control.written.get() {
            control.written.set(following);
        }
        control.count_allocation(taken);
    }

    /// Takes back a used block, which was given out for `payload` bytes if that is known. Where
    /// this gets stuck, [`Tlsf::free_on`] goes on.
    #[inline(always)]
    pub(crate) fn free(self, block: usize, payload: Option<usize>) -> Result<(), StuckAt> {
        let used = self.used(block).ok_or(StuckAt::Start)?;
        if !used.served(payload) {
            return Err(StuckAt::Start);
        }
        let following = used.following();
        // Opaque, so that the size is taken from it anew at the end, and needs no register till then.
        let used = Used {
            decoded: opaque(used.decoded),
            ..used
        };
        self.release(used, following)?;
        self.0.control().count_free(used.size());
        Ok(())
    }

    #[inline(always)]
    fn used(self, block: usize) -> Option<Used> {
        let reach = self.0.control().reach.get();
        if block >= reach {
            return None;
        }
        // SAFETY: a region has a word before each place where a block may begin. It may be
        // misaligned, as `block` comes from outside.
        let decoded = unsafe { self.0.memory.read_any(header(block)) } ^ self.0.key();
        let used = Used { block, decoded };
        (used.size() != 0 && used.size() <= reach - block).then_some(used)
    }

    /// Makes a used block free and joins it with its free neighbours. `following` is
    /// [`Used::following`].
    #[inline(always)]
    fn release(self, used: Used, following: usize) -> Result<(), StuckAt> {
        let memory = self.0.memory;
        let mut block = used.block;
        let mut end = following;
        // SAFETY: `used` was checked, so its header and the next one, which may be the end mark,
        // lie in the region, and so does the word before the own header. Free neighbours are
        // touched only after their words were found to agree with one another.
        unsafe {
            // Header and footer of a free block are the same word: minus its size.
            let word = memory.read_any(header(following));
            if block::is_free(word) {
                end = end.wrapping_sub(word);
                if word & !SIZE_MASK != 0
                    || end > self.reach_anew()
                    || memory.read_any_foot(end) != word
                {
                    return Err(StuckAt::Next);
                }
                self.unlink(following).map_err(|_| StuckAt::Next)?;
            } else {
                memory.write(header(following), word | PREV_FREE);
            }
            if used.follows_free() {
                let word = memory.read(footer(block));
                let before = block.wrapping_add(word);
                if before >= block
                    || word & !SIZE_MASK != 0
                    || memory.read_any(header(before)) != word
                    || self.unlink(before).is_err()
                {
                    return Err(StuckAt::Previous);
                }
                block = before;
            }
            let size = end.wrapping_sub(block);
            self.insert(block, end, size);
            self.0.control().freed.set(block);
            // If the block before was free, the own header went out of use, but not before the
            // joined block's header covered it. It must not pass for a used one any more.
            compiler_fence(Ordering::Release);
            memory.write(header(used.block), block::free(size));
        }
        Ok(())
    }

    /// Lets a used block grow to `need` bytes where it lies, if the block behind it is free and something of
    /// it is left over. Answers whether that was done; if not, nothing was changed. `payload` is as for
    /// [`Near::free`].
    #[inline(always)]
    pub(crate) fn grow(self, block: usize, payload: Option<usize>, need: usize) -> bool {
        let Some(used) = self.used(block) else {
            return false;
        };
        let (size, following) = (used.size(), used.following());
        if need <= size || !used.served(payload) {
            return false;
        }
        let memory = self.0.memory;
        // SAFETY: `used` was checked, so the next header, which may be the end mark, lies in the region. A
        // free block is touched only after its words were found to agree with one another.
        unsafe {
            let word = memory.read_any(header(following));
            let end = following.wrapping_sub(word);
            let rest_at = block.wrapping_add(need);
            if !block::is_free(word)
                || word & !SIZE_MASK != 0
                || end > self.reach_anew()
                || end < rest_at.wrapping_add(MIN_BLOCK)
                || memory.read_any_foot(end) != word
            {
                return false;
            }
            let rest = end.wrapping_sub(rest_at);
            let (list, bin) = (bin_of(block::free(word)), bin_of(rest));
            // Of a large block, the rest is in the same list.
            if list == bin && self.0.first_of(list) == following {
                let found = Found {
                    block: following,
                    end,
                    list,
                };
                let Ok(after) = self.before_replacing(found, rest_at.wrapping_sub(following))
                else {
                    return false;
                };
                self.write_first(bin, rest_at, end, block::free(rest), after);
            } else {
                if self.unlink(following).is_err() {
                    return false;
                }
                self.insert(rest_at, end, rest);
            }
            compiler_fence(Ordering::Release);
            let flags = used.decoded & !SIZE_MASK;
            memory.write(header(block), self.0.used_word(need) | flags);
            let control = self.0.control();
            self.0.forget_freed();
            if rest_at > control.written.get() {
                control.written.set(rest_at);
            }
            control.count_used(control.used.get() + need - size);
        }
        true
    }

    /// The end of the region. Reading it anew is cheaper than a register for it in the whole of an
    /// operation.
    #[inline(always)]
    fn reach_anew(self) -> usize {
        // SAFETY: the word stands in the header, as `control` has it.
        unsafe { self.0.control().reach.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn is_place(self, place: usize) -> bool {
        place < self.reach_anew()
    }

    /// Takes the first block of a list out of it. Nothing is changed if its links are not in order.
    #[inline(always)]
    fn take_out(self, found: Found) -> Result<(), Damaged> {
        let Found {
            block, list: bin, ..
        } = found;
        let memory = self.0.memory;
        // SAFETY: the block is the first of a list, and its header was read: both links lie in
        // the region. The block after it is touched only if it is at a block's place.
        unsafe {
            let after = memory.read(next(block));
            if memory.read_second(block) != bin {
                return Err(Damaged);
            }
            if after == 0 {
                memory.write(head(bin), 0);
                self.0.mark_empty(bin);
            } else {
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Damaged);
                }
                memory.write(head(bin), after);
                memory.write_second(after, bin);
            }
        }
        Ok(())
    }

    /// Takes a free block out of its list. Nothing is changed if its links are not in order.
    #[inline(always)]
    fn unlink(self, block: usize) -> Result<(), Damaged> {
        let memory = self.0.memory;
        // SAFETY: the caller found a free block's header here, so at least `MIN_BLOCK` bytes lie
        // in the region: the two links among them. Words behind `after` and `before` are reached
        // only once these were found to be places of blocks, or heads of lists.
        unsafe {
            let after = memory.read_any(next(block));
            let before = memory.read_any_second(block);
            if before <= self.0.control().last_bin.get() {
                if memory.read(head(before)) != block {
                    return Err(Damaged);
                }
                if after == 0 {
                    memory.write(head(before), 0);
                    self.0.mark_empty(before);
                    return Ok(());
                }
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Damaged);
                }
                memory.write(head(before), after);
                memory.write_second(after, before);
                return Ok(());
            }
            if !self.is_place(before) || memory.read_any(next(before)) != block {
                return Err(Damaged);
            }
            if after != 0 {
                if !self.is_place(after) || memory.read_any_second(after) != block {
                    return Err(Damaged);
                }
                memory.write_second(after, before);
            }
            memory.write(next(before), after);
        }
        Ok(())
    }

    /// Makes the `size` bytes from `block` to `end` a free block and puts it first in its list.
    ///
    /// # Safety
    /// These bytes, each counted from the header before it, are the allocator's, in the region, and
    /// in no list; they are at least [`MIN_BLOCK`].
    #[inline(always)]
    unsafe fn insert(self, block: usize, end: usize, size: usize) {
        debug_assert!(size >= MIN_BLOCK && block.wrapping_add(size) == end);
        // What the region can hold has a list of its own while the fast paths are open.
        let bin = bin_of(size);
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
    /// [`Near::write_first`] comes next.
    #[inline(always)]
    unsafe fn before_inserting(self, bin: usize, block: usize) -> usize {
        let memory = self.0.memory;
        let first = self.0.first_of(bin);
        // SAFETY: a list's head leads to a block's place; only the header's damage, which is
        // exempt, changes that.
        unsafe {
            if first == 0 {
                self.0.mark_filled(bin);
            } else if memory.read_second(first) == bin {
                memory.write_second(first, block);
            } else {
                // The first block's links were written over. What they led to cannot be reached safely.
                return 0;
            }
        }
        first
    }

    /// Writes a free block that becomes the first of list `bin`, before `after`: its header and
    /// the footer before `end` are `word`.
    ///
    /// # Safety
    /// As for [`Near::insert`].
    #[inline(always)]
    unsafe fn write_first(self, bin: usize, block: usize, end: usize, word: usize, after: usize) {
        let memory = self.0.memory;
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

    /// Prepares for the part of a found block behind its first `need` bytes to take that block's
    /// place as the first of its list: makes the list's second block name it as the one before, and
    /// answers the second block's place. Nothing is changed if the links are not in order. Most
    /// allocations from a large free block leave it in the same list, and then need not touch the
    /// bitmap.
    ///
    /// # Safety
    /// [`Near::write_first`] comes next.
    #[inline(always)]
    unsafe fn before_replacing(self, found: Found, need: usize) -> Result<usize, Damaged> {
        let memory = self.0.memory;
        let old = found.block;
        // SAFETY: the found block's header was read: the links lie in the region. The block after
        // it is touched only if it is at a block's place.
        unsafe {
            if memory.read_second(old) != found.list {
                return Err(Damaged);
            }
            let after = memory.read(next(old));
            if after != 0 {
                if !self.is_place(after) || memory.read_any_second(after) != old {
                    return Err(Damaged);
                }
                memory.write_second(after, old.wrapping_add(need));
            }
            Ok(after)
        }
    }
}
