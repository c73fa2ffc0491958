//! A heap together with its shadow: every operation is checked against what it promises.

use std::alloc::Layout;
use std::ptr::NonNull;

use allotment_core::{BlockInfo, CreateError, GRANULE, Heap, Options, Stats};

use super::faults;
use super::memory::{Dirt, Memory};
use super::oracle::{Live, ShadowAllocator, assert_kept, assert_zeroed};

/// Heaps with at most this many blocks have their whole block list compared around an operation
/// that must change nothing.
const COMPARED_BLOCKS: usize = 64;
/// Freed addresses that are remembered for freeing them again.
const REMEMBERED: usize = 64;
/// Heaps with less than this may have had no room for the lists that their capacity asks for.
const SMALL: usize = 512;

/// Which call a wrong pointer is passed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Free,
    Deallocate,
    Resize,
    Reallocate,
    ResizeInPlace,
    UsableSize,
}

/// One operation. Indices choose among what there is and wrap round.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Allocate {
        size: usize,
        align: usize,
        zeroed: bool,
    },
    /// Frees a live block, with its layout or without.
    Free {
        index: usize,
        sized: bool,
    },
    /// Frees every second live block.
    FreeAlternate,
    /// `reallocate` if `sized`, else `resize`.
    Reallocate {
        index: usize,
        size: usize,
        sized: bool,
    },
    ResizeInPlace {
        index: usize,
        size: usize,
    },
    /// Grows the first region by as much of this as its memory has.
    Extend {
        additional: usize,
    },
    AddRegion {
        offset: usize,
        len: usize,
        dirt: Dirt,
    },
    RemoveRegion {
        index: usize,
    },
    /// A pointer somewhere in the address space, relative to the first region's start.
    Garbage {
        distance: usize,
        entry: Entry,
    },
    /// A pointer into a live block.
    Interior {
        index: usize,
        offset: usize,
        entry: Entry,
    },
    /// An address that was freed earlier, if no block starts there now.
    FreedBefore {
        index: usize,
        entry: Entry,
    },
    /// A free with a layout whose size cannot be right.
    WrongSize {
        index: usize,
        size: usize,
    },
}

/// A heap whose every step is checked.
pub(crate) struct ShadowedHeap {
    heap: Heap<'static>,
    shadow: ShadowAllocator,
    /// The first memory is the one that the heap was created in.
    memories: Vec<Memory>,
    freed: Vec<usize>,
    /// `largest_free` of the untouched heap, while it is still that of the regions it has.
    largest_untouched: Option<usize>,
    /// The longest block that has a list of its own width.
    indexed: usize,
    /// There may be longer blocks, all in the last list.
    beyond_index: bool,
    check_each_step: bool,
}

impl ShadowedHeap {
    /// A heap in `memory`, whose misuse is recorded by [`faults::record`].
    pub(crate) fn new(memory: Memory, zeroed: bool) -> Result<Self, CreateError> {
        faults::take();
        let options = Options {
            zeroed,
            capacity: memory.len() + memory.room(),
            on_fault: faults::record,
        };
        // SAFETY: the memory is owned by the value that owns the heap, and only the heap touches it.
        let heap = unsafe { Heap::from_raw(memory.start(), memory.len(), options)? };
        let mut shadow = ShadowAllocator::default();
        shadow.add_region(memory.start(), memory.len());
        let largest = heap.stats().largest_free;
        let room = memory.room();
        let mut this = Self {
            heap,
            shadow,
            memories: vec![memory],
            freed: Vec::new(),
            largest_untouched: None,
            indexed: largest + if largest < SMALL { 0 } else { room },
            beyond_index: false,
            check_each_step: true,
        };
        this.assert_untouched();
        this.largest_untouched = Some(largest);
        Ok(this)
    }

    /// Leaves the walks over the whole heap to the end, for heaps with very many blocks.
    pub(crate) fn check_at_the_end(mut self) -> Self {
        self.check_each_step = false;
        self
    }

    pub(crate) fn heap(&mut self) -> &mut Heap<'static> {
        &mut self.heap
    }

    pub(crate) fn stats(&self) -> Stats {
        self.heap.stats()
    }

    pub(crate) fn live(&self) -> &[Live] {
        self.shadow.live()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memories[0]
    }

    /// Does one operation and checks everything.
    pub(crate) fn step(&mut self, op: &Op) {
        match *op {
            Op::Allocate {
                size,
                align,
                zeroed,
            } => {
                if let Ok(layout) = Layout::from_size_align(size, align) {
                    self.allocate(layout, zeroed);
                }
            }
            Op::Free { index, sized } => {
                if let Some(index) = self.choose(index) {
                    self.free(index, sized);
                }
            }
            Op::FreeAlternate => {
                for index in (0..self.live().len()).rev().step_by(2) {
                    self.free(index, index % 4 == 0);
                }
            }
            Op::Reallocate { index, size, sized } => {
                if let Some(index) = self.choose(index) {
                    self.reallocate(index, size, sized);
                }
            }
            Op::ResizeInPlace { index, size } => {
                if let Some(index) = self.choose(index) {
                    self.resize_in_place(index, size);
                }
            }
            Op::Extend { additional } => {
                let additional = additional.min(self.memories[0].room());
                self.extend(additional);
            }
            Op::AddRegion { offset, len, dirt } => {
                self.add_region(Memory::new(offset, len, len, dirt));
            }
            Op::RemoveRegion { index } => {
                self.remove_region(index % self.memories.len());
            }
            Op::Garbage { distance, entry } => {
                let address = self.memories[0].start().addr().wrapping_add(distance);
                self.misuse(address, entry);
            }
            Op::Interior {
                index,
                offset,
                entry,
            } => {
                if let Some(index) = self.choose(index) {
                    let live = self.live()[index];
                    self.misuse(live.address() + 1 + offset % live.usable, entry);
                }
            }
            Op::FreedBefore { index, entry } => {
                if !self.freed.is_empty() {
                    self.misuse(self.freed[index % self.freed.len()], entry);
                }
            }
            Op::WrongSize { index, size } => {
                if let Some(index) = self.choose(index) {
                    self.free_with_wrong_size(index, size);
                }
            }
        }
        if self.check_each_step {
            self.check();
        }
    }

    fn choose(&self, index: usize) -> Option<usize> {
        (!self.live().is_empty()).then(|| index % self.live().len())
    }

    pub(crate) fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let before = self.snapshot();
        let pointer = if zeroed {
            self.heap.allocate_zeroed(layout)
        } else {
            self.heap.allocate(layout)
        };
        faults::assert_none("an allocation");
        let Some(pointer) = pointer else {
            // No bytes need a block, too.
            let least = layout.size().max(1);
            assert!(
                layout.align() > GRANULE || least > before.stats.largest_free,
                "{layout:?} failed although largest_free is {}",
                before.stats.largest_free
            );
            before.assert_only_failures_changed(self);
            return None;
        };
        if zeroed {
            // SAFETY: the heap gave these bytes away.
            unsafe { assert_zeroed(pointer, layout.size()) };
        }
        let stats = self.heap.stats();
        assert_eq!(stats.live_blocks, before.stats.live_blocks + 1);
        assert_eq!(stats.allocations, before.stats.allocations + 1);
        assert_eq!(stats.failures, before.stats.failures);
        self.adopt(pointer, layout);
        Some(pointer)
    }

    fn adopt(&mut self, pointer: NonNull<u8>, layout: Layout) {
        assert!(self.heap.contains(pointer.as_ptr()));
        let usable = self
            .heap
            .usable_size(pointer)
            .expect("a live block has a size");
        self.shadow.insert(pointer, layout, usable);
    }

    pub(crate) fn free(&mut self, index: usize, sized: bool) {
        let before = self.heap.stats();
        let live = self.shadow.remove(index);
        // SAFETY: the block is live, and the shadow forgot it.
        unsafe {
            if sized {
                self.heap.deallocate(live.pointer, live.layout);
            } else {
                self.heap.free(live.pointer);
            }
        }
        faults::assert_none("a free");
        if self.freed.len() == REMEMBERED {
            self.freed.remove(0);
        }
        self.freed.push(live.address());
        let stats = self.heap.stats();
        assert_eq!(stats.live_blocks, before.live_blocks - 1);
        assert_eq!(stats.deallocations, before.deallocations + 1);
        assert!(stats.used_bytes + live.usable <= before.used_bytes);
        self.assert_largest_found(&before, &stats);
    }

    /// A new free block may hide a larger one of its list from the look that `largest_free` takes.
    /// Lists are narrow, but for the last one, which takes all that the index was not sized for.
    fn assert_largest_found(&self, before: &Stats, stats: &Stats) {
        assert!(
            self.beyond_index
                || stats.largest_free + before.largest_free / 16 + 64 >= before.largest_free,
            "{before:?} became {stats:?}"
        );
    }

    pub(crate) fn reallocate(
        &mut self,
        index: usize,
        size: usize,
        sized: bool,
    ) -> Option<NonNull<u8>> {
        let old = self.live()[index];
        let before = self.snapshot();
        // SAFETY: the block is live with this layout.
        let moved = unsafe {
            if sized {
                self.heap.reallocate(old.pointer, old.layout, size)
            } else {
                self.heap.resize(old.pointer, size)
            }
        };
        faults::assert_none("a reallocation");
        let Some(moved) = moved else {
            assert!(
                size > old.usable,
                "shrinking {old:?} to {size} bytes was refused"
            );
            before.assert_only_failures_changed(self);
            self.shadow.check_contents();
            return None;
        };
        // With a layout only what was asked for has to be kept; without, all that could be used.
        let known = if sized { old.layout.size() } else { old.usable };
        assert_kept(&old, moved, known.min(size));
        if size <= old.usable {
            assert!(
                moved <= old.pointer,
                "shrinking {old:?} to {size} bytes moved it up to {moved:p}"
            );
        }
        self.replace(index, moved, size);
        let stats = self.heap.stats();
        assert_eq!(stats.live_blocks, before.stats.live_blocks);
        assert_eq!(stats.failures, before.stats.failures);
        Some(moved)
    }

    pub(crate) fn resize_in_place(&mut self, index: usize, size: usize) -> bool {
        let old = self.live()[index];
        let before = self.snapshot();
        // SAFETY: the block is live.
        let done = unsafe { self.heap.resize_in_place(old.pointer, size) };
        faults::assert_none("a reallocation in place");
        if done {
            assert_kept(&old, old.pointer, old.usable.min(size));
            self.replace(index, old.pointer, size);
        } else {
            assert!(size > old.usable, "shrinking {old:?} in place was refused");
            before.assert_only_failures_changed(self);
            self.shadow.check_contents();
        }
        done
    }

    /// The block at `index` now is at `pointer` and has `size` bytes.
    fn replace(&mut self, index: usize, pointer: NonNull<u8>, size: usize) {
        let old = self.live()[index];
        self.shadow.forget(index);
        let layout = Layout::from_size_align(size, old.layout.align())
            .expect("the heap refuses sizes that no layout can have");
        self.adopt(pointer, layout);
    }

    pub(crate) fn extend(&mut self, additional: usize) {
        let before = self.snapshot();
        // SAFETY: the memory keeps these bytes for the region's growth, and nobody else uses them.
        let result = unsafe { self.heap.extend(additional) };
        faults::assert_none("an extension");
        match result {
            Ok(_) => {
                self.memories[0].grow(additional);
                self.shadow
                    .extend_region(self.memories[0].start(), additional);
                if additional > 0 {
                    self.largest_untouched = None;
                    self.beyond_index |= self.indexed < SMALL;
                }
                let stats = self.heap.stats();
                self.assert_largest_found(&before.stats, &stats);
                assert_eq!(stats.used_bytes, before.stats.used_bytes);
            }
            Err(_) => before.assert_unchanged(self),
        }
    }

    pub(crate) fn add_region(&mut self, memory: Memory) -> bool {
        let before = self.snapshot();
        // SAFETY: the memory is kept as long as the heap, or until the region is removed.
        let result = unsafe { self.heap.add_region_raw(memory.start(), memory.len()) };
        faults::assert_none("adding a region");
        if result.is_err() {
            before.assert_unchanged(self);
            memory.check_margins();
            return false;
        }
        let stats = self.heap.stats();
        assert_eq!(stats.used_bytes, before.stats.used_bytes);
        assert!(stats.free_bytes > before.stats.free_bytes);
        self.shadow.add_region(memory.start(), memory.len());
        self.beyond_index |= memory.len() > self.indexed;
        self.memories.push(memory);
        self.largest_untouched = None;
        true
    }

    pub(crate) fn remove_region(&mut self, index: usize) -> bool {
        let start = self.memories[index].start();
        let end = start.addr() + self.memories[index].len();
        let busy = self
            .live()
            .iter()
            .any(|live| (start.addr()..end).contains(&live.address()));
        let before = self.snapshot();
        let result = self.heap.remove_region(start);
        faults::assert_none("removing a region");
        let Ok((removed, len)) = result else {
            assert!(
                busy || index == 0,
                "region {index} at {start:p} is unused and was not given back"
            );
            before.assert_unchanged(self);
            return false;
        };
        assert!(!busy, "a region with live blocks was given back");
        assert_ne!(index, 0, "the region with the heap's header was given back");
        assert_eq!(removed, start);
        assert_eq!(len, self.memories[index].len());
        assert!(!self.heap.contains(start));
        self.shadow.remove_region(start);
        self.freed
            .retain(|address| !(start.addr()..end).contains(address));
        self.memories.remove(index).check_margins();
        self.largest_untouched = None;
        true
    }

    /// Passes an address to `entry` that is not the start of a live block: it must be reported, and
    /// nothing may change. Does nothing if a live block does start there.
    pub(crate) fn misuse(&mut self, address: usize, entry: Entry) {
        if self.shadow.is_live_start(address) {
            return;
        }
        // In 32 bits, a random word passes for a header in a region of 64 MiB once in 64 times.
        let bytes: usize = self.memories.iter().map(Memory::len).sum();
        if cfg!(target_pointer_width = "32") && bytes > 1 << 16 {
            return;
        }
        let Some(pointer) = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(address))
        else {
            return;
        };
        let before = self.snapshot();
        let layout = Layout::from_size_align(24, 8).expect("a small layout");
        // SAFETY: none; the pointer is wrong on purpose, and the heap promises to refuse it.
        unsafe {
            match entry {
                Entry::Free => self.heap.free(pointer),
                Entry::Deallocate => self.heap.deallocate(pointer, layout),
                Entry::Resize => assert_eq!(self.heap.resize(pointer, 100), None),
                Entry::Reallocate => {
                    assert_eq!(self.heap.reallocate(pointer, layout, 100), None);
                }
                Entry::ResizeInPlace => assert!(!self.heap.resize_in_place(pointer, 100)),
                Entry::UsableSize => assert_eq!(self.heap.usable_size(pointer), None),
            }
        }
        let reports = faults::take();
        assert_eq!(
            reports.len(),
            1,
            "{entry:?} of {address:#x}, where no block starts: {reports:?}"
        );
        assert_eq!(reports[0].address, address, "{reports:?}");
        before.assert_only_failures_changed(self);
    }

    fn free_with_wrong_size(&mut self, index: usize, size: usize) {
        let live = self.live()[index];
        let wrong = if size > live.usable {
            size
        } else {
            live.usable + 1 + size
        };
        let Ok(layout) = Layout::from_size_align(wrong, live.layout.align()) else {
            return;
        };
        let before = self.snapshot();
        // SAFETY: none; the layout is wrong on purpose, and the heap promises to refuse it.
        unsafe { self.heap.deallocate(live.pointer, layout) };
        let reports = faults::take();
        assert_eq!(
            reports.len(),
            1,
            "free of {live:?} as {layout:?}: {reports:?}"
        );
        before.assert_only_failures_changed(self);
    }

    /// Walks the heap and compares it with the shadow.
    #[track_caller]
    pub(crate) fn check(&self) {
        if let Err(damage) = self.heap.check() {
            panic!("check: {damage}");
        }
        faults::assert_none("check");
        let stats = self.heap.stats();
        assert_eq!(stats.region_bytes, self.shadow.region_bytes(), "{stats:?}");
        assert_eq!(
            stats.used_bytes + stats.free_bytes + stats.overhead_bytes,
            stats.region_bytes,
            "{stats:?}"
        );
        assert_eq!(stats.live_blocks, self.live().len(), "{stats:?}");
        assert!(stats.peak_bytes >= stats.used_bytes, "{stats:?}");
        assert!(stats.largest_free <= stats.free_bytes, "{stats:?}");
        assert!((0.0..=1.0).contains(&stats.fragmentation()), "{stats:?}");
        self.check_blocks(&stats);
    }

    /// The block iterator shows each live block, and no two free neighbours.
    #[track_caller]
    fn check_blocks(&self, stats: &Stats) {
        let mut blocks: Vec<BlockInfo> = self.heap.blocks().collect();
        blocks.sort_by_key(|block| block.address);
        let mut live: Vec<&Live> = self.live().iter().collect();
        live.sort_by_key(|live| live.address());
        let mut live = live.into_iter();
        let (mut used, mut free) = (0, 0);
        for block in &blocks {
            if block.used {
                used += block.size;
                let live = live.next().expect("a used block that nobody owns");
                let end = block.address + block.size;
                assert!(
                    (block.address..=end).contains(&live.address())
                        && live.address() + live.usable <= end + size_of::<usize>(),
                    "{live:?} is not in {block:?}"
                );
            } else {
                free += block.size;
            }
        }
        assert!(
            live.next().is_none(),
            "a live block is missing in the iterator"
        );
        assert_eq!((used, free), (stats.used_bytes, stats.free_bytes));
        for pair in blocks.windows(2) {
            let end = pair[0].address + pair[0].size;
            assert!(end <= pair[1].address, "{pair:?} overlap");
            assert!(
                pair[0].used || pair[1].used || end < pair[1].address,
                "{pair:?} are free neighbours"
            );
        }
    }

    /// Asserts that the heap has one free block in each region and nothing else.
    #[track_caller]
    fn assert_untouched(&self) {
        self.check();
        let blocks: Vec<BlockInfo> = self.heap.blocks().collect();
        assert!(
            blocks.len() == self.memories.len() && blocks.iter().all(|block| !block.used),
            "{} regions, {blocks:?}",
            self.memories.len()
        );
        let stats = self.heap.stats();
        assert_eq!((stats.live_blocks, stats.used_bytes), (0, 0));
    }

    /// Frees everything; the heap must then be as it was at its creation.
    pub(crate) fn finish(mut self) {
        self.check();
        self.shadow.check_contents();
        while !self.live().is_empty() {
            self.free(self.live().len() / 2, self.live().len().is_multiple_of(2));
        }
        self.assert_untouched();
        let stats = self.heap.stats();
        if let Some(largest) = self.largest_untouched {
            assert_eq!(stats.largest_free, largest);
        }
        // What is reported as the largest can be had, whole.
        let layout = Layout::from_size_align(stats.largest_free, 1).expect("a size in a region");
        assert!(self.allocate(layout, false).is_some());
        self.check();
        self.free(0, true);
        self.assert_untouched();
        for memory in &self.memories {
            memory.check_margins();
        }
    }

    #[track_caller]
    pub(crate) fn snapshot(&self) -> Snapshot {
        let blocks = (self.live().len() <= COMPARED_BLOCKS).then(|| self.heap.blocks().collect());
        Snapshot {
            stats: self.heap.stats(),
            blocks,
        }
    }
}

/// What must be the same after an operation that was refused.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) stats: Stats,
    blocks: Option<Vec<BlockInfo>>,
}

impl Snapshot {
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, after: &ShadowedHeap) {
        let now = after.snapshot();
        assert_eq!(
            now.stats, self.stats,
            "a refused operation changed the heap"
        );
        let places = |snapshot: &Self| -> Option<Vec<(usize, usize, bool)>> {
            let blocks = snapshot.blocks.as_ref()?;
            let place = |block: &BlockInfo| (block.address, block.size, block.used);
            Some(blocks.iter().map(place).collect())
        };
        assert_eq!(
            places(&now),
            places(self),
            "a refused operation changed the blocks"
        );
        if let Err(damage) = after.heap.check() {
            panic!("after a refused operation: {damage}");
        }
    }

    /// As [`assert_unchanged`](Self::assert_unchanged), but the request and its failure may be counted.
    #[track_caller]
    pub(crate) fn assert_only_failures_changed(mut self, after: &ShadowedHeap) {
        let now = after.heap.stats();
        assert!(now.failures <= self.stats.failures + 1);
        assert!(now.reallocations <= self.stats.reallocations + 1);
        self.stats.failures = now.failures;
        self.stats.reallocations = now.reallocations;
        self.assert_unchanged(after);
    }
}
