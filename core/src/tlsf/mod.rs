//! Two-level segregated fit over one or several regions: the lowest allocating layer.
//!
//! ```text
//! allocate(need):                          free(block):
//!     find a free block                        decode and check the header            1.
//!     take it out of its list                  next block free? take it out, join      2.
//!     split off what is left, if it can        block before free? take it out, join    3.
//!         be a block, and file that            file the joined block
//!     write the used header
//! ```
//!
//! 1. The header's decoding is its check: see [`block`].
//! 2. The sign of the next block's header word tells whether it is free.
//! 3. The flag in the own header tells whether there is a footer before it; footer and header of
//!    the block before must be equal.
//!
//! None of this loops over blocks, so each operation takes a bounded number of instructions for
//! any state of the heap; `docs/bounds.md` has the argument and the figures.
//!
//! Nothing here knows about locks, threads or what a caller wants done about a fault: operations
//! answer a [`Refusal`], having changed nothing.
//!
//! The chain of headers is in order after every single store: whoever finds the heap between two
//! instructions of an operation that will never go on can [`rebuild`](Tlsf::rebuild) the rest.

mod bits;
pub(crate) mod block;
pub(crate) mod class;
pub(crate) mod control;
pub(crate) mod index;
#[cfg(feature = "fast")]
pub(crate) mod near;
#[cfg(feature = "lock")]
pub(crate) mod rebuild;
pub(crate) mod refusal;
pub(crate) mod regions;
pub(crate) mod resize;
pub(crate) mod walk;

use core::sync::atomic::{Ordering, compiler_fence};

use crate::fault::FaultKind;
use crate::region::{GRANULE, Memory, WORD};
use block::{MIN_BLOCK, PREV_FREE, SIZE_MASK, footer, header};
use control::Control;
use refusal::Refusal;

/// A heap in memory: the offset-addressed words, and the operations on them.
///
/// Whoever holds one keeps two promises on which the `unsafe` blocks of this module rest: the
/// header that [`control::write_header`] wrote is still mapped, and one operation runs at a time.
#[derive(Clone, Copy)]
pub(crate) struct Tlsf {
    pub(crate) memory: Memory,
}

/// A used block whose header was checked.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) block: usize,
    /// The decoded header: size and flags.
    pub(crate) decoded: usize,
}

impl Used {
    #[inline(always)]
    pub(crate) fn size(self) -> usize {
        self.decoded & SIZE_MASK
    }

    /// Whether this can be the block that a request of `payload` bytes was served with: what is
    /// left after rounding is never enough for a block.
    #[inline(always)]
    pub(crate) fn served(self, payload: Option<usize>) -> bool {
        let Some(payload) = payload else { return true };
        // As sizes are multiples of a granule, this rounds by itself.
        (self.size() - WORD).wrapping_sub(payload) < MIN_BLOCK + GRANULE
    }

    /// Offset of the block that follows.
    #[inline(always)]
    pub(crate) fn following(self) -> usize {
        self.block.wrapping_add(self.size())
    }

    #[inline(always)]
    pub(crate) fn follows_free(self) -> bool {
        self.decoded & PREV_FREE != 0
    }
}

impl Tlsf {
    pub(crate) fn new(memory: Memory) -> Tlsf {
        Tlsf { memory }
    }

    /// The same heap, for the fast paths.
    #[cfg(feature = "fast")]
    #[inline(always)]
    pub(crate) fn near(self) -> near::Near {
        near::Near(self)
    }

    #[inline(always)]
    pub(crate) fn control<'a>(self) -> &'a Control {
        // SAFETY: the control words stand at the origin for as long as the heap exists (promise
        // of the holder); they are cells, so shared references may be written through.
        unsafe { &*self.memory.pointer(0).cast::<Control>() }
    }

    /// What makes this heap's used headers unlike ordinary data and other heaps' headers.
    #[inline(always)]
    pub(crate) fn key(self) -> usize {
        self.control().key.get()
    }

    /// The header of a used block whose predecessor is used. Flags may be or-ed to the result.
    #[inline(always)]
    pub(crate) fn used_word(self, size: usize) -> usize {
        self.key() ^ size
    }

    /// Checks that a used block begins at `block`.
    pub(crate) fn used(self, block: usize) -> Result<Used, Refusal> {
        let room = self.room(block);
        if room != 0 {
            // SAFETY: a region has a word before each place where a block may begin. It may be
            // misaligned, as `block` comes from outside.
            let decoded = unsafe { self.memory.read_any(header(block)) } ^ self.key();
            let used = Used { block, decoded };
            if used.size() != 0 && used.size() <= room {
                return Ok(used);
            }
        }
        Err(self.classify(block))
    }

    /// Hands out a block of at least `need` bytes, which is a block size, whose address is a multiple of `align`,
    /// a power of two.
    pub(crate) fn allocate(self, need: usize, align: usize) -> Result<usize, Refusal> {
        self.place(self.find(need, align), need, align)
    }

    /// Goes on where a fast path gave up.
    #[cfg(feature = "fast")]
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_on(
        self,
        need: usize,
        align: usize,
        missed: near::Missed,
    ) -> Result<usize, Refusal> {
        if missed == near::Missed::Exhausted && self.control().reach.get() != 0 {
            self.place(self.find_near_exhausted(need, align), need, align)
        } else {
            self.allocate(need, align)
        }
    }

    /// Makes an aligned block of a free one, and files what is left before and behind it. `found` is 0 if there is
    /// none.
    pub(crate) fn place(self, found: usize, need: usize, align: usize) -> Result<usize, Refusal> {
        if found == 0 {
            return Err(Refusal::NoMemory);
        }
        let memory = self.memory;
        let size = self.take_out(found);
        if size == 0 {
            return Err(Refusal::corrupt(found));
        }
        let pad = self.pad_for(found, align);
        let block = found.wrapping_add(pad);
        let mut taken = size - pad;
        let mut flags = block::align_code(align);
        // SAFETY: `size` bytes from the found block's header on are the allocator's and in no list; the
        // word after them is the next block's header or the end mark. `pad_for` leaves either none of them before the
        // aligned block, or enough for a block.
        unsafe {
            let rest = taken - need;
            if rest >= MIN_BLOCK {
                taken = need;
                self.insert(block.wrapping_add(need), rest);
                compiler_fence(Ordering::Release);
            } else {
                let word = header(found.wrapping_add(size));
                memory.write(word, memory.read(word) & !PREV_FREE);
            }
            if pad != 0 {
                flags |= PREV_FREE;
            }
            memory.write(header(block), self.used_word(taken) | flags);
            if pad != 0 {
                compiler_fence(Ordering::Release);
                self.insert(found, pad);
            }
        }
        self.touched(block.wrapping_add(taken));
        self.control().count_allocation(taken);
        Ok(block)
    }

    /// Bytes to leave before an aligned block in a free block: none, or enough to be a block.
    #[inline(always)]
    fn pad_for(self, block: usize, align: usize) -> usize {
        let address = self.memory.address_of(block);
        let pad = address.wrapping_neg() & (align - 1);
        if pad == GRANULE { pad + align } else { pad }
    }

    /// To be called when a free block goes for good: what will be written in its place may look
    /// like it.
    #[inline(always)]
    pub(crate) fn forget_freed(self) {
        self.control().freed.set(0);
    }

    /// Notes that memory was written up to `following` and the two links of a block there.
    pub(crate) fn touched(self, following: usize) {
        let control = self.control();
        // Places in other regions are not below the end.
        if following > control.written.get() && following <= control.end.get() {
            control.written.set(following);
        }
    }

    /// Takes back a used block, which was given out for `payload` bytes if that is known. Changes
    /// nothing if a neighbour is damaged.
    pub(crate) fn free(self, block: usize, payload: Option<usize>) -> Result<(), Refusal> {
        let used = self.used(block)?;
        if !used.served(payload) {
            return Err(Refusal::Fault(FaultKind::SizeMismatch, block));
        }
        self.release(used)?;
        self.control().count_free(used.size());
        Ok(())
    }

    /// Takes back a block where the fast path got stuck.
    #[cfg(feature = "fast")]
    #[cold]
    #[inline(never)]
    pub(crate) fn free_on(
        self,
        block: usize,
        payload: Option<usize>,
        stuck: near::StuckAt,
    ) -> Result<(), Refusal> {
        if stuck == near::StuckAt::Previous {
            self.undo_join(block);
        }
        self.free(block, payload)
    }

    /// Takes back what the fast path did about the next block before it was stuck at the one
    /// before.
    #[cfg(feature = "fast")]
    fn undo_join(self, block: usize) {
        let Ok(used) = self.used(block) else { return };
        let following = used.following();
        // SAFETY: the block was checked, so a header or the end mark lies behind it; if that is
        // free, it was just taken out of its list.
        unsafe {
            let word = self.memory.read(header(following));
            if block::is_free(word) {
                self.insert(following, block::free(word));
            } else {
                self.memory.write(header(following), word & !PREV_FREE);
            }
        }
    }

    /// Makes a used block free and joins it with its free neighbours. Changes nothing if one of
    /// them is damaged.
    pub(crate) fn release(self, used: Used) -> Result<(), Refusal> {
        let memory = self.memory;
        let following = used.following();
        let mut block = used.block;
        let mut size = used.size();
        // SAFETY: `used` was checked, so its header and the next one, which may be the end mark,
        // lie in the region, and so does the word before the own header. Free neighbours are
        // touched only after their words were found to agree with one another.
        unsafe {
            if used.follows_free() {
                let word = memory.read_any(footer(block));
                let before = block.wrapping_add(word);
                if self.free_size(before) != block::free(word) || self.take_out(before) == 0 {
                    return Err(Refusal::corrupt(block));
                }
                block = before;
                size = size.wrapping_sub(word);
            }
            let word = memory.read_any(header(following));
            if block::is_free(word) {
                if self.take_out(following) == 0 {
                    if used.follows_free() {
                        self.insert(block, used.block.wrapping_sub(block));
                    }
                    return Err(Refusal::corrupt(following));
                }
                size = size.wrapping_sub(word);
            } else {
                memory.write(header(following), word | PREV_FREE);
            }
            self.insert(block, size);
            self.control().freed.set(block);
            // If the block before was free, the own header went out of use, but not before the
            // joined block's header covered it. It must not pass for a used one any more.
            compiler_fence(Ordering::Release);
            memory.write(header(used.block), block::free(size));
        }
        Ok(())
    }

    /// Whether there is, or was before it was joined with another, a free block at `block`.
    fn was_free(self, block: usize) -> bool {
        // SAFETY: the caller found a block's place, which has a word before it.
        let word = unsafe { self.memory.read(header(block)) };
        let largest = self.control().block_bytes.get();
        block::is_free(word) && block::free(word) & !SIZE_MASK == 0 && block::free(word) <= largest
    }

    /// Says what is wrong with a pointer that [`Tlsf::used`] refuses.
    #[cold]
    #[inline(never)]
    fn classify(self, block: usize) -> Refusal {
        let kind = if !self.memory.address_of(block).is_multiple_of(GRANULE) {
            FaultKind::Misaligned
        } else if !self.is_place(block) {
            FaultKind::OutsideRegion
        } else if self.was_free(block) {
            FaultKind::AlreadyFree
        } else {
            FaultKind::NotABlock
        };
        Refusal::Fault(kind, block)
    }

    /// Makes the `additional` bytes behind the first region's end part of it. Answers how many
    /// bytes of blocks were won; bytes that do not suffice for a block are kept for next time.
    ///
    /// # Safety
    /// These bytes are exposed memory that nobody else uses, and they are zero if the heap was
    /// made over zeroed memory.
    pub(crate) unsafe fn extend(self, additional: usize) -> Option<usize> {
        let control = self.control();
        let end = control.end.get();
        let tail = control.tail.get().checked_add(additional)?;
        let region_bytes = control.region_bytes.get().checked_add(additional)?;
        if end.checked_add(tail)? > isize::MAX as usize
            || self.memory.address_of(end).checked_add(tail).is_none()
        {
            return None;
        }
        let won = tail & SIZE_MASK;
        let size = if won < MIN_BLOCK { 0 } else { won };
        // First what is true in any case, so that an extension that is cut off loses the new bytes
        // at worst.
        control.region_bytes.set(region_bytes);
        control.tail.set(tail - size);
        if size == 0 {
            return Some(0);
        }
        let new_end = end + size;
        let memory = self.memory;
        // SAFETY: the old end mark becomes the header of a used block over the new bytes, which is
        // then released like any other; the new end mark lies in its last word.
        unsafe {
            memory.write(header(new_end), self.key());
            compiler_fence(Ordering::Release);
            let flag = (memory.read(header(end)) ^ self.key()) & PREV_FREE;
            memory.write(header(end), self.used_word(size) | flag);
            compiler_fence(Ordering::Release);
            control.set_end(new_end);
            control.block_bytes.set(control.block_bytes.get() + size);
            let block = Used {
                block: end,
                decoded: size | flag,
            };
            if self.release(block).is_err() {
                // The last free block is damaged. The new bytes stay a used block.
                control.used.set(control.used.get() + size);
                control
                    .allocations
                    .set(control.allocations.get().wrapping_add(1));
            } else if flag != 0 && control.fresh() <= end {
                // The old footer and end mark now lie inside memory that counts as zero.
                memory.write(footer(end), 0);
                memory.write(header(end), 0);
            } else {
                self.touched(end);
            }
        }
        Some(size)
    }
}
