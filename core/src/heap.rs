//! [`Heap`]: one owner, no lock.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::blocks::Blocks;
use crate::check::{CheckReport, Damage};
use crate::fault::{Fault, FaultHandler, FaultKind, panic_on_fault};
use crate::region::{CreateError, GRANULE, Memory, Region, WORD};
use crate::stats::Stats;
use crate::tlsf::control::{self, Layout as Geometry};
use crate::tlsf::refusal::Refusal;
use crate::tlsf::regions::{Descriptor, MAX_REGIONS};
use crate::tlsf::{Tlsf, block};
#[cfg(feature = "fast")]
use crate::tlsf::{class::opaque, class::opaque_ref, near::Missed, near::StuckAt};

/// How a heap or pool is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The region's bytes are known to be zero, as a fresh mapping's are. Then
    /// `allocate_zeroed` does not write to memory that was never handed out. Saying so of
    /// memory that is not zero makes `allocate_zeroed` return memory that is not zero.
    pub zeroed: bool,
    /// The length in bytes that the region may be extended to, or the length of the longest region
    /// that will be added if that is more. The index is sized for it, so that large blocks keep
    /// lists of their own and the fast paths stay open after an [`extend`](Heap::extend); if the
    /// region has no room for so large an index, for its own length only. Less than the
    /// region's own length, such as 0, means just that length.
    pub capacity: usize,
    /// Who is told of misuse and damage.
    pub on_fault: FaultHandler,
}

impl Default for Options {
    /// Memory with unknown content, no growth planned, [`panic_on_fault`].
    fn default() -> Self {
        Options {
            zeroed: false,
            capacity: 0,
            on_fault: panic_on_fault,
        }
    }
}

/// Why the region could not be extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendError {
    /// The longer region would wrap round the address space or exceed `isize::MAX` bytes.
    OutOfRange,
}

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtendError::OutOfRange => {
                f.write_str("the extended region would exceed the address space")
            }
        }
    }
}

impl core::error::Error for ExtendError {}

/// Why a region could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddRegionError {
    /// The address is null, or the range wraps or is too long.
    OutOfRange,
    /// Not even the region's descriptor and one smallest block fit.
    TooSmall,
    /// It overlaps a region that the heap has already.
    Overlaps,
    /// The heap has [`MAX_REGIONS`] added regions.
    TooMany,
}

impl fmt::Display for AddRegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddRegionError::OutOfRange => {
                f.write_str("the region is null, wraps round the address space or is too long")
            }
            AddRegionError::TooSmall => f.write_str("the region is too small to hold a block"),
            AddRegionError::Overlaps => {
                f.write_str("the region overlaps one that the heap has already")
            }
            AddRegionError::TooMany => {
                write!(f, "the heap has {MAX_REGIONS} added regions already")
            }
        }
    }
}

impl core::error::Error for AddRegionError {}

/// Why a region could not be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveRegionError {
    /// No added region begins at that address. The first region cannot be removed: it holds the
    /// heap's index.
    NotFound,
    /// Blocks in it are in use.
    InUse,
}

impl fmt::Display for RemoveRegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoveRegionError::NotFound => f.write_str("no added region begins at that address"),
            RemoveRegionError::InUse => f.write_str("blocks of the region are in use"),
        }
    }
}

impl core::error::Error for RemoveRegionError {}

/// A heap for one owner: TLSF straight over a region, with no lock and no atomic operation.
///
/// All metadata is in the region, so the value itself is two words. Dropping it does nothing: the
/// region goes back to its owner as it is. Blocks handed out stay valid for the region's lifetime
/// `'r`, also when the heap is moved or dropped, until they are freed.
///
/// Every operation but those that say otherwise takes a bounded number of instructions in any
/// state of the heap. Payloads are aligned to [`GRANULE`] at least. A used block costs one word
/// and rounding to a granule.
///
/// # Examples
/// ```
/// use core::alloc::Layout;
/// use core::mem::MaybeUninit;
/// use allotment_core::Heap;
///
/// let mut region = [const { MaybeUninit::uninit() }; 4096];
/// let mut heap = Heap::new(&mut region)?;
/// let layout = Layout::new::<[u64; 10]>();
/// let p = heap.allocate(layout).expect("4 KiB suffice");
/// // SAFETY: `p` was just allocated with this layout.
/// unsafe { heap.deallocate(p, layout) };
/// assert_eq!(heap.stats().live_blocks, 0);
/// # Ok::<(), allotment_core::CreateError>(())
/// ```
pub struct Heap<'r> {
    pub(crate) tlsf: Tlsf,
    pub(crate) on_fault: FaultHandler,
    region: PhantomData<&'r mut [MaybeUninit<u8>]>,
}

impl fmt::Debug for Heap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<'r> Heap<'r> {
    /// Makes a heap over a region of any alignment. Edges that do not fill a granule are left
    /// alone. Touches only the header and one block, whatever the region's length.
    ///
    /// # Errors
    /// If the region cannot hold the header and a block; [`MIN_REGION`](crate::MIN_REGION) bytes
    /// always can.
    pub fn new(region: &'r mut [MaybeUninit<u8>]) -> Result<Self, CreateError> {
        // SAFETY: the region is borrowed exclusively for 'r.
        unsafe { Heap::from_raw(region.as_mut_ptr().cast(), region.len(), Options::default()) }
    }

    /// Makes a heap over `len` bytes at `start`. See [`Heap::new`].
    ///
    /// # Errors
    /// If `start` is null, the range wraps, or it is too small.
    ///
    /// # Safety
    /// The range is valid for reads and writes for `'r`, and nothing else reads or writes it but
    /// through blocks that this heap hands out. `options.zeroed` is true.
    pub unsafe fn from_raw(
        start: *mut u8,
        len: usize,
        options: Options,
    ) -> Result<Self, CreateError> {
        if start.is_null() {
            return Err(CreateError::Null);
        }
        let address = start.expose_provenance();
        if address.checked_add(len).is_none() || len > isize::MAX as usize {
            return Err(CreateError::OutOfRange);
        }
        let too_small = CreateError::TooSmall { given: len };
        let region = Region::trim(address, len).ok_or(too_small)?;
        let capacity = options.capacity.min(isize::MAX as usize);
        let geometry = Geometry::of(region, capacity).ok_or(too_small)?;
        // SAFETY: the range was exposed above and is exclusively ours (condition); the geometry
        // was made for it. The one free block spans all from `first` to `end`.
        let tlsf = unsafe {
            let memory = control::write_header(region, geometry, options.zeroed);
            let tlsf = Tlsf::new(memory);
            let end = block::header(geometry.end);
            memory.write(end, memory.read(end) | block::PREV_FREE);
            tlsf.insert(geometry.first, geometry.end - geometry.first);
            tlsf
        };
        let control = tlsf.control();
        control.block_bytes.set(geometry.end - geometry.first);
        control.region_bytes.set(len);
        control.tail.set(region.tail);
        Ok(Heap {
            tlsf,
            on_fault: options.on_fault,
            region: PhantomData,
        })
    }

    /// Allocates a block. `None` if no free block is large enough. A size of 0 gives a block of
    /// its own. O(1).
    #[cfg(not(feature = "fast"))]
    pub fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        match self.try_allocate(layout) {
            Ok(block) => Some(block),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    #[cfg(not(feature = "fast"))]
    pub(crate) fn try_allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, Refusal> {
        let need = block::size_for(layout.size());
        let block = self.tlsf.allocate(need, layout.align())?;
        Ok(self.block_pointer(block))
    }

    /// Allocates a block. `None` if no free block is large enough. A size of 0 gives a block of
    /// its own. O(1).
    #[cfg(feature = "fast")]
    #[inline]
    pub fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let need = block::size_for(layout.size());
        if layout.align() > GRANULE {
            return opaque_ref(self).allocate_aligned(need, layout.align());
        }
        match self.tlsf.near().allocate(need) {
            Ok(block) => Some(self.block_pointer(block)),
            // Two calls, so that no register holds which it is.
            Err(Missed::Exhausted) => {
                opaque_ref(self).allocate_slowly(need, GRANULE, Missed::Exhausted)
            }
            Err(Missed::Closed) => opaque_ref(self).allocate_slowly(need, GRANULE, Missed::Closed),
        }
    }

    #[cfg(feature = "fast")]
    #[inline(never)]
    fn allocate_aligned(&mut self, need: usize, align: usize) -> Option<NonNull<u8>> {
        match self.tlsf.near().allocate_aligned(need, align) {
            Ok(block) => Some(self.block_pointer(block)),
            Err(Missed::Exhausted) => self.allocate_slowly(need, align, Missed::Exhausted),
            Err(Missed::Closed) => self.allocate_slowly(need, align, Missed::Closed),
        }
    }

    /// Goes on where a fast path gave up.
    #[cfg(feature = "fast")]
    #[cold]
    #[inline(never)]
    fn allocate_slowly(
        &mut self,
        need: usize,
        align: usize,
        missed: Missed,
    ) -> Option<NonNull<u8>> {
        match self.tlsf.allocate_on(need, align, missed) {
            Ok(block) => Some(self.block_pointer(block)),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    #[cfg(feature = "fast")]
    #[inline(always)]
    pub(crate) fn try_allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, Refusal> {
        let need = block::size_for(layout.size());
        let block = if layout.align() <= GRANULE {
            self.tlsf
                .near()
                .allocate(need)
                .or_else(|missed| self.tlsf.allocate_on(need, GRANULE, missed))?
        } else {
            let align = layout.align();
            self.tlsf
                .near()
                .allocate_aligned(need, align)
                .or_else(|missed| self.tlsf.allocate_on(need, align, missed))?
        };
        Ok(self.block_pointer(block))
    }

    #[inline(always)]
    fn block_pointer(&self, block: usize) -> NonNull<u8> {
        // SAFETY: blocks lie behind the header of a region whose start is not null.
        unsafe { NonNull::new_unchecked(self.tlsf.memory.pointer(block)) }
    }

    /// Bytes of free blocks that have been written to since they were known to be zero.
    #[cfg(feature = "lock")]
    pub(crate) fn used_before(&self) -> usize {
        let end = self.tlsf.control().end.get();
        let untouched = end.saturating_sub(self.fresh());
        self.stats().free_bytes.saturating_sub(untouched)
    }

    /// The largest free block, if it holds `least` bytes.
    #[cfg(feature = "lock")]
    pub(crate) fn largest_block(&self, least: usize) -> Option<NonNull<u8>> {
        let (block, size) = self.tlsf.largest_block();
        (size >= least + WORD).then(|| self.block_pointer(block))
    }

    /// Allocates the [largest free block](Heap::largest_block) whole, as one that will be free again with
    /// nothing written to it: it does not count as memory that was used, and as long as it is out, the peak
    /// counts from above it. Answers its size, and how many bytes at its start have been written to since
    /// they were known to be zero.
    #[cfg(feature = "lock")]
    pub(crate) fn take_out(&mut self, block: NonNull<u8>) -> Option<(usize, usize)> {
        let start = self.tlsf.memory.offset_of(block.addr().get());
        let (_, size) = self.tlsf.largest_block();
        let control = self.tlsf.control();
        let (written, peak) = (control.written.get(), control.peak.get());
        let fresh = self.fresh();
        let taken = self.tlsf.place(start, size, GRANULE);
        control.written.set(written);
        taken.ok()?;
        control.peak.set(peak + size);
        Some((size, fresh.saturating_sub(start).min(size - WORD)))
    }

    /// So many bytes, which were [taken out](Heap::take_out), are free again.
    #[cfg(feature = "lock")]
    pub(crate) fn lower_peak(&mut self, bytes: usize) {
        let peak = &self.tlsf.control().peak;
        peak.set(peak.get() - bytes);
    }

    /// Allocates a block of zeroes. Memory that is known to be zero is not written: see
    /// [`Options::zeroed`]. O(1) but for the zeroing.
    pub fn allocate_zeroed(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let fresh = self.fresh();
        let p = self.allocate(layout)?;
        let stale = self.stale_part(p, layout.size(), fresh);
        // SAFETY: the block was just allocated with at least this size.
        unsafe { p.write_bytes(0, stale) };
        Some(p)
    }

    /// From which offset on the first region is known to be zero.
    pub(crate) fn fresh(&self) -> usize {
        self.tlsf.control().fresh()
    }

    /// How many of a new block's `size` bytes have to be zeroed, given what [`Heap::fresh`] was
    /// before it was allocated. The rest is zero when this returns.
    pub(crate) fn stale_part(&mut self, p: NonNull<u8>, size: usize, fresh: usize) -> usize {
        let block = self.tlsf.memory.offset_of(p.addr().get());
        if block >= self.tlsf.control().end.get() || fresh >= block.wrapping_add(size) {
            return size;
        }
        if let Ok(used) = self.tlsf.used(block) {
            // The only word beyond `fresh` that was written is a free block's footer. It is the
            // last word of the payload if the block was taken whole.
            // SAFETY: the footer's place lies in the payload of a checked block.
            unsafe { self.tlsf.memory.write(block::footer(used.following()), 0) }
        }
        fresh.saturating_sub(block)
    }

    /// Takes back a block and checks its size. O(1).
    ///
    /// A pointer that is not a block's start, a block that is free already, and a size
    /// that it was not allocated for are reported to the [`FaultHandler`], and nothing is changed.
    ///
    /// # Safety
    /// `ptr` was handed out by this heap for this layout, or a reallocation to it, and is not used
    /// afterwards.
    #[inline]
    pub unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) {
        self.free_or_refuse(ptr, Some(layout.size()));
    }

    #[cfg(not(feature = "fast"))]
    fn free_or_refuse(&mut self, ptr: NonNull<u8>, size: Option<usize>) {
        if let Err(refusal) = self.try_free(ptr, size) {
            self.refuse::<()>(refusal, size.unwrap_or(0));
        }
    }

    /// Frees, in a form that leaves nothing to be done after the call of the slow path.
    #[cfg(feature = "fast")]
    #[inline(always)]
    fn free_or_refuse(&mut self, ptr: NonNull<u8>, size: Option<usize>) {
        // Opaque, so that not both the offset and the pointer take a register.
        let block = opaque(self.tlsf.memory.offset_of(ptr.addr().get()));
        match self.tlsf.near().free(block, size) {
            Ok(()) => {}
            Err(StuckAt::Start) => self.free_slowly(block, size, StuckAt::Start),
            Err(StuckAt::Next) => self.free_slowly(block, None, StuckAt::Next),
            Err(StuckAt::Previous) => self.free_slowly(block, None, StuckAt::Previous),
        }
    }

    #[cfg(feature = "fast")]
    #[cold]
    #[inline(never)]
    fn free_slowly(&mut self, block: usize, size: Option<usize>, stuck: StuckAt) {
        if let Err(refusal) = self.tlsf.free_on(block, size, stuck) {
            self.refuse::<()>(refusal, size.unwrap_or(0));
        }
    }

    /// As [`Heap::deallocate`] and [`Heap::free`], with the refusal for the caller to deal with.
    #[inline(always)]
    pub(crate) fn try_free(
        &mut self,
        ptr: NonNull<u8>,
        size: Option<usize>,
    ) -> Result<(), Refusal> {
        let block = self.tlsf.memory.offset_of(ptr.addr().get());
        #[cfg(feature = "fast")]
        let result = self
            .tlsf
            .near()
            .free(block, size)
            .or_else(|stuck| self.tlsf.free_on(block, size, stuck));
        #[cfg(not(feature = "fast"))]
        let result = self.tlsf.free(block, size);
        result
    }

    /// Takes back a block whose size is not known, as C's `free` does (but not null). O(1).
    ///
    /// Misuse is reported as by [`Heap::deallocate`].
    ///
    /// # Safety
    /// `ptr` was handed out by this heap and is not used afterwards.
    #[inline]
    pub unsafe fn free(&mut self, ptr: NonNull<u8>) {
        self.free_or_refuse(ptr, None);
    }

    /// Changes the size of a block, and keeps `layout.align()`. The content is kept up to the
    /// smaller of both sizes.
    ///
    /// Tries to grow or shrink where it is, then to join with the free block before it (the
    /// content moves down), and only then allocates anew and copies. On `None` the block is as it
    /// was. O(1) but for the copying.
    ///
    /// # Safety
    /// As for [`Heap::deallocate`]; if a block is returned, `ptr` is not used afterwards.
    pub unsafe fn reallocate(
        &mut self,
        ptr: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_as(ptr, Some(layout), new_size) }
    }

    /// Changes the size of a block whose layout is not known, as C's `realloc` does (but neither
    /// null nor 0 are special). The alignment that it was allocated with is kept. See
    /// [`Heap::reallocate`].
    ///
    /// # Safety
    /// As for [`Heap::free`]; if a block is returned, `ptr` is not used afterwards.
    pub unsafe fn resize(&mut self, ptr: NonNull<u8>, new_size: usize) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_as(ptr, None, new_size) }
    }

    /// # Safety
    /// As for [`Heap::resize`]; `layout` is the block's if it is given.
    unsafe fn resize_as(
        &mut self,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        match self.begin_resize(ptr, layout, new_size) {
            Ok(None) => Some(ptr),
            Ok(Some(moving)) => {
                // SAFETY: the caller gives up the old block; `moving` is fresh.
                unsafe { moving.copy() };
                match self.finish_resize(moving) {
                    Ok(()) => Some(moving.to),
                    Err(refusal) => self.refuse(refusal, 0),
                }
            }
            Err(refusal) => self.refuse(refusal, layout.map_or(0, |layout| layout.size())),
        }
    }

    /// Changes the size of a block without moving it. Answers whether that was possible; if not,
    /// the block is as it was. O(1).
    ///
    /// # Safety
    /// As for [`Heap::free`]; if it shrinks, the bytes beyond `new_size` are not used afterwards.
    pub unsafe fn resize_in_place(&mut self, ptr: NonNull<u8>, new_size: usize) -> bool {
        match self.try_resize_in_place(ptr, new_size) {
            Ok(done) => done,
            Err(refusal) => {
                self.refuse::<()>(refusal, 0);
                false
            }
        }
    }

    pub(crate) fn try_resize_in_place(
        &mut self,
        ptr: NonNull<u8>,
        new_size: usize,
    ) -> Result<bool, Refusal> {
        self.count_reallocation();
        let used = self
            .tlsf
            .used(self.tlsf.memory.offset_of(ptr.addr().get()))?;
        if new_size > MAX_SIZE {
            return Ok(false);
        }
        self.tlsf.resize(used, block::size_for(new_size))
    }

    fn count_reallocation(&self) {
        let control = self.tlsf.control();
        control.reallocations.set(control.reallocations.get() + 1);
    }

    /// Resizes a block where it is (`None`), or finds the place that its content has to be copied
    /// to before [`Heap::finish_resize`]. In between both blocks are in use, so that the copy
    /// needs no lock.
    pub(crate) fn begin_resize(
        &mut self,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
        new_size: usize,
    ) -> Result<Option<Moving>, Refusal> {
        self.count_reallocation();
        let block = self.tlsf.memory.offset_of(ptr.addr().get());
        #[cfg(feature = "fast")]
        if new_size <= MAX_SIZE {
            let payload = layout.map(|layout| layout.size());
            if self
                .tlsf
                .near()
                .grow(block, payload, block::size_for(new_size))
            {
                return Ok(None);
            }
        }
        let used = self.tlsf.used(block)?;
        let usable = used.size() - WORD;
        if !used.served(layout.map(|layout| layout.size())) {
            return Err(Refusal::Fault(FaultKind::SizeMismatch, used.block));
        }
        if new_size > MAX_SIZE {
            return Err(Refusal::NoMemory);
        }
        let need = block::size_for(new_size);
        if self.tlsf.resize(used, need)? {
            return Ok(None);
        }
        let align = match layout {
            Some(layout) => layout.align(),
            None => block::align_of_code(used.decoded, ptr.addr().get()),
        };
        if let Some(joined) = self.tlsf.join_back(used, need, align)? {
            let to = NonNull::new(self.tlsf.memory.pointer(joined)).ok_or(Refusal::NoMemory)?;
            return Ok(Some(Moving {
                from: ptr,
                to,
                len: usable,
                then: Then::Shrink(need),
            }));
        }
        let layout = Layout::from_size_align(new_size, align).map_err(|_| Refusal::NoMemory)?;
        let to = self.try_allocate(layout)?;
        Ok(Some(Moving {
            from: ptr,
            to,
            len: usable,
            then: Then::Free,
        }))
    }

    /// Gives back what a moved block does not need any more. If that is refused because of a
    /// damage next to the old block, that stays as it is, and the new one is given back.
    pub(crate) fn finish_resize(&mut self, moving: Moving) -> Result<(), Refusal> {
        match moving.then {
            Then::Free => {
                let freed = self.try_free(moving.from, None);
                if freed.is_err() {
                    // A second refusal would be about the same damage.
                    let _ = self.try_free(moving.to, None);
                }
                freed
            }
            Then::Shrink(need) => {
                let block = self.tlsf.memory.offset_of(moving.to.addr().get());
                // The content has moved for good: a damage behind it only keeps the tail in use.
                let used = self.tlsf.used(block)?;
                let _ = self.tlsf.give_up_tail(used, need);
                Ok(())
            }
        }
    }

    /// The bytes that a block can hold, at least as many as were asked for. `None` if `ptr` is
    /// not a block, after the [`FaultHandler`] was told. O(1).
    #[must_use]
    pub fn usable_size(&self, ptr: NonNull<u8>) -> Option<usize> {
        match self.try_usable_size(ptr) {
            Ok(size) => Some(size),
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    pub(crate) fn try_usable_size(&self, ptr: NonNull<u8>) -> Result<usize, Refusal> {
        self.try_usable_size_as(ptr, None)
    }

    /// The same, for a block that was asked for with `size`, if that is known.
    pub(crate) fn try_usable_size_as(
        &self,
        ptr: NonNull<u8>,
        size: Option<usize>,
    ) -> Result<usize, Refusal> {
        let used = self
            .tlsf
            .used(self.tlsf.memory.offset_of(ptr.addr().get()))?;
        if !used.served(size) {
            return Err(Refusal::Fault(FaultKind::SizeMismatch, used.block));
        }
        Ok(used.size() - WORD)
    }

    /// Makes the `additional` bytes right behind the first region part of it, joined with the
    /// last block if that is free. Answers by how many bytes the blocks grew: bytes that do not
    /// fill a block are kept for the next time. O(1).
    ///
    /// # Errors
    /// If the region would wrap round the address space. Nothing is changed.
    ///
    /// # Safety
    /// The bytes that begin where the region ended as it was given (and extended since) fulfil
    /// what [`Heap::from_raw`] asks of a region. If the heap was made with [`Options::zeroed`],
    /// they are zero, too.
    pub unsafe fn extend(&mut self, additional: usize) -> Result<usize, ExtendError> {
        // SAFETY: forwarded. The region's provenance was exposed as a whole by its owner; the new
        // bytes are reached by address.
        unsafe { self.tlsf.extend(additional) }.ok_or(ExtendError::OutOfRange)
    }

    /// Adds a region. Blocks do not cross from one region to another. Costs six words of it.
    /// O(number of regions).
    ///
    /// # Errors
    /// See [`AddRegionError`]. Nothing is changed.
    pub fn add_region(&mut self, region: &'r mut [MaybeUninit<u8>]) -> Result<(), AddRegionError> {
        // SAFETY: the region is borrowed exclusively for 'r.
        unsafe { self.add_region_raw(region.as_mut_ptr().cast(), region.len()) }
    }

    /// Adds `len` bytes at `start` as a region. See [`Heap::add_region`].
    ///
    /// # Errors
    /// See [`AddRegionError`]. Nothing is changed.
    ///
    /// # Safety
    /// As for [`Heap::from_raw`], until the region is removed.
    pub unsafe fn add_region_raw(
        &mut self,
        start: *mut u8,
        len: usize,
    ) -> Result<(), AddRegionError> {
        let address = start.expose_provenance();
        if start.is_null() || address.checked_add(len).is_none() || len > isize::MAX as usize {
            return Err(AddRegionError::OutOfRange);
        }
        let region = Region::trim(address, len).ok_or(AddRegionError::TooSmall)?;
        if self.overlaps(address, len) {
            return Err(AddRegionError::Overlaps);
        }
        if self.tlsf.descriptors().count() == MAX_REGIONS {
            return Err(AddRegionError::TooMany);
        }
        // SAFETY: exposed above; exclusively ours (condition).
        let added = unsafe { self.tlsf.add_region(region, (address, len)) };
        if added {
            Ok(())
        } else {
            Err(AddRegionError::TooSmall)
        }
    }

    fn overlaps(&self, start: usize, len: usize) -> bool {
        let control = self.tlsf.control();
        let memory = self.tlsf.memory;
        let first_end = memory.address_of(control.end.get()) + control.tail.get();
        // Up to a granule was cut off the first region's start; it is not counted.
        let first_start = first_end - control.region_bytes.get().min(first_end);
        let first_start = first_start.max(
            memory.address_of(control::bitmap(control.last_bin.get() / control::BITS + 1))
                - size_of::<control::Prefix>(),
        );
        let meets = |a: usize, a_len: usize| start < a + a_len && a < start + len;
        meets(first_start, first_end - first_start)
            || self
                .tlsf
                .descriptors()
                .any(|(_, d)| meets(d.given_start, d.given_len))
    }

    /// Removes the added region that was given as beginning at `start`, if nothing in it is in
    /// use, and answers its start and length. O(number of regions).
    ///
    /// # Errors
    /// See [`RemoveRegionError`]. Nothing is changed.
    pub fn remove_region(
        &mut self,
        start: *const u8,
    ) -> Result<(*mut u8, usize), RemoveRegionError> {
        let (at, descriptor): (usize, Descriptor) = self
            .tlsf
            .descriptors()
            .find(|(_, d)| d.given_start == start.addr())
            .ok_or(RemoveRegionError::NotFound)?;
        if !self.tlsf.remove_region(at) {
            return Err(RemoveRegionError::InUse);
        }
        let start = core::ptr::with_exposed_provenance_mut(descriptor.given_start);
        Ok((start, descriptor.given_len))
    }

    /// Whether an address lies where blocks of this heap may lie. O(1).
    #[must_use]
    pub fn contains(&self, ptr: *const u8) -> bool {
        self.tlsf.is_place(self.tlsf.memory.offset_of(ptr.addr()))
    }

    /// The heap's figures. O(1).
    #[must_use]
    pub fn stats(&self) -> Stats {
        let control = self.tlsf.control();
        let used_bytes = control.used.get();
        let block_bytes = control.block_bytes.get();
        let region_bytes = control.region_bytes.get();
        let allocations = control.allocations.get();
        let deallocations = control.deallocations.get();
        Stats {
            region_bytes,
            overhead_bytes: region_bytes - block_bytes,
            used_bytes,
            free_bytes: block_bytes - used_bytes,
            slab_free_bytes: 0,
            peak_bytes: control.peak.get(),
            largest_free: self.tlsf.largest_free(),
            live_blocks: allocations.wrapping_sub(deallocations),
            allocations,
            deallocations,
            reallocations: control.reallocations.get(),
            failures: control.failures.get(),
        }
    }

    /// The blocks in the order of their addresses, region by region. Ends early where the chain
    /// of headers is damaged; [`Heap::check`] says where.
    #[must_use]
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.tlsf)
    }

    /// Reads the whole heap and compares all that is written down twice. Takes time proportional
    /// to the number of blocks and lists, changes nothing, and never follows a damaged link.
    ///
    /// # Errors
    /// The first damage found.
    pub fn check(&self) -> Result<CheckReport, Damage> {
        crate::check::check(self.tlsf)
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter {
            memory: self.tlsf.memory,
            on_fault: self.on_fault,
        }
    }

    /// Tells the handler of a fault, or counts a failure. Always `None`, for the caller to hand on.
    #[inline(always)]
    pub(crate) fn refuse<T>(&self, refusal: Refusal, size: usize) -> Option<T> {
        self.note(refusal, size);
        None
    }

    #[cold]
    #[inline(never)]
    fn note(&self, refusal: Refusal, size: usize) {
        match refusal {
            Refusal::NoMemory => {
                let control = self.tlsf.control();
                control.failures.set(control.failures.get() + 1);
            }
            Refusal::Fault(..) => self.reporter().report(refusal, size),
        }
    }

    /// Makes everything but the blocks' headers anew: see [`Tlsf::rebuild`].
    #[cfg(feature = "lock")]
    pub(crate) fn rebuild(&mut self) -> Result<(), Damage> {
        self.tlsf.rebuild().map_err(|broken| Damage {
            address: self.tlsf.memory.address_of(broken.0),
            invariant: crate::check::Invariant::Size,
        })
    }
}

/// What it takes to tell of a fault, apart from the heap itself.
#[derive(Clone, Copy)]
pub(crate) struct Reporter {
    memory: Memory,
    on_fault: FaultHandler,
}

impl Reporter {
    #[cold]
    pub(crate) fn report(self, refusal: Refusal, size: usize) {
        if let Refusal::Fault(kind, offset) = refusal {
            self.report_at(kind, self.memory.address_of(offset), size);
        }
    }

    /// As [`Reporter::report`], for a place that is named by its address.
    #[cold]
    pub(crate) fn report_at(self, kind: FaultKind, address: usize, size: usize) {
        let detail = if kind == FaultKind::SizeMismatch {
            size
        } else {
            0
        };
        (self.on_fault)(&Fault {
            kind,
            address,
            detail,
        });
    }
}

/// The largest payload that a block size can be computed for.
const MAX_SIZE: usize = isize::MAX as usize - GRANULE;

/// A block whose content is on its way to another place.
#[derive(Clone, Copy)]
pub(crate) struct Moving {
    pub(crate) from: NonNull<u8>,
    pub(crate) to: NonNull<u8>,
    len: usize,
    then: Then,
}

/// What is left to do when the content has been copied.
#[derive(Clone, Copy)]
enum Then {
    /// Free the old block.
    Free,
    /// Cut the new block, which covers the old one, to this block size.
    Shrink(usize),
}

impl Moving {
    /// Copies the content.
    ///
    /// # Safety
    /// Nobody else uses either block.
    pub(crate) unsafe fn copy(self) {
        // SAFETY: both blocks are at least `len` bytes long: the new one is the larger. They may
        // overlap when the new block begins below the old one.
        unsafe { self.to.copy_from(self.from, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_no_drop() {
        assert!(!core::mem::needs_drop::<Heap<'_>>());
    }

    #[test]
    fn is_two_words() {
        assert_eq!(size_of::<Heap<'_>>(), 2 * WORD);
    }
}
