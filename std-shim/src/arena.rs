//! An arena: a mapping, the pool in it, and how the pool grows over the mapping.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

use allotment_core::lock_api::RawMutex;
use allotment_core::{CreateError, Damage, FaultHandler, LocalHeap, Options, Pool};

use crate::lock::FutexMutex;
use crate::mapping::{CopyPlace, MapError, Mapping, Snapshot};
use crate::os_error::{KeepErrno, OsError};
use crate::thread::{self, Binding};

/// What a pool that grows begins with. Small, since every process of a shell script pays for it.
const FIRST_STEP: usize = 1 << 20;

/// A growing pool doubles, but not by more than this at once.
const LARGEST_STEP: usize = 256 << 20;

/// What a request needs beyond its size and alignment, generously: header, rounding, list width.
const SLACK: usize = 64 << 10;

/// The words of a free block that the pool needs: header and two links in front, two at the end.
const KEPT_WORDS: usize = 3;

/// A pool and the mapping that it lies in. The pool takes more of the mapping when it has no room
/// left, until all is committed.
///
/// Dropping it unmaps the pool, with all blocks.
#[derive(Debug)]
pub struct Arena {
    pool: Pool<'static, FutexMutex>,
    mapping: UnsafeCell<Mapping>,
    /// Held while the pool grows. The pool's own lock is taken inside it, never the other way.
    growth: FutexMutex,
}

// SAFETY: the mapping is changed only when nobody else uses the arena; the rest may be shared.
unsafe impl Sync for Arena {}

/// Why there is no arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArenaError {
    /// There is no mapping.
    Map(MapError),
    /// The mapping has no memory to begin with.
    Commit(OsError),
    /// The mapping cannot hold a pool.
    Create(CreateError),
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArenaError::Map(error) => write!(f, "{error}"),
            ArenaError::Commit(error) => write!(f, "cannot get the pool's first memory: {error}"),
            ArenaError::Create(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ArenaError {}

impl Arena {
    /// Makes a pool in a mapping. `on_fault` is told of misuse and damage, with none of the arena's
    /// locks held.
    ///
    /// # Errors
    /// If the mapping's first memory cannot be had (see [`Mapping::commit`]), or cannot hold a pool.
    pub fn new(mapping: Mapping, on_fault: FaultHandler) -> Result<Arena, ArenaError> {
        let first = FIRST_STEP.min(mapping.capacity());
        mapping.commit(first).map_err(ArenaError::Commit)?;
        let options = Options {
            zeroed: mapping.is_zeroed(),
            capacity: mapping.capacity(),
            on_fault,
        };
        // SAFETY: the committed part is mapped, zero if the mapping says so, and used by nobody else;
        // the arena keeps the mapping as long as the pool.
        let pool =
            unsafe { Pool::create_in_raw(mapping.start().as_ptr(), mapping.committed(), options) }
                .map_err(ArenaError::Create)?;
        let mapping = UnsafeCell::new(mapping);
        Ok(Arena {
            pool,
            mapping,
            growth: FutexMutex::new(),
        })
    }

    /// The pool.
    #[inline(always)]
    #[must_use]
    pub fn pool(&self) -> &Pool<'static, FutexMutex> {
        &self.pool
    }

    /// What the pool lies in.
    #[inline(always)]
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        // SAFETY: changed only by `detach_from_parent`, when nobody else is there.
        unsafe { &*self.mapping.get() }
    }

    /// See [`Mapping::detach_from_parent`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there, and no reference to the mapping is in use.
    pub unsafe fn detach_from_parent(&self, used: usize, place: CopyPlace) -> Result<(), MapError> {
        // SAFETY: exclusive by condition.
        unsafe { (*self.mapping.get()).detach_from_parent(used, place) }
    }

    /// See [`Mapping::put`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there, and no reference to the mapping is in use.
    pub unsafe fn put(&self, snapshot: Snapshot) -> Result<(), MapError> {
        // SAFETY: exclusive by condition.
        unsafe { (*self.mapping.get()).put(snapshot) }
    }

    /// Whether the calling thread holds the pool's lock. Then a signal handler interrupted it inside
    /// an operation, or it is forking.
    #[inline(always)]
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.pool.lock_raw().is_owned()
    }

    /// Whether an operation of the calling thread would wait for nothing but other operations: it
    /// interrupts none of its own, and no thread is forking.
    #[inline(always)]
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.pool.lock_raw().is_available()
    }

    /// Whether a signal handler interrupted the calling thread while it made the pool grow.
    #[must_use]
    pub fn is_growth_interrupted(&self) -> bool {
        self.growth.is_owned()
    }

    /// Readable bytes from an address of the arena on.
    #[must_use]
    pub fn committed_from(&self, address: usize) -> usize {
        let end = self.mapping().start().addr().get() + self.mapping().committed();
        end.saturating_sub(address)
    }

    /// Whether an address lies in the mapping.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.mapping().contains(address)
    }

    /// Allocates a block, for a thread that is bound to `local`. `None` if there is no memory for it,
    /// and none that the pool could grow by. `errno` is kept.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn allocate(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            match self.pool.allocate_in(local, layout) {
                None => self
                    .grow_until(layout, || self.pool.allocate_in(local, layout))
                    .or_else(|| self.pool.allocate_at_last(local, layout)),
                some => some,
            }
        }
    }

    /// Allocates a block of zeros, for a thread that is bound to `local`. See [`Arena::allocate`].
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn allocate_zeroed(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; what is zeroed was just allocated with this size.
        unsafe {
            match self.pool.allocate_zeroed_in(local, layout) {
                None => self
                    .grow_until(layout, || self.pool.allocate_zeroed_in(local, layout))
                    .or_else(|| {
                        let block = self.pool.allocate_at_last(local, layout)?;
                        block.write_bytes(0, layout.size());
                        Some(block)
                    }),
                some => some,
            }
        }
    }

    /// Changes the size of a block, for a thread that is bound to `local`. `None` if there is no memory
    /// for it; the block is as it was then. `errno` is kept.
    ///
    /// # Safety
    /// As for [`Pool::resize_in`].
    #[inline(always)]
    pub unsafe fn resize(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; a refused attempt leaves the block as it was.
        match unsafe { self.pool.resize_in(local, block, size) } {
            None => {
                let layout = Layout::from_size_align(size, 1).ok()?;
                // SAFETY: as above.
                self.grow_until(layout, || unsafe {
                    self.pool.resize_in(local, block, size)
                })
            }
            some => some,
        }
    }

    /// As [`Arena::resize`], for a block whose layout is known.
    ///
    /// # Safety
    /// As for [`Pool::reallocate_in`].
    pub unsafe fn reallocate(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; a refused attempt leaves the block as it was, so that it can be moved
        // by hand in the end: both blocks hold what is copied, and are apart.
        unsafe {
            if let Some(resized) = self.pool.reallocate_in(local, block, layout, size) {
                return Some(resized);
            }
            let wanted = Layout::from_size_align(size, layout.align()).ok()?;
            let attempt = || self.pool.reallocate_in(local, block, layout, size);
            self.grow_until(wanted, attempt).or_else(|| {
                let moved = self.pool.allocate_at_last(local, wanted)?;
                moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.pool.deallocate_in(local, block, layout);
                Some(moved)
            })
        }
    }

    /// Gives whole free pages back to the system, see [`Mapping::release`]: those of free blocks, and
    /// of free objects in slabs of `local` and of idle local heaps. Answers the number of bytes.
    /// `errno` is kept.
    ///
    /// Takes time proportional to the number of blocks and slabs, with the pool locked.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub unsafe fn purge(&self, local: &LocalHeap) -> usize {
        let _errno = KeepErrno::new();
        let kept = KEPT_WORDS * size_of::<usize>();
        let mut released = 0;
        // SAFETY: forwarded; objects that are free hold nothing that anybody needs.
        unsafe {
            self.pool.trim(local);
            self.pool.for_each_free_run(local, |address, len| {
                released += self.mapping().release(address, len);
            });
        }
        self.pool.for_each_block(|block| {
            if !block.used && block.size > 2 * kept {
                let (address, len) = (block.address + kept, block.size - 2 * kept);
                // SAFETY: the pool is locked and the block free; links and footer are left out.
                released += unsafe { self.mapping().release(address, len) };
            }
        });
        released
    }

    /// Grows the pool until `attempt` succeeds or it can grow no more.
    #[cold]
    #[inline(never)]
    fn grow_until(
        &self,
        layout: Layout,
        mut attempt: impl FnMut() -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        if self.mapping().committed() == self.mapping().capacity() || self.growth.is_owned() {
            return None;
        }
        let _errno = KeepErrno::new();
        self.growth.lock();
        // Another thread may have made the pool grow meanwhile.
        let result = loop {
            match attempt() {
                None if self.grow(layout) => {}
                result => break result,
            }
        };
        // SAFETY: locked above.
        unsafe { self.growth.unlock() };
        result
    }

    /// Takes more of the mapping into the pool, enough for the request if that is possible. Answers
    /// whether the pool has grown.
    fn grow(&self, layout: Layout) -> bool {
        let committed = self.mapping().committed();
        let left = self.mapping().capacity() - committed;
        let Some(need) = layout
            .size()
            .checked_add(layout.align())
            .and_then(|n| n.checked_add(SLACK))
        else {
            return false;
        };
        // The last free block counts, too, since it will be joined with what comes.
        if left == 0 || need - SLACK > left.saturating_add(self.pool.stats().largest_free) {
            return false;
        }
        let mut step = committed.min(LARGEST_STEP).max(need).min(left);
        let mut done = self.mapping().commit(committed + step).is_ok();
        // On a nearly full disk, what is left of it.
        while !done && step > need {
            step = (step / 2).max(need);
            done = self.mapping().commit(committed + step).is_ok();
        }
        // SAFETY: the bytes right behind the region were committed just now, and read as zero.
        done && unsafe { self.pool.extend(self.mapping().committed() - committed) }.is_ok()
    }

    /// The calling thread's local heap, which it gets from this arena if it has none; the empty one
    /// if it may not use its own, or cannot get one. `on_exit` is called at the thread's end, to
    /// [give the local heap up](Pool::detach); see [`thread::bind`].
    ///
    /// # Safety
    /// The arena lives as long as the process, and is the only one for which this is called there.
    /// `on_exit` is always the same, and may be called with local heaps of this arena.
    pub unsafe fn local_heap(&self, on_exit: unsafe fn(NonNull<LocalHeap>)) -> &'static LocalHeap {
        match thread::binding() {
            // SAFETY: local heaps live as long as their arena, which is for ever.
            Binding::Bound(local) => unsafe { local.as_ref() },
            // SAFETY: forwarded; the thread is unbound.
            Binding::Unbound => unsafe { self.attach(on_exit) },
            Binding::Suspended | Binding::Ended => LocalHeap::EMPTY,
        }
    }

    /// # Safety
    /// As for [`Arena::local_heap`], and the thread is unbound.
    #[cold]
    #[inline(never)]
    unsafe fn attach(&self, on_exit: unsafe fn(NonNull<LocalHeap>)) -> &'static LocalHeap {
        let Some(local) = self.pool.attach() else {
            return LocalHeap::EMPTY;
        };
        // SAFETY: the local heap is new or was given up, and lives for ever; the rest is forwarded.
        unsafe {
            if thread::bind(local, on_exit).is_err() {
                self.pool.detach(local);
                return LocalHeap::EMPTY;
            }
            local.as_ref()
        }
    }

    /// In the child of a fork: puts locks right whose owners are gone, and makes their local heaps
    /// idle. See [`Pool::recover_after_fork`] for `local` and `interrupted`.
    ///
    /// # Errors
    /// If a block's header is damaged.
    ///
    /// # Safety
    /// The caller is the only thread. `local` is its local heap, or the empty one.
    pub unsafe fn recover_after_fork(
        &self,
        local: &LocalHeap,
        interrupted: bool,
    ) -> Result<(), Damage> {
        if self.growth.owner().is_some() && !self.growth.is_owned() {
            // SAFETY: the owner is not in this process; what it had committed is committed again.
            unsafe { self.growth.reset() };
        }
        if self.is_interrupted() {
            return Ok(());
        }
        // SAFETY: the lock's owner is not in this process (condition).
        unsafe { self.pool.recover_after_fork(local, interrupted) }
    }
}
