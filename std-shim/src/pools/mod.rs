//! Arenas of which a process has many, such as a pool for each device.
//!
//! ```text
//! mod         SharedPool: an arena, and the calling thread's local heap in it
//!   table     a thread's local heaps: an entry for each pool, given back when the thread ends
//!   registry  the live pools: their numbers, and which of them an address lies in
//!     granules    the map from addresses to numbers, read without a lock
//! ```
//!
//! An operation finds the thread's table by one thread-local word, and in the table, at the pool's
//! number, the local heap. The entry names the pool's id, which is never used again: what a
//! pool leaves in the tables of other threads when it goes has no meaning any more.
//!
//! While an operation uses a local heap, the table is marked as busy. A signal handler that interrupts
//! it finds the mark, and goes without a local heap, through the pool's lock; if that is what it
//! interrupted, the handler's request is refused, and a block that it frees is lost.

mod granules;
mod registry;
mod table;

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;

use allotment_core::{Damage, FaultHandler, Freed, GRANULE, LocalHeap};

use crate::arena::{Arena, ArenaError};
use crate::mapping::Mapping;
use registry::Number;
pub use registry::{Overlap, owner_of};

/// An arena that any thread may use, through a local heap of its own: without a lock as long as that
/// has what is asked for.
///
/// Dropping it ends the pool with all its blocks: the mapping goes, unless the memory is the
/// caller's.
#[derive(Debug)]
pub struct SharedPool {
    // Boxed, since the registry knows its address.
    arena: Box<Arena>,
    number: Number,
}

/// Why there is no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SharedPoolError {
    /// There is no arena.
    Arena(ArenaError),
    /// A live pool has some of the memory.
    Overlaps,
    /// There are 65 535 pools.
    TooMany,
}

impl fmt::Display for SharedPoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SharedPoolError::Arena(error) => write!(f, "{error}"),
            SharedPoolError::Overlaps => f.write_str("the memory overlaps that of a live pool"),
            SharedPoolError::TooMany => f.write_str("too many pools"),
        }
    }
}

impl core::error::Error for SharedPoolError {}

impl SharedPool {
    /// Makes a pool in a mapping. `owner` is what [`owner_of`] answers for the mapping's addresses,
    /// see [`SharedPool::set_owner`]. `on_fault` is told of misuse and damage.
    ///
    /// # Errors
    /// See [`SharedPoolError`]. The memory is not written to if it overlaps that of a live pool, and
    /// that is not [allowed](Overlap::Allow).
    pub fn new(
        mapping: Mapping,
        on_fault: FaultHandler,
        owner: *mut (),
        overlap: Overlap,
    ) -> Result<SharedPool, SharedPoolError> {
        let start = mapping.start().addr().get();
        let claim = registry::claim(start, mapping.capacity(), owner, overlap)?;
        let arena = Arena::new(mapping, on_fault).map_err(SharedPoolError::Arena)?;
        let arena = Box::new(arena);
        let number = claim.keep(&arena);
        Ok(SharedPool { arena, number })
    }

    /// The arena: its pool and mapping.
    #[inline(always)]
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Sets what [`owner_of`] answers for the pool's addresses.
    pub fn set_owner(&self, owner: *mut ()) {
        registry::set_owner(&self.number, owner);
    }

    /// Whether another live pool has some of this one's memory. Takes time proportional to the
    /// number of pools.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        registry::overlaps(&self.number)
    }

    /// Whether an address lies in the pool's mapping.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.arena.contains(address)
    }

    /// Allocates a block. `None` if there is no memory for it, and none that the pool could grow by, or
    /// if a signal handler asks that interrupted an operation with the pool's lock. `errno` is kept.
    #[inline(always)]
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() <= GRANULE
            && let Some(entered) = table::enter(&self.number)
            // SAFETY: the local heap is this thread's, and nothing else uses it while it is entered.
            && let Some(block) = unsafe { entered.local().take(layout.size()) }
        {
            return Some(block);
        }
        self.allocate_slowly(layout)
    }

    #[cold]
    #[inline(never)]
    fn allocate_slowly(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: `with_local` passes a local heap of this thread's that nothing else uses, or the
        // empty one.
        self.with_local(|local| unsafe { self.arena.allocate(local, layout) })?
    }

    /// As [`SharedPool::allocate`], filled with zeros.
    #[must_use]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: as above.
        self.with_local(|local| unsafe { self.arena.allocate_zeroed(local, layout) })?
    }

    /// Frees a block. Misuse and damage are reported, and nothing is done then.
    ///
    /// # Safety
    /// If it is a block of this pool, it is the caller's to free.
    #[inline(always)]
    pub unsafe fn free(&self, block: NonNull<u8>) {
        if let Some(entered) = table::enter(&self.number) {
            // SAFETY: as in `allocate`, and forwarded.
            match unsafe { entered.local().give(block.as_ptr()) } {
                Freed::Done => return,
                Freed::Unsettled(slab) => {
                    // SAFETY: as above.
                    unsafe {
                        if let Some(slab) = entered.local().settle_alone(slab) {
                            self.arena.pool().settle(entered.local(), slab);
                        }
                    }
                    return;
                }
                Freed::Refused => {}
            }
        }
        // SAFETY: forwarded.
        unsafe { self.free_slowly(block) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self, block: NonNull<u8>) {
        // SAFETY: as in `allocate_slowly`, and forwarded.
        self.with_local(|local| unsafe { self.arena.pool().free_in(local, block) });
    }

    /// Frees a block whose layout is known. A layout that cannot be the block's is reported.
    ///
    /// # Safety
    /// As for [`SharedPool::free`].
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.with_local(|local| {
            // SAFETY: as above.
            unsafe { self.arena.pool().deallocate_in(local, block, layout) }
        });
    }

    /// Changes the size of a block, as `realloc(3)` does. `None` if there is no memory for it; the
    /// block is as it was then. A smaller size is never refused for want of memory.
    ///
    /// # Safety
    /// The block is the caller's, and is given up if another one is returned.
    #[must_use]
    pub unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: as above.
        let resized = self.with_local(|local| unsafe { self.arena.resize(local, block, size) })?;
        if resized.is_none() && self.usable_size(block).is_some_and(|usable| size <= usable) {
            return Some(block);
        }
        resized
    }

    /// As [`SharedPool::resize`], for a block whose layout is known; keeps its alignment.
    ///
    /// # Safety
    /// As for [`SharedPool::resize`]; the layout is the block's.
    #[must_use]
    pub unsafe fn reallocate(
        &self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        self.with_local(|local| {
            // SAFETY: as above.
            unsafe { self.arena.reallocate(local, block, layout, size) }
        })?
    }

    /// The bytes that a block can hold, `None` if it is none, which is reported.
    #[must_use]
    pub fn usable_size(&self, block: NonNull<u8>) -> Option<usize> {
        if self.arena.is_interrupted() {
            return None;
        }
        self.arena.pool().usable_size(block)
    }

    /// Gives whole free pages back to the system, as far as the mapping can: those of free blocks, and
    /// of free objects of the calling thread's slabs and of slabs that ended threads left. Answers the
    /// number of bytes.
    ///
    /// Takes time proportional to the number of blocks and slabs, with the lock held.
    pub fn purge(&self) -> usize {
        // SAFETY: as in `allocate_slowly`.
        self.with_local(|local| unsafe { self.arena.purge(local) })
            .unwrap_or(0)
    }

    /// Sets the pool right in the child of a `fork(2)`.
    ///
    /// # Errors
    /// If a block's header is damaged.
    ///
    /// # Safety
    /// The caller is the only thread.
    pub unsafe fn recover_after_fork(&self) -> Result<(), Damage> {
        // SAFETY: the condition is the same.
        unsafe { registry::recover_after_fork() };
        let (local, interrupted) = table::after_fork(&self.number);
        // SAFETY: forwarded; the local heap is this thread's or the empty one.
        unsafe { self.arena.recover_after_fork(local, interrupted) }
    }

    /// In the child of a `fork(2)`: the pool is the parent's, whose memory the child shares or does not have. The
    /// calling thread's local heap is still the forking thread's: the end of the calling thread leaves it alone.
    ///
    /// # Safety
    /// The caller is the only thread, and nobody uses the pool from now on, but for dropping it.
    pub unsafe fn leave_to_parent(&self) {
        table::leave_after_fork(&self.number);
    }

    /// Calls `f` with the calling thread's local heap, which it gets if it has none; with the empty one
    /// if it may not have one, or not use it now. `None` if `f` would wait for itself.
    fn with_local<T>(&self, f: impl FnOnce(&LocalHeap) -> T) -> Option<T> {
        if let Some(entered) = table::enter(&self.number) {
            return Some(f(entered.local()));
        }
        if self.arena.is_interrupted() || self.arena.is_growth_interrupted() {
            return None;
        }
        if table::attach(&self.number, self.arena.pool())
            && let Some(entered) = table::enter(&self.number)
        {
            return Some(f(entered.local()));
        }
        Some(f(LocalHeap::EMPTY))
    }
}

impl Drop for SharedPool {
    fn drop(&mut self) {
        table::leave(&self.number);
        registry::release(&self.number);
    }
}

/// Opens the list of live pools in the child of a fork, if another thread of the parent was changing it. So does
/// [`SharedPool::recover_after_fork`]; this is for a child that may have no pool yet.
///
/// # Safety
/// The caller is the only thread.
pub unsafe fn recover_after_fork() {
    // SAFETY: the condition is the same.
    unsafe { registry::recover_after_fork() }
}

/// A word for an owner's address that is set later.
type Owner = AtomicPtr<()>;

#[cfg(test)]
mod tests;
