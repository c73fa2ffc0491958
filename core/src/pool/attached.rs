//! A pool's operations for whoever has a local heap.
//!
//! ```text
//! allocate: bin of the local heap ─> its slabs ─> what others freed ─> a new slab, locked
//!                                                                  └─> a block, locked
//! free:     own slab, no lock ─> another's slab, lock-free ─> a block, locked
//! ```
//!
//! The operations without a local heap are these, with [`LocalHeap::EMPTY`].

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

use lock_api::RawMutex;

use super::Pool;
use super::control::Lack;
use crate::fault::FaultKind;
use crate::local::{Freed, LocalHeap, Unsettled};
use crate::slab::class::{QUICK, SLAB_GRANULE, STEP, TABLE, class_of};
use crate::slab::descriptor::Descriptor;
use crate::slab::scale::LOOKS;
use crate::sync::Ordering;
use crate::tlsf::refusal::Refusal;

/// Slabs with remote frees that are looked at in one operation.
const COLLECTED: usize = 8;

/// How long who waits for others pauses between two of [`LOOKS`].
const PAUSES: usize = 32;

/// From this size on, what outgrows an object of a slab by more than an eighth becomes a block of its
/// own: it may grow again, and a block can do so where it is. With smaller steps, copies from class
/// to class are rare enough.
const GROWS_AS_BLOCK: usize = 1024;

/// Where an allocation may look for memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Where it costs nothing to anybody.
    Ordinary,
    /// Everywhere.
    LastResort,
}

/// What a local heap has ready, if the layout asks for no more alignment than every object has.
///
/// # Safety
/// As for [`Pool::allocate_in`].
#[inline(always)]
pub(super) unsafe fn take_unaligned(local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
    if layout.align() <= STEP {
        // SAFETY: forwarded.
        unsafe { local.take(layout.size()) }
    } else {
        None
    }
}

impl<'r, R: RawMutex> Pool<'r, R> {
    /// Binds the caller to a local heap: one that nobody is bound to any more, with all its slabs,
    /// or a new one. `None` if there is no memory for it.
    ///
    /// The local heap lies in the region, and stays there as long as the pool does. Takes the lock
    /// for a bounded number of instructions.
    #[must_use]
    pub fn attach(&self) -> Option<NonNull<LocalHeap>> {
        self.with(|heap| self.control().attach(heap))
    }

    /// Gives a local heap up, with all its slabs, for the next one to [attach](Pool::attach). What
    /// was allocated from it stays valid, and is freed as ever.
    ///
    /// # Safety
    /// `local` came from this pool's [`attach`](Pool::attach), and is not used by the caller
    /// afterwards.
    pub unsafe fn detach(&self, local: NonNull<LocalHeap>) {
        // SAFETY: local heaps live as long as the pool.
        let local = unsafe { local.as_ref() };
        self.with(|_| self.control().detach(local));
    }

    /// Whether a local heap is one of this pool's. O(1).
    #[must_use]
    pub fn owns(&self, local: &LocalHeap) -> bool {
        local.pool.get() == (&raw const *self.control()).addr()
    }

    /// As [`Pool::allocate`], from a local heap: without the lock as long as its slabs have free
    /// objects of the size.
    ///
    /// Small objects of a pool that may still be [extended](Pool::extend) are refused when no slab
    /// can be had for them; [`Pool::allocate_at_last`] does not stop at that.
    ///
    /// # Safety
    /// `local` is [`LocalHeap::EMPTY`], or the caller is the only one who is bound to it (see
    /// [`Pool::attach`]), and no operation with it is interrupted by this one.
    #[inline(always)]
    pub unsafe fn allocate_in(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            match take_unaligned(local, layout) {
                None => self.allocate_slowly(local, layout),
                object => object,
            }
        }
    }

    /// As [`Pool::allocate_in`], with all that can be done before the answer is `None`: each free
    /// object is found, empty slabs and remote frees of idle local heaps are given back, and small
    /// objects may take blocks of their own.
    ///
    /// Takes time proportional to the number of idle local heaps, of their empty slabs, and of the
    /// slabs that others have freed objects of; and once each time that the memory for the layout's class
    /// has run out, to the number of slabs. If another thread has an idle local heap out at the same time, it
    /// is waited for, a millisecond or so at most.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[cold]
    #[inline(never)]
    pub unsafe fn allocate_at_last(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            self.try_allocate_in(local, layout, Effort::LastResort)
                .or_else(|| self.take_from_full(local, layout))
                .or_else(|| {
                    self.give_up_empty(local);
                    self.try_allocate_in(local, layout, Effort::LastResort)
                })
                .or_else(|| self.refuse(Refusal::NoMemory, 0))
        }
    }

    /// An object of a slab that counts as full though it has a few that are free. There are none as long
    /// as [each free counts](LocalHeap::count_each), so that who asks in vain many times looks at all
    /// slabs once.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    unsafe fn take_from_full(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        let class = class_of(layout)?;
        if local.is_empty_heap() || local.counts_each(class) {
            return None;
        }
        self.with(|_| {
            let slabs = self.control().slabs().filter(|slab| {
                slab.is_owned_by(local.address()) && slab.class.get() as usize == class
            });
            // SAFETY: the slabs are the local heap's, to which the caller is bound.
            unsafe { local.count_each(class, slabs) }
        });
        // SAFETY: as above.
        unsafe { local.refill(class) }
    }

    /// Collects the remote frees of a local heap and of all that are idle, and gives back all their
    /// slabs that have no object in use.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub(super) unsafe fn give_up_empty(&self, local: &LocalHeap) {
        // SAFETY: forwarded.
        unsafe {
            self.trim_all(local, false);
            if self.awaits_others() {
                self.trim_all(local, false);
            }
        }
    }

    /// Whether others had idle local heaps out, whose memory might be what the caller lacks. Waits until they are
    /// back; a millisecond or so at most, since the caller may be one who interrupted the other.
    fn awaits_others(&self) -> bool {
        for look in 0..LOOKS {
            if self.control().out.load(Ordering::Relaxed) == 0 {
                return look > 0;
            }
            for _ in 0..PAUSES {
                core::hint::spin_loop();
            }
        }
        true
    }

    /// [`Pool::allocate_in`], and then [`Pool::allocate_at_last`]: for those who have nothing to try
    /// in between.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub(super) unsafe fn allocate_or_fail(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            match take_unaligned(local, layout) {
                None => self.allocate_slowly_or_fail(local, layout),
                object => object,
            }
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn allocate_slowly_or_fail(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            self.allocate_ordinarily(local, layout)
                .or_else(|| self.allocate_at_last(local, layout))
        }
    }

    /// What costs nothing to anybody.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub(super) unsafe fn allocate_ordinarily(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.try_allocate_in(local, layout, Effort::Ordinary) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn allocate_slowly(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            let found = self.allocate_ordinarily(local, layout);
            if found.is_some() || self.control().may_grow() {
                return found;
            }
            self.allocate_at_last(local, layout)
        }
    }

    unsafe fn try_allocate_in(
        &self,
        local: &LocalHeap,
        layout: Layout,
        effort: Effort,
    ) -> Option<NonNull<u8>> {
        if !local.is_empty_heap()
            && let Some(class) = class_of(layout)
            && self.control().count_of(class) != 0
        {
            // SAFETY: forwarded.
            match unsafe { self.refill(local, class) } {
                Ok(object) => return Some(object),
                Err(Lack::Memory) if effort == Effort::Ordinary && self.control().may_grow() => {
                    return None;
                }
                Err(_) => {}
            }
        }
        // SAFETY: forwarded.
        unsafe { self.give_up_kept(local, layout.size()) };
        self.allocate_block(layout)
    }

    /// Makes room in the heap before so many bytes are allocated there.
    ///
    /// # Safety
    /// The caller is bound to the local heap, or it is the empty one.
    unsafe fn give_up_kept(&self, local: &LocalHeap, bytes: usize) {
        let refused = Cell::new(None);
        // SAFETY: forwarded.
        unsafe { local.give_up_kept(bytes, |slab| self.release(slab, &refused)) };
        self.report(Ok(()), refused);
    }

    /// Gives up the empty slabs that the local heap has not needed since this was called last, or all
    /// that it keeps.
    ///
    /// # Safety
    /// The caller is bound to the local heap, or it is the empty one.
    pub(super) unsafe fn give_up_unneeded(&self, local: &LocalHeap, all: bool) {
        if local.is_empty_heap() {
            return;
        }
        let refused = Cell::new(None);
        // SAFETY: forwarded.
        unsafe { local.give_up_unneeded(all, |slab| self.release(slab, &refused)) };
        self.report(Ok(()), refused);
    }

    /// A block of the heap's, if there is one.
    fn allocate_block(&self, layout: Layout) -> Option<NonNull<u8>> {
        match self.with(|heap| heap.try_allocate(layout)) {
            Ok(block) => Some(block),
            Err(Refusal::NoMemory) => None,
            Err(damage) => self.refuse(damage, 0),
        }
    }

    /// # Safety
    /// The caller is bound to the local heap.
    unsafe fn refill(&self, local: &LocalHeap, class: usize) -> Result<NonNull<u8>, Lack> {
        // SAFETY: forwarded.
        unsafe {
            if let Some(object) = local.refill(class) {
                return Ok(object);
            }
            self.collect(local, COLLECTED);
            if let Some(object) = local.refill(class) {
                return Ok(object);
            }
            self.give_up_kept(local, self.control().bytes_of_next(local, class));
            // A fault handler may have got a slab of the class meanwhile.
            if let Some(object) = local.refill(class) {
                return Ok(object);
            }
            let slab = self.with(|heap| {
                let slab = self.control().acquire(heap, local, class);
                self.control().show_map(local);
                slab
            })?;
            local.adopt(slab);
            local.refill(class).ok_or(Lack::Memory)
        }
    }

    /// # Safety
    /// The caller is bound to the local heap.
    unsafe fn collect(&self, local: &LocalHeap, most: usize) {
        let refused = Cell::new(None);
        // SAFETY: forwarded.
        let twice = unsafe { local.collect(most, |slab| self.release(slab, &refused)) };
        self.report(twice, refused);
    }

    /// Gives a slab back. If that is refused, it stays where it was, and `refused` says why: the
    /// fault handler has to wait until the local heap is in order.
    fn release(&self, slab: &Descriptor, refused: &Cell<Option<Refusal>>) -> bool {
        match self.with(|heap| self.control().release(heap, slab)) {
            Ok(()) => true,
            Err(refusal) => {
                refused.set(Some(refusal));
                false
            }
        }
    }

    /// Tells of an object that was freed twice, and of a slab that could not be given back.
    fn report(&self, twice: Result<(), usize>, refused: Cell<Option<Refusal>>) {
        if let Err(twice) = twice {
            self.reporter.report_at(FaultKind::AlreadyFree, twice, 0);
        }
        if let Some(refusal) = refused.get() {
            self.refuse::<()>(refusal, 0);
        }
    }

    /// Collects the remote frees of a local heap and of all that are idle, and gives back all their
    /// slabs that have no object in use.
    ///
    /// Takes time proportional to the number of these local heaps and slabs.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub unsafe fn trim(&self, local: &LocalHeap) {
        // SAFETY: forwarded.
        unsafe {
            self.with(|_| {
                if !local.is_empty_heap() || self.control().idle.get() != 0 {
                    self.control().reconsider_slabs(local);
                }
            });
            self.trim_all(local, true);
        }
    }

    /// Collects the remote frees of a local heap and of all that are idle, and gives back their slabs that
    /// have no object in use, but for those that count as full. The other current ones of idle local heaps
    /// go back to their shelves, those of this one if `retires` says so.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    unsafe fn trim_all(&self, local: &LocalHeap, retires: bool) {
        if !local.is_empty_heap() {
            // SAFETY: forwarded.
            let (twice, refused) = unsafe { self.trim_slabs(local, retires) };
            self.report(twice, refused);
        }
        let control = self.control();
        let (began, most) = self.with(|_| {
            let heaps = control.heaps_ever.load(Ordering::Relaxed);
            (control.begin_trim(), heaps)
        });
        // Others may come back as fast as they are trimmed. One at a time, so that several who lack memory share
        // the work and keep little from each other.
        for _ in 0..most {
            let Some((other, count)) = self.with(|_| control.take_idle_out(began)) else {
                break;
            };
            // SAFETY: it was idle, and is known to this caller alone now.
            let (twice, refused) = unsafe { self.trim_slabs(other, true) };
            self.with(|_| control.put_idle_back(other, count));
            // Not before: the fault handler may panic.
            self.report(twice, refused);
        }
        self.with(|heap| control.trim(heap));
    }

    /// # Safety
    /// The caller is bound to the local heap, or it is idle and known to the caller alone.
    unsafe fn trim_slabs(&self, local: &LocalHeap, retires: bool) -> Trimmed {
        let refused = Cell::new(None);
        // SAFETY: forwarded.
        let twice = unsafe { local.trim(retires, |slab| self.release(slab, &refused)) };
        (twice, refused)
    }

    /// As [`Pool::allocate_zeroed`], from a local heap.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn allocate_zeroed_in(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        if !local.is_empty_heap() && layout.size() <= QUICK && class_of(layout).is_some() {
            // SAFETY: forwarded; the object was just allocated with this size.
            unsafe {
                let object = self.allocate_in(local, layout)?;
                object.write_bytes(0, layout.size());
                return Some(object);
            }
        }
        match self.try_allocate_zeroed(layout) {
            Ok(block) => Some(block),
            Err(Refusal::NoMemory) if !self.control().may_grow() => {
                // SAFETY: forwarded.
                unsafe { self.give_up_empty(local) };
                self.allocate_zeroed_or_refuse(layout)
            }
            Err(refusal) => self.refuse(refusal, 0),
        }
    }

    /// As [`Pool::free`], for one who is bound to a local heap: without the lock if the object
    /// lies in one of its slabs, and lock-free if it lies in another's.
    ///
    /// # Safety
    /// As for [`Pool::free`] and [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn free_in(&self, local: &LocalHeap, ptr: NonNull<u8>) {
        // SAFETY: forwarded.
        unsafe { self.free_as(local, ptr, None) }
    }

    /// As [`Pool::deallocate`], for one who is bound to a local heap.
    ///
    /// # Safety
    /// As for [`Pool::deallocate`] and [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn deallocate_in(&self, local: &LocalHeap, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { self.free_as(local, ptr, Some(layout)) }
    }

    /// # Safety
    /// As for [`Pool::free_in`].
    #[inline(always)]
    pub(super) unsafe fn free_as(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
    ) {
        // Objects for stronger alignments may be of a larger class.
        let quick = layout.is_none_or(|layout| layout.align() <= STEP);
        let size = layout.map(|layout| layout.size());
        if quick {
            // SAFETY: the caller is bound to the local heap.
            match unsafe { local.give_sized(ptr.addr().get(), size) } {
                Freed::Done => return,
                Freed::Unsettled(slab) => {
                    // SAFETY: as above.
                    unsafe {
                        if let Some(slab) = local.settle_alone(slab) {
                            self.settle(local, slab);
                        }
                    }
                    return;
                }
                Freed::Refused => {}
            }
        }
        // SAFETY: forwarded.
        unsafe { self.free_elsewhere(local, ptr, layout) }
    }

    /// Frees what lies in no slab of the local heap: most of these are objects of others.
    ///
    /// # Safety
    /// As for [`Pool::free_in`].
    #[cold]
    #[inline(never)]
    unsafe fn free_elsewhere(&self, local: &LocalHeap, ptr: NonNull<u8>, layout: Option<Layout>) {
        if layout.is_none_or(|layout| layout.align() <= STEP) {
            let size = layout.map(|layout| layout.size());
            // SAFETY: forwarded; the pool is here.
            if unsafe { local.give_to_owner_sized(ptr.addr().get(), size).finish() } {
                return;
            }
        }
        // SAFETY: forwarded.
        unsafe { self.free_slowly(local, ptr, layout) }
    }

    /// Looks at a slab after an object was freed by [`LocalHeap::give`]: it may have got enough free
    /// objects to be of use, or have no object in use any more. Most of the time
    /// [`LocalHeap::settle_alone`] will do.
    ///
    /// # Safety
    /// As for [`Pool::free_in`], and `unsettled` is the answer of the last call with this local
    /// heap.
    #[cold]
    #[inline(never)]
    pub unsafe fn settle(&self, local: &LocalHeap, unsettled: Unsettled) {
        // SAFETY: the slab is the local heap's, to which the caller is bound.
        unsafe {
            let slab = Descriptor::at(unsettled.0);
            let class = slab.class.get() as usize;
            self.settle_slab(local, slab);
            if local.counts_each(class) && self.has_room_for_slab(local, class) {
                local.count_several(class);
            }
            // As long as a slab has remote frees, each free of the owner's looks among these.
            self.collect(local, COLLECTED);
        }
    }

    /// Whether the heap has memory for the next slab of a class.
    fn has_room_for_slab(&self, local: &LocalHeap, class: usize) -> bool {
        let bytes = self.control().bytes_of_next(local, class);
        // It is aligned to a granule.
        let bytes = bytes + 2 * SLAB_GRANULE;
        self.with(|heap| heap.largest_block(bytes).is_some())
    }

    /// # Safety
    /// The slab is the local heap's, to which the caller is bound.
    unsafe fn settle_slab(&self, local: &LocalHeap, slab: &Descriptor) {
        let refused = Cell::new(None);
        // SAFETY: forwarded.
        unsafe { local.settle(slab, |slab| self.release(slab, &refused)) };
        self.report(Ok(()), refused);
    }

    /// As [`Pool::settle`], without the lock: a slab that has no object in use any more is kept.
    ///
    /// # Safety
    /// As for [`Pool::settle`].
    pub unsafe fn settle_and_keep(&self, local: &LocalHeap, unsettled: Unsettled) {
        // SAFETY: as above.
        unsafe { local.settle(Descriptor::at(unsettled.0), |_| false) }
    }

    /// Calls `f` with address and length of each run of bytes in slabs that no object in use lies
    /// in, as far as they are the caller's local heap's or an idle one's. They may be written to,
    /// or given back to the system, while `f` runs. Current slabs are left out; after
    /// [`Pool::trim`] there are none.
    ///
    /// Takes time proportional to the number of objects of these slabs. Local heaps cannot be
    /// attached meanwhile. `f` must not use the pool.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub unsafe fn for_each_free_run(&self, local: &LocalHeap, mut f: impl FnMut(usize, usize)) {
        // SAFETY: the caller is bound to its own, and nobody gets an idle one while the lock is held.
        self.with(|_| unsafe {
            local.for_each_free_run(&mut f);
            for idle in self.control().idle_heaps() {
                idle.for_each_free_run(&mut f);
            }
        });
    }

    /// Goes on where [`LocalHeap::give_sized`] refused.
    ///
    /// # Safety
    /// As for [`Pool::free_in`].
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self, local: &LocalHeap, ptr: NonNull<u8>, layout: Option<Layout>) {
        let Some(slab) = self.control().slab_of(ptr.addr().get()) else {
            let size = layout.map(|layout| layout.size());
            if let Err(refusal) = self.with(|heap| heap.try_free(ptr, size)) {
                self.refuse::<()>(refusal, size.unwrap_or(0));
            }
            return;
        };
        let Some(number) = self.object_of(local, slab, ptr, layout) else {
            return;
        };
        if !local.is_empty_heap() {
            // So that the next one is found without the pool.
            self.control().show_map(local);
        }
        if slab.is_owned_by(local.address()) {
            // SAFETY: the caller is bound to the local heap; the object was found to be in use.
            unsafe {
                if slab.set_free(number) {
                    self.settle_slab(local, slab);
                }
            }
            return;
        }
        // SAFETY: the pool is here.
        if !unsafe { LocalHeap::post(slab, number).finish() } {
            let address = ptr.addr().get();
            self.reporter.report_at(FaultKind::AlreadyFree, address, 0);
        }
    }

    /// The number of the object that begins at `ptr`, if it is in use and its class serves the
    /// layout; else the fault is reported.
    pub(super) fn object_of(
        &self,
        local: &LocalHeap,
        slab: &Descriptor,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
    ) -> Option<usize> {
        let address = ptr.addr().get();
        let fault = |kind, size| {
            self.reporter.report_at(kind, address, size);
            None
        };
        let Some(number) = slab.object_at(address) else {
            let misaligned = !address.is_multiple_of(STEP);
            return fault(
                if misaligned {
                    FaultKind::Misaligned
                } else {
                    FaultKind::NotABlock
                },
                0,
            );
        };
        if slab.is_free(number) || slab.is_freed_remotely(number) {
            return fault(FaultKind::AlreadyFree, 0);
        }
        let own = slab.is_owned_by(local.address());
        // SAFETY: the caller is bound to the local heap.
        if own && unsafe { local.is_checked_out(slab, number) } {
            return fault(FaultKind::AlreadyFree, 0);
        }
        if let Some(layout) = layout
            && class_of(layout) != Some(slab.class.get() as usize)
        {
            return fault(FaultKind::SizeMismatch, layout.size());
        }
        Some(number)
    }

    /// Whether a block is in use, and its layout is right if it is given. Nobody is told if not.
    pub(super) fn is_in_use(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
    ) -> bool {
        let Some(slab) = self.control().slab_of(ptr.addr().get()) else {
            let size = layout.map(|layout| layout.size());
            return self.with(|heap| heap.try_usable_size_as(ptr, size).is_ok());
        };
        let Some(number) = slab.object_at(ptr.addr().get()) else {
            return false;
        };
        let is_own = slab.is_owned_by(local.address());
        // SAFETY: the caller is bound to the local heap.
        let is_ready = is_own && unsafe { local.is_checked_out(slab, number) };
        let is_free = is_ready || slab.is_free(number) || slab.is_freed_remotely(number);
        let class = slab.class.get() as usize;
        !is_free && layout.is_none_or(|layout| class_of(layout) == Some(class))
    }

    /// As [`Pool::reallocate`], for one who is bound to a local heap.
    ///
    /// # Safety
    /// As for [`Pool::reallocate`] and [`Pool::allocate_in`].
    pub unsafe fn reallocate_in(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_attached(local, ptr, Some(layout), new_size) }
    }

    /// As [`Pool::resize`], for one who is bound to a local heap.
    ///
    /// # Safety
    /// As for [`Pool::resize`] and [`Pool::allocate_in`].
    pub unsafe fn resize_in(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe { self.resize_attached(local, ptr, None, new_size) }
    }

    /// # Safety
    /// As for [`Pool::resize_in`]; `layout` is the block's if it is given.
    pub(super) unsafe fn resize_attached(
        &self,
        local: &LocalHeap,
        ptr: NonNull<u8>,
        layout: Option<Layout>,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        let Some(slab) = self.control().slab_of(ptr.addr().get()) else {
            // SAFETY: forwarded.
            return unsafe { self.resize_block(local, ptr, layout, new_size) };
        };
        self.object_of(local, slab, ptr, layout)?;
        let class = slab.class.get() as usize;
        let size = TABLE[class].size;
        let align = layout.map_or(STEP, |layout| layout.align());
        let new_layout = Layout::from_size_align(new_size, align).ok()?;
        if class_of(new_layout) == Some(class) {
            return Some(ptr);
        }
        let block = if new_size > size + size / 8 && new_size >= GROWS_AS_BLOCK {
            self.allocate_block(new_layout)
        } else {
            None
        };
        // SAFETY: the caller gives the old object up if it gets another; both are at least as long
        // as what is copied.
        unsafe {
            let moved = match block {
                Some(block) => block,
                None => self.allocate_in(local, new_layout)?,
            };
            moved.copy_from_nonoverlapping(ptr, size.min(new_size));
            self.free_in(local, ptr);
            Some(moved)
        }
    }
}

/// What to tell of a local heap that was trimmed; see [`Pool::report`].
type Trimmed = (Result<(), usize>, Cell<Option<Refusal>>);
