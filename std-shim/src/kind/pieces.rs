//! The free file space that was given back: taken out of the pool, so that nothing is put there without
//! its pages being had again first.

use core::alloc::Layout;
use core::ptr::NonNull;

use allotment_core::LeastFree;

use super::background::PER_SECOND;
use crate::arena::Arena;
use crate::os_error::OsError;

/// Large blocks go where memory was before rather than to new places. Parts of pieces are multiples of it.
pub(super) const LEAST: usize = 64 << 10;

/// Smaller pieces are not worth a system call. Slabs that a defragmentation has emptied are not.
const SMALLEST: usize = 16 << 10;

/// More is not given back, or taken back, by one system call.
const MOST: usize = 64 << 20;

/// So much is taken back at least, and so many times what is wanted, if the file system has it: what is left over
/// at the end of each part is too small for a block of that size.
const STEP: usize = 4 << 20;
const BLOCKS: usize = 64;

/// A block of the pool whose whole pages have no memory.
#[derive(Debug)]
struct Piece {
    block: NonNull<u8>,
    size: usize,
}

// SAFETY: a piece is a block that nobody else knows of.
unsafe impl Send for Piece {}

/// All pieces of a kind, and what is to become one.
#[derive(Debug)]
pub(super) struct Pieces {
    held: Vec<Piece>,
    bytes: usize,
    /// The free bytes of the last ten seconds.
    pub(super) least_free: LeastFree<{ 10 * PER_SECOND }>,
}

impl Pieces {
    pub(super) const fn new() -> Pieces {
        Pieces {
            held: Vec::new(),
            bytes: 0,
            least_free: LeastFree::new(),
        }
    }

    /// Bytes of pool that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many pieces there are.
    pub(super) fn count(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the largest one.
    pub(super) fn largest(&self) -> usize {
        self.held.iter().map(|piece| piece.size).max().unwrap_or(0)
    }

    /// Gives free blocks back, the largest first, until `most` bytes are given or what is left is
    /// small. Answers the bytes.
    pub(super) fn give_back(&mut self, arena: &Arena, most: usize) -> usize {
        let mut given = 0;
        let mut size = arena.pool().stats().largest_free.min(MOST);
        while size >= SMALLEST && given < most {
            let Ok(layout) = Layout::from_size_align(size.min(most - given).max(SMALLEST), 1)
            else {
                break;
            };
            // A piece that cannot be noted is not taken.
            if self.held.try_reserve(1).is_err() {
                break;
            }
            let Some(block) = arena.pool().allocate(layout) else {
                size /= 2;
                continue;
            };
            // It may be a little larger, which would be taken for a block in use.
            let size_got = arena.pool().usable_size(block);
            let piece = Piece {
                block,
                size: size_got.unwrap_or(layout.size()),
            };
            if !piece.release() {
                // SAFETY: allocated above, and nobody else knows it.
                unsafe { arena.pool().free(block) };
                break;
            }
            given += piece.size;
            self.bytes += piece.size;
            self.held.push(piece);
        }
        given
    }

    /// Takes memory back into the pool, from the latest pieces' ends: what `wanted` bytes need if it
    /// can be had. Answers whether there was any. The latest are the smallest: what lies between others' memory comes
    /// together before large pieces are cut.
    pub(super) fn take_back(&mut self, arena: &Arena, wanted: usize) -> bool {
        let mut step = wanted
            .saturating_add(LEAST)
            .saturating_mul(BLOCKS)
            .checked_next_multiple_of(LEAST)
            .unwrap_or(MOST)
            .clamp(STEP, MOST);
        while let Some(piece) = self.held.last_mut() {
            let part = piece.size.min(step);
            if piece.populate(part) {
                if part == piece.size {
                    self.bytes -= part;
                    let block = piece.block;
                    self.held.pop();
                    // SAFETY: the block was allocated by `give_back`, and nobody else knows it.
                    unsafe { arena.pool().free(block) };
                    return true;
                }
                let rest = piece.size - part;
                // SAFETY: as above; a smaller size is granted in place.
                let done = unsafe { arena.pool().resize_in_place(piece.block, rest) };
                let rest = arena.pool().usable_size(piece.block).unwrap_or(rest);
                self.bytes -= piece.size - rest;
                piece.size = rest;
                return done;
            }
            if step <= LEAST {
                return false;
            }
            step = (step / 2).max(LEAST);
        }
        false
    }

    /// In the child of a fork that came while another thread changed this: what is held stays so.
    pub(super) fn forget(&mut self) {
        core::mem::forget(core::mem::take(&mut self.held));
    }
}

impl Piece {
    /// The whole pages of the block.
    fn pages(&self) -> (*mut libc::c_void, usize) {
        // SAFETY: only asks.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let start = self.block.addr().get();
        let first = start.next_multiple_of(page);
        let end = (start + self.size) & !(page - 1);
        let address = self.block.as_ptr().wrapping_add(first - start);
        (address.cast(), end.saturating_sub(first))
    }

    /// Gives the pages back, if they can be had again without a fault.
    fn release(&self) -> bool {
        let (first, len) = self.pages();
        // SAFETY: the pages are inside a block that is ours; the kernel is asked whether it can do
        // what `populate` needs, and does it.
        let can = unsafe { libc::madvise(first, 1, libc::MADV_POPULATE_WRITE) } == 0;
        // SAFETY: as above; nobody needs what is in them.
        can && unsafe { libc::madvise(first, len, libc::MADV_REMOVE) } == 0
    }

    /// Has the pages of the last `part` bytes again, all or none of them, and that with the header of a block
    /// that begins there.
    fn populate(&self, part: usize) -> bool {
        let (first, len) = self.pages();
        // SAFETY: only asks.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let from = (self.block.addr().get() + self.size - part).saturating_sub(2 * page);
        let skipped = (from & !(page - 1)).saturating_sub(first.addr()).min(len);
        let (first, len) = (first.wrapping_byte_add(skipped), len - skipped);
        loop {
            // SAFETY: the pages are inside a block that is ours.
            let done = unsafe { libc::madvise(first, len, libc::MADV_POPULATE_WRITE) } == 0;
            match OsError::last() {
                _ if done => return true,
                OsError(libc::EINTR | libc::EAGAIN) => {}
                _ => {
                    // Some may have been had: the file system needs them more.
                    // SAFETY: as in `release`.
                    unsafe { libc::madvise(first, len, libc::MADV_REMOVE) };
                    return false;
                }
            }
        }
    }
}
