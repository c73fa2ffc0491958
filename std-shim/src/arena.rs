//! An arena: a mapping, and the pool in it, which grows over the mapping and gives back to it.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::time::Duration;

use allotment_core::{
    BackedPool, Backing, CreateError, Damage, FaultHandler, LocalHeap, Pool, PurgePolicy, Unsettled,
};

use crate::lock::FutexMutex;
use crate::mapping::{CopyPlace, MapError, Mapping, Snapshot};
use crate::os_error::{KeepErrno, OsError};
use crate::thread::{self, Binding};

/// What a pool that grows begins with. Small, since every process of a shell script pays for it.
const FIRST_STEP: usize = 1 << 20;

/// When free memory of a pool under a whole program goes back, if nothing is said: that of anonymous
/// memory after ten seconds, any other never.
#[must_use]
pub fn default_purge_policy(mapping: &Mapping) -> PurgePolicy {
    if mapping.is_anonymous() {
        PurgePolicy::Decay(Duration::from_secs(10))
    } else {
        PurgePolicy::Never
    }
}

/// A pool and the mapping that it lies in. The pool takes more of the mapping when it has no room
/// left, until all is committed, and gives back what it does not need, as
/// [`set_purge_policy`](Arena::set_purge_policy) says. `errno` is kept by all of that.
///
/// Dropping it unmaps the pool, with all blocks.
#[derive(Debug)]
pub struct Arena {
    pool: BackedPool<FutexMutex, Pages>,
}

/// The mapping, as the pool sees it.
#[derive(Debug)]
struct Pages(UnsafeCell<Mapping>);

impl Pages {
    #[inline(always)]
    fn mapping(&self) -> &Mapping {
        // SAFETY: changed only by `detach_from_parent` and `put`, when nobody else is there.
        unsafe { &*self.0.get() }
    }
}

// SAFETY: the mapping is changed only when nobody else is there; the rest of it may be shared.
unsafe impl Sync for Pages {}

// SAFETY: the range is mapped as long as the mapping lives, and never moves. What is committed can be
// read and written, and stays what it is: `release` alone changes it.
unsafe impl Backing for Pages {
    type Lock = FutexMutex;

    fn start(&self) -> NonNull<u8> {
        self.mapping().start()
    }

    fn capacity(&self) -> usize {
        self.mapping().capacity()
    }

    fn committed(&self) -> usize {
        self.mapping().committed()
    }

    fn is_zeroed(&self) -> bool {
        self.mapping().is_zeroed()
    }

    fn commit(&self, len: usize) -> bool {
        let _errno = KeepErrno::new();
        self.mapping().commit(len).is_ok()
    }

    unsafe fn decommit(&self, start: NonNull<u8>, len: usize) -> usize {
        let _errno = KeepErrno::new();
        // SAFETY: forwarded.
        unsafe { self.mapping().release(start.addr().get(), len) }
    }

    fn now(&self) -> Duration {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the time is writable. This clock is there on every Linux.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    fn is_held_here(lock: &FutexMutex) -> bool {
        lock.is_owned()
    }
}

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
        let pages = Pages(UnsafeCell::new(mapping));
        let pool = BackedPool::new(pages, on_fault).map_err(ArenaError::Create)?;
        Ok(Arena { pool })
    }

    /// The pool.
    #[inline(always)]
    #[must_use]
    pub fn pool(&self) -> &Pool<'static, FutexMutex> {
        self.pool.pool()
    }

    /// What the pool lies in.
    #[inline(always)]
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        self.pool.backing().mapping()
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
        unsafe { (*self.pool.backing().0.get()).detach_from_parent(used, place) }
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
        unsafe { (*self.pool.backing().0.get()).put(snapshot) }
    }

    /// Whether the calling thread holds the pool's lock. Then a signal handler interrupted it inside
    /// an operation, or it is forking.
    #[inline(always)]
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.pool().lock_raw().is_owned()
    }

    /// Whether an operation of the calling thread would wait for nothing but other operations: it
    /// interrupts none of its own, and no thread is forking.
    #[inline(always)]
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.pool().lock_raw().is_available()
    }

    /// Whether a signal handler interrupted the calling thread while it made the pool grow, or gave
    /// memory back.
    #[must_use]
    pub fn is_growth_interrupted(&self) -> bool {
        self.pool.is_interrupted()
    }

    /// Says when memory goes back to the system from now on: see [`Mapping::release`] for what does. It
    /// never does at first.
    pub fn set_purge_policy(&self, policy: PurgePolicy) {
        self.pool.set_purge_policy(policy);
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

    /// Allocates a block, for a thread that is bound to `local`: see [`BackedPool::allocate_in`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn allocate(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.pool.allocate_in(local, layout) }
    }

    /// Allocates a block of zeros, for a thread that is bound to `local`: see
    /// [`BackedPool::allocate_zeroed_in`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn allocate_zeroed(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.pool.allocate_zeroed_in(local, layout) }
    }

    /// Changes the size of a block, for a thread that is bound to `local`: see
    /// [`BackedPool::resize_in`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn resize(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.pool.resize_in(local, block, size) }
    }

    /// As [`Arena::resize`], for a block whose layout is known: see [`BackedPool::reallocate_in`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn reallocate(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.pool.reallocate_in(local, block, layout, size) }
    }

    /// Frees a block, for a thread that is bound to `local`; with its layout if that is known: see
    /// [`BackedPool::free_in`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn free(&self, local: &LocalHeap, block: NonNull<u8>, layout: Option<Layout>) {
        // SAFETY: forwarded.
        unsafe { self.pool.free_in(local, block, layout) }
    }

    /// See [`Pool::settle`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn settle(&self, local: &LocalHeap, unsettled: Unsettled) {
        // SAFETY: forwarded.
        unsafe { self.pool.settle(local, unsettled) }
    }

    /// Gives whole free pages back to the system: see [`BackedPool::purge`] and
    /// [`Mapping::release`]. Answers the number of bytes.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn purge(&self, local: &LocalHeap) -> usize {
        // SAFETY: forwarded.
        unsafe { self.pool.purge(local) }
    }

    /// Takes a look at what is free, and gives back what nobody has needed lately: see
    /// [`BackedPool::give_back_idle`].
    pub fn give_back_idle(&self, most: usize) -> usize {
        self.pool.give_back_idle(most)
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
        let Some(local) = self.pool().attach() else {
            return LocalHeap::EMPTY;
        };
        // SAFETY: the local heap is new or was given up, and lives for ever; the rest is forwarded.
        unsafe {
            if thread::bind(local, on_exit).is_err() {
                self.pool().detach(local);
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
        // SAFETY: the owners of the locks, but for the caller, are not in this process (condition).
        unsafe {
            if self.is_interrupted() {
                self.pool.open_after_fork();
                return Ok(());
            }
            self.pool.recover_after_fork(local, interrupted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path_buffer::PathBuffer;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_pool_whose_copy_went_to_memory_grows_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = PathBuffer::from_bytes(directory.path().as_os_str().as_bytes()).unwrap();
        let mapping = Mapping::temporary_file(&path, Some(32 << 20)).unwrap();
        let arena = Arena::new(mapping, |fault| panic!("{fault}")).unwrap();
        // A file cannot be had there any more.
        drop(directory);
        let used = arena.mapping().committed();
        let snapshot = arena.mapping().snapshot(used).unwrap().unwrap();
        // SAFETY: nobody uses the arena meanwhile, or has its mapping.
        unsafe { arena.put(snapshot).unwrap() };
        assert!(arena.mapping().is_anonymous());
        let layout = Layout::from_size_align(20 << 20, 16).unwrap();
        // SAFETY: the empty local heap is everybody's.
        let block = unsafe { arena.allocate(LocalHeap::EMPTY, layout) };
        assert!(block.is_some(), "no more than {used} bytes");
        assert!(arena.pool().check().is_ok());
    }
}
