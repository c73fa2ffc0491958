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
#[cfg(feature = "lock")]
pub(crate) mod rebuild;
pub(crate) mod refusal;
pub(crate) mod regions;
pub(crate) mod resize;
pub(crate) mod walk;

use core::marker::PhantomData;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::fault::FaultKind;
use crate::region::{GRANULE, Memory, WORD};
use block::{MIN_BLOCK, PREV_FREE, SIZE_MASK, footer, header};
use control::Control;
use index::Found;
use refusal::Refusal;
use regions::{Bounds, Everywhere, Near, Scope};

/// A heap in memory: the offset-addressed words, and the operations on them.
///
/// Whoever holds one keeps two promises on which the `unsafe` blocks of this module rest: the
/// header that [`control::write_header`] wrote is still mapped, and one operation runs at a time.
#[derive(Clone, Copy)]
pub(crate) struct Tlsf<S = Everywhere> {
    pub(crate) memory: Memory,
    scope: PhantomData<S>,
}

/// A used block whose header was checked.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) block: usize,
    /// The decoded header: size and flags.
    pub(crate) decoded: usize,
    pub(crate) bounds: Bounds,
}

/// Where [`Tlsf::release`] met a neighbour that is damaged or out of scope.
#[derive(Clone, Copy)]
pub(crate) enum Stuck {
    /// Nothing was changed.
    AtNext,
    /// The next block was taken out of its list, or marked as following a free block.
    AtPrevious,
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
        let least = (payload + WORD + GRANULE - 1) & SIZE_MASK;
        self.size().wrapping_sub(least) <= MIN_BLOCK
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
        Tlsf {
            memory,
            scope: PhantomData,
        }
    }

    /// The same heap, for the fast paths.
    #[inline(always)]
    pub(crate) fn near(self) -> Tlsf<Near> {
        Tlsf {
            memory: self.memory,
            scope: PhantomData,
        }
    }
}

impl<S: Scope> Tlsf<S> {
    /// The same heap, with all its regions.
    #[inline(always)]
    pub(crate) fn thorough(self) -> Tlsf {
        Tlsf::new(self.memory)
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
    #[inline(always)]
    pub(crate) fn used(self, block: usize) -> Result<Used, Refusal> {
        let Some(bounds) = self.bounds_of(block) else {
            return Err(self.misuse(block));
        };
        // SAFETY: a region has a word before each place where a block may begin. It may be
        // misaligned, as `block` comes from outside.
        let decoded = unsafe { self.memory.read_any(header(block)) } ^ self.key();
        let used = Used {
            block,
            decoded,
            bounds,
        };
        if used.size() == 0 || used.size() > bounds.room(block) {
            return Err(self.misuse(block));
        }
        Ok(used)
    }

    #[inline(always)]
    fn misuse(self, block: usize) -> Refusal {
        if S::THOROUGH {
            self.thorough().classify(block)
        } else {
            Refusal::NoMemory
        }
    }

    /// Makes a used block free and joins it with its free neighbours. `following` is
    /// [`Used::following`].
    #[inline(always)]
    pub(crate) fn release(self, used: Used, following: usize) -> Result<(), Stuck> {
        let memory = self.memory;
        let mut block = used.block;
        let mut end = following;
        let size;
        // SAFETY: `used` was checked, so its header and the next one, which may be the end mark,
        // lie in the region, and so does the word before the own header. Free neighbours are
        // touched only after their words were found to agree with one another.
        unsafe {
            // Header and footer of a free block are the same word: minus its size.
            let word = memory.read_any(header(following));
            if block::is_free(word) {
                end = end.wrapping_sub(word);
                if word & !SIZE_MASK != 0
                    || !self.is_end(used.bounds, end)
                    || memory.read_any_foot(end) != word
                {
                    return Err(Stuck::AtNext);
                }
                self.unlink(following).map_err(|_| Stuck::AtNext)?;
            } else {
                memory.write(header(following), word | PREV_FREE);
            }
            if used.follows_free() {
                let word = memory.read(footer(block));
                let before = block.wrapping_add(word);
                let low = used.bounds.low;
                if word & !SIZE_MASK != 0
                    || before.wrapping_sub(low) >= block.wrapping_sub(low)
                    || memory.read(header(before)) != word
                    || self.unlink(before).is_err()
                {
                    return Err(Stuck::AtPrevious);
                }
                block = before;
            }
            size = end.wrapping_sub(block);
            self.insert_until(block, end, size);
            self.control().freed.set(block);
            // If the block before was free, the own header went out of use, but not before the
            // joined block's header covered it. It must not pass for a used one any more.
            compiler_fence(Ordering::Release);
            memory.write(header(used.block), block::free(size));
        }
        Ok(())
    }

    /// Hands out a block of at least `need` bytes, which is a block size.
    #[inline(always)]
    pub(crate) fn allocate(self, need: usize) -> Result<usize, Refusal> {
        let found = self.find(need)?;
        self.cut(found, need)
    }

    /// Makes a used block of `need` bytes at the start of a found one.
    #[inline(always)]
    fn cut(self, found: Found, need: usize) -> Result<usize, Refusal> {
        let Found { block, end, list } = found;
        // SAFETY: the found block was seen to end in the region.
        let foot = unsafe { self.memory.read_any_foot(end) };
        if foot.wrapping_add(found.size()) != 0 {
            return Err(Refusal::corrupt(block));
        }
        let rest = found.size() - need;
        if rest < MIN_BLOCK {
            self.take_out_checked(found)?;
            self.carve(block, found.size(), need, 0);
            return Ok(block);
        }
        let bin = self.list_for(rest);
        // SAFETY: the rest is the end of the found block, which is the first of its list or is
        // taken out of it.
        unsafe {
            let rest_at;
            let after = if list == Some(bin) {
                let after = self.before_replacing(found, bin, need)?;
                rest_at = class::opaque(block.wrapping_add(need));
                after
            } else {
                self.take_out_checked(found)?;
                rest_at = class::opaque(block.wrapping_add(need));
                self.before_inserting(bin, rest_at)
            };
            self.write_first(bin, rest_at, end, block::free(rest), after);
            compiler_fence(Ordering::Release);
            self.memory.write(header(block), self.used_word(need));
            self.count_allocation(rest_at, need);
        }
        Ok(block)
    }

    /// Finds a free block that `need` bytes at a multiple of `align` fit into.
    ///
    /// ```text
    ///     first block of list bin_of(need), if it fits as it lies
    ///     else any block of need + align + GRANULE bytes: fits wherever it lies
    ///     else one of a few blocks that fits as it lies: `find_aligned_by_luck`
    /// ```
    #[inline(always)]
    fn find_aligned(self, need: usize, align: usize) -> Result<Found, Refusal> {
        if !S::THOROUGH && need > self.control().listed.get() {
            return Err(Refusal::NoMemory);
        }
        let bin = self.list_for(need);
        let first = self.first_of(bin);
        if first != 0 {
            let size = self.claimed_size(first)?;
            if self.fits(first, size, need, align) {
                return Ok(Found {
                    block: first,
                    end: first.wrapping_add(size),
                    list: Some(bin),
                });
            }
        }
        self.find(need.checked_add(align + GRANULE).ok_or(Refusal::NoMemory)?)
    }

    /// The fast path of [`Tlsf::allocate_aligned`].
    #[inline(always)]
    pub(crate) fn allocate_aligned_near(self, need: usize, align: usize) -> Result<usize, Refusal> {
        let found = self.find_aligned(need, align)?;
        self.place(found, need, align)
    }

    #[inline(always)]
    fn fits(self, block: usize, size: usize, need: usize, align: usize) -> bool {
        size >= need && self.pad_for(block, align) <= size - need
    }

    /// Makes an aligned block of a found one, and files what is left before and behind it.
    #[inline(always)]
    fn place(self, found: Found, need: usize, align: usize) -> Result<usize, Refusal> {
        self.take_out(found)?;
        let pad = self.pad_for(found.block, align);
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
            unsafe { self.insert(found.block, pad) }
        }
        Ok(block)
    }

    /// Bytes to leave before an aligned block in a free block: none, or enough to be a block.
    #[inline(always)]
    fn pad_for(self, block: usize, align: usize) -> usize {
        let address = self.memory.address_of(block);
        let pad = address.wrapping_neg() & (align - 1);
        if pad == GRANULE { pad + align } else { pad }
    }

    /// Makes a block of `need` bytes at the start of `size` bytes that are in no list, and files
    /// the rest.
    #[inline(always)]
    fn carve(self, block: usize, size: usize, need: usize, code: usize) {
        let memory = self.memory;
        let rest = size - need;
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
        self.count_allocation(block.wrapping_add(taken), taken);
    }

    #[inline(always)]
    fn count_allocation(self, following: usize, taken: usize) {
        self.touched(following);
        let control = self.control();
        let used = control.used.get() + taken;
        control.used.set(used);
        if used > control.peak.get() {
            control.peak.set(used);
        }
        control.allocations.set(control.allocations.get() + 1);
    }

    /// To be called when a free block goes for good: what will be written in its place may look
    /// like it.
    #[inline(always)]
    pub(crate) fn forget_freed(self) {
        self.control().freed.set(0);
    }

    /// Notes that memory was written up to `following` and the two links of a block there.
    #[inline(always)]
    pub(crate) fn touched(self, following: usize) {
        let control = self.control();
        // Places in other regions are not below the end.
        if following > control.written.get() && (!S::THOROUGH || following <= control.end.get()) {
            control.written.set(following);
        }
    }

    /// Near the end of memory: some block that is not certain to fit may do so as it lies. Looks
    /// at the first blocks of the next lists, and at a few more of the request's own list.
    fn find_aligned_by_luck(self, need: usize, align: usize) -> Result<Found, Refusal> {
        if !S::THOROUGH && need > self.control().listed.get() {
            return Err(Refusal::NoMemory);
        }
        // What was freed last can be had again, whatever else is free.
        let freed = self.control().freed.get();
        if freed != 0 && self.is_listed(freed) {
            let size = self.free_size(freed);
            if self.fits(freed, size, need, align) {
                return Ok(Found {
                    block: freed,
                    end: freed.wrapping_add(size),
                    list: None,
                });
            }
        }
        let bin = self.list_for(need);
        let mut above = bin;
        for _ in 0..index::LOOK / 2 {
            let Some(list) = self.list_above(above) else {
                break;
            };
            let first = self.first_of(list);
            let size = self.claimed_size(first)?;
            if self.fits(first, size, need, align) {
                return Ok(Found {
                    block: first,
                    end: first.wrapping_add(size),
                    list: Some(list),
                });
            }
            above = list;
        }
        self.find_in_list(self.first_of(bin), |block, size| {
            self.fits(block, size, need, align)
        })
    }
}

impl Tlsf {
    /// Hands out a block of at least `need` bytes, which is a block size.
    #[inline(always)]
    pub(crate) fn allocate_anywhere(self, need: usize) -> Result<usize, Refusal> {
        self.near()
            .allocate(need)
            .or_else(|refusal| self.allocate_thoroughly(need, refusal))
    }

    /// Goes on where the fast path of [`Tlsf::allocate`] gave up.
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_thoroughly(
        self,
        need: usize,
        refusal: Refusal,
    ) -> Result<usize, Refusal> {
        let found = if self.searched_all(refusal) {
            self.find_in_list(self.first_of(self.list_for(need)), |_, size| size >= need)?
        } else {
            self.find(need)?
        };
        self.cut(found, need)
    }

    /// Whether a fast path that ended with this refusal saw all that it had to see.
    fn searched_all(self, refusal: Refusal) -> bool {
        refusal == Refusal::NoMemory && self.control().reach.get() != 0
    }

    /// Hands out a block of at least `need` bytes whose address is a multiple of `align`, a power
    /// of two larger than a granule.
    #[inline(always)]
    pub(crate) fn allocate_aligned(self, need: usize, align: usize) -> Result<usize, Refusal> {
        self.near()
            .allocate_aligned_near(need, align)
            .or_else(|refusal| self.allocate_aligned_thoroughly(need, align, refusal))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_aligned_thoroughly(
        self,
        need: usize,
        align: usize,
        refusal: Refusal,
    ) -> Result<usize, Refusal> {
        let found = if self.searched_all(refusal) {
            self.near().find_aligned_by_luck(need, align)?
        } else {
            match self.find_aligned(need, align) {
                Err(Refusal::NoMemory) => self.find_aligned_by_luck(need, align)?,
                found => found?,
            }
        };
        self.place(found, need, align)
    }

    /// Takes back a used block, which was given out for `payload` bytes if that is known.
    #[inline(always)]
    pub(crate) fn free(self, block: usize, payload: Option<usize>) -> Result<(), Refusal> {
        self.free_near(block, payload)
            .or_else(|(payload, stuck)| self.free_thoroughly(block, payload, stuck))
    }

    /// The fast path of [`Tlsf::free`]. If it gets stuck, [`Tlsf::free_thoroughly`] goes on. It is
    /// told the payload only where that was not looked at yet.
    #[inline(always)]
    pub(crate) fn free_near(
        self,
        block: usize,
        payload: Option<usize>,
    ) -> Result<(), (Option<usize>, Stuck)> {
        let near = self.near();
        let used = near.used(block).map_err(|_| (payload, Stuck::AtNext))?;
        if !used.served(payload) {
            return Err((payload, Stuck::AtNext));
        }
        let following = used.following();
        // Opaque, so that the size is taken from it anew at the end, and needs no register till then.
        let used = Used {
            decoded: class::opaque(used.decoded),
            ..used
        };
        near.release(used, following)
            .map_err(|stuck| (None, stuck))?;
        self.count_free(used.size());
        Ok(())
    }

    /// Takes back a block where the fast path got stuck.
    #[cold]
    #[inline(never)]
    pub(crate) fn free_thoroughly(
        self,
        block: usize,
        payload: Option<usize>,
        stuck: Stuck,
    ) -> Result<(), Refusal> {
        let used = self.used(block)?;
        if let Stuck::AtPrevious = stuck {
            self.undo_join(used);
        }
        if !used.served(payload) {
            return Err(Refusal::Fault(FaultKind::SizeMismatch, block));
        }
        self.release_or_undo(used)?;
        self.count_free(used.size());
        Ok(())
    }

    #[inline(always)]
    fn count_free(self, size: usize) {
        let control = self.control();
        control.used.set(control.used.get().wrapping_sub(size));
        control
            .deallocations
            .set(control.deallocations.get().wrapping_add(1));
    }

    /// [`Tlsf::release`], changing nothing if a neighbour is damaged.
    pub(crate) fn release_or_undo(self, used: Used) -> Result<(), Refusal> {
        self.release(used, used.following())
            .map_err(|stuck| match stuck {
                Stuck::AtNext => Refusal::corrupt(used.following()),
                Stuck::AtPrevious => {
                    self.undo_join(used);
                    Refusal::corrupt(used.block)
                }
            })
    }

    /// Takes back what [`Tlsf::release`] did about the next block before it was stuck at the one
    /// before.
    fn undo_join(self, used: Used) {
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
                bounds: self.first_bounds(),
            };
            if self.release_or_undo(block).is_err() {
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
