//! A kind's pool, what is kept beside it, and what happens off the fast path.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::os::fd::RawFd;

use allotment_core::lock_api::{Mutex, MutexGuard};
use allotment_core::{FaultHandler, LocalHeap};

use super::background::PER_SECOND;
use super::defrag::SparseSizes;
use super::device::Borrowed;
use super::options::{Fork, KindOptions, Policy};
use super::pieces::{LEAST, Pieces};
use super::{KindError, Space, background, memory, registry};
use crate::lock::FutexMutex;
use crate::mapping::Mapping;
use crate::os_error::KeepErrno;
use crate::pools::{Overlap, SharedPool};

/// What a pool needs to begin with.
const FIRST: usize = 1 << 20;

/// What a look of the background thread gives back at most: half a second's work on a slow file system.
const MOST_AT_ONCE: usize = 256 << 20;

/// Where a kind's memory comes from, as far as its pages can be given back and it can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file that grows, shared with children.
    File,
    /// Private pages that grow.
    Anonymous,
    /// The caller's memory, or a device; its pages stay.
    Region {
        /// Whether children of a fork have a copy.
        copied: bool,
    },
}

/// What only the slow paths use.
pub(super) struct Slow {
    /// Until there is a pool in it.
    mapping: Option<Mapping>,
    pub(super) pieces: Pieces,
    /// How often anonymous memory was looked at, and the frees until it was given back.
    looks: usize,
    frees: usize,
}

/// What is behind a [`Kind`](super::Kind), at an address of its own as long as the kind lives.
#[repr(align(64))]
pub(super) struct Body {
    /// Null until the first allocation, and in a child that has no use of it.
    pool: AtomicPtr<SharedPool>,
    /// Bytes that were given back.
    returned: AtomicUsize,
    /// Whether the pool is the parent's.
    frozen: AtomicBool,
    slow: Mutex<FutexMutex, Slow>,
    pub(super) next: AtomicPtr<Body>,
    /// The owner's own word.
    pub(super) tag: AtomicPtr<()>,
    pub(super) sparse: SparseSizes,
    start: usize,
    capacity: usize,
    source: Source,
    pub(super) policy: Policy,
    pub(super) fork: Fork,
    on_fault: FaultHandler,
    /// Unmapped when the pool is gone.
    device: Option<Borrowed>,
}

fn region(mapping: &Mapping) -> Source {
    let copied = memory::is_copied(mapping.start().addr().get(), mapping.capacity());
    Source::Region { copied }
}

impl Body {
    pub(super) fn new(mapping: Mapping, options: KindOptions) -> Result<Box<Body>, KindError> {
        let source = if mapping.file_kind().is_some() {
            Source::File
        } else if mapping.is_zeroed() {
            Source::Anonymous
        } else {
            region(&mapping)
        };
        Body::with_source(mapping, source, None, options)
    }

    pub(super) fn over_device(
        mapping: Mapping,
        device: Borrowed,
        options: KindOptions,
    ) -> Result<Box<Body>, KindError> {
        let source = region(&mapping);
        Body::with_source(mapping, source, Some(device), options)
    }

    fn with_source(
        mapping: Mapping,
        source: Source,
        device: Option<Borrowed>,
        options: KindOptions,
    ) -> Result<Box<Body>, KindError> {
        let mut body = Box::new(Body {
            pool: AtomicPtr::new(null_mut()),
            returned: AtomicUsize::new(0),
            frozen: AtomicBool::new(false),
            next: AtomicPtr::new(null_mut()),
            tag: AtomicPtr::new(null_mut()),
            sparse: SparseSizes::new(),
            start: mapping.start().addr().get(),
            capacity: mapping.capacity(),
            source,
            policy: options.policy,
            fork: options.fork,
            on_fault: options.on_fault,
            slow: Mutex::new(Slow {
                mapping: Some(mapping),
                pieces: Pieces::new(),
                looks: 0,
                frees: 0,
            }),
            device,
        });
        super::fork::prepare_for(&body);
        registry::insert(&mut body)?;
        Ok(body)
    }

    #[inline(always)]
    pub(super) fn pool(&self) -> Option<&SharedPool> {
        // SAFETY: the pool goes with this value alone.
        unsafe { self.pool.load(Ordering::Acquire).as_ref() }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.capacity)
    }

    #[inline(always)]
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.capacity
    }

    /// Whether this process may not change the pool, since it is the parent's.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// The device that it lies on, if it does.
    pub(super) fn device(&self) -> Option<RawFd> {
        self.device.as_ref()?.descriptor()
    }

    /// Bytes that were given back.
    #[inline(always)]
    pub(super) fn returned(&self) -> usize {
        self.returned.load(Ordering::Relaxed)
    }

    /// Whether the background thread has something to do for this kind.
    pub(super) fn decays(&self) -> bool {
        self.policy != Policy::Never && !matches!(self.source, Source::Region { .. })
    }

    /// The slow paths' own, unless a signal handler interrupted one of them in this thread.
    fn lock(&self) -> Option<MutexGuard<'_, FutexMutex, Slow>> {
        // SAFETY: only asks the lock who owns it.
        let is_owned = unsafe { self.slow.raw() }.is_owned();
        (!is_owned).then(|| self.slow.lock())
    }

    /// The pool, which is made if there is none yet.
    pub(super) fn make(&self) -> Result<&SharedPool, KindError> {
        const REFUSED: KindError = KindError::Unavailable;
        let mut slow = self.lock().ok_or(REFUSED)?;
        if let Some(pool) = self.pool() {
            return Ok(pool);
        }
        if self.is_frozen() {
            return Err(REFUSED);
        }
        // A mapping that has no memory yet is kept: there may be some later.
        let mapping = slow.mapping.as_ref().ok_or(REFUSED)?;
        mapping
            .commit(FIRST.min(mapping.capacity()))
            .map_err(|error| KindError::System("cannot get the kind's first memory", error))?;
        let mapping = slow.mapping.take().ok_or(REFUSED)?;
        let owner = super::detect::owner(self);
        let pool = SharedPool::new(mapping, self.on_fault, owner, Overlap::Refuse)
            .map_err(KindError::Pool)?;
        self.pool
            .store(Box::into_raw(Box::new(pool)), Ordering::Release);
        drop(slow);
        if self.decays() {
            background::start();
        }
        self.pool().ok_or(REFUSED)
    }

    /// An allocation that the fast path has refused.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate_slowly(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let _errno = KeepErrno::new();
        let pool = match self.pool() {
            Some(pool) => pool,
            None => self.make().ok()?,
        };
        self.reusing(
            pool,
            layout.size(),
            || {
                if zeroed {
                    pool.arena().pool().allocate_zeroed(layout)
                } else {
                    pool.arena().pool().allocate(layout)
                }
            },
            || {
                if zeroed {
                    pool.allocate_zeroed(layout)
                } else {
                    pool.allocate(layout)
                }
            },
        )
    }

    /// A change of size that the fast path has refused, or was not asked.
    ///
    /// # Safety
    /// As for [`SharedPool::resize`].
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn resize_slowly(
        &self,
        pool: &SharedPool,
        size: usize,
        attempt: impl Fn() -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        let _errno = KeepErrno::new();
        self.reusing(pool, size, || None, attempt)
    }

    /// Tries within the pool's present memory, then with what was given back, and then with what it can grow
    /// by.
    fn reusing(
        &self,
        pool: &SharedPool,
        size: usize,
        within: impl Fn() -> Option<NonNull<u8>>,
        growing: impl Fn() -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        let large = size >= LEAST;
        loop {
            // Large blocks go where memory was before rather than to new places; small ones need
            // little, and are left to the local heaps.
            let attempt = if large && self.returned() > 0 {
                within()
            } else {
                growing()
            };
            if attempt.is_some() {
                return attempt;
            }
            let Some(mut slow) = self.lock() else {
                return growing();
            };
            // Nothing is given back as long as the lock is held: what is refused now is not there.
            let taken = slow.pieces.take_back(pool.arena(), size);
            self.returned.store(slow.pieces.bytes(), Ordering::Relaxed);
            if !taken {
                return growing();
            }
        }
    }

    /// Gives free blocks back now.
    pub(super) fn purge(&self) -> usize {
        let _errno = KeepErrno::new();
        let Some(pool) = self.pool() else {
            return 0;
        };
        let purged = pool.purge();
        if self.source != Source::File {
            return purged;
        }
        let Some(mut slow) = self.lock() else {
            return 0;
        };
        let given = slow.pieces.give_back(pool.arena(), usize::MAX);
        self.returned.store(slow.pieces.bytes(), Ordering::Relaxed);
        given
    }

    /// Called now and then by the background thread.
    pub(super) fn look(&self) {
        let Some(pool) = self.pool() else {
            return;
        };
        let Some(mut slow) = self.slow.try_lock() else {
            return;
        };
        match self.source {
            Source::File => self.give_back_space(pool, &mut slow),
            Source::Anonymous => self.give_back_pages(pool, &mut slow),
            Source::Region { .. } => {}
        }
    }

    /// Space of a file that has been free for long enough.
    fn give_back_space(&self, pool: &SharedPool, slow: &mut Slow) {
        // SAFETY: the empty local heap is nobody's.
        unsafe { pool.arena().pool().trim(LocalHeap::EMPTY) };
        let stats = pool.arena().pool().stats();
        let free = stats.free_bytes - stats.slab_free_bytes;
        let most = match self.policy {
            Policy::Conservative => free,
            _ => slow.pieces.least_free.look(free),
        };
        let given = slow.pieces.give_back(pool.arena(), most.min(MOST_AT_ONCE));
        slow.pieces.least_free.given(given);
        self.returned.store(slow.pieces.bytes(), Ordering::Relaxed);
    }

    /// Pages of anonymous memory. They come back by themselves.
    fn give_back_pages(&self, pool: &SharedPool, slow: &mut Slow) {
        slow.looks += 1;
        if self.policy != Policy::Conservative {
            if slow.looks.is_multiple_of(PER_SECOND) {
                // SAFETY: the empty local heap is nobody's.
                unsafe { pool.arena().pool().trim(LocalHeap::EMPTY) };
                pool.arena().give_back_idle(MOST_AT_ONCE);
            }
            return;
        }
        let frees = pool.arena().pool().stats().deallocations;
        if frees != slow.frees {
            slow.frees = frees;
            // SAFETY: the empty local heap is nobody's.
            unsafe { pool.arena().purge(LocalHeap::EMPTY) };
        }
    }

    /// What is left.
    pub(super) fn space(&self) -> Space {
        // Held to the end: a piece that came in between would be counted as a block in use.
        let slow = self.lock();
        let (largest_piece, pieces) = slow
            .as_ref()
            .map_or((0, 0), |slow| (slow.pieces.largest(), slow.pieces.count()));
        let Some(pool) = self.pool() else {
            let free = if self.is_frozen() { 0 } else { self.capacity };
            return Space {
                capacity: self.capacity,
                free,
                largest: free.saturating_sub(memory::OVERHEAD),
                ..Space::default()
            };
        };
        let stats = pool.arena().pool().stats();
        let committed = pool.arena().mapping().committed();
        let returned = self.returned();
        let rest = self.capacity - committed;
        Space {
            capacity: self.capacity,
            committed: committed - returned.min(committed),
            used: stats
                .used_bytes
                .saturating_sub(returned + pieces * size_of::<usize>()),
            slab_free: stats.slab_free_bytes,
            free: stats.free_bytes + returned + rest,
            largest: stats
                .largest_free
                .max(rest.saturating_sub(memory::OVERHEAD))
                .max(largest_piece),
        }
    }

    /// In the child of a fork: locks that other threads held are opened.
    ///
    /// # Safety
    /// The caller is the only thread.
    pub(super) unsafe fn open_after_fork(&self) {
        // SAFETY: the owner, if it is another thread, is not in this process.
        unsafe {
            let lock = self.slow.raw();
            if lock.owner().is_none() || lock.is_owned() {
                return;
            }
            lock.reset();
            (*self.slow.data_ptr()).pieces.forget();
        }
    }

    /// In the child of a fork: the pool stays the parent's.
    ///
    /// # Safety
    /// The caller is the only thread.
    pub(super) unsafe fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
        if let Some(pool) = self.pool() {
            // SAFETY: nobody else is there (condition), and nobody finds it from now on.
            unsafe { pool.leave_to_parent() };
        }
        self.pool.store(null_mut(), Ordering::Release);
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        registry::remove(self);
        super::fork::forget(self);
        let pool = *self.pool.get_mut();
        if !pool.is_null() {
            // SAFETY: made by `make`, and used by nobody any more.
            drop(unsafe { Box::from_raw(pool) });
        }
    }
}
