//! A copy of a pool's memory that is private to a process: for the child of a fork, which would otherwise share
//! the memory with its parent.
//!
//! What is copied is what the pool has in use: its own words, blocks that are allocated, and of free blocks the
//! words at their ends. All the rest reads as zero, which is as good as what was there.

use core::ptr::{NonNull, null_mut, with_exposed_provenance, with_exposed_provenance_mut};

use allotment::meminfo;
use allotment::os_error::OsError;
use allotment::pools::SharedPool;
use allotment::source::page;
use allotment_core::BlockInfo;

use crate::place;
use crate::valgrind::Quiet;

const WORD: usize = size_of::<usize>();

/// What a free block has at its start: header and two links.
const FRONT: usize = 3 * WORD;

/// A copy, somewhere. It goes when it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    start: usize,
    len: usize,
    /// The pool was locked to make it, so in the copy the pool is locked, and in order.
    is_locked: bool,
}

impl PrivateCopy {
    /// Copies a pool that has all of `len` bytes at `start`, but for the first page, of which nobody needs
    /// anything. Operations with the pool's lock wait meanwhile, others may be in it or not.
    ///
    /// # Errors
    /// If the system has no addresses or memory for it: less than what is in use, as far as both are known. A system
    /// that runs out of memory would end a process.
    pub(crate) fn of(pool: &SharedPool, start: usize, len: usize) -> Result<PrivateCopy, OsError> {
        // Then a signal handler forks inside an operation, in the middle of which the blocks cannot be walked.
        let interrupted = pool.arena().is_interrupted();
        if !interrupted
            && let Some([available]) = meminfo::read(["MemAvailable"])
            && available < in_use(pool, len)
        {
            return Err(OsError(libc::ENOMEM));
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
        let found = unsafe { libc::mmap(null_mut(), len, access, flags, -1, 0) };
        if found == libc::MAP_FAILED {
            return Err(OsError::last());
        }
        let copy = PrivateCopy {
            start: found.expose_provenance(),
            len,
            is_locked: !interrupted,
        };
        let _quiet = Quiet::new();
        let pages = start + page::size()..start + len;
        let take = |from: usize, to: usize| {
            let (from, to) = (from.max(pages.start), to.min(pages.end));
            if from < to {
                // SAFETY: both are mapped, and apart.
                unsafe { copy_pages(from, copy.start + (from - start), to - from) };
            }
        };
        if interrupted {
            take(pages.start, pages.end);
            return Ok(copy);
        }
        let mut end = pages.start;
        pool.arena().pool().for_each_block(|block| {
            let BlockInfo {
                address,
                size,
                used,
                ..
            } = block;
            let header = address - WORD;
            // What comes before the first one.
            take(end, header);
            end = header + size;
            if used {
                take(header, end);
            } else {
                take(header, header + FRONT.min(size));
                take(end - WORD, end);
            }
            // The next header says whether this block is free; so does the mark behind the last one.
            take(end, end + WORD);
        });
        Ok(copy)
    }

    /// Whether the pool is in order in it, and locked for the copy's sake.
    pub(crate) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Moves it to the place of what it is a copy of.
    ///
    /// # Errors
    /// If the system refuses. Nothing may be mapped there then.
    ///
    /// # Safety
    /// Nobody needs what is mapped there.
    pub(crate) unsafe fn put(mut self, place: NonNull<u8>) -> Result<(), OsError> {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let from = with_exposed_provenance_mut(self.start);
        // SAFETY: the copy's pages are nobody else's; nobody needs those that they replace (condition).
        let moved = unsafe {
            libc::mremap(
                from,
                self.len,
                self.len,
                flags,
                place.as_ptr().cast::<core::ffi::c_void>(),
            )
        };
        if moved == libc::MAP_FAILED {
            return Err(OsError::last());
        }
        self.len = 0;
        Ok(())
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        place::release(self.start, self.len);
    }
}

/// Bytes of a pool of `len` bytes that are in no free block.
fn in_use(pool: &SharedPool, len: usize) -> usize {
    let stats = pool.arena().pool().stats();
    len.saturating_sub(stats.free_bytes - stats.slab_free_bytes)
}

/// Copies bytes to where all is zero, page by page: what is zero is left out, and takes no memory.
///
/// # Safety
/// So many bytes at both addresses are mapped, and apart. Others may write to the first ones meanwhile.
unsafe fn copy_pages(from: usize, to: usize, len: usize) {
    let mut done = 0;
    while done < len {
        let at = from + done;
        let step = (page::size() - at % page::size()).min(len - done);
        let source: *const u8 = with_exposed_provenance(at);
        let target: *mut u8 = with_exposed_provenance_mut(to + done);
        // SAFETY: forwarded; addresses here are multiples of words, and so is what lies between them.
        unsafe {
            let words: *const usize = source.cast();
            if (0..step / WORD).any(|word| words.add(word).read_volatile() != 0) {
                target.copy_from_nonoverlapping(source, step);
            }
        }
        done += step;
    }
}
