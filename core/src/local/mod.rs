//! One thread's or CPU's heap: it allocates from its own slabs without a lock.
//!
//! ```text
//! allocate(size):                                  free(p):
//!     bin of the size's class         1.               granule of p, map entry, descriptor
//!     lowest set bit of its word      2.               owner is this local heap?         4.
//!     word is 0: slow path                             p is the start of an object?      5.
//!     clear it                        3.               freed by another thread: double free
//!     base + bit * object size                         its bit is set already: double free
//!                                                      set it
//!                                                      it is checked out: double free    6.
//!                                                      quota used up: slow path          7.
//! ```
//!
//! 1. One table look-up for all sizes up to [`class::QUICK`]; the classes above are found with a few
//!    instructions more, off this path.
//! 2. The word was taken out of the bitmap of the class's current slab (*checked out*), so that
//!    frees, which go to the bitmap, do not wait for the word to come back from the store buffer.
//! 3. No object is touched, handed out or free.
//! 4. So is a look-up in a map of no granules, which is what a thread without a local heap has,
//!    and one that finds no slab: its descriptor has no owner. All go the slow path by one branch.
//! 5. See [`slab`](crate::slab).
//! 6. One bit that is set in both the bin's word and the bitmap's is enough to tell. So that there is
//!    no branch for slabs that are not current, the bin's word is compared whichever slab it is
//!    from; the branches that are left go the same way always.
//! 7. The quota is set such that it ends when a full slab has got some free objects, and when a slab
//!    has no object in use any more.
//!
//! The slow paths here are those that need nothing but the local heap. What they cannot do, get a
//! slab or give one back, the pool does.

use core::alloc::Layout;
use core::ptr::NonNull;

use static_assertions::const_assert_eq;

use crate::region::WORD;
use crate::slab::bits::{count_ones, processor};
use crate::slab::class::{
    CLASS_OF_STEPS, CLASSES, QUICK, SLAB_GRANULE_LOG2, STEP, STEP_LOG2, TABLE, class_of_size,
    divide, quick_class_of,
};
use crate::slab::descriptor::{Descriptor, State, UNLIMITED};
use crate::slab::remote::{BITS, Marked, Posted, RemoteQueue};
use crate::slab::scale::{KEPT_AT_ALL_EVENTS, SEEN_BY_POOL};
use crate::sync::{AtomicUsize, Cell, Ordering, read_own};

/// Where the next objects of one class come from.
#[repr(C)]
struct Bin {
    /// A set bit is an object that is free and checked out.
    word: AtomicUsize,
    /// Address of the object that bit 0 stands for.
    base: Cell<usize>,
    /// Bytes of an object.
    size: Cell<usize>,
    /// Address of the bitmap's word that `word` was checked out of, or of one that stays 0.
    source: Cell<usize>,
}

const_assert_eq!(size_of::<Bin>(), 4 * WORD);

/// For each number of steps that a size is rounded up to, the distance from the first bin to its
/// class's.
static BIN_OF_STEPS: [u16; QUICK / STEP + 1] = {
    let mut distances = [0; QUICK / STEP + 1];
    let mut steps = 0;
    while steps < distances.len() {
        distances[steps] = CLASS_OF_STEPS[steps] as u16 * size_of::<Bin>() as u16;
        steps += 1;
    }
    distances
};

/// The slabs of one class that have free objects, but for the current one.
#[repr(C)]
struct Shelf {
    first: Cell<usize>,
    last: Cell<usize>,
    /// Those that are empty come last. How many there are, and the first of them.
    empty: Cell<usize>,
    first_empty: Cell<usize>,
    /// Address of the current slab's descriptor, 0 if there is none.
    current: AtomicUsize,
    /// How many slabs of the class the local heap has, on the shelf or not.
    slabs: Cell<u32>,
    /// Whether a full slab goes back to the shelf for a single free object.
    counts_each: Cell<bool>,
}

/// How many empty slabs are given up at a time, at most.
const MOST_GIVEN_UP: usize = 32;

/// One thread's or CPU's heap, in the region of its pool.
///
/// Made and adopted by [`Pool::attach`](crate::Pool::attach). Its operations are the pool's.
#[repr(C, align(64))]
pub struct LocalHeap {
    /// Address of the map's first entry, and what the map covers: as the pool had it when this was
    /// last looked at.
    map: Cell<usize>,
    /// Address of the first granule.
    base: Cell<usize>,
    granules: Cell<usize>,
    /// Address of the pool's slab control block; 0 in [`LocalHeap::EMPTY`].
    pub(crate) pool: Cell<usize>,
    /// Slabs that came from the queue and were not looked at yet.
    pending: Cell<usize>,
    /// Bytes of empty slabs on the shelves, and how many are worth keeping besides one of each class.
    kept: Cell<usize>,
    keeps_bytes: Cell<usize>,
    /// The least of these bytes since [`LocalHeap::give_up_unneeded`], and the period of that.
    least_kept: Cell<usize>,
    pub(crate) period: Cell<usize>,
    /// How many quotas were used up by frees of the owner's.
    counted: Cell<usize>,
    /// The class whose empty slabs are the next to be given up for others.
    next_given_up: Cell<usize>,
    /// Objects that were ever checked out.
    pub(crate) checked_out: AtomicUsize,
    /// The registry's links: of all local heaps, and of those that are idle.
    pub(crate) next: Cell<usize>,
    pub(crate) next_idle: Cell<usize>,
    bins: [Bin; CLASSES],
    shelves: [Shelf; CLASSES],
    /// While it is idle, when it was trimmed, going by the pool's count, or 0; else [`BOUND`] or [`OUT`].
    pub(crate) trimmed: Cell<usize>,
    queue: Line,
}

#[repr(C, align(64))]
struct Line(RemoteQueue);

// SAFETY: cells are used by the thread that the local heap is bound to or that has it out, or, while it is
// idle, by the holder of the pool's lock; the registry's, which are `next`, `next_idle` and `trimmed`, by that one
// alone. What others use are the queue and the words, which are atomic.
unsafe impl Sync for LocalHeap {}

impl core::fmt::Debug for LocalHeap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LocalHeap").finish_non_exhaustive()
    }
}

/// In the place of a pool's count: somebody is bound to the local heap.
pub(crate) const BOUND: usize = usize::MAX;

/// It is out to be trimmed.
pub(crate) const OUT: usize = usize::MAX - 1;

static EMPTY: LocalHeap = LocalHeap::empty();

/// What became of an attempt to free an object.
#[derive(Debug)]
#[must_use]
pub enum Freed {
    /// It is free.
    Done,
    /// It is free, and its slab has to be looked at: see [`Pool::settle`](crate::Pool::settle).
    Unsettled(Unsettled),
    /// Nothing was done. The object may lie elsewhere, or something is wrong with the pointer: that
    /// is for [`Pool::free_in`](crate::Pool::free_in) to tell.
    Refused,
}

/// What became of an attempt to free an object of another local heap.
#[derive(Debug)]
#[must_use]
pub enum Sent {
    /// It is free.
    Done,
    /// It is free, and its owner has to be told: see [`Sent::finish`].
    First(First),
    /// As [`Freed::Refused`].
    Refused,
}

impl Sent {
    /// Tells the owner if it has to be told. Answers whether the object is free.
    ///
    /// # Safety
    /// The pool is still there.
    #[inline(always)]
    pub unsafe fn finish(self) -> bool {
        match self {
            Sent::Done => true,
            Sent::First(first) => {
                // SAFETY: forwarded.
                unsafe { LocalHeap::announce(first) };
                true
            }
            Sent::Refused => false,
        }
    }
}

/// The first of a slab's objects in a while that was freed by another than its owner.
#[derive(Debug)]
#[must_use]
pub struct First {
    slab: usize,
    word: usize,
}

/// A slab of the caller's that has to be looked at, before the local heap is used again.
#[derive(Debug)]
pub struct Unsettled(pub(crate) usize);

impl LocalHeap {
    /// The local heap of those who have none: it has no objects and no slabs, is never written to,
    /// and sends every operation to the pool.
    pub const EMPTY: &'static LocalHeap = &EMPTY;

    /// Another one of that kind, for who wants to tell them apart by their addresses.
    #[must_use]
    pub const fn empty() -> LocalHeap {
        LocalHeap {
            map: Cell::new(0),
            base: Cell::new(0),
            granules: Cell::new(0),
            pool: Cell::new(0),
            pending: Cell::new(0),
            kept: Cell::new(0),
            keeps_bytes: Cell::new(0),
            least_kept: Cell::new(0),
            period: Cell::new(0),
            counted: Cell::new(0),
            next_given_up: Cell::new(0),
            checked_out: AtomicUsize::new(0),
            next: Cell::new(0),
            next_idle: Cell::new(0),
            bins: [const {
                Bin {
                    word: AtomicUsize::new(0),
                    base: Cell::new(0),
                    size: Cell::new(0),
                    source: Cell::new(0),
                }
            }; CLASSES],
            shelves: [const {
                Shelf {
                    first: Cell::new(0),
                    last: Cell::new(0),
                    empty: Cell::new(0),
                    first_empty: Cell::new(0),
                    current: AtomicUsize::new(0),
                    slabs: Cell::new(0),
                    counts_each: Cell::new(false),
                }
            }; CLASSES],
            trimmed: Cell::new(BOUND),
            queue: Line(RemoteQueue(AtomicUsize::new(0))),
        }
    }

    /// Makes a local heap at `place`, for the pool whose slab control block is at `pool`. It is to
    /// keep `keeps` bytes of empty slabs.
    ///
    /// # Safety
    /// `place` is writable for a `LocalHeap`.
    pub(crate) unsafe fn create<'a>(
        place: NonNull<LocalHeap>,
        pool: usize,
        keeps: usize,
    ) -> &'a LocalHeap {
        // SAFETY: the place is writable (condition).
        let heap = unsafe {
            place.write(LocalHeap::empty());
            place.as_ref()
        };
        processor::look();
        heap.pool.set(pool);
        heap.keeps_bytes.set(keeps);
        for (bin, class) in heap.bins.iter().zip(&TABLE) {
            bin.size.set(class.size);
            bin.leave();
        }
        heap
    }

    /// Whether the holder of the pool's lock may use it.
    pub(crate) fn is_idle(&self) -> bool {
        !matches!(self.trimmed.get(), BOUND | OUT)
    }

    /// Its own address: what its slabs name as their owner.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    /// Whether this is the one of those who have none.
    #[inline(always)]
    pub(crate) fn is_empty_heap(&self) -> bool {
        self.pool.get() == 0
    }

    /// Takes the map as it is now.
    pub(crate) fn set_map(&self, map: usize, base: usize, granules: usize) {
        self.map.set(map);
        self.base.set(base);
        self.granules.set(granules);
    }

    /// How many slabs of a class it has.
    pub(crate) fn slabs_of(&self, class: usize) -> usize {
        self.shelves[class].slabs.get() as usize
    }

    /// One of its slabs was given back.
    pub(crate) fn forget_slab(&self, class: usize) {
        let slabs = &self.shelves[class].slabs;
        slabs.set(slabs.get().saturating_sub(1));
    }

    /// The queue to which other threads push slabs of this local heap.
    pub(crate) fn queue(&self) -> &RemoteQueue {
        &self.queue.0
    }

    /// Allocates an object of at least `size` bytes, aligned to 16, if that takes no more than
    /// handing out what is ready. `None` says nothing about the pool: then it is
    /// [`Pool::allocate_in`](crate::Pool::allocate_in)'s turn.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`](crate::Pool::allocate_in).
    #[inline(always)]
    #[must_use]
    pub unsafe fn take(&self, size: usize) -> Option<NonNull<u8>> {
        if size > QUICK {
            return None;
        }
        let steps = (size + (STEP - 1)) >> STEP_LOG2;
        // SAFETY: the table has an entry for all steps up to the largest size; its distances are
        // multiples of a bin's size, and lead to one of the bins.
        let bin = unsafe {
            let distance = *BIN_OF_STEPS.get_unchecked(steps) as usize;
            &*(&raw const self.bins).cast::<Bin>().byte_add(distance)
        };
        bin.take()
    }

    /// As [`LocalHeap::take`], and if nothing is ready, looks at this local heap's slabs. Takes a
    /// bounded number of instructions, and never the lock.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`](crate::Pool::allocate_in).
    #[must_use]
    pub unsafe fn take_from_slabs(&self, size: usize) -> Option<NonNull<u8>> {
        let class = class_of_size(size)?;
        // SAFETY: the caller is bound to the local heap; the empty one has no slabs.
        unsafe { self.refill(class) }
    }

    /// Frees an object of one of this local heap's own slabs, if nothing is wrong with it. Null is
    /// refused like any other pointer that is no such object.
    ///
    /// # Safety
    /// As for [`Pool::free_in`](crate::Pool::free_in).
    #[inline(always)]
    pub unsafe fn give(&self, object: *mut u8) -> Freed {
        // SAFETY: forwarded.
        unsafe { self.give_sized(object.addr(), None) }
    }

    /// Frees an object of one of this local heap's own slabs. `size` is what its class must serve,
    /// if it is known.
    ///
    /// # Safety
    /// The caller is bound to this local heap.
    #[inline(always)]
    pub(crate) unsafe fn give_sized(&self, address: usize, size: Option<usize>) -> Freed {
        let granule = address.wrapping_sub(self.base.get()) >> SLAB_GRANULE_LOG2;
        if granule >= self.granules.get() {
            return Freed::Refused;
        }
        let entries = core::ptr::with_exposed_provenance::<AtomicUsize>(self.map.get());
        // SAFETY: the map has an entry for each of its granules, and each entry is the address of a
        // descriptor, or of the pool's word that passes for the owner of one.
        let (entry, owner) = unsafe {
            let entry = (*entries.add(granule)).load(Ordering::Relaxed);
            (entry, Descriptor::owner_if_own(entry))
        };
        if owner != self.address() {
            return Freed::Refused;
        }
        // SAFETY: it has an owner, so it is a descriptor, and it is this local heap's.
        let slab = unsafe { Descriptor::at(entry) };
        if let Some(size) = size
            && !serves(slab.class.get(), size)
        {
            return Freed::Refused;
        }
        let (number, starts) = divide(address.wrapping_sub(slab.start.get()), slab.inverse.get());
        if !starts {
            return Freed::Refused;
        }
        if slab.remote_summary.load(Ordering::Relaxed) != 0 && slab.is_freed_remotely(number) {
            return Freed::Refused;
        }
        // SAFETY: numbers of places in a slab's granules are below the bits' number, see
        // `Class::is_sound`; the slab is the caller's. Classes are below their number.
        unsafe {
            if slab.set_bit(number) {
                return Freed::Refused;
            }
            let bin = self.bins.get_unchecked(slab.class.get() as usize);
            if bin.is_free_twice() {
                slab.clear_bit(number);
                return Freed::Refused;
            }
        }
        if slab.count_down() {
            return Freed::Unsettled(Unsettled(entry));
        }
        Freed::Done
    }
}

/// What can be done from outside the fast paths without the pool.
impl LocalHeap {
    /// Looks at a slab after an object was freed by [`LocalHeap::give`]. Answers it if that is for
    /// [`Pool::settle`](crate::Pool::settle) to do. O(1).
    ///
    /// # Safety
    /// As for [`Pool::settle`](crate::Pool::settle).
    #[inline]
    pub unsafe fn settle_alone(&self, unsettled: Unsettled) -> Option<Unsettled> {
        let counted = self.counted.get().wrapping_add(1);
        self.counted.set(counted);
        // SAFETY: it is a slab of this local heap's (condition).
        let slab = unsafe { Descriptor::at(unsettled.0) };
        // As if none of the frees was the second of its object, and none counted singly: if one was or
        // did, this is found when the new quota is used up.
        let used = slab.count.get().saturating_sub(slab.quota_when_full());
        let is_for_pool = counted.is_multiple_of(SEEN_BY_POOL);
        if slab.state.get() != State::Full || used == 0 || is_for_pool {
            return Some(unsettled);
        }
        slab.state.set(State::Available);
        slab.quota.set(used);
        // SAFETY: full slabs are on no shelf.
        unsafe { self.put_on(slab) }
        None
    }

    /// The slab that an address lies in, as far as this local heap knows the map.
    #[inline(always)]
    fn slab_at(&self, address: usize) -> Option<&Descriptor> {
        let granule = address.wrapping_sub(self.base.get()) >> SLAB_GRANULE_LOG2;
        if granule >= self.granules.get() {
            return None;
        }
        let entries = core::ptr::with_exposed_provenance::<AtomicUsize>(self.map.get());
        // SAFETY: as in `give_sized`; chunks of descriptors go only after their slabs.
        unsafe {
            let entry = (*entries.add(granule)).load(Ordering::Acquire);
            (Descriptor::owner_at(entry) != 0).then(|| Descriptor::at(entry))
        }
    }

    /// Frees an object of another local heap's slab, if nothing is wrong with it: lock-free.
    ///
    /// # Safety
    /// As for [`Pool::free_in`](crate::Pool::free_in).
    #[inline(always)]
    pub unsafe fn give_to_owner(&self, object: *mut u8) -> Sent {
        // SAFETY: forwarded.
        unsafe { self.give_to_owner_sized(object.addr(), None) }
    }

    /// The same. `size` is what its class must serve, if it is known.
    ///
    /// # Safety
    /// As for [`Pool::free_in`](crate::Pool::free_in).
    #[inline(always)]
    pub(crate) unsafe fn give_to_owner_sized(&self, address: usize, size: Option<usize>) -> Sent {
        let Some(slab) = self.slab_at(address) else {
            return Sent::Refused;
        };
        let (number, starts) = divide(address.wrapping_sub(slab.start.get()), slab.inverse.get());
        // What is no object, since its number is too large, passes for free.
        if !starts || slab.is_owned_by(self.address()) || slab.is_free(number) {
            return Sent::Refused;
        }
        if let Some(size) = size
            && !serves(slab.class.get(), size)
        {
            return Sent::Refused;
        }
        LocalHeap::post(slab, number)
    }

    /// Posts an object, which is in use, to its slab's owner, who is not the caller.
    #[inline(always)]
    pub(crate) fn post(slab: &Descriptor, number: usize) -> Sent {
        match slab.remote_frees().mark(number) {
            Marked::Set => Sent::Done,
            Marked::First => Sent::First(First {
                slab: slab.address(),
                word: number / BITS,
            }),
            Marked::Already => Sent::Refused,
        }
    }

    /// Tells the owner of an object that was posted. It counts as used until then.
    ///
    /// # Safety
    /// The pool is still there.
    #[inline(never)]
    unsafe fn announce(first: First) {
        // SAFETY: a slab with objects in use keeps its descriptor, and its owner.
        let slab = unsafe { Descriptor::at(first.slab) };
        if slab.remote_frees().note(first.word) == Posted::Announce {
            let owner = slab.owner.load(Ordering::Relaxed);
            // SAFETY: a slab's owner is a local heap, which lives as long as the pool.
            let owner = unsafe { &*core::ptr::with_exposed_provenance::<LocalHeap>(owner) };
            owner.queue().push(slab.address(), &slab.remote_next);
        }
    }

    /// Whether an object of a slab of this local heap's stays where it is when it is resized without
    /// a layout.
    ///
    /// # Safety
    /// As for [`Pool::resize_in`](crate::Pool::resize_in).
    #[inline(always)]
    #[must_use]
    pub unsafe fn keeps(&self, object: NonNull<u8>, new_size: usize) -> bool {
        let address = object.addr().get();
        self.slab_at(address).is_some_and(|slab| {
            slab.is_owned_by(self.address())
                && serves(slab.class.get(), new_size)
                && slab
                    .object_at(address)
                    .is_some_and(|number| !slab.is_free(number))
        })
    }

    /// As [`LocalHeap::take`], for any alignment.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`](crate::Pool::allocate_in).
    #[inline(always)]
    #[must_use]
    pub unsafe fn take_aligned(&self, layout: Layout) -> Option<NonNull<u8>> {
        let class = quick_class_of(layout)?;
        // SAFETY: classes are below their number.
        unsafe { self.bins.get_unchecked(class) }.take()
    }
}

/// Whether objects of a class may have been handed out for a size.
#[inline(always)]
fn serves(class: u8, size: usize) -> bool {
    if size <= QUICK {
        // Without a panic, whose way out would cost each free with a size two instructions.
        CLASS_OF_STEPS.get((size + (STEP - 1)) >> STEP_LOG2) == Some(&class)
    } else {
        class_of_size(size) == Some(class as usize)
    }
}

impl Bin {
    /// Whether an object that is checked out is also free in its slab's bitmap. Only the owner may
    /// ask.
    #[inline(always)]
    fn is_free_twice(&self) -> bool {
        let source = self.source.get();
        // SAFETY: it is the address of a word of a descriptor, or of the bin's own. Nobody but the
        // caller writes there.
        self.word.load(Ordering::Relaxed) & unsafe { read_own(source) } != 0
    }

    /// Which word of the bin's slab was checked out last.
    fn checked_out_last(&self, slab: &Descriptor) -> usize {
        self.source.get().wrapping_sub(slab.address_of_bits(0)) / WORD
    }

    /// Leaves the slab, of which nothing is checked out.
    fn leave(&self) {
        self.source.set((&raw const self.word).addr());
    }

    /// Takes the lowest object that is checked out.
    #[inline(always)]
    fn take(&self) -> Option<NonNull<u8>> {
        self.take_of(self.word.load(Ordering::Relaxed))
    }

    /// Takes the lowest of the objects `word`, and checks out the others.
    #[inline(always)]
    fn take_of(&self, word: usize) -> Option<NonNull<u8>> {
        if word == 0 {
            return None;
        }
        self.word.store(word & (word - 1), Ordering::Relaxed);
        let address = self.base.get() + word.trailing_zeros() as usize * self.size.get();
        let object = core::ptr::with_exposed_provenance_mut(address);
        // SAFETY: objects lie in a region, which does not begin at null.
        Some(unsafe { NonNull::new_unchecked(object) })
    }
}

/// What the owner does when a bin has run dry or a quota is used up.
///
/// # Safety
/// For each of these: the caller is bound to this local heap, or holds the pool's lock while it is
/// idle. Descriptors named by bins, shelves and the queue are this local heap's slabs.
impl LocalHeap {
    /// Takes an object of a class from the slabs at hand: the current one, then those that have free
    /// objects. Looks at a bounded number of slabs.
    pub(crate) unsafe fn refill(&self, class: usize) -> Option<NonNull<u8>> {
        let bin = self.bins.get(class)?;
        let mut ready = bin.word.load(Ordering::Relaxed);
        if ready == 0 {
            // SAFETY: the same conditions.
            ready = unsafe { self.check_out(class) };
            if ready == 0 {
                // SAFETY: as above.
                ready = unsafe { self.check_out_of_others(class) };
            }
        }
        bin.take_of(ready)
    }

    /// Checks out objects of a slab on the shelf, which becomes the current one: so many bits are set.
    #[cold]
    #[inline(never)]
    unsafe fn check_out_of_others(&self, class: usize) -> usize {
        loop {
            // SAFETY: the bin's slab is this local heap's.
            unsafe {
                self.leave_current(class);
                let next = self.shelves[class].first.get();
                if next == 0 {
                    return 0;
                }
                // It has free objects, unless all of them were freed twice: then it is left.
                self.make_current(Descriptor::at(next));
                let ready = self.check_out(class);
                if ready != 0 {
                    return ready;
                }
            }
        }
    }

    /// The slab that the bin of a class takes objects from.
    unsafe fn current(&self, class: usize) -> Option<&Descriptor> {
        let current = self.shelves[class].current.load(Ordering::Relaxed);
        // SAFETY: it is this local heap's.
        (current != 0).then(|| unsafe { Descriptor::at(current) })
    }

    /// Finds objects of the current slab for the bin, which has run dry: a bit is set for each. They are
    /// for the caller to put there.
    #[inline(always)]
    unsafe fn check_out(&self, class: usize) -> usize {
        let bin = &self.bins[class];
        // SAFETY: forwarded.
        let Some(slab) = (unsafe { self.current(class) }) else {
            return 0;
        };
        let Some((word, free)) = slab.check_out(bin.checked_out_last(slab)) else {
            return 0;
        };
        slab.quota.set(UNLIMITED);
        bin.base
            .set(slab.start.get() + word * bin.size.get() * BITS);
        bin.source.set(slab.address_of_bits(word));
        self.count_checked_out(count_ones(free));
        free
    }

    fn count_checked_out(&self, objects: usize) {
        let before = self.checked_out.load(Ordering::Relaxed);
        self.checked_out
            .store(before.wrapping_add(objects), Ordering::Relaxed);
    }

    /// The current slab has no free object: from now on frees say when it has some.
    unsafe fn leave_current(&self, class: usize) {
        // SAFETY: forwarded.
        if let Some(slab) = unsafe { self.current(class) } {
            slab.state.set(State::Full);
            slab.quota.set(self.quota_when_full(slab));
            self.bins[class].leave();
            self.shelves[class].current.store(0, Ordering::Relaxed);
        }
    }

    /// Takes a slab with free objects from its shelf.
    #[inline(always)]
    unsafe fn make_current(&self, slab: &Descriptor) {
        let class = slab.class.get() as usize;
        let bin = &self.bins[class];
        // SAFETY: the slab is on this local heap's shelf, and its bits are the caller's.
        unsafe {
            self.take_off(slab);
            slab.state.set(State::Current);
            slab.quota.set(UNLIMITED);
            let current = &self.shelves[class].current;
            current.store(slab.address(), Ordering::Relaxed);
            // As if the last word had been checked out before.
            bin.source.set(slab.address_of_bits(slab.words() - 1));
        }
    }

    /// Takes in a slab whose objects are all free, and makes it the current one of its class, which
    /// has none.
    pub(crate) unsafe fn adopt(&self, slab: &Descriptor) {
        let shelf = &self.shelves[slab.class.get() as usize];
        shelf.slabs.set(shelf.slabs.get() + 1);
        shelf.counts_each.set(false);
        slab.state.set(State::Empty);
        // SAFETY: the slab is new, so it is on no shelf.
        unsafe {
            self.put_on(slab);
            self.make_current(slab);
        }
    }

    /// Looks at up to `most` slabs that have remote frees. `released` is called for slabs that are
    /// off every shelf and have no object in use. Answers the address of an object that was found
    /// to be freed twice.
    pub(crate) unsafe fn collect(
        &self,
        most: usize,
        mut released: impl FnMut(&Descriptor) -> bool,
    ) -> Result<(), usize> {
        let mut twice = Ok(());
        for _ in 0..most {
            let mut address = self.pending.get();
            if address == 0 {
                address = self.queue().take();
                if address == 0 {
                    break;
                }
            }
            // SAFETY: slabs in the queue are this local heap's, and have objects in use.
            let slab = unsafe { Descriptor::at(address) };
            self.pending.set(slab.remote_next.load(Ordering::Relaxed));
            let mut freed = 0;
            slab.remote_frees().take(|word, remote| {
                let bits = slab.bits[word].load(Ordering::Relaxed);
                let both = (bits | self.checked_out_of(slab, word)) & remote;
                if both != 0 {
                    let number = word * BITS + both.trailing_zeros() as usize;
                    twice = Err(slab.start.get() + number * slab.class().size);
                }
                slab.bits[word].store(bits | remote & !both, Ordering::Relaxed);
                // Those freed twice as well: they did not pass for free as long as this was pending.
                freed += remote.count_ones() as u16;
            });
            let quota = slab.quota.get();
            match slab.state.get() {
                State::Full => {
                    slab.quota.set(0);
                    // SAFETY: the slab is this local heap's.
                    unsafe { self.settle(slab, &mut released) }
                }
                State::Available if freed >= quota => {
                    slab.quota.set(0);
                    // SAFETY: as above.
                    unsafe { self.settle(slab, &mut released) }
                }
                State::Available => slab.quota.set(quota - freed),
                State::Current | State::Empty => {}
            }
        }
        twice
    }

    /// The objects of one of a slab's words that are checked out.
    fn checked_out_of(&self, slab: &Descriptor, word: usize) -> usize {
        let bin = &self.bins[slab.class.get() as usize];
        if bin.source.get() == slab.address_of_bits(word) {
            bin.word.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// Whether an object of this local heap's is checked out, so that it cannot be freed.
    pub(crate) unsafe fn is_checked_out(&self, slab: &Descriptor, number: usize) -> bool {
        self.checked_out_of(slab, number / BITS) >> (number % BITS) & 1 == 1
    }

    /// Puts a slab whose quota is used up where it belongs. `released` is called if it is empty and
    /// not worth keeping, once it is off every list; it may answer `false`, and leave the slab here.
    pub(crate) unsafe fn settle(
        &self,
        slab: &Descriptor,
        mut released: impl FnMut(&Descriptor) -> bool,
    ) {
        // SAFETY: the slab is this local heap's, and is on its shelf unless it is full or current.
        unsafe {
            match slab.state.get() {
                State::Current | State::Empty => {
                    slab.quota.set(UNLIMITED);
                    return;
                }
                State::Full | State::Available => {}
            }
            let used = slab.count.get() as usize - slab.free_objects();
            if slab.state.get() == State::Full {
                if used == slab.count.get() as usize {
                    // What was freed had been freed by another thread before.
                    slab.quota.set(self.quota_when_full(slab));
                    return;
                }
                slab.state.set(State::Available);
                self.put_on(slab);
            }
            if used > 0 {
                slab.quota.set(used as u16);
                return;
            }
            let shelf = &self.shelves[slab.class.get() as usize];
            self.take_off(slab);
            let kept = self.kept.get() + slab.bytes();
            if shelf.empty.get() == 0 || kept <= self.keeps_bytes.get() || !released(slab) {
                slab.state.set(State::Empty);
                slab.quota.set(UNLIMITED);
                self.put_on(slab);
            }
        }
    }

    /// Gives up empty slabs of `bytes` in all, if it keeps so many, before something else is
    /// allocated: so a program that changes to other sizes goes on with the same memory. `released`
    /// is called as by [`LocalHeap::settle`].
    pub(crate) unsafe fn give_up_kept(
        &self,
        bytes: usize,
        released: impl FnMut(&Descriptor) -> bool,
    ) {
        // Aligned, and with its header, it takes more.
        let bytes = bytes + bytes / 8 + (2 << SLAB_GRANULE_LOG2);
        let least = self.kept.get().saturating_sub(bytes);
        // SAFETY: the same conditions.
        unsafe { self.give_up_until(least.max(KEPT_AT_ALL_EVENTS), MOST_GIVEN_UP, released) }
    }

    /// Gives up the empty slabs that were not needed since the last call, or all.
    pub(crate) unsafe fn give_up_unneeded(
        &self,
        all: bool,
        released: impl FnMut(&Descriptor) -> bool,
    ) {
        let kept = self.kept.get();
        let unneeded = if all { kept } else { self.least_kept.get() };
        // SAFETY: the same conditions.
        unsafe { self.give_up_until(kept.saturating_sub(unneeded), usize::MAX, released) }
        self.least_kept.set(self.kept.get());
    }

    /// Gives up empty slabs until `least` bytes are left, but no more than `slabs`.
    unsafe fn give_up_until(
        &self,
        least: usize,
        mut slabs: usize,
        mut released: impl FnMut(&Descriptor) -> bool,
    ) {
        let mut classes = CLASSES;
        // Those of the class that could not be released, which are at the shelf's end.
        let mut refused = 0;
        while slabs > 0 && classes > 0 && self.kept.get() > least {
            let class = self.next_given_up.get();
            let shelf = &self.shelves[class];
            if shelf.empty.get() <= refused {
                classes -= 1;
                refused = 0;
                self.next_given_up.set((class + 1) % CLASSES);
                continue;
            }
            slabs -= 1;
            // SAFETY: what a shelf names are slabs of this local heap.
            unsafe {
                let slab = Descriptor::at(shelf.first_empty.get());
                self.take_off(slab);
                if !released(slab) {
                    self.put_on(slab);
                    refused += 1;
                }
            }
        }
    }

    /// Puts a slab on its shelf: last, or if it is in use, before those that are not.
    unsafe fn put_on(&self, slab: &Descriptor) {
        let shelf = &self.shelves[slab.class.get() as usize];
        let is_empty = slab.state.get() == State::Empty;
        let next = if is_empty { 0 } else { shelf.first_empty.get() };
        // SAFETY: what a shelf names are slabs of this local heap.
        unsafe {
            let previous = if next == 0 {
                shelf.last.replace(slab.address())
            } else {
                Descriptor::at(next).previous.replace(slab.address())
            };
            slab.previous.set(previous);
            slab.next.set(next);
            if previous == 0 {
                shelf.first.set(slab.address());
            } else {
                Descriptor::at(previous).next.set(slab.address());
            }
        }
        if is_empty {
            if shelf.empty.get() == 0 {
                shelf.first_empty.set(slab.address());
            }
            shelf.empty.set(shelf.empty.get() + 1);
            self.kept.set(self.kept.get() + slab.bytes());
        }
    }

    /// Takes a slab off its shelf.
    unsafe fn take_off(&self, slab: &Descriptor) {
        let shelf = &self.shelves[slab.class.get() as usize];
        let (previous, next) = (slab.previous.get(), slab.next.get());
        // SAFETY: what a shelf names are slabs of this local heap.
        unsafe {
            if previous == 0 {
                shelf.first.set(next);
            } else {
                Descriptor::at(previous).next.set(next);
            }
            if next == 0 {
                shelf.last.set(previous);
            } else {
                Descriptor::at(next).previous.set(previous);
            }
        }
        if slab.state.get() == State::Empty {
            if shelf.first_empty.get() == slab.address() {
                shelf.first_empty.set(next);
            }
            shelf.empty.set(shelf.empty.get() - 1);
            let kept = self.kept.get() - slab.bytes();
            self.kept.set(kept);
            self.least_kept.set(self.least_kept.get().min(kept));
        }
    }

    /// Collects all remote frees, and gives up every slab that has no object in use, current ones
    /// too. The other current ones go back to their shelves if `retires` says so. Answers as
    /// [`LocalHeap::collect`].
    pub(crate) unsafe fn trim(
        &self,
        retires: bool,
        mut released: impl FnMut(&Descriptor) -> bool,
    ) -> Result<(), usize> {
        // SAFETY: the same conditions.
        unsafe {
            let twice = self.collect(usize::MAX, &mut released);
            for class in 0..CLASSES {
                if let Some(slab) = self.current(class)
                    && (retires || self.used_of_current(slab) == 0)
                {
                    self.retire_current(class);
                }
            }
            self.give_up_until(0, usize::MAX, released);
            twice
        }
    }

    /// Objects in use of a current slab.
    fn used_of_current(&self, slab: &Descriptor) -> usize {
        (slab.count.get() as usize).saturating_sub(slab.free_objects() + self.ready_of(slab))
    }

    /// Puts one of its slabs that counts as full on its shelf if it has any free object.
    pub(crate) unsafe fn reconsider(&self, slab: &Descriptor) {
        if slab.state.get() == State::Full && slab.free_objects() > 0 {
            // SAFETY: full slabs are on no shelf.
            unsafe { self.shelve(slab) }
        }
    }

    /// Whether no full slab of a class has a free object, but for what others freed.
    pub(crate) fn counts_each(&self, class: usize) -> bool {
        self.shelves[class].counts_each.get()
    }

    /// From now on each free counts for the full slabs of a class, until there is memory for another
    /// slab of the class. `slabs` are all of this local heap's slabs that are of this class.
    pub(crate) unsafe fn count_each<'a>(
        &self,
        class: usize,
        slabs: impl Iterator<Item = &'a Descriptor>,
    ) {
        self.shelves[class].counts_each.set(true);
        for slab in slabs.filter(|slab| slab.state.get() == State::Full) {
            // SAFETY: full slabs are on no shelf.
            unsafe { self.shelve(slab) }
        }
    }

    /// There is memory for slabs of a class again: full ones wait for several objects.
    pub(crate) fn count_several(&self, class: usize) {
        self.shelves[class].counts_each.set(false);
    }

    /// How many objects a slab gets back, if it is full, before it is looked at.
    fn quota_when_full(&self, slab: &Descriptor) -> u16 {
        if self.counts_each(slab.class.get() as usize) {
            1
        } else {
            slab.quota_when_full()
        }
    }

    /// Calls `f` with address and length of each run of free objects on the shelves.
    pub(crate) unsafe fn for_each_free_run(&self, mut f: impl FnMut(usize, usize)) {
        for shelf in &self.shelves {
            let mut at = shelf.first.get();
            while at != 0 {
                // SAFETY: what a shelf names are slabs of this local heap.
                let slab = unsafe { Descriptor::at(at) };
                at = slab.next.get();
                let size = slab.class().size;
                let mut run = 0;
                for number in 0..=slab.count.get() as usize {
                    if number < slab.count.get() as usize && slab.is_free(number) {
                        run += 1;
                    } else if run > 0 {
                        f(slab.start.get() + (number - run) * size, run * size);
                        run = 0;
                    }
                }
            }
        }
    }

    /// Whether the shelves hold slabs of their classes, linked both ways. `is_own` tells whether one
    /// of this local heap's slabs has its descriptor at an address.
    pub(crate) fn check_shelves(&self, is_own: impl Fn(usize) -> bool) -> Result<(), ()> {
        for (class, shelf) in self.shelves.iter().enumerate() {
            let (mut before, mut at) = (0, shelf.first.get());
            while at != 0 {
                if !is_own(at) {
                    return Err(());
                }
                // SAFETY: a descriptor is there.
                let slab = unsafe { Descriptor::at(at) };
                // A circle would lead to a slab that was passed from another one before.
                if slab.class.get() as usize != class || slab.previous.get() != before {
                    return Err(());
                }
                (before, at) = (at, slab.next.get());
            }
            if shelf.last.get() != before {
                return Err(());
            }
        }
        Ok(())
    }

    /// Whether the queue, and what came out of it, are slabs of this local heap, of which there are at
    /// most `slabs`.
    pub(crate) fn check_queue(
        &self,
        slabs: usize,
        is_own: impl Fn(usize) -> bool,
    ) -> Result<(), ()> {
        let mut left = slabs;
        for first in [self.pending.get(), self.queue().0.load(Ordering::Acquire)] {
            let mut at = first;
            while at != 0 {
                // A circle has no end.
                if left == 0 || !is_own(at) {
                    return Err(());
                }
                left -= 1;
                // SAFETY: a descriptor is there.
                at = unsafe { Descriptor::at(at) }
                    .remote_next
                    .load(Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Objects that are checked out and not handed out yet.
    pub(crate) fn ready(&self) -> usize {
        let words = self.bins.iter().map(|bin| bin.word.load(Ordering::Relaxed));
        words.map(|word| word.count_ones() as usize).sum()
    }

    /// Objects of a slab that are checked out, as far as anybody but the owner can tell.
    pub(crate) fn ready_of(&self, slab: &Descriptor) -> usize {
        let class = slab.class.get() as usize;
        let bin = &self.bins[class];
        if self.shelves[class].current.load(Ordering::Relaxed) == slab.address() {
            bin.word.load(Ordering::Relaxed).count_ones() as usize
        } else {
            0
        }
    }

    /// Forgets what the owner was about when it was cut off, as in a fork's child: no object is
    /// checked out, and no slab is on a shelf or in the queue. Its slabs are to be
    /// [taken in again](LocalHeap::take_in).
    pub(crate) unsafe fn forget(&self) {
        for (class, (bin, shelf)) in self.bins.iter().zip(&self.shelves).enumerate() {
            // SAFETY: forwarded.
            if let Some(slab) = unsafe { self.current(class) }
                && let Some(bits) = slab.bits.get(bin.checked_out_last(slab))
            {
                let ready = bin.word.load(Ordering::Relaxed);
                bits.fetch_or(ready, Ordering::Relaxed);
            }
            bin.word.store(0, Ordering::Relaxed);
            bin.leave();
            shelf.current.store(0, Ordering::Relaxed);
            shelf.first.set(0);
            shelf.last.set(0);
            shelf.empty.set(0);
            shelf.first_empty.set(0);
        }
        self.kept.set(0);
        self.pending.set(0);
        self.queue().take();
    }

    /// Puts one of its slabs, which is on no list, where it belongs, with all that others have freed.
    pub(crate) unsafe fn take_in(&self, slab: &Descriptor) {
        slab.remote_summary.store(0, Ordering::Relaxed);
        for (bits, remote) in slab.bits.iter().zip(&slab.remote.0) {
            bits.fetch_or(remote.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        // SAFETY: the slab is on no list.
        unsafe { self.shelve(slab) }
    }

    /// Puts what is checked out back, and the current slab on its shelf.
    unsafe fn retire_current(&self, class: usize) {
        // SAFETY: forwarded.
        let Some(slab) = (unsafe { self.current(class) }) else {
            return;
        };
        let bin = &self.bins[class];
        let bits = &slab.bits[bin.checked_out_last(slab)];
        let back = bin.word.load(Ordering::Relaxed);
        bin.word.store(0, Ordering::Relaxed);
        bin.leave();
        bits.store(bits.load(Ordering::Relaxed) | back, Ordering::Relaxed);
        self.count_checked_out((back.count_ones() as usize).wrapping_neg());
        self.shelves[class].current.store(0, Ordering::Relaxed);
        // SAFETY: the slab was current, so it is on no shelf.
        unsafe { self.shelve(slab) }
    }

    /// Puts a slab that is on no shelf and not current where its free objects say.
    unsafe fn shelve(&self, slab: &Descriptor) {
        let used = slab.count.get() as usize - slab.free_objects();
        // SAFETY: the slab is on no shelf.
        unsafe {
            match used {
                0 => {
                    slab.state.set(State::Empty);
                    slab.quota.set(UNLIMITED);
                    self.put_on(slab);
                }
                used if used == slab.count.get() as usize => {
                    slab.state.set(State::Full);
                    slab.quota.set(self.quota_when_full(slab));
                }
                used => {
                    slab.state.set(State::Available);
                    slab.quota.set(used as u16);
                    self.put_on(slab);
                }
            }
        }
    }
}

#[cfg(all(test, not(loom), feature = "spin"))]
mod tests;
