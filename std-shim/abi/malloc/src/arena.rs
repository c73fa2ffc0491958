//! An arena: a mapping, the pool in it, and how the pool grows over the mapping.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

use allotment::lock::FutexMutex;
use allotment::mapping::{MapError, Mapping};
use allotment::os_error::{KeepErrno, OsError};
use allotment_core::lock_api::RawMutex;
use allotment_core::{CreateError, Fault, Options, Pool};

use crate::deferred::Deferred;
use crate::message;

/// What a pool that grows begins with. Small, since every process of a shell script pays for it.
const FIRST_STEP: usize = 1 << 20;

/// A growing pool doubles, but not by more than this at once.
const LARGEST_STEP: usize = 256 << 20;

/// What a request needs beyond its size and alignment, generously: header, rounding, list width.
const SLACK: usize = 64 << 10;

/// A pool and what it lies in.
pub(crate) struct Arena {
    pool: Pool<'static, FutexMutex>,
    mapping: UnsafeCell<Mapping>,
    /// Held while the pool grows. The pool's own lock is taken inside it, never the other way.
    growth: FutexMutex,
    pub(crate) deferred: Deferred,
}

/// Why there is no arena.
pub(crate) enum ArenaError {
    Map(MapError),
    Commit(OsError),
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

fn on_fault(fault: &Fault) {
    message::abort(format_args!("{fault}"));
}

impl Arena {
    pub(crate) fn new(mapping: Mapping) -> Result<Arena, ArenaError> {
        let first = FIRST_STEP.min(mapping.capacity());
        mapping.commit(first).map_err(ArenaError::Commit)?;
        let options = Options {
            zeroed: true,
            capacity: mapping.capacity(),
            on_fault,
        };
        // SAFETY: the committed part is mapped, zero, and used by nobody else; the arena keeps the
        // mapping as long as the pool.
        let pool =
            unsafe { Pool::create_in_raw(mapping.start().as_ptr(), mapping.committed(), options) }
                .map_err(ArenaError::Create)?;
        let mapping = UnsafeCell::new(mapping);
        Ok(Arena {
            pool,
            mapping,
            growth: FutexMutex::new(),
            deferred: Deferred::new(),
        })
    }

    pub(crate) fn pool(&self) -> &Pool<'static, FutexMutex> {
        &self.pool
    }

    #[inline(always)]
    pub(crate) fn mapping(&self) -> &Mapping {
        // SAFETY: changed only by `detach_from_parent`, when nobody else is there.
        unsafe { &*self.mapping.get() }
    }

    /// See [`Mapping::detach_from_parent`].
    ///
    /// # Safety
    /// As there, and no reference to the mapping is in use.
    pub(crate) unsafe fn detach_from_parent(&self, used: usize) -> Result<(), MapError> {
        // SAFETY: exclusive by condition.
        unsafe { (*self.mapping.get()).detach_from_parent(used) }
    }

    /// Whether the calling thread holds the pool's lock. Then a signal handler interrupted it inside
    /// an operation, or it is forking.
    #[inline(always)]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.pool.lock_raw().is_owned()
    }

    /// Whether an operation of the calling thread would wait for nothing but other operations: it
    /// interrupts none of its own, and no thread is forking.
    #[inline(always)]
    pub(crate) fn is_available(&self) -> bool {
        self.pool.lock_raw().is_available()
    }

    /// Whether a signal handler interrupted the calling thread while it made the pool grow.
    pub(crate) fn is_growth_interrupted(&self) -> bool {
        self.growth.is_owned()
    }

    /// Readable bytes from an address of the arena on.
    pub(crate) fn committed_from(&self, address: usize) -> usize {
        let end = self.mapping().start().addr().get() + self.mapping().committed();
        end.saturating_sub(address)
    }

    #[inline(always)]
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.mapping().contains(address)
    }

    #[inline(always)]
    pub(crate) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.pool.allocate(layout) {
            None => self.grow_until(layout, || self.pool.allocate(layout)),
            some => some,
        }
    }

    #[inline(always)]
    pub(crate) fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.pool.allocate_zeroed(layout) {
            None => self.grow_until(layout, || self.pool.allocate_zeroed(layout)),
            some => some,
        }
    }

    /// # Safety
    /// As for [`Pool::resize`].
    #[inline(always)]
    pub(crate) unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; a refused attempt leaves the block as it was.
        match unsafe { self.pool.resize(block, size) } {
            None => {
                let layout = Layout::from_size_align(size, 1).ok()?;
                // SAFETY: as above.
                self.grow_until(layout, || unsafe { self.pool.resize(block, size) })
            }
            some => some,
        }
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

    /// In the child of a fork: puts locks right whose owners are gone.
    ///
    /// # Safety
    /// The caller is the only thread.
    pub(crate) unsafe fn recover_after_fork(&self) {
        if self.growth.owner().is_some() && !self.growth.is_owned() {
            // SAFETY: the owner is not in this process; what it had committed is committed again.
            unsafe { self.growth.reset() };
        }
        if !self.pool.lock_raw().is_locked() || self.is_interrupted() {
            return;
        }
        // SAFETY: the owner is not in this process (condition).
        if let Err(damage) = unsafe { self.pool.recover_after_fork() } {
            message::abort(format_args!("the heap is damaged: {damage}"));
        }
    }
}
