//! Growing and shrinking a block where it lies.

use core::sync::atomic::{Ordering, compiler_fence};

use super::block::{self, MIN_BLOCK, PREV_FREE, SIZE_MASK, footer, header};
use super::refusal::Refusal;
use super::{Tlsf, Used};

impl Tlsf {
    /// Makes a used block `need` bytes long without moving it. Answers whether that was possible.
    pub(crate) fn resize(self, used: Used, need: usize) -> Result<bool, Refusal> {
        let size = used.size();
        if need <= size {
            self.give_up_tail(used, need)?;
            return Ok(true);
        }
        let following = used.following();
        let next_size = self.free_after(used)?;
        let joined = size + next_size;
        if joined < need {
            return Ok(false);
        }
        if self.take_out(following) == 0 {
            return Err(Refusal::corrupt(following));
        }
        self.forget_freed();
        self.set_used(used.block, joined, need, used.decoded & !SIZE_MASK);
        self.count_growth(
            size,
            need.max(if joined - need < MIN_BLOCK {
                joined
            } else {
                need
            }),
        );
        Ok(true)
    }

    /// Size of the free block that follows a used one, 0 if that is used.
    fn free_after(self, used: Used) -> Result<usize, Refusal> {
        let following = used.following();
        // SAFETY: the word before the place after a checked block is a header or the end mark.
        let word = unsafe { self.memory.read_any(header(following)) };
        if !block::is_free(word) {
            return Ok(0);
        }
        match self.free_size(following) {
            0 => Err(Refusal::corrupt(following)),
            size => Ok(size),
        }
    }

    /// Writes a used block of `need` of `size` bytes that are in no list, and files the rest.
    fn set_used(self, block: usize, size: usize, need: usize, flags: usize) {
        let rest = size - need;
        let memory = self.memory;
        // SAFETY: the callers hold `size` bytes from the block's header on, in no list; the word
        // after them is the next header or the end mark.
        let end = unsafe {
            if rest >= MIN_BLOCK {
                let end = block.wrapping_add(need);
                self.insert(end, rest);
                compiler_fence(Ordering::Release);
                memory.write(header(block), self.used_word(need) | flags);
                end
            } else {
                let end = block.wrapping_add(size);
                memory.write(header(end), memory.read(header(end)) & !PREV_FREE);
                memory.write(header(block), self.used_word(size) | flags);
                end
            }
        };
        self.touched(end);
    }

    fn count_growth(self, from: usize, to: usize) {
        let control = self.control();
        control.count_used(control.used.get() + to - from);
    }

    /// Frees what a used block has beyond `need` bytes, if it is enough for a block.
    pub(crate) fn give_up_tail(self, used: Used, need: usize) -> Result<(), Refusal> {
        let size = used.size();
        let rest = size - need;
        if rest < MIN_BLOCK {
            return Ok(());
        }
        let tail = used.block.wrapping_add(need);
        // The tail becomes a used block of its own, and is released like any other.
        // SAFETY: the tail's header lies inside the block, which is at least `MIN_BLOCK` longer.
        let payload_word = unsafe {
            let word = self.memory.read(header(tail));
            self.memory.write(header(tail), self.used_word(rest));
            compiler_fence(Ordering::Release);
            self.memory
                .write(header(used.block), self.used_word(used.decoded - rest));
            word
        };
        if let Err(refusal) = self.release(Used {
            block: tail,
            decoded: rest,
        }) {
            // SAFETY: as above; the header and the payload get their old values back.
            unsafe {
                self.memory
                    .write(header(used.block), self.used_word(used.decoded));
                self.memory.write(header(tail), payload_word);
            }
            return Err(refusal);
        }
        let control = self.control();
        control.used.set(control.used.get().wrapping_sub(rest));
        Ok(())
    }

    /// Joins a used block with the free block before it, and the one after if that is needed, so
    /// that `need` bytes fit at an address that is a multiple of `align`. Answers the joined
    /// block, whose payload the caller then has to move down, or `None` if it is not possible.
    pub(crate) fn join_back(
        self,
        used: Used,
        need: usize,
        align: usize,
    ) -> Result<Option<usize>, Refusal> {
        if !used.follows_free() {
            return Ok(None);
        }
        let memory = self.memory;
        // SAFETY: the flag says that a footer lies before the checked block's header; what it
        // says is compared with the bounds and with the header there before anything is changed.
        let word = unsafe { memory.read(footer(used.block)) };
        let before = used.block.wrapping_add(word);
        if !block::is_free(word) || self.free_size(before) != block::free(word) {
            return Err(Refusal::corrupt(used.block));
        }
        if memory.address_of(before) & (align - 1) != 0 {
            return Ok(None);
        }
        let mut size = used.size().wrapping_add(block::free(word));
        let next_size = self.free_after(used)?;
        let with_next = size < need;
        if with_next {
            let joined = size + next_size;
            if joined < need {
                return Ok(None);
            }
            if self.take_out(used.following()) == 0 {
                return Err(Refusal::corrupt(used.following()));
            }
            size = joined;
        }
        if self.take_out(before) == 0 {
            if with_next {
                // SAFETY: this very block was taken out of its list just before.
                unsafe { self.insert(used.following(), next_size) }
            }
            return Err(Refusal::corrupt(before));
        }
        self.forget_freed();
        // SAFETY: the joined block covers the block before, the own block and perhaps the next
        // one; their headers are inside it now. The old header must not pass for one any more.
        unsafe {
            let end = before.wrapping_add(size);
            if with_next {
                memory.write(header(end), memory.read(header(end)) & !PREV_FREE);
            }
            let code = used.decoded & !SIZE_MASK & !PREV_FREE;
            memory.write(header(before), self.used_word(size) | code);
            compiler_fence(Ordering::Release);
            memory.write(header(used.block), block::free(used.size()));
            self.touched(end);
        }
        // The caller gives the rest back at once: that it was in use does not count as a peak.
        let control = self.control();
        let kept = if size - need < MIN_BLOCK { size } else { need };
        let peak = control.used.get() - used.size() + kept;
        control.peak.set(control.peak.get().max(peak));
        control.used.set(control.used.get() - used.size() + size);
        Ok(Some(before))
    }
}
