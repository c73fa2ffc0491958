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

pub(crate) mod block;
pub(crate) mod class;
pub(crate) mod control;
pub(crate) mod index;
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
use index::Found;
use refusal::Refusal;
use regions::Bounds;

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
    pub(crate) bounds: Bounds,
}

impl Used {
    #[inline(always)]
    pub(crate) fn size(self) -> usize {
        self.decoded & SIZE_MASK
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
    #[inline(always)]
    pub(crate) fn used(self, block: usize) -> Result<Used, Refusal> {
        let first = self.first_bounds();
        let bounds = if first.hold(block) {
            first
        } else {
            match self.bounds_of(block) {
                Some(bounds) => bounds,
                None => return Err(self.classify(block)),
            }
        };
        // SAFETY: a region has a word before each place where a block may begin. It may be
        // misaligned, as `block` comes from outside.
        let decoded = unsafe { self.memory.read_any(header(block)) } ^ self.key();
        let used = Used { block, decoded, bounds };
        if used.size() > bounds.room(block) {
            return Err(self.classify(block));
        }
        Ok(used)
    }

    /// Says what is wrong with a pointer that [`Tlsf::used`] refuses.
    #[cold]
    #[inline(never)]
    fn classify(self, block: usize) -> Refusal {
        let kind = if self.memory.address_of(block) % GRANULE != 0 {
            FaultKind::Misaligned
        } else if !self.is_place(block) {
            FaultKind::OutsideRegion
        } else if self.free_size(block) >= GRANULE {
            FaultKind::AlreadyFree
        } else {
            FaultKind::NotABlock
        };
        Refusal::Fault(kind, block)
    }

    /// Takes back a used block.
    #[inline(always)]
    pub(crate) fn free(self, block: usize) -> Result<(), Refusal> {
        self.free_checked(self.used(block)?)
    }

    /// Takes back a used block that was checked.
    #[inline(always)]
    pub(crate) fn free_checked(self, used: Used) -> Result<(), Refusal> {
        self.release(used)?;
        let control = self.control();
        control.used.set(control.used.get().wrapping_sub(used.size()));
        control.deallocations.set(control.deallocations.get() + 1);
        Ok(())
    }

    /// Makes a used block free and joins it with its free neighbours.
    #[inline(always)]
    pub(crate) fn release(self, used: Used) -> Result<(), Refusal> {
        let memory = self.memory;
        let mut block = used.block;
        let mut size = used.size();
        let following = used.following();
        // SAFETY: `used` was checked, so its header and the next one, which may be the end mark,
        // lie in the region, and so does the word before the own header. Free neighbours are
        // touched only after their words were found to agree with one another.
        unsafe {
            let word = memory.read_any(header(following));
            if block::is_free(word) {
                let joined = size.wrapping_add(block::free(word));
                if joined > used.bounds.room(block) {
                    return Err(Refusal::corrupt(following));
                }
                self.unlink(following)?;
                size = joined;
            }
            if used.follows_free() {
                // Header and footer of a free block are the same word: minus its size.
                let word_before = memory.read(footer(block));
                let before = block.wrapping_add(word_before);
                let distance = block.wrapping_sub(used.bounds.low);
                if before.wrapping_sub(used.bounds.low) >= distance
                    || memory.read_any(header(before)) != word_before
                    || self.unlink(before).is_err()
                {
                    return Err(self.undo_join(used, word, block));
                }
                // The own header goes out of use, but stays a link of the chain until the joined
                // block's header covers it.
                memory.write(header(block), block::free(size));
                compiler_fence(Ordering::Release);
                size = size.wrapping_sub(word_before);
                block = before;
            }
            if !block::is_free(word) {
                memory.write(header(following), word | PREV_FREE);
            }
            self.insert(block, size);
        }
        Ok(())
    }

    /// Puts the next block back into a list when the block before turns out to be damaged.
    #[cold]
    #[inline(never)]
    fn undo_join(self, used: Used, next_word: usize, block: usize) -> Refusal {
        if block::is_free(next_word) {
            // SAFETY: this very block was taken out of its list just before.
            unsafe { self.insert(used.following(), block::free(next_word)) }
        }
        Refusal::corrupt(block)
    }

    /// Hands out a block of at least `need` bytes, which is a block size.
    #[inline(always)]
    pub(crate) fn allocate(self, need: usize) -> Result<usize, Refusal> {
        let found = self.find(need)?;
        self.take_out(found)?;
        self.carve(found.block, found.size, need, 0);
        Ok(found.block)
    }

    /// Hands out a block of at least `need` bytes whose address is a multiple of `align`, a power
    /// of two larger than a granule.
    ///
    /// ```text
    ///     first block of list bin_of(need), if it fits as it lies
    ///     else any block of need + align + GRANULE bytes: fits wherever it lies
    ///     else the first of LOOK blocks that fits, from a few lists up from bin_of(need)
    /// ```
    #[inline(never)]
    pub(crate) fn allocate_aligned(self, need: usize, align: usize) -> Result<usize, Refusal> {
        let fits = |block: usize, size: usize| {
            size >= need && self.pad_for(block, align) <= size - need
        };
        let found = self.find_aligned(need, align, fits)?;
        self.take_out(found)?;
        let pad = self.pad_for(found.block, align);
        let block = found.block.wrapping_add(pad);
        self.carve(block, found.size - pad, need, block::align_code(align));
        if pad != 0 {
            // SAFETY: the bytes before the aligned block were part of the block that was taken
            // out; `pad_for` leaves either none or enough for a block.
            unsafe {
                let word = header(block);
                self.memory.write(word, self.memory.read(word) | PREV_FREE);
                compiler_fence(Ordering::Release);
                self.insert(found.block, pad);
            }
        }
        Ok(block)
    }

    /// Bytes to leave before an aligned block in a free block: none, or enough to be a block.
    #[inline(always)]
    fn pad_for(self, block: usize, align: usize) -> usize {
        let address = self.memory.address_of(block);
        let pad = address.wrapping_neg() & (align - 1);
        if pad != 0 && pad < MIN_BLOCK { pad + align } else { pad }
    }

    #[inline(always)]
    fn find_aligned(
        self,
        need: usize,
        align: usize,
        fits: impl Fn(usize, usize) -> bool + Copy,
    ) -> Result<Found, Refusal> {
        let bin = self.list_for(need);
        let first = self.first_of(bin);
        if first != 0 {
            let size = self.free_size(first);
            if size == 0 {
                return Err(Refusal::corrupt(first));
            }
            if fits(first, size) {
                return Ok(Found { block: first, size });
            }
        }
        if let Some(room) = need.checked_add(align + GRANULE) {
            match self.find(room) {
                Err(Refusal::NoMemory) => {}
                found => return found,
            }
        }
        self.find_aligned_by_luck(bin, fits)
    }

    /// Near the end of memory: some block that is not certain to fit may do so as it lies.
    #[cold]
    #[inline(never)]
    fn find_aligned_by_luck(
        self,
        bin: usize,
        fits: impl Fn(usize, usize) -> bool + Copy,
    ) -> Result<Found, Refusal> {
        let mut bin = Some(bin);
        for _ in 0..index::LOOK {
            let Some(list) = bin else { break };
            match self.find_in_list(self.first_of(list), fits) {
                Err(Refusal::NoMemory) => bin = self.list_above(list),
                found => return found,
            }
        }
        Err(Refusal::NoMemory)
    }

    /// Takes a found block out of its list and checks what follows it.
    #[inline(always)]
    fn take_out(self, found: Found) -> Result<(), Refusal> {
        // SAFETY: `find` read the block's header and found its end in the region.
        let word = unsafe { self.memory.read_any(footer(found.block.wrapping_add(found.size))) };
        if word != block::free(found.size) {
            return Err(Refusal::corrupt(found.block));
        }
        self.unlink(found.block)
    }

    /// Makes a block of `need` bytes at the start of `size` bytes that are in no list, and files
    /// the rest.
    #[inline(always)]
    fn carve(self, block: usize, size: usize, need: usize, code: usize) {
        let memory = self.memory;
        let rest = size - need;
        let control = self.control();
        // SAFETY: `size` bytes from the block's header on are the allocator's and in no list; the
        // word after them is the next block's header or the end mark.
        let taken = unsafe {
            if rest >= MIN_BLOCK {
                self.insert(block.wrapping_add(need), rest);
                compiler_fence(Ordering::Release);
                memory.write(header(block), self.used_word(need) | code);
                need
            } else {
                let word = header(block.wrapping_add(size));
                memory.write(word, memory.read(word) & !PREV_FREE);
                memory.write(header(block), self.used_word(size) | code);
                size
            }
        };
        self.touched(block.wrapping_add(taken));
        let used = control.used.get() + taken;
        control.used.set(used);
        if used > control.peak.get() {
            control.peak.set(used);
        }
        control.allocations.set(control.allocations.get() + 1);
    }

    /// Notes that memory was written up to `following` and the two links of a block there.
    #[inline(always)]
    pub(crate) fn touched(self, following: usize) {
        let control = self.control();
        let written = following.wrapping_add(2 * WORD);
        if written > control.fresh.get() && following <= control.end.get() {
            control.fresh.set(written);
        }
    }

    /// The usable bytes of a used block.
    pub(crate) fn usable(self, block: usize) -> Result<usize, Refusal> {
        Ok(self.used(block)?.size() - WORD)
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
        let mut size = tail & SIZE_MASK;
        if size < MIN_BLOCK {
            size = 0;
        } else {
            let new_end = end + size;
            let memory = self.memory;
            // SAFETY: the old end mark becomes the header of a used block over the new bytes,
            // which is then released like any other; the new end mark lies in its last word.
            unsafe {
                memory.write(header(new_end), self.key());
                compiler_fence(Ordering::Release);
                let mark = memory.read(header(end)) ^ self.key();
                memory.write(header(end), self.used_word(size) | mark & PREV_FREE);
                control.end.set(new_end);
                let bounds = self.first_bounds();
                let block = Used { block: end, decoded: size | mark & PREV_FREE, bounds };
                if self.release(block).is_err() {
                    // The last free block is damaged. The new bytes stay a used block.
                    control.used.set(control.used.get() + size);
                } else if mark & PREV_FREE != 0 && control.fresh.get() <= end {
                    // The old footer and end mark now lie inside memory that counts as zero.
                    memory.write(footer(end), 0);
                    memory.write(header(end), 0);
                } else {
                    self.touched(end);
                }
            }
        }
        control.block_bytes.set(control.block_bytes.get() + size);
        control.tail.set(tail - size);
        control.region_bytes.set(region_bytes);
        Some(size)
    }
}
