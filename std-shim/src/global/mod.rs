//! A Rust program's global allocator.
//!
//! ```text
//! mod         Allotment: how it is made, and the operations that Rust asks for
//!   source      where its memory comes from
//!   process     the one arena of the process: making it, threads, refusals
//!     fork        both processes of a fork go on allocating
//! ```

mod fork;
mod process;
mod source;

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment_core::{CheckReport, Damage, FaultHandler, Freed, PurgePolicy, Stats, Unsettled};

use crate::arena::Arena;
use source::Source;

/// A pool with a local heap for each thread, for `#[global_allocator]`.
///
/// It is made by a `const fn` and gets its memory at the first allocation, which usually comes before
/// `main`:
/// - [`Allotment::new`] reserves addresses and takes anonymous memory as it is touched;
/// - [`Allotment::in_directory`] and [`Allotment::in_file`] allocate from a file that grows, or from a
///   Device DAX;
/// - [`Allotment::in_region`] and [`Allotment::in_region_of`] keep to memory of yours.
///
/// Objects of up to 64 KiB are allocated and freed without a lock and without an atomic
/// read-modify-write as long as the thread's local heap has them at hand, and are freed lock-free by
/// other threads. A thread that ends gives its local heap back whole, for the next one.
///
/// # One for each process
/// A thread has one local heap, so a process has one `Allotment`. Another one ends the process at
/// its first allocation. For more pools beside it there is [`Pool`](allotment_core::Pool). A shared
/// library that has its own copy of this crate has an `Allotment` of its own, and must not be unloaded.
///
/// # Errors
/// A global allocator has nobody to give an error to. If the pool cannot be made, or a thread
/// allocates in a signal handler that interrupted one of its allocations, one line says so on standard
/// error, and the process ends by `SIGABRT`. So does it on a misuse that is found, such as a double
/// free, unless a handler was given: [`Allotment::on_fault`]. Memory never comes from elsewhere
/// instead. When the pool is full, an allocation answers null, as the trait says.
///
/// A size that is not the block's is found only where a deallocation has to take a longer way than the
/// thread's local heap.
///
/// # Forks
/// The child of a `fork(2)` goes on allocating, also if other threads were inside an operation. A pool in
/// a file is copied before the fork: into a file without a name in the same directory, or, if there is
/// no room for it, into anonymous memory; one on a device into anonymous memory. The child gets the copy. What other threads write
/// during the fork may be missing from it. A region of yours is as private as your mapping of it.
///
/// # Examples
/// ```
/// use allotment::Allotment;
///
/// #[global_allocator]
/// static ALLOCATOR: Allotment = Allotment::new();
///
/// let words: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
/// assert!(ALLOCATOR.stats().live_blocks >= words.len());
/// ALLOCATOR.check().expect("the heap is in order");
/// ```
pub struct Allotment {
    source: Source,
    size: Option<usize>,
    on_fault: FaultHandler,
    purge: Option<PurgePolicy>,
    /// Requests of at most this alignment may be served from the local heap that the thread's word
    /// names: it is 0 as long as that may be another's.
    quick_align: AtomicUsize,
}

impl Allotment {
    /// Anonymous memory. Addresses are reserved at once (64 GiB on 64-bit machines, more if the
    /// machine has more memory, less if the process is limited), memory is taken as it is touched.
    #[must_use]
    pub const fn new() -> Allotment {
        Allotment::from_source(Source::Anonymous)
    }

    /// A temporary file without a name in a directory, such as one of a DAX file system. It takes 1 MiB
    /// of the disk at first and grows on demand; its space returns when the process ends.
    ///
    /// A relative path starts at the working directory of the first allocation.
    #[must_use]
    pub const fn in_directory(path: &'static str) -> Allotment {
        Allotment::from_source(Source::Directory(path))
    }

    /// A file, which is created with mode 0600 if it is missing, or a Device DAX (`/dev/daxX.Y`). What it
    /// held is lost; but what begins with something other than a pool or zeros is refused, and so is a device that another
    /// process uses. See [`Mapping::file`](crate::mapping::Mapping::file) for two processes that name the
    /// same file.
    ///
    /// A relative path starts at the working directory of the first allocation.
    #[must_use]
    pub const fn in_file(path: &'static str) -> Allotment {
        Allotment::from_source(Source::File(path))
    }

    /// A region of yours, of any alignment and with any content. All that the allocator knows lies in
    /// it, and it does not grow.
    ///
    /// ```
    /// use allotment::Allotment;
    /// use core::mem::MaybeUninit;
    ///
    /// const SIZE: usize = 8 << 20;
    /// static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: Allotment = Allotment::in_region(
    ///     // SAFETY: nothing else uses `MEMORY`.
    ///     unsafe { core::slice::from_raw_parts_mut((&raw mut MEMORY).cast(), SIZE) },
    /// );
    ///
    /// let boxed = Box::new(1);
    /// let start = (&raw const MEMORY).addr();
    /// assert!((start..start + SIZE).contains(&(&raw const *boxed).addr()));
    /// ```
    #[must_use]
    pub const fn in_region(region: &'static mut [MaybeUninit<u8>]) -> Allotment {
        // SAFETY: a reference is not null.
        let region = unsafe { NonNull::new_unchecked(&raw mut *region) };
        Allotment::from_source(Source::Region(region))
    }

    /// The region that a function finds, for memory that has no address before the program runs,
    /// such as a device that has to be mapped. The function is called once, at the first allocation. It must
    /// not allocate, and cannot fail: if there is no region, it should say why and end the process.
    #[must_use]
    pub const fn in_region_of(find: fn() -> &'static mut [MaybeUninit<u8>]) -> Allotment {
        Allotment::from_source(Source::RegionOf(find))
    }

    const fn from_source(source: Source) -> Allotment {
        Allotment {
            source,
            size: None,
            on_fault: process::abort_on_fault,
            purge: None,
            quick_align: AtomicUsize::new(0),
        }
    }

    /// Limits the pool to so many bytes, rounded up to whole pages, or to the alignment of a device. A
    /// region of yours has its own length; there this is without effect.
    #[must_use]
    pub const fn size(mut self, bytes: usize) -> Allotment {
        self.size = Some(bytes);
        self
    }

    /// Says when memory that is free goes back to the system. That of anonymous memory does after ten
    /// seconds in which nobody has needed it, if nothing is said; else it never does. It does so in an allocation or a
    /// free, which takes some milliseconds then. The space of a file is kept in any case, and a device or a
    /// region of yours stays as it is: see [`Mapping::release`](crate::mapping::Mapping::release).
    #[must_use]
    pub const fn purge(mut self, policy: PurgePolicy) -> Allotment {
        self.purge = Some(policy);
        self
    }

    /// Has a function told of misuse and damage, in the place of a line on standard error and
    /// `SIGABRT`. It is called in the thread that hits upon it, with no lock held. It may allocate. If it
    /// returns, a free has done nothing, and an allocation answers null. If it unwinds, the
    /// process ends.
    #[must_use]
    pub const fn on_fault(mut self, handler: FaultHandler) -> Allotment {
        self.on_fault = handler;
        self
    }

    /// The pool's figures, of one moment but for what other threads allocate and free meanwhile.
    /// Takes time proportional to the number of slabs.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.arena().pool().stats()
    }

    /// Checks the pool. Other threads wait meanwhile, if they need more than their local heap.
    ///
    /// # Errors
    /// The first damage found.
    pub fn check(&self) -> Result<CheckReport, Damage> {
        self.arena().pool().check()
    }

    /// Gives memory that is kept for later use, by the calling thread and by those that have ended, back to
    /// the pool. Not needed for good operation: a pool that runs out does it by itself.
    pub fn trim(&self) {
        let arena = self.arena();
        // SAFETY: the local heap is the calling thread's.
        unsafe { arena.pool().trim(process::local_heap(arena)) };
    }

    /// Whether an address lies in the pool's memory.
    #[must_use]
    pub fn contains<T: ?Sized>(&self, pointer: *const T) -> bool {
        self.arena().contains(pointer.addr())
    }

    /// The process's arena, which is made if need be. The process ends if it is another's.
    fn arena(&self) -> &'static Arena {
        match process::arena() {
            Some(arena) if self.quick_align.load(Ordering::Relaxed) != 0 => arena,
            _ => process::make(self),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_slowly(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take_from_slabs(layout)
            .or_else(|| self.allocate_in_arena(layout))
    }

    #[inline(never)]
    fn allocate_in_arena(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.operate(|arena| {
            // SAFETY: the local heap is the calling thread's.
            unsafe { arena.allocate(process::local_heap(arena), layout) }
        })
    }

    #[cold]
    #[inline(never)]
    fn allocate_zeroed_slowly(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.operate(|arena| {
            // SAFETY: the local heap is the calling thread's.
            unsafe { arena.allocate_zeroed(process::local_heap(arena), layout) }
        })
    }

    /// Allocates from what the thread's local heap has at hand.
    #[inline(always)]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() > self.quick_align.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: the word names the local heap that the thread is bound to, or an empty one; and it
        // is of this allocator's arena, which only a successful `make` lets through to here.
        unsafe { process::current().take(layout.size()) }
    }

    /// As [`Allotment::take`], with a look at the local heap's slabs if nothing is at hand.
    #[inline(always)]
    fn take_from_slabs(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() > self.quick_align.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: as in `take`.
        unsafe { process::current().take_from_slabs(layout.size()) }
    }

    /// # Safety
    /// `slab` is the answer of the last [`give`](allotment_core::LocalHeap::give) in this thread.
    #[cold]
    #[inline(never)]
    unsafe fn settle(&self, slab: Unsettled) {
        // SAFETY: forwarded; the local heap is the thread's, as it was for the free.
        if let Some(slab) = unsafe { process::current().settle_alone(slab) } {
            // SAFETY: as above.
            self.operate(|arena| unsafe { arena.settle(process::current(), slab) });
        }
    }

    /// # Safety
    /// As for [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slowly(&self, block: NonNull<u8>, layout: Layout) {
        self.operate(|arena| {
            // A thread that only frees needs no local heap.
            // SAFETY: forwarded; the word names the local heap that the thread is bound to, or an
            // empty one.
            unsafe { arena.free(process::current(), block, Some(layout)) }
        });
    }

    /// Runs an operation on the arena, which must not unwind out of a global allocator.
    #[inline(always)]
    fn operate<T>(&self, operation: impl FnOnce(&'static Arena) -> T) -> T {
        let stop = process::AbortOnUnwind;
        let arena = self.arena();
        process::expect_no_interruption(arena);
        let result = operation(arena);
        core::mem::forget(stop);
        result
    }
}

impl Default for Allotment {
    fn default() -> Self {
        Allotment::new()
    }
}

impl fmt::Debug for Allotment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allotment")
            .field("source", &self.source)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

// SAFETY: the source's region is only ever handed on, to the process's one arena, at once.
unsafe impl Sync for Allotment {}
// SAFETY: as above.
unsafe impl Send for Allotment {}

#[inline(always)]
fn or_null(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks come from one pool, which hands out each byte once; layouts are honoured: objects
// are aligned to a granule, and stronger alignments take another way. Nothing unwinds.
unsafe impl GlobalAlloc for Allotment {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => block.as_ptr(),
            None => or_null(self.allocate_slowly(layout)),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` was allocated here, so it is not null, and is the caller's to free. The word
        // names the local heap that the thread is bound to, or an empty one.
        unsafe {
            match process::current().give(ptr) {
                Freed::Done => {}
                Freed::Unsettled(slab) => self.settle(slab),
                Freed::Refused => self.deallocate_slowly(NonNull::new_unchecked(ptr), layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(block) => {
                // SAFETY: the block was just allocated with this size.
                unsafe { block.write_bytes(0, layout.size()) };
                block.as_ptr()
            }
            None => or_null(self.allocate_zeroed_slowly(layout)),
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `ptr` was allocated here with `layout` (condition). The word names the local heap
        // that the thread is bound to, or an empty one.
        or_null(self.operate(|arena| unsafe {
            let block = NonNull::new_unchecked(ptr);
            arena.reallocate(process::current(), block, layout, new_size)
        }))
    }
}
