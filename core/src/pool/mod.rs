//! [`Pool`]: what many threads share.

mod attached;
pub(crate) mod backed;
pub(crate) mod binding;
pub(crate) mod bound;
mod check;
pub(crate) mod class_stats;
pub(crate) mod control;
pub(crate) mod handle;
pub(crate) mod interrupt_lock;
pub(crate) mod least_free;
pub(crate) mod once;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use lock_api::RawMutex;
use static_assertions::const_assert_eq;

use crate::blocks::BlockInfo;
use crate::check::{CheckReport, Damage};
use crate::heap::{ExtendError, Heap, Options, Reporter};
use crate::local::LocalHeap;
use crate::region::{CreateError, GRANULE, Region};
use crate::slab::class::class_of;
use crate::stats::Stats;
use crate::sync::Ordering;
use crate::tlsf::refusal::Refusal;
use control::Control;

/// First eight bytes of every region that holds a pool.
const MAGIC: u64 = u64::from_le_bytes(*b"ALLOTPL\0");

/// Version of the layout that `docs/format.md` describes.
const FORMAT: u16 = 2;

/// What stands at the start of a pool's region, the same on every target. The lock follows, then
/// the words about slabs, then the heap's own region.
#[repr(C)]
struct Prefix {
    magic: u64,
    format: u16,
    /// Bytes from this prefix to the lock.
    lock: u16,
    /// Bytes from this prefix to the heap's region.
    heap: u32,
}

const_assert_eq!(size_of::<Prefix>(), 16);

/// A heap that many threads share: a region, with a lock and a [`Heap`] inside it.
///
/// The lock is any [`lock_api::RawMutex`] that works at the address it is at, so a kernel brings
/// one that also disables interrupts, and a hosted program one that sleeps. It is held for a
/// bounded number of instructions, never while content is copied or zeroed, and never while a
/// [`FaultHandler`](crate::FaultHandler) runs.
///
/// The value is a handle; it may be shared by reference. Dropping it does nothing. Blocks stay
/// valid for the region's lifetime `'r` until they are freed.
///
/// # Examples
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use allotment_core::Pool;
///
/// let mut region = vec![MaybeUninit::uninit(); 1 << 20];
/// let pool: Pool = Pool::create_in_region(&mut region)?;
/// std::thread::scope(|threads| {
///     for _ in 0..4 {
///         threads.spawn(|| {
///             let layout = Layout::new::<[u8; 100]>();
///             let p = pool.allocate(layout).expect("1 MiB suffices");
///             // SAFETY: `p` was just allocated with this layout.
///             unsafe { pool.deallocate(p, layout) };
///         });
///     }
/// });
/// assert_eq!(pool.stats().live_blocks, 0);
/// # Ok::<(), allotment_core::CreateError>(())
/// ```
#[cfg(feature = "spin")]
pub struct Pool<'r, R: RawMutex = spin::Mutex<()>> {
    lock: NonNull<R>,
    control: NonNull<Control>,
    heap: UnsafeCell<Heap<'r>>,
    /// What a report needs of the heap, readable without the lock.
    reporter: Reporter,
}

/// A heap that many threads share: a region, with a lock and a [`Heap`] inside it.
#[cfg(not(feature = "spin"))]
pub struct Pool<'r, R: RawMutex> {
    lock: NonNull<R>,
    control: NonNull<Control>,
    heap: UnsafeCell<Heap<'r>>,
    /// What a report needs of the heap, readable without the lock.
    reporter: Reporter,
}

// SAFETY: the handle owns no thread's data; the heap is reached only with the lock held.
unsafe impl<R: RawMutex + Send> Send for Pool<'_, R> {}
// SAFETY: as above; the lock itself may be shared.
unsafe impl<R: RawMutex + Sync> Sync for Pool<'_, R> {}

impl<R: RawMutex> fmt::Debug for Pool<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Holds the lock.
struct Guard<'a, R: RawMutex>(&'a R);

impl<R: RawMutex> Drop for Guard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard was made by locking.
        unsafe { self.0.unlock() }
    }
}

impl<'r, R: RawMutex> Pool<'r, R> {
    /// Makes a pool over a region of any alignment; see [`Heap::new`]. Touches a bounded number
    /// of bytes, whatever the region's length.
    ///
    /// # Errors
    /// If the region cannot hold the lock, the heap's header and a block.
    pub fn create_in_region(region: &'r mut [MaybeUninit<u8>]) -> Result<Self, CreateError> {
        // SAFETY: the region is borrowed exclusively for 'r.
        unsafe { Pool::create_in_raw(region.as_mut_ptr().cast(), region.len(), Options::default()) }
    }

    /// Makes a pool over `len` bytes at `start`.
    ///
    /// # Errors
    /// As [`Pool::create_in_region`], and if `start` is null or the range wraps.
    ///
    /// # Safety
    /// As for [`Heap::from_raw`].
    pub unsafe fn create_in_raw(
        start: *mut u8,
        len: usize,
        options: Options,
    ) -> Result<Self, CreateError> {
        if start.is_null() {
            return Err(CreateError::Null);
        }
        if start.addr().checked_add(len).is_none() || len > isize::MAX as usize {
            return Err(CreateError::OutOfRange);
        }
        let too_small = CreateError::TooSmall { given: len };
        let region = Region::trim(start.addr(), len).ok_or(too_small)?;
        let edge = region.start - start.addr();
        let aligned = |address: Option<usize>, align| {
            address
                .and_then(|address| address.checked_next_multiple_of(align))
                .ok_or(too_small)
        };
        let lock_at = aligned(
            region.start.checked_add(size_of::<Prefix>()),
            align_of::<R>(),
        )?;
        let control_at = aligned(lock_at.checked_add(size_of::<R>()), align_of::<Control>())?;
        let heap_at = aligned(control_at.checked_add(size_of::<Control>()), GRANULE)?;
        let header = heap_at - start.addr();
        let heap_len = len.checked_sub(header).ok_or(too_small)?;
        let prefix = Prefix {
            magic: MAGIC,
            format: FORMAT,
            lock: u16::try_from(lock_at - region.start).map_err(|_| too_small)?,
            heap: u32::try_from(heap_at - region.start).map_err(|_| too_small)?,
        };
        start.expose_provenance();
        // SAFETY: the rest of the range is as good as the whole (condition). It is made a heap
        // before anything else is written, so that a refusal leaves the region as it was.
        let heap = unsafe { Heap::from_raw(start.add(header), heap_len, options) }
            .map_err(|_| too_small)?;
        // SAFETY: prefix and lock lie below the heap, inside the range; the lock is aligned.
        unsafe {
            start.add(edge).cast::<Prefix>().write_unaligned(prefix);
            let lock = start.add(lock_at - start.addr()).cast::<R>();
            lock.write(R::INIT);
            let control = start.add(control_at - start.addr()).cast::<Control>();
            control.write(Control::new(
                region.start,
                region.len,
                options.capacity,
                header,
            ));
            Ok(Pool {
                lock: NonNull::new_unchecked(lock),
                control: NonNull::new_unchecked(control),
                reporter: heap.reporter(),
                heap: UnsafeCell::new(heap),
            })
        }
    }

    /// The lock. Holding it keeps all other users of the pool out.
    #[must_use]
    pub fn lock_raw(&self) -> &R {
        // SAFETY: the lock was written when the pool was made, and lies in the region as long as
        // the handle lives.
        unsafe { self.lock.as_ref() }
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        // SAFETY: as for the lock.
        unsafe { self.control.as_ref() }
    }

    /// Runs `f` on the heap, locked.
    #[inline(always)]
    fn with<T>(&self, f: impl FnOnce(&mut Heap<'r>) -> T) -> T {
        let lock = self.lock_raw();
        lock.lock();
        let _guard = Guard(lock);
        // SAFETY: the lock is held, so this is the only reference to the heap.
        f(unsafe { &mut *self.heap.get() })
    }

    /// Deals with a refusal, with the lock not held while the handler runs.
    #[cold]
    #[inline(never)]
    fn refuse<T>(&self, refusal: Refusal, size: usize) -> Option<T> {
        match refusal {
            Refusal::NoMemory => self.with(|heap| heap.refuse(refusal, size)),
            Refusal::Fault(..) => {
                self.reporter.report(refusal, size);
                None
            }
        }
    }

    /// Allocates a block. `None` if no free block is large enough, also after idle local heaps have
    /// given back what they do not need. See [`Heap::allocate`].
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.with(|heap| heap.try_allocate(layout)) {
            Ok(p) => Some(p),
            Err(Refusal::NoMemory) if self.trim_idle() => self.allocate_or_refuse(layout),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    /// The last attempt.
    #[cold]
    fn allocate_or_refuse(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.with(|heap| heap.try_allocate(layout)) {
            Ok(p) => Some(p),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    /// Gives back what idle local heaps do not need. Answers whether there are any.
    #[cold]
    fn trim_idle(&self) -> bool {
        let control = self.control();
        if self.with(|_| control.idle.get() | control.out.load(Ordering::Relaxed)) == 0 {
            return false;
        }
        // SAFETY: the empty local heap is anybody's.
        unsafe { self.give_up_empty(LocalHeap::EMPTY) };
        true
    }

    /// Allocates a block of zeroes. See [`Heap::allocate_zeroed`]. The zeroing is not done under
    /// the lock.
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.try_allocate_zeroed(layout) {
            Ok(p) => Some(p),
            Err(Refusal::NoMemory) if self.trim_idle() => self.allocate_zeroed_or_refuse(layout),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, Refusal> {
        let (p, stale) = self.with(|heap| {
            let fresh = heap.fresh();
            heap.try_allocate(layout)
                .map(|p| (p, heap.stale_part(p, layout.size(), fresh)))
        })?;
        // SAFETY: the block is ours alone, and at least `stale` bytes long.
        unsafe { p.write_bytes(0, stale) };
        Ok(p)
    }

    /// The last attempt.
    #[cold]
    fn allocate_zeroed_or_refuse(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.try_allocate_zeroed(layout) {
            Ok(p) => Some(p),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    /// Takes back a block and checks its size. See [`Heap::deallocate`].
    ///
    /// # Safety
    /// As for [`Heap::deallocate`]. Any thread may free any block.
    #[inline]
    pub unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { self.free_as(LocalHeap::EMPTY, ptr, Some(layout)) }
    }

    /// Takes back a block whose size is not known. See [`Heap::free`].
    ///
    /// # Safety
    /// As for [`Heap::free`]. Any thread may free any block.
    #[inline]
    pub unsafe fn free(&self, ptr: NonNull<u8>) {
        // SAFETY: forwarded.
        unsafe { self.free_as(LocalHeap::EMPTY, ptr, None) }
    }

    /// Changes the size of a block. See [`Heap::reallocate`]. Content is not copied under the lock.
    ///
    /// # Safety
    /// As for [`Heap::reallocate`].
    pub unsafe fn reallocate(
        &self,
        ptr: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_attached(LocalHeap::EMPTY, ptr, Some(layout), new_size) }
    }

    /// Changes the size of a block whose layout is not known. See [`Heap::resize`]. Content is not
    /// copied under the lock. An object of a slab keeps an alignment of 16 only, for what it was
    /// asked for with is not written down; a block of its own keeps all.
    ///
    /// # Safety
    /// As for [`Heap::resize`].
    pub unsafe fn resize(&self, ptr: NonNull<u8>, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_attached(LocalHeap::EMPTY, ptr, None, new_size) }
    }

    /// Changes the size of a block of the heap.
    ///
    /// # Safety
    /// As for [`Heap::resize`] and [`Pool::allocate_in`]; `layout` is the block's if it is given.
    unsafe fn resize_block(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        let attempt = || self.with(|heap| heap.begin_resize(ptr, layout, new_size));
        let begun = match attempt() {
            Err(Refusal::NoMemory) if !self.control().may_grow() => {
                // SAFETY: forwarded.
                unsafe { self.give_up_empty(local) };
                attempt()
            }
            begun => begun,
        };
        match begun {
            Ok(None) => Some(ptr),
            Ok(Some(moving)) => {
                // SAFETY: the caller gives up the old block; the new one is known to us alone.
                unsafe { moving.copy() };
                match self.with(|heap| heap.finish_resize(moving)) {
                    Ok(()) => Some(moving.to),
                    Err(refusal) => self.refuse(refusal, 0),
                }
            }
            Err(refusal) => self.refuse(refusal, layout.map_or(0, |layout| layout.size())),
        }
    }

    /// Changes the size of a block without moving it. See [`Heap::resize_in_place`].
    ///
    /// # Safety
    /// As for [`Heap::resize_in_place`].
    pub unsafe fn resize_in_place(&self, ptr: NonNull<u8>, new_size: usize) -> bool {
        if let Some(slab) = self.control().slab_of(ptr.addr().get()) {
            // An object stays in its class, or it could not be freed with its new size.
            let class = Layout::from_size_align(new_size, 1).ok().and_then(class_of);
            return self.object_of(LocalHeap::EMPTY, slab, ptr, None).is_some()
                && class == Some(slab.class.get() as usize);
        }
        match self.with(|heap| heap.try_resize_in_place(ptr, new_size)) {
            Ok(done) => done,
            Err(refusal) => {
                self.refuse::<()>(refusal, 0);
                false
            }
        }
    }

    /// The bytes that a block can hold. See [`Heap::usable_size`].
    #[must_use]
    pub fn usable_size(&self, ptr: NonNull<u8>) -> Option<usize> {
        self.usable_size_as(ptr, None)
    }

    /// The same. If it is not a block that `layout` may have been asked for, this is reported.
    fn usable_size_as(&self, ptr: NonNull<u8>, layout: Option<Layout>) -> Option<usize> {
        if let Some(slab) = self.control().slab_of(ptr.addr().get()) {
            return self
                .object_of(LocalHeap::EMPTY, slab, ptr, layout)
                .map(|_| slab.class().size);
        }
        let size = layout.map(|layout| layout.size());
        match self.with(|heap| heap.try_usable_size_as(ptr, size)) {
            Ok(size) => Some(size),
            Err(refusal) => self.refuse(refusal, size.unwrap_or(0)),
        }
    }

    /// Whether an address lies where blocks of this pool may lie. O(1).
    #[must_use]
    pub fn contains(&self, ptr: *const u8) -> bool {
        self.with(|heap| heap.contains(ptr))
    }

    /// Makes the `additional` bytes right behind the region part of it. See [`Heap::extend`].
    /// Other threads may allocate meanwhile.
    ///
    /// # Errors
    /// See [`Heap::extend`].
    ///
    /// # Safety
    /// As for [`Heap::extend`].
    pub unsafe fn extend(&self, additional: usize) -> Result<usize, ExtendError> {
        self.with(|heap| {
            // SAFETY: forwarded.
            let added = unsafe { heap.extend(additional)? };
            self.control().extend(additional);
            Ok(added)
        })
    }

    /// The pool's figures. Takes time proportional to the number of slabs, while the lock is held.
    ///
    /// They are of one moment, but for the objects that other threads allocate and free meanwhile
    /// without the lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let control = self.control();
        self.with(|heap| {
            let census = control.census();
            let mut stats = heap.stats();
            let (slabs, own) = (control.slabs.get(), control.own_blocks.get());
            let (out, out_bytes) = (control.out_blocks.get(), control.out_bytes.get());
            let own_bytes = control.own_bytes.get();
            stats.region_bytes += control.before_heap;
            stats.overhead_bytes += control.before_heap + own_bytes;
            stats.slab_free_bytes = control.slab_bytes.get().saturating_sub(census.used_bytes);
            stats.free_bytes += stats.slab_free_bytes + out_bytes;
            stats.used_bytes -= stats.slab_free_bytes + own_bytes + out_bytes;
            stats.peak_bytes = stats.peak_bytes.saturating_sub(own_bytes + out_bytes);
            stats.live_blocks = stats.live_blocks - slabs - own - out + census.used;
            stats.allocations = (stats.allocations + census.handed_out)
                .saturating_sub(control.acquired.get() + control.own_ever.get());
            stats.deallocations = stats.allocations.saturating_sub(stats.live_blocks);
            stats
        })
    }

    /// Checks the pool: blocks as [`Heap::check`] does, slabs, and local heaps.
    ///
    /// Other threads may go on meanwhile. Those that need the lock wait; what others change without
    /// it is checked only as far as it holds at every moment, so there is no false alarm. In the
    /// report, slabs and the pool's own structures count as blocks.
    ///
    /// # Errors
    /// The first damage found.
    pub fn check(&self) -> Result<CheckReport, Damage> {
        self.with(|heap| {
            let report = heap.check()?;
            check::check(self.control(), heap)?;
            Ok(report)
        })
    }

    /// Calls `f` for each block in the order of the addresses. The pool is locked meanwhile, so
    /// `f` must not use it.
    pub fn for_each_block(&self, f: impl FnMut(BlockInfo)) {
        self.with(|heap| heap.blocks().for_each(f));
    }

    /// Sets the pool right in the child of a fork, in which only the caller goes on, bound to
    /// `local`. The other threads' local heaps become idle. If another thread held the pool's lock
    /// at that moment, it is opened, and lists and counters are made anew from the blocks'
    /// headers; a block that it was about to hand out, or had nearly taken back, stays in use for
    /// good, and so do objects that were on their way between a slab and a local heap.
    ///
    /// `interrupted` says that a signal handler forked, and may have interrupted an operation with
    /// `local`, which will go on: then that local heap is left as it is.
    ///
    /// Takes time proportional to the number of blocks if the lock was held, and to that of slabs
    /// if there were other local heaps; else it is O(1).
    ///
    /// # Errors
    /// If a block's header is damaged.
    ///
    /// # Safety
    /// No other thread exists, and if the lock is held, its holder will never go on. `local` is
    /// [`LocalHeap::EMPTY`] or the caller's.
    pub unsafe fn recover_after_fork(
        &self,
        local: &LocalHeap,
        interrupted: bool,
    ) -> Result<(), Damage> {
        let locked = self.lock_raw().is_locked();
        // SAFETY: nobody else is there to use heap or lock (condition).
        unsafe {
            let heap = &mut *self.heap.get();
            let rebuilt = if locked { heap.rebuild() } else { Ok(()) };
            if locked {
                self.control().rebuild(heap);
                self.lock.write(R::INIT);
            }
            self.control().recover_after_fork(local, interrupted);
            rebuilt
        }
    }
}

// SAFETY: blocks come from the heap, which hands out each byte once; layouts are honoured, and
// misuse of the trait's contract is reported and refused. A fault handler that unwinds is stopped.
unsafe impl<R: RawMutex> GlobalAlloc for Pool<'_, R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.allocate(layout)))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Some(ptr) = NonNull::new(ptr) {
            // SAFETY: `ptr` was allocated here with `layout` (the trait's condition).
            no_unwinding(|| unsafe { self.deallocate(ptr, layout) });
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.allocate_zeroed(layout)))
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(ptr) = NonNull::new(ptr) else {
            return ptr;
        };
        // SAFETY: as in `dealloc`.
        no_unwinding(|| or_null(unsafe { self.reallocate(ptr, layout, new_size) }))
    }
}

/// Runs an operation of a [`GlobalAlloc`], which must not unwind.
///
/// # Panics
/// Panics again, which ends the program, if a fault handler panics.
#[inline(always)]
pub(crate) fn no_unwinding<T>(operation: impl FnOnce() -> T) -> T {
    struct Stop;

    impl Drop for Stop {
        #[cold]
        fn drop(&mut self) {
            panic!("a fault handler must not unwind out of a global allocator");
        }
    }

    let stop = Stop;
    let result = operation();
    core::mem::forget(stop);
    result
}

/// What C and [`GlobalAlloc`] take for a block or none.
#[inline(always)]
pub(crate) fn or_null(p: Option<NonNull<u8>>) -> *mut u8 {
    p.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}
