//! Moving small blocks together, so that whole pages become free.
//!
//! A new block of a size comes from the slab that the thread fills up at the moment. So a block that is moved
//! makes its own slab emptier and that one fuller. It helps as long as the slabs of a size have much room
//! between them; of other sizes no block is moved.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::body::Body;
use crate::arena::Arena;

/// Larger blocks are not moved: they leave room of their own size, which is of use as it is.
const LARGEST: usize = 16 << 10;

/// Blocks that are nearer than this are as good as together.
const NEAR: usize = 32 << 10;

/// Size classes are multiples of this.
const STEP: usize = 16;

const WORDS: usize = (LARGEST / STEP + 1).div_ceil(64);

/// After so many calls it is looked again which sizes have room.
const PERIOD: usize = 4096;

/// Slabs of which less than this part is used are worth emptying, in percent.
const SPARSE: usize = 90;

/// The sizes whose slabs have much room between them.
pub(super) struct SparseSizes {
    bits: [AtomicU64; WORDS],
    calls: AtomicUsize,
}

impl SparseSizes {
    pub(super) const fn new() -> SparseSizes {
        SparseSizes {
            bits: [const { AtomicU64::new(0) }; WORDS],
            calls: AtomicUsize::new(0),
        }
    }

    fn contains(&self, size: usize, arena: &Arena) -> bool {
        if self
            .calls
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(PERIOD)
        {
            self.look(arena);
        }
        let bit = size / STEP;
        self.bits[bit / 64].load(Ordering::Relaxed) >> (bit % 64) & 1 == 1
    }

    /// The size's slabs have no room that this thread could use: not before the next look.
    fn forget(&self, size: usize) {
        let bit = size / STEP;
        self.bits[bit / 64].fetch_and(!(1 << (bit % 64)), Ordering::Relaxed);
    }

    fn look(&self, arena: &Arena) {
        let mut bits = [0; WORDS];
        arena.pool().for_each_class(|class| {
            let is_sparse = class.used_objects * 100 < class.objects * SPARSE;
            if is_sparse && class.slabs > 1 && class.size <= LARGEST {
                let bit = class.size / STEP;
                bits[bit / 64] |= 1 << (bit % 64);
            }
        });
        for (word, bits) in self.bits.iter().zip(bits) {
            word.store(bits, Ordering::Relaxed);
        }
    }
}

/// See [`Kind::defrag_reallocate`](super::Kind::defrag_reallocate).
///
/// # Safety
/// As there.
pub(super) unsafe fn reallocate(body: &Body, block: NonNull<u8>) -> Option<NonNull<u8>> {
    let pool = body.pool()?;
    let size = pool.usable_size(block).filter(|&size| size <= LARGEST)?;
    let layout = Layout::from_size_align(size, 1).ok()?;
    if !body.sparse.contains(size, pool.arena()) {
        return None;
    }
    let Some(moved) = pool.allocate(layout) else {
        body.sparse.forget(size);
        return None;
    };
    if moved.addr().get().abs_diff(block.addr().get()) < NEAR {
        // SAFETY: allocated above.
        unsafe { pool.free(moved) };
        return None;
    }
    // SAFETY: both blocks hold `size` bytes and are apart; the old one is the caller's to give up.
    unsafe {
        moved.copy_from_nonoverlapping(block, size);
        pool.free(block);
    }
    Some(moved)
}
