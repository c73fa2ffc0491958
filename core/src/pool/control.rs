//! The words of a pool that are about slabs: the granule map, the chunks of descriptors, and the
//! registry of local heaps.
//!
//! They lie in the region before the heap. What they lead to are blocks of the heap. All but the
//! look-up is done with the pool's lock held.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::compiler_fence;

use crate::heap::Heap;
use crate::local::{BOUND, LocalHeap, OUT};
use crate::slab::class::{SLAB_GRANULE, SLAB_GRANULE_LOG2, STEP, TABLE};
use crate::slab::descriptor::Descriptor;
use crate::slab::map::GranuleMap;
use crate::slab::scale::{CHUNK, FIRST_ENTRIES, KEPT_AT_LEAST};
use crate::sync::{AtomicUsize, Cell, Ordering, allocated, given_back};
use crate::tlsf::refusal::Refusal;

/// See the module.
#[repr(C)]
pub(crate) struct Control {
    /// Always 0. Map entries of granules without a slab lead here: it passes for the owner of a
    /// descriptor.
    none: AtomicUsize,
    /// Address of the newest map, 0 if there is none yet.
    map: AtomicUsize,
    /// Address of the first granule.
    pub(crate) base: Cell<usize>,
    /// The local heaps share so many bytes: the slabs of each have at most its share.
    slab_limit: Cell<usize>,
    /// Bytes of empty slabs that a local heap keeps.
    keeps: Cell<usize>,
    /// Address behind the last byte that the pool has, and that it may ever have.
    end: AtomicUsize,
    limit: Cell<usize>,
    /// Chunks of descriptors, those that have free ones first.
    first_chunk: Cell<usize>,
    last_chunk: Cell<usize>,
    /// All local heaps, and those that no thread is bound to.
    pub(crate) heaps: Cell<usize>,
    pub(crate) idle: Cell<usize>,
    /// Slabs, and their bytes.
    pub(crate) slabs: Cell<usize>,
    pub(crate) slab_bytes: Cell<usize>,
    /// Blocks of the heap that hold chunks, maps and local heaps, and their bytes.
    pub(crate) own_blocks: Cell<usize>,
    pub(crate) own_bytes: Cell<usize>,
    /// Blocks that are [out of the heap](Control::take_out), and their bytes.
    pub(crate) out_blocks: Cell<usize>,
    pub(crate) out_bytes: Cell<usize>,
    /// Blocks of both kinds allocated so far.
    pub(crate) own_ever: Cell<usize>,
    /// Slabs acquired so far.
    pub(crate) acquired: Cell<usize>,
    /// Bytes of the region before the heap, as it was given.
    pub(crate) before_heap: usize,
    /// A class is served if enough of its objects for a slab fit into so many bytes.
    served_limit: Cell<usize>,
    /// Local heaps made so far; none goes before the pool.
    pub(super) heaps_ever: AtomicUsize,
    /// The last of the idle local heaps, if there are any.
    last_idle: Cell<usize>,
    /// How often somebody began to trim idle local heaps.
    trims: Cell<usize>,
    /// How many local heaps are out to be trimmed. Written by the holder of the lock.
    pub(super) out: AtomicUsize,
}

/// Why there is no slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No free block is large enough.
    Memory,
    /// The map does not reach so far, or not yet: it is extended a bounded bit at a time. A block
    /// of its own serves the request.
    Map,
}

/// What is known of all objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) used: usize,
    pub(crate) used_bytes: usize,
    /// Ever.
    pub(crate) handed_out: usize,
}

/// Descriptors that share a block.
#[repr(C, align(64))]
struct Chunk {
    /// A set bit is a descriptor that is not in use.
    free: Cell<usize>,
    next: Cell<usize>,
    previous: Cell<usize>,
    /// For [`Control::rebuild`].
    is_listed: Cell<bool>,
    descriptors: [Descriptor; CHUNK],
}

const ALL_FREE: usize = (1 << CHUNK) - 1;

/// A granule map: this, and then its entries.
#[repr(C)]
struct Map {
    /// Entries below are initialised.
    limit: AtomicUsize,
    len: Cell<usize>,
    /// Address of the one that it took the place of. A thread may still look there, so it is kept
    /// up to date.
    older: Cell<usize>,
    entries: [AtomicUsize; 0],
}

/// Bytes of a block before what the pool keeps in it: a multiple of all alignments of that.
const MARGIN: usize = 64;

/// Bytes of the granule map of a pool whose region is `len` bytes long from the beginning. The map is
/// the first that is allocated, so it lies at the region's start, and only as much of it is ever
/// touched as there are blocks behind it.
///
/// Takes constant time.
#[must_use]
pub const fn granule_map_bytes(len: usize) -> usize {
    MARGIN + size_of::<Map>() + (len / SLAB_GRANULE + 1) * size_of::<usize>()
}

/// No slab is larger, however large the pool is.
const LARGEST_SLAB: usize = 8 << 20;

/// Entries that may be initialised in one operation.
const MOST_REVEALED: usize = 4096;

impl Map {
    fn granules(&self) -> GranuleMap<'_> {
        let entries = self.entries.as_ptr();
        // SAFETY: the map's block was made for so many entries behind the map; the limit began at 0.
        unsafe {
            let entries = core::slice::from_raw_parts(
                core::ptr::with_exposed_provenance(entries.addr()),
                self.len.get(),
            );
            GranuleMap::new(entries, &self.limit)
        }
    }
}

impl Control {
    /// Words for a pool whose region begins at `start`, is `len` bytes long and may come to be
    /// `capacity`. Its heap begins `before_heap` bytes behind the start of what was given.
    pub(crate) fn new(start: usize, len: usize, capacity: usize, before_heap: usize) -> Control {
        let most = len.max(capacity);
        Control {
            none: AtomicUsize::new(0),
            map: AtomicUsize::new(0),
            base: Cell::new(start.saturating_add(SLAB_GRANULE - 1) & !(SLAB_GRANULE - 1)),
            slab_limit: Cell::new((most / 256).max(SLAB_GRANULE)),
            keeps: Cell::new((most / 256).clamp(KEPT_AT_LEAST, 64 << 20)),
            end: AtomicUsize::new(start.saturating_add(len)),
            limit: Cell::new(start.saturating_add(most)),
            first_chunk: Cell::new(0),
            last_chunk: Cell::new(0),
            heaps: Cell::new(0),
            idle: Cell::new(0),
            slabs: Cell::new(0),
            slab_bytes: Cell::new(0),
            own_blocks: Cell::new(0),
            own_bytes: Cell::new(0),
            out_blocks: Cell::new(0),
            out_bytes: Cell::new(0),
            own_ever: Cell::new(0),
            acquired: Cell::new(0),
            before_heap,
            served_limit: Cell::new((most / 1024).clamp(SLAB_GRANULE, LARGEST_SLAB)),
            heaps_ever: AtomicUsize::new(0),
            last_idle: Cell::new(0),
            trims: Cell::new(0),
            out: AtomicUsize::new(0),
        }
    }

    /// Whether the region may still be extended, going by what was announced when the pool was made.
    pub(crate) fn may_grow(&self) -> bool {
        self.limit.get() > self.end.load(Ordering::Relaxed)
    }

    /// The region was extended.
    pub(crate) fn extend(&self, additional: usize) {
        self.end.fetch_add(additional, Ordering::Relaxed);
    }

    /// What map entries of granules without a slab are.
    fn none(&self) -> usize {
        (&raw const self.none).addr()
    }

    /// Objects of a slab of a class, at most; 0 if the class is not served.
    pub(crate) fn count_of(&self, class: usize) -> usize {
        match TABLE[class].most_within(self.served_limit.get()) {
            0 => 0,
            _ => TABLE[class].most_within(self.slab_limit.get().min(LARGEST_SLAB)),
        }
    }

    /// The newest map.
    fn newest(&self) -> Option<&Map> {
        let address = self.map.load(Ordering::Acquire);
        // SAFETY: a map's block lives as long as the pool.
        (address != 0).then(|| unsafe { &*core::ptr::with_exposed_provenance::<Map>(address) })
    }

    fn maps(&self) -> impl Iterator<Item = &Map> {
        core::iter::successors(self.newest(), |map| {
            let older = map.older.get();
            // SAFETY: as above.
            (older != 0).then(|| unsafe { &*core::ptr::with_exposed_provenance::<Map>(older) })
        })
    }

    /// The slab that an address lies in, if it does. Any thread may ask.
    #[inline]
    pub(crate) fn slab_of(&self, address: usize) -> Option<&Descriptor> {
        let granule = address.wrapping_sub(self.base.get()) >> SLAB_GRANULE_LOG2;
        let entry = self.newest()?.granules().look_up(granule)?;
        // SAFETY: entries lead to descriptors or to the word of no slab; one with an owner is a
        // descriptor. Chunks go only after their slabs, whose objects nobody may free any more.
        unsafe { (Descriptor::owner_at(entry) != 0).then(|| Descriptor::at(entry)) }
    }

    /// Lets a local heap see the map as it is. Any thread may ask.
    pub(crate) fn show_map(&self, local: &LocalHeap) {
        if let Some(map) = self.newest() {
            let limit = map.limit.load(Ordering::Acquire);
            local.set_map(map.entries.as_ptr().addr(), self.base.get(), limit);
        }
    }

    /// A block of the heap for the pool's own use.
    ///
    /// What is kept there begins behind the block's start, so that its address does not pass for that
    /// of a block when somebody frees it.
    fn allocate(&self, heap: &mut Heap<'_>, layout: Layout) -> Option<NonNull<u8>> {
        let margin = Layout::from_size_align(MARGIN, STEP).ok()?;
        let (with_margin, offset) = margin.extend(layout).ok()?;
        debug_assert_eq!(offset, MARGIN);
        let block = heap.try_allocate(with_margin).ok()?;
        self.count_own(heap, block);
        block.as_ptr().expose_provenance();
        // SAFETY: the block is larger than the margin. Its zeros pass for no block's header.
        unsafe {
            block.write_bytes(0, MARGIN);
            let place = block.byte_add(MARGIN);
            allocated(place, layout);
            Some(place)
        }
    }

    fn free(&self, heap: &mut Heap<'_>, place: NonNull<u8>) {
        given_back(place);
        // SAFETY: `allocate` added the margin.
        let block = unsafe { place.byte_sub(MARGIN) };
        let bytes = Control::block_bytes(heap, block);
        if heap.try_free(block, None).is_ok() {
            self.own_blocks.set(self.own_blocks.get() - 1);
            self.own_bytes.set(self.own_bytes.get() - bytes);
        }
    }

    /// Counts a block as the pool's own.
    fn count_own(&self, heap: &mut Heap<'_>, block: NonNull<u8>) {
        let bytes = Control::block_bytes(heap, block);
        self.own_blocks.set(self.own_blocks.get() + 1);
        self.own_ever.set(self.own_ever.get() + 1);
        self.own_bytes.set(self.own_bytes.get() + bytes);
    }

    /// Takes the largest free block out of the heap, if it has `least` bytes, after `note` was told where it
    /// is. Answers that, and how many bytes of it have been used before.
    pub(crate) fn take_out(
        &self,
        heap: &mut Heap<'_>,
        least: usize,
        note: impl FnOnce(NonNull<u8>),
    ) -> Option<(NonNull<u8>, usize)> {
        let block = heap.largest_block(least)?;
        note(block);
        compiler_fence(Ordering::Release);
        let (size, used_before) = heap.take_out(block)?;
        self.own_ever.set(self.own_ever.get() + 1);
        self.out_blocks.set(self.out_blocks.get() + 1);
        self.out_bytes.set(self.out_bytes.get() + size);
        Some((block, used_before))
    }

    /// Puts back what was [taken out](Control::take_out), unless that is free.
    pub(crate) fn put_back(&self, heap: &mut Heap<'_>, block: NonNull<u8>) {
        let bytes = Control::block_bytes(heap, block);
        let freed = heap.try_free(block, None).is_ok();
        // None counts any more if a fork's child has made the figures anew.
        if freed && self.out_blocks.get() != 0 {
            heap.lower_peak(bytes);
            self.out_blocks.set(self.out_blocks.get() - 1);
            self.out_bytes.set(self.out_bytes.get() - bytes);
        }
    }

    /// Makes a map that has an entry for a granule. Answers whether there is one.
    fn cover(&self, heap: &mut Heap<'_>, granule: usize) -> bool {
        let older = self.newest();
        if older.is_some_and(|map| granule < map.len.get()) {
            return true;
        }
        let most = self.limit.get().saturating_sub(self.base.get()) / SLAB_GRANULE + 1;
        if granule >= most {
            return false;
        }
        // For what is there already, so that only a region that grows has more than one map.
        let end = self.end.load(Ordering::Relaxed);
        let present = end.saturating_sub(self.base.get()) / SLAB_GRANULE + 1;
        let least = older.map_or(FIRST_ENTRIES, |map| 2 * map.len.get());
        let len = least.max(present).max(granule + 1).min(most);
        let layout = Layout::new::<Map>()
            .extend(Layout::array::<AtomicUsize>(len).unwrap_or(Layout::new::<Map>()))
            .map(|(layout, _)| layout);
        let Some(place) = layout.ok().and_then(|layout| self.allocate(heap, layout)) else {
            return false;
        };
        let place = place.cast::<Map>();
        // SAFETY: the block was made for the map.
        let map = unsafe {
            place.write(Map {
                limit: AtomicUsize::new(0),
                len: Cell::new(len),
                older: Cell::new(self.map.load(Ordering::Relaxed)),
                entries: [],
            });
            place.as_ref()
        };
        if let Some(older) = older {
            let limit = older.limit.load(Ordering::Relaxed);
            map.granules().reveal(limit, self.none());
            for granule in 0..limit {
                let entry = older.granules().look_up(granule).unwrap_or(self.none());
                map.granules().set(granule..granule + 1, entry);
            }
        }
        self.map.store(place.addr().get(), Ordering::Release);
        true
    }

    /// Initialises map entries up to a granule, a bounded number of them. Answers whether all are.
    fn reveal(&self, heap: &mut Heap<'_>, until: usize) -> bool {
        if !self.cover(heap, until - 1) {
            return false;
        }
        let Some(newest) = self.newest() else {
            return false;
        };
        let most = newest.limit.load(Ordering::Relaxed) + MOST_REVEALED;
        for map in self.maps() {
            let until = until.min(most).min(map.len.get());
            map.granules().reveal(until, self.none());
        }
        until <= most
    }

    /// Sets the entries of a slab's granules in all maps.
    fn set_entries(&self, slab: &Descriptor, value: usize) {
        let first = (slab.start.get() - self.base.get()) >> SLAB_GRANULE_LOG2;
        let end = first + slab.granules();
        for map in self.maps() {
            let len = map.len.get();
            map.granules().set(first.min(len)..end.min(len), value);
        }
    }

    /// Objects of the next slab of a class that a local heap acquires.
    fn count_of_next(&self, owner: &LocalHeap, number: usize) -> usize {
        let wanted = TABLE[number].first_limit() << owner.slabs_of(number).min(10);
        // Each local heap keeps an empty slab of each class.
        let share = self.slab_limit.get() / self.heaps_ever.load(Ordering::Relaxed).max(1);
        let limit = share.clamp(self.served_limit.get(), LARGEST_SLAB);
        TABLE[number].count_within(wanted.min(limit))
    }

    /// Bytes of the next slab of a class that a local heap acquires, about.
    pub(crate) fn bytes_of_next(&self, owner: &LocalHeap, number: usize) -> usize {
        self.count_of_next(owner, number) * TABLE[number].size
    }

    /// Gets memory and a descriptor for a slab; see [`Lack`]. If it cannot, nothing has changed but
    /// the extent of the map.
    pub(crate) fn acquire(
        &self,
        heap: &mut Heap<'_>,
        owner: &LocalHeap,
        number: usize,
    ) -> Result<&Descriptor, Lack> {
        let count = self.count_of_next(owner, number);
        if count == 0 {
            return Err(Lack::Map);
        }
        let slab = self.take_descriptor(heap).ok_or(Lack::Memory)?;
        let layout = Layout::from_size_align(TABLE[number].bytes_of(count), SLAB_GRANULE).ok();
        let start = layout.and_then(|layout| heap.try_allocate(layout).ok());
        let Some(start) = start else {
            self.put_descriptor(heap, slab);
            return Err(Lack::Memory);
        };
        slab.set_up(start.as_ptr().expose_provenance(), number, count);
        let first = (slab.start.get() - self.base.get()) >> SLAB_GRANULE_LOG2;
        if !self.reveal(heap, first + slab.granules()) {
            let _ = heap.try_free(start, None);
            self.put_descriptor(heap, slab);
            return Err(Lack::Map);
        }
        slab.owner.store(owner.address(), Ordering::Release);
        self.set_entries(slab, slab.address());
        self.slabs.set(self.slabs.get() + 1);
        self.slab_bytes
            .set(self.slab_bytes.get() + Control::block_bytes(heap, start));
        self.acquired.set(self.acquired.get() + 1);
        Ok(slab)
    }

    /// Bytes of a block, with its header.
    fn block_bytes(heap: &mut Heap<'_>, block: NonNull<u8>) -> usize {
        heap.try_usable_size(block).unwrap_or(0) + size_of::<usize>()
    }

    /// Gives a slab back whose objects are all free, and which is on no list.
    ///
    /// # Errors
    /// If its block, or the next one, was written over. Nothing is changed.
    pub(crate) fn release(&self, heap: &mut Heap<'_>, slab: &Descriptor) -> Result<(), Refusal> {
        // First of all, so that in the child of a fork the block never is a slab and free as well.
        let owner = slab.owner.swap(0, Ordering::AcqRel);
        self.set_entries(slab, self.none());
        let start = core::ptr::with_exposed_provenance_mut(slab.start.get());
        if let Some(start) = NonNull::new(start) {
            let bytes = Control::block_bytes(heap, start);
            if let Err(refusal) = heap.try_free(start, None) {
                slab.owner.store(owner, Ordering::Release);
                self.set_entries(slab, slab.address());
                return Err(refusal);
            }
            self.slab_bytes.set(self.slab_bytes.get() - bytes);
        }
        // SAFETY: a slab's owner is a local heap, and the caller's to use.
        unsafe { Control::local(owner) }.forget_slab(slab.class.get() as usize);
        self.slabs.set(self.slabs.get() - 1);
        self.put_descriptor(heap, slab);
        Ok(())
    }

    /// # Safety
    /// A chunk is at the address.
    unsafe fn chunk<'a>(address: usize) -> &'a Chunk {
        // SAFETY: forwarded.
        unsafe { &*core::ptr::with_exposed_provenance::<Chunk>(address) }
    }

    /// The chunk that a descriptor lies in.
    ///
    /// # Safety
    /// It lies in one.
    unsafe fn chunk_of<'a>(slab: &Descriptor) -> &'a Chunk {
        let before = slab.place.get() as usize * size_of::<Descriptor>();
        let first = core::mem::offset_of!(Chunk, descriptors);
        // SAFETY: a descriptor's place tells where its chunk begins.
        unsafe { Control::chunk(slab.address() - first - before) }
    }

    fn take_descriptor(&self, heap: &mut Heap<'_>) -> Option<&Descriptor> {
        let first = self.first_chunk.get();
        // SAFETY: the lists lead to chunks.
        let usable = first != 0 && unsafe { Control::chunk(first) }.free.get() != 0;
        if !usable {
            self.add_chunk(heap)?;
        }
        // SAFETY: as above.
        let chunk = unsafe { Control::chunk(self.first_chunk.get()) };
        let place = chunk.free.get().trailing_zeros() as usize;
        chunk.free.set(chunk.free.get() & !(1 << place));
        if chunk.free.get() == 0 {
            self.unlink(chunk);
            self.link_last(chunk);
        }
        let slab = &chunk.descriptors[place];
        slab.place.set(place as u8);
        Some(slab)
    }

    fn add_chunk(&self, heap: &mut Heap<'_>) -> Option<()> {
        let place = self.allocate(heap, Layout::new::<Chunk>())?.cast::<Chunk>();
        // SAFETY: the block was made for a chunk, for which all zeros are valid: no descriptor has
        // an owner.
        let chunk = unsafe {
            place.write_bytes(0, 1);
            place.as_ref()
        };
        chunk.free.set(ALL_FREE);
        self.link_first(chunk);
        Some(())
    }

    fn put_descriptor(&self, heap: &mut Heap<'_>, slab: &Descriptor) {
        let place = slab.place.get();
        // SAFETY: the descriptor came from a chunk.
        let chunk = unsafe { Control::chunk_of(slab) };
        self.unlink(chunk);
        chunk.free.set(chunk.free.get() | 1 << place);
        let first = self.first_chunk.get();
        // SAFETY: the lists lead to chunks.
        let spare = first != 0 && unsafe { Control::chunk(first) }.free.get() != 0;
        if chunk.free.get() == ALL_FREE && spare {
            self.free_chunk(heap, chunk);
        } else {
            self.link_first(chunk);
        }
    }

    /// Gives back chunks without a descriptor in use.
    pub(crate) fn trim(&self, heap: &mut Heap<'_>) {
        // Only the first can be: see `put_descriptor`.
        let first = self.first_chunk.get();
        if first != 0 {
            // SAFETY: the lists lead to chunks.
            let chunk = unsafe { Control::chunk(first) };
            if chunk.free.get() == ALL_FREE {
                self.unlink(chunk);
                self.free_chunk(heap, chunk);
            }
        }
    }

    fn free_chunk(&self, heap: &mut Heap<'_>, chunk: &Chunk) {
        let address = core::ptr::with_exposed_provenance_mut((&raw const *chunk).addr());
        if let Some(block) = NonNull::new(address) {
            self.free(heap, block);
        }
    }

    fn unlink(&self, chunk: &Chunk) {
        let (previous, next) = (chunk.previous.get(), chunk.next.get());
        // SAFETY: the lists lead to chunks.
        unsafe {
            if previous == 0 {
                self.first_chunk.set(next);
            } else {
                Control::chunk(previous).next.set(next);
            }
            if next == 0 {
                self.last_chunk.set(previous);
            } else {
                Control::chunk(next).previous.set(previous);
            }
        }
    }

    fn link_first(&self, chunk: &Chunk) {
        let address = (&raw const *chunk).addr();
        let first = self.first_chunk.get();
        chunk.previous.set(0);
        chunk.next.set(first);
        if first == 0 {
            self.last_chunk.set(address);
        } else {
            // SAFETY: the lists lead to chunks.
            unsafe { Control::chunk(first) }.previous.set(address);
        }
        self.first_chunk.set(address);
    }

    fn link_last(&self, chunk: &Chunk) {
        let address = (&raw const *chunk).addr();
        let last = self.last_chunk.get();
        chunk.next.set(0);
        chunk.previous.set(last);
        if last == 0 {
            self.first_chunk.set(address);
        } else {
            // SAFETY: the lists lead to chunks.
            unsafe { Control::chunk(last) }.next.set(address);
        }
        self.last_chunk.set(address);
    }

    /// The word of an entry, to be damaged.
    #[cfg(all(test, feature = "spin"))]
    pub(super) fn entry_word(&self, address: usize) -> Option<&AtomicUsize> {
        let granule = address.wrapping_sub(self.base.get()) >> SLAB_GRANULE_LOG2;
        let map = self.newest()?;
        let entries =
            core::ptr::with_exposed_provenance::<AtomicUsize>(map.entries.as_ptr().addr());
        // SAFETY: the map has an entry for each of its granules.
        (granule < map.len.get()).then(|| unsafe { &*entries.add(granule) })
    }

    /// The words that lead to the pool's own structures, to be damaged: maps, chunks, local heaps, and
    /// those that are idle, the first and the last.
    #[cfg(all(test, feature = "spin"))]
    pub(super) fn lists(&self) -> [*mut usize; 5] {
        [
            self.map.as_ptr(),
            self.first_chunk.as_ptr(),
            self.heaps.as_ptr(),
            self.idle.as_ptr(),
            self.last_idle.as_ptr(),
        ]
    }

    /// How far the newest map reaches, to be damaged.
    #[cfg(all(test, feature = "spin"))]
    pub(super) fn limit_of_map(&self) -> Option<&AtomicUsize> {
        self.newest().map(|map| &map.limit)
    }

    /// How many granules of the newest map lead to slabs.
    pub(super) fn entries_in_use(&self) -> usize {
        let Some(map) = self.newest() else { return 0 };
        (0..map.limit.load(Ordering::Relaxed))
            .filter(|&granule| map.granules().look_up(granule) != Some(self.none()))
            .count()
    }

    /// The entry of the granule that an address lies in.
    pub(super) fn entry_of(&self, address: usize) -> Option<usize> {
        let granule = address.wrapping_sub(self.base.get()) >> SLAB_GRANULE_LOG2;
        self.newest()?.granules().look_up(granule)
    }

    /// Whether a list of what the pool keeps in blocks leads elsewhere, or has no end. `holds` tells
    /// whether a block in use begins at an address and holds so many bytes.
    pub(super) fn is_astray(&self, holds: impl Fn(usize, usize) -> bool) -> bool {
        let holds = |at: usize, bytes: usize| {
            at.is_multiple_of(align_of::<usize>()) && holds(at.wrapping_sub(MARGIN), MARGIN + bytes)
        };
        let mut left = self.own_blocks.get();
        let mut leads_astray =
            |first: usize, is_one: &dyn Fn(usize) -> bool, next: &dyn Fn(usize) -> usize| {
                let mut at = first;
                while at != 0 {
                    if !is_one(at) || left == 0 {
                        return true;
                    }
                    left -= 1;
                    at = next(at);
                }
                false
            };
        // SAFETY: what is read lies in a block that is large enough.
        let map = |at| unsafe { &*core::ptr::with_exposed_provenance::<Map>(at) };
        let is_map = |at| {
            holds(at, size_of::<Map>()) && {
                let (len, limit) = (map(at).len.get(), map(at).limit.load(Ordering::Relaxed));
                let bytes = len.checked_mul(size_of::<usize>());
                limit <= len
                    && bytes.is_some_and(|bytes| bytes <= isize::MAX as usize / 2)
                    && bytes.is_some_and(|bytes| holds(at, size_of::<Map>() + bytes))
            }
        };
        let is_chunk = |at| holds(at, size_of::<Chunk>());
        let is_local = |at| holds(at, size_of::<LocalHeap>());
        let maps = self.map.load(Ordering::Relaxed);
        leads_astray(maps, &is_map, &|at| map(at).older.get())
            // SAFETY: as above.
            || leads_astray(self.first_chunk.get(), &is_chunk, &|at| unsafe {
                Control::chunk(at).next.get()
            })
            // SAFETY: as above.
            || leads_astray(self.heaps.get(), &is_local, &|at| unsafe {
                Control::local(at).next.get()
            })
    }

    /// As [`Control::is_astray`], of the idle local heaps, which are among all of them.
    pub(super) fn are_idle_astray(&self) -> bool {
        // As many as count as idle are listed.
        let mut left = self.local_heaps().filter(|local| local.is_idle()).count();
        let (mut at, mut last) = (self.idle.get(), 0);
        while at != 0 {
            if left == 0 || !self.local_heaps().any(|local| local.address() == at) {
                return true;
            }
            // SAFETY: a local heap is there.
            let local = unsafe { Control::local(at) };
            if !local.is_idle() {
                return true;
            }
            left -= 1;
            last = at;
            at = local.next_idle.get();
        }
        left != 0 || (last != 0 && last != self.last_idle.get())
    }

    /// The descriptors of all slabs.
    pub(crate) fn slabs(&self) -> impl Iterator<Item = &Descriptor> {
        let mut at = self.first_chunk.get();
        core::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            // SAFETY: the lists lead to chunks.
            let chunk = unsafe { Control::chunk(at) };
            at = chunk.next.get();
            Some(chunk)
        })
        .flat_map(|chunk| {
            chunk
                .descriptors
                .iter()
                .enumerate()
                .filter(|(place, _)| chunk.free.get() >> place & 1 == 0)
                .map(|(_, slab)| slab)
        })
    }

    /// A local heap that nobody is bound to, or a new one.
    pub(crate) fn attach(&self, heap: &mut Heap<'_>) -> Option<NonNull<LocalHeap>> {
        let local = if let Some(idle) = self.take_idle(BOUND) {
            idle
        } else {
            if !self.cover(heap, 0) {
                return None;
            }
            let layout = Layout::new::<LocalHeap>();
            let place = self.allocate(heap, layout)?.cast::<LocalHeap>();
            // SAFETY: the block was made for a local heap.
            let local =
                unsafe { LocalHeap::create(place, (&raw const *self).addr(), self.keeps.get()) };
            local.next.set(self.heaps.get());
            self.heaps.set(local.address());
            self.heaps_ever.fetch_add(1, Ordering::Relaxed);
            local
        };
        self.show_map(local);
        Some(NonNull::from(local))
    }

    /// All local heaps.
    pub(crate) fn local_heaps(&self) -> impl Iterator<Item = &LocalHeap> {
        Control::chain(self.heaps.get(), |local| local.next.get())
    }

    /// Those that nobody is bound to.
    pub(crate) fn idle_heaps(&self) -> impl Iterator<Item = &LocalHeap> {
        Control::chain(self.idle.get(), |local| local.next_idle.get())
    }

    fn chain<'a>(
        mut at: usize,
        next: impl Fn(&LocalHeap) -> usize,
    ) -> impl Iterator<Item = &'a LocalHeap> {
        core::iter::from_fn(move || {
            if at == 0 {
                return None;
            }
            // SAFETY: the registry leads to local heaps.
            let local = unsafe { Control::local(at) };
            at = next(local);
            Some(local)
        })
    }

    /// In a fork's child: makes all local heaps but one idle, and puts their slabs in order. That
    /// of the thread that is left, if it has one, only gets what others freed, and not even that if
    /// it was interrupted. What is out then is left as it is: if another thread had it out, it is lost.
    ///
    /// # Safety
    /// There is one thread, `kept` is its local heap, if any, and it is in no operation with it
    /// unless `interrupted` says so.
    pub(crate) unsafe fn recover_after_fork(&self, kept: &LocalHeap, interrupted: bool) {
        self.out.store(0, Ordering::Relaxed);
        let is_alone = self.local_heaps().all(|local| core::ptr::eq(local, kept));
        if is_alone {
            return;
        }
        // The one that is out may be in the middle of a change, too.
        let is_left_alone = |local: &LocalHeap| {
            interrupted && (core::ptr::eq(local, kept) || local.trimmed.get() == OUT)
        };
        self.idle.set(0);
        // SAFETY: nobody is bound to the local heaps any more (condition).
        unsafe {
            for local in self.local_heaps() {
                let left_alone = is_left_alone(local);
                if !left_alone {
                    local.forget();
                }
                if !left_alone && !core::ptr::eq(local, kept) {
                    self.detach(local);
                }
            }
            for slab in self.slabs() {
                let owner = slab.owner.load(Ordering::Relaxed);
                if owner != 0 && !is_left_alone(Control::local(owner)) {
                    Control::local(owner).take_in(slab);
                }
            }
        }
    }

    /// Makes lists of chunks, map entries and counters anew, from the map, after a holder of the
    /// lock was cut off. Chunks without a slab are lost.
    ///
    /// # Safety
    /// There is one thread.
    pub(crate) unsafe fn rebuild(&self, heap: &mut Heap<'_>) {
        self.first_chunk.set(0);
        self.last_chunk.set(0);
        self.slabs.set(0);
        self.slab_bytes.set(0);
        self.out_blocks.set(0);
        self.out_bytes.set(0);
        self.for_each_entry(|slab, chunk| {
            if slab.owner.load(Ordering::Relaxed) == 0 {
                // It was about to be given back.
                self.set_entries(slab, self.none());
            } else {
                chunk.free.set(ALL_FREE);
                chunk.is_listed.set(false);
            }
        });
        self.for_each_entry(|slab, chunk| {
            let bit = 1 << slab.place.get();
            if chunk.free.get() & bit != 0 {
                chunk.free.set(chunk.free.get() & !bit);
                self.set_entries(slab, slab.address());
                self.slabs.set(self.slabs.get() + 1);
                if let Some(start) =
                    NonNull::new(core::ptr::with_exposed_provenance_mut(slab.start.get()))
                {
                    let bytes = Control::block_bytes(heap, start);
                    self.slab_bytes.set(self.slab_bytes.get() + bytes);
                }
            }
        });
        self.for_each_entry(|_, chunk| {
            if !chunk.is_listed.replace(true) {
                if chunk.free.get() == 0 {
                    self.link_last(chunk);
                } else {
                    self.link_first(chunk);
                }
            }
        });
    }

    /// Calls `f` for each map entry that leads to a descriptor.
    fn for_each_entry(&self, mut f: impl FnMut(&Descriptor, &Chunk)) {
        let Some(map) = self.newest() else { return };
        for granule in 0..map.limit.load(Ordering::Relaxed) {
            let entry = map.granules().look_up(granule).unwrap_or(self.none());
            if entry != self.none() {
                // SAFETY: other entries lead to descriptors, which lie in chunks.
                unsafe {
                    let slab = Descriptor::at(entry);
                    f(slab, Control::chunk_of(slab));
                }
            }
        }
    }

    /// Calls `f` for each slab, with the number of its objects in use: those that are neither free
    /// nor checked out.
    pub(crate) fn for_each_slab(&self, mut f: impl FnMut(&Descriptor, usize)) {
        for slab in self.slabs() {
            let owner = slab.owner.load(Ordering::Relaxed);
            if owner != 0 {
                // SAFETY: a slab's owner is a local heap.
                let ready = unsafe { Control::local(owner) }.ready_of(slab);
                f(slab, slab.count.get() as usize - slab.all_free(ready));
            }
        }
    }

    /// The objects of slabs that are in use, and their bytes; and the objects that were ever handed
    /// out.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        self.for_each_slab(|slab, used| {
            census.used += used;
            census.used_bytes += used * slab.class().size;
        });
        for local in self.local_heaps() {
            let ready = local.ready();
            let checked_out = local.checked_out.load(Ordering::Relaxed);
            census.handed_out = census
                .handed_out
                .wrapping_add(checked_out.wrapping_sub(ready));
        }
        census
    }

    /// Takes a local heap back that nobody is bound to any more.
    pub(crate) fn detach(&self, local: &LocalHeap) {
        local.trimmed.set(0);
        local.next_idle.set(self.idle.get());
        if self.idle.replace(local.address()) == 0 {
            self.last_idle.set(local.address());
        }
    }

    /// The first of the idle local heaps, which nobody else has from here on: it is [`BOUND`] or [`OUT`].
    fn take_idle(&self, mark: usize) -> Option<&LocalHeap> {
        let local = self.idle_heaps().next()?;
        self.idle.set(local.next_idle.get());
        local.trimmed.set(mark);
        Some(local)
    }

    /// Puts all slabs of a local heap and of all that are idle on their shelves that have a free object, also
    /// those that count as full.
    ///
    /// # Safety
    /// The caller is bound to the local heap, or it is the empty one.
    pub(super) unsafe fn reconsider_slabs(&self, local: &LocalHeap) {
        for slab in self.slabs() {
            let owner = slab.owner.load(Ordering::Relaxed);
            if owner == 0 {
                continue;
            }
            // SAFETY: owners are local heaps. This one is the caller's, or the lock's holder's.
            unsafe {
                let owner = Control::local(owner);
                if core::ptr::eq(owner, local) || owner.is_idle() {
                    owner.reconsider(slab);
                }
            }
        }
    }

    /// Begins to trim idle local heaps: answers the pool's count of this.
    pub(super) fn begin_trim(&self) -> usize {
        let count = match self.trims.get().wrapping_add(1) {
            0 | OUT | BOUND => 1,
            next => next,
        };
        self.trims.set(count);
        count
    }

    /// Takes out one that was not trimmed since the pool's count was this, and answers the count for
    /// [`Control::put_idle_back`]. Those that were trimmed since stand behind the others, but for what was out then.
    pub(super) fn take_idle_out(&self, since: usize) -> Option<(&LocalHeap, usize)> {
        let trimmed = self.idle_heaps().next()?.trimmed.get();
        if trimmed != 0 && trimmed.wrapping_sub(since) <= usize::MAX / 2 {
            return None;
        }
        let local = self.take_idle(OUT)?;
        self.out.fetch_add(1, Ordering::Relaxed);
        Some((local, self.trims.get()))
    }

    /// Puts one back that was taken out when the pool's count was this; unless it was put back already, in a
    /// fork's child.
    pub(super) fn put_idle_back(&self, local: &LocalHeap, count: usize) {
        if local.trimmed.get() != OUT {
            return;
        }
        let out = self.out.load(Ordering::Relaxed);
        self.out.store(out.saturating_sub(1), Ordering::Relaxed);
        local.trimmed.set(count);
        local.next_idle.set(0);
        let last = self.last_idle.replace(local.address());
        if self.idle.get() == 0 {
            self.idle.set(local.address());
        } else {
            // SAFETY: as long as there are idle local heaps, the last one is known.
            unsafe { Control::local(last) }
                .next_idle
                .set(local.address());
        }
    }

    /// # Safety
    /// A local heap is at the address.
    pub(crate) unsafe fn local<'a>(address: usize) -> &'a LocalHeap {
        // SAFETY: forwarded.
        unsafe { &*core::ptr::with_exposed_provenance::<LocalHeap>(address) }
    }
}
