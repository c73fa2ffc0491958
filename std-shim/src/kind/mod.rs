//! Kinds: pools with a policy, over memory of the caller's choice.
//!
//! ```text
//! mod         Kind: allocate, free, resize; what is left; giving memory back
//!   options   what may be chosen, and the ways to a kind: fixed, pmem, anonymous
//!   allocator   a kind as an allocator of Rust's collections
//!   detect      from a pointer to its kind
//!   defrag      moving small blocks together
//!   body        the pool, which is made at the first allocation, and the slow paths
//!     pieces      free memory that was given back, and is had again when it is needed
//!     background  the thread that gives back
//!     fork        kinds in the child of a fork
//!     registry    the live kinds
//!     once        what is done once, whenever the process forks
//!   device      Device DAX, file systems    placement, nodes   NUMA nodes, huge pages    memory   shared or private
//! ```
//!
//! * **fixed**: over memory that the caller mapped, with whatever properties it has.
//! * **pmem**: over a file without a name in a directory, which grows as the pool does, or over a Device DAX.
//! * **anonymous**: over memory of the system's, on chosen NUMA nodes or in huge pages.
//!
//! # Giving memory back
//!
//! A free costs no system call. A thread looks at the kinds four times a second and gives back what their
//! [`Policy`] says; [`Kind::purge`] gives back all that is free. Of a file, that is at most 256 MiB at once.
//! Free blocks whose space is given back to a file system are taken out of the pool. When it has no room
//! without them, they are populated, so that a full file system refuses an allocation and is never a
//! `SIGBUS`, and put in again. Thus all of the capacity can always be had, under every policy.
//!
//! What a kind keeps beside its pool is on the program's own heap.
//!
//! # Forks
//!
//! See [`Fork`]. The kinds' own default is to share with the child, which reads and writes the blocks
//! that it got, and can allocate and free none.

mod allocator;
mod background;
mod body;
mod defrag;
mod detect;
mod device;
mod error;
mod fork;
mod memory;
mod nodes;
mod once;
mod options;
mod pieces;
mod placement;
mod registry;
#[cfg(test)]
mod tests;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::path::Path;

use allotment_core::Fault;

use crate::arena::Arena;
use crate::message;
pub use background::set_background;
use body::{Body, Source};
pub use detect::{KindId, detect, free, tag_of};
pub use error::KindError;
pub use nodes::{Nodes, NodesError};
pub use once::OnceAcrossForks;
pub use options::{Fork, KindOptions, Policy};
pub use placement::{Placement, free_huge_pages};

/// A pool with a policy. Any thread may use it, each through a local heap of its own.
///
/// Dropping it ends the kind with all its blocks: its file space and addresses go back to the system,
/// the caller's memory is left alone.
///
/// # Examples
/// ```
/// use core::alloc::Layout;
/// use allotment::kind::{self, Kind};
///
/// let kind = Kind::pmem(&std::env::temp_dir(), 16 << 20)?;
/// let block = kind.allocate(Layout::new::<[u8; 100]>()).expect("16 MiB suffice");
/// assert_eq!(kind::detect(block.as_ptr()), Some(kind.id()));
/// // SAFETY: it was allocated just now.
/// unsafe { kind.free(block) };
/// # Ok::<(), allotment::kind::KindError>(())
/// ```
pub struct Kind {
    body: Box<Body>,
}

// SAFETY: the body is made to be shared: its pool is, and the rest is atomic or locked.
unsafe impl Send for Kind {}
// SAFETY: as above.
unsafe impl Sync for Kind {}

impl core::fmt::Debug for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Kind")
            .field("range", &self.body.range())
            .field("source", &self.body.source())
            .field("policy", &self.body.policy)
            .field("fork", &self.body.fork)
            .finish_non_exhaustive()
    }
}

/// What a kind has, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// The most that it can have, with what it takes for itself.
    pub capacity: usize,
    /// What it has from the system or the file now.
    pub committed: usize,
    /// Allocated blocks, with their rounding.
    pub used: usize,
    /// Free objects in slabs, for small blocks only. Part of `free`.
    pub slab_free: usize,
    /// What is left: in the pool, given back, or not taken yet.
    pub free: usize,
    /// A size that a single allocation can have, as far as the file system has the space. There may be a
    /// larger one.
    pub largest: usize,
}

impl Kind {
    /// A kind over the caller's memory. See [`KindOptions::fixed`].
    ///
    /// # Errors
    /// As there.
    pub fn fixed(region: &'static mut [MaybeUninit<u8>]) -> Result<Kind, KindError> {
        KindOptions::new().fixed(region)
    }

    /// A kind over a file in a directory, or over a Device DAX. See [`KindOptions::pmem`].
    ///
    /// # Errors
    /// As there.
    pub fn pmem(path: &Path, max_size: usize) -> Result<Kind, KindError> {
        KindOptions::new().pmem(path, max_size)
    }

    /// A kind over the memory of the nodes that have processors, apart from the program's own heap.
    ///
    /// # Errors
    /// If the addresses cannot be had.
    pub fn regular() -> Result<Kind, KindError> {
        KindOptions::new().anonymous(&Placement::Bind(Nodes::with_processors()))
    }

    fn new(body: Box<Body>) -> Result<Kind, KindError> {
        Ok(Kind { body })
    }

    fn body(&self) -> &Body {
        &self.body
    }

    /// Its name among the live kinds.
    #[must_use]
    pub fn id(&self) -> KindId {
        KindId::of(&self.body)
    }

    /// Sets a word that [`tag_of`] answers for the kind's blocks; null at first. Waits for [`for_each_tag`].
    pub fn set_tag(&self, tag: *mut ()) {
        registry::exclusively(|| self.body.tag.store(tag, Ordering::Release));
    }

    /// Whether an address lies in the kind's memory.
    #[inline(always)]
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.body.contains(address)
    }

    /// Allocates a block. `None` if there is no memory for it. `errno` is kept.
    #[inline(always)]
    #[must_use]
    pub fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() < pieces::LEAST
            && let Some(pool) = self.body.pool()
            && let Some(block) = pool.allocate(layout)
        {
            return Some(block);
        }
        self.body.allocate_slowly(layout, false)
    }

    /// Allocates a block of zeros, whatever was in the memory before.
    #[inline]
    #[must_use]
    pub fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() < pieces::LEAST
            && let Some(pool) = self.body.pool()
            && let Some(block) = pool.allocate_zeroed(layout)
        {
            return Some(block);
        }
        self.body.allocate_slowly(layout, true)
    }

    /// Frees a block. Misuse and damage are reported, and nothing is done then; nor in a child that
    /// [shares](Fork::Share) the kind.
    ///
    /// # Safety
    /// If it is a block of this kind, it is the caller's to free.
    #[inline(always)]
    pub unsafe fn free(&self, block: NonNull<u8>) {
        if let Some(pool) = self.body.pool() {
            // SAFETY: forwarded.
            unsafe { pool.free(block) };
        }
    }

    /// Frees a block whose layout is known. A layout that cannot be the block's is reported.
    ///
    /// # Safety
    /// As for [`Kind::free`].
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if let Some(pool) = self.body.pool() {
            // SAFETY: forwarded.
            unsafe { pool.deallocate(block, layout) };
        }
    }

    /// Changes the size of a block, as `realloc(3)` does. `None` if there is no memory for it; the
    /// block is as it was then.
    ///
    /// # Safety
    /// The block is the caller's, and is given up if another one is returned.
    #[must_use]
    pub unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        let pool = self.body.pool()?;
        // SAFETY: forwarded; a refused attempt leaves the block as it was.
        unsafe {
            pool.resize(block, size).or_else(|| {
                self.body
                    .resize_slowly(pool, size, || pool.resize(block, size))
            })
        }
    }

    /// As [`Kind::resize`], for a block whose layout is known; keeps its alignment.
    ///
    /// # Safety
    /// As for [`Kind::resize`]; the layout is the block's.
    #[must_use]
    pub unsafe fn reallocate(
        &self,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        let pool = self.body.pool()?;
        // SAFETY: forwarded; a refused attempt leaves the block as it was.
        unsafe {
            pool.reallocate(block, layout, size).or_else(|| {
                self.body
                    .resize_slowly(pool, size, || pool.reallocate(block, layout, size))
            })
        }
    }

    /// The bytes that a block can hold, `None` if it is none, which is reported.
    #[must_use]
    pub fn usable_size(&self, block: NonNull<u8>) -> Option<usize> {
        self.body.pool()?.usable_size(block)
    }

    /// Moves a small block to where small blocks gather, if that is elsewhere. Answers the new block; the old
    /// one is gone then. `None` if it stays where it is. A pass over all blocks makes whole pages free.
    ///
    /// # Safety
    /// The block is the caller's, and is given up if another one is returned.
    #[must_use]
    pub unsafe fn defrag_reallocate(&self, block: NonNull<u8>) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { defrag::reallocate(&self.body, block) }
    }

    /// Gives all free memory back, as far as whole pages are free and they are not the caller's or a
    /// device's. Answers the bytes. See [`Policy`] for what happens without it.
    pub fn purge(&self) -> usize {
        self.body.purge()
    }

    /// What it has and what is left. Takes time proportional to the number of slabs.
    #[must_use]
    pub fn space(&self) -> Space {
        self.body.space()
    }

    /// The most memory that it can have, in bytes: what it was made with, or the file system's size if that is
    /// less.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.body.capacity()
    }

    /// Whether it is a pmem kind over a Device DAX.
    #[must_use]
    pub fn is_on_device(&self) -> bool {
        self.body.device().is_some()
    }

    /// The descriptor of a pmem kind's file or device, which stays the kind's. `None` if it cannot be found. Takes time
    /// proportional to the numbers of mappings and descriptors.
    #[must_use]
    pub fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        if let Some(device) = self.body.device() {
            return Some(device);
        }
        (self.body.source() == Source::File)
            .then(|| memory::descriptor_at(self.body.range().start))?
    }

    /// The policy that it was made with.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.body.policy
    }

    /// What it lies in, for checks and statistics; `None` before the first allocation, and in a child that
    /// shares it.
    #[must_use]
    pub fn arena(&self) -> Option<&Arena> {
        self.body.pool().map(crate::pools::SharedPool::arena)
    }
}

/// Calls `f` with the [tag](Kind::set_tag) of each live kind that has one. Meanwhile no kind is made or
/// dropped, nor gets another tag; `f` must do nothing of that itself.
pub fn for_each_tag(mut f: impl FnMut(*mut ())) {
    registry::for_each(|body| {
        let tag = body.tag.load(Ordering::Acquire);
        if !tag.is_null() {
            f(tag);
        }
    });
}

/// Reports a fault in one line on standard error, and ends the process by `SIGABRT`.
#[cold]
pub fn abort_on_fault(fault: &Fault) {
    message::abort(format_args!("{fault}"));
}
