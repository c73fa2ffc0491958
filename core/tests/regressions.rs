//! One test for each fault that was found by reading.
#![cfg(feature = "spin")]

use std::alloc::{Layout, alloc_zeroed};
use std::mem::MaybeUninit;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use allotment_core::{Heap, Options, Pool};

/// A zeroed region of its own, for the rest of the process's life.
fn region(len: usize, align: usize) -> &'static mut [MaybeUninit<u8>] {
    let layout = Layout::from_size_align(len, align).unwrap();
    // SAFETY: the length is not zero; the bytes are given to nobody else and never freed.
    unsafe {
        let start = alloc_zeroed(layout);
        assert!(!start.is_null());
        std::slice::from_raw_parts_mut(start.cast(), len)
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// The heap remembers the block that was freed last. When a neighbour has grown over it, what the
/// user writes there must not be taken for that block, even if it looks like one.
#[test]
fn a_freed_block_that_was_grown_over_is_forgotten() {
    let region = region(1 << 16, 4096);
    let start = region.as_ptr().addr();
    let mut heap = Heap::new(region).unwrap();
    let first = heap.allocate(layout(2048, 8)).unwrap();
    let freed = heap.allocate(layout(4096, 8)).unwrap();
    heap.allocate(layout(64, 8)).unwrap();
    // SAFETY: both blocks are live; the first grows over the second one's place.
    let grown = unsafe {
        heap.free(freed);
        heap.reallocate(first, layout(2048, 8), 6000).unwrap()
    };
    assert_eq!(grown, first);
    while heap.allocate(layout(64, 8)).is_some() {}

    // SAFETY: the heap's prefix tells the origin's distance from the region's start; all words
    // that are written lie in the grown block.
    unsafe {
        let distance = with_exposed_provenance_mut::<u32>(start + 12).read();
        let offset = |p: *mut u8| p.addr() - start - distance as usize;
        let place = freed.as_ptr();
        let size = 1024_usize;
        let word = size_of::<usize>();
        let write = |at: *mut u8, value: usize| at.cast::<usize>().write(value);
        write(place.sub(word), size.wrapping_neg());
        write(place, 0);
        write(place.add(word), offset(grown.as_ptr()));
        write(grown.as_ptr(), offset(place));
        write(place.add(size - 2 * word), size.wrapping_neg());
    }
    if let Some(block) = heap.allocate(layout(512, 32)) {
        let (block, grown) = (block.addr().get(), grown.addr().get());
        assert!(block + 512 <= grown || block >= grown + 6000);
    }
    heap.check().unwrap();
}

/// A block keeps the alignment that was asked for, not the one that its address happens to have.
#[test]
fn a_page_at_a_round_address_may_move_to_any_page() {
    let mut heap = Heap::new(region(4 << 20, 4 << 20)).unwrap();
    let probe = heap.allocate(layout(16, 8)).unwrap().addr().get();
    let middle = (probe & !((4 << 20) - 1)) + (2 << 20);
    let below = heap
        .allocate(layout(middle - 64 - (probe + 32) - 8, 8))
        .unwrap();
    let page = heap.allocate(layout(4096, 4096)).unwrap();
    assert_eq!(page.addr().get(), middle);
    heap.allocate(layout(heap.stats().largest_free, 8)).unwrap();
    // SAFETY: both blocks are live and not used afterwards.
    let moved = unsafe {
        heap.free(below);
        heap.resize(page, 100_000)
            .expect("half of the region is free")
    };
    assert!(moved.addr().get().is_multiple_of(4096));
}

/// Growing into a large free block before it does not count that whole block as used.
#[test]
fn growing_backwards_raises_the_peak_by_what_is_kept() {
    let mut heap = Heap::new(region(1 << 20, 1 << 20)).unwrap();
    let block = heap.allocate(layout(1000, 1 << 19)).unwrap();
    heap.allocate(layout(heap.stats().largest_free, 8)).unwrap();
    let before = heap.stats().used_bytes;
    // SAFETY: the block is live and used under its new name only.
    let moved = unsafe { heap.reallocate(block, layout(1000, 8), 60_000).unwrap() };
    assert!(moved < block);
    let stats = heap.stats();
    assert_eq!(stats.peak_bytes, before.max(stats.used_bytes));
}

/// Ones all over a block and its free neighbour's header read as a free block of one byte, with a
/// footer to match.
#[test]
fn a_header_of_ones_is_not_a_free_block() {
    static FAULTS: AtomicUsize = AtomicUsize::new(0);
    let region = region(1 << 16, 4096);
    let options = Options {
        on_fault: |_| _ = FAULTS.fetch_add(1, Relaxed),
        ..Options::default()
    };
    // SAFETY: the region is given to this heap alone.
    let mut heap = unsafe { Heap::from_raw(region.as_mut_ptr().cast(), 1 << 16, options).unwrap() };
    let block = heap.allocate(layout(120, 8)).unwrap();
    let freed = heap.allocate(layout(120, 8)).unwrap();
    heap.allocate(layout(120, 8)).unwrap();
    // SAFETY: both are live; the bytes that are written lie in them, but for the header between.
    unsafe {
        heap.free(freed);
        let len = freed.addr().get() - block.addr().get();
        block.write_bytes(0xFF, len);
        heap.free(block);
    }
    assert_eq!(FAULTS.load(Relaxed), 1);
    assert_eq!(heap.stats().deallocations, 1);
}

/// A lock that wants a cache line pair, or more, for itself.
#[repr(align(256))]
struct Wide(spin::Mutex<()>);

// SAFETY: forwards to a lock.
unsafe impl lock_api::RawMutex for Wide {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Wide(<spin::Mutex<()> as lock_api::RawMutex>::INIT);
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        lock_api::RawMutex::lock(&self.0);
    }

    fn try_lock(&self) -> bool {
        lock_api::RawMutex::try_lock(&self.0)
    }

    unsafe fn unlock(&self) {
        // SAFETY: forwarded.
        unsafe { lock_api::RawMutex::unlock(&self.0) }
    }
}

#[test]
fn a_lock_may_ask_for_more_alignment_than_a_region_has() {
    let pool: Pool<'_, Wide> = Pool::create_in_region(region(1 << 20, 16)).unwrap();
    assert!(pool.allocate(layout(100, 8)).is_some());
    assert_eq!(pool.check().unwrap().used_blocks, 1);
}

/// Ranges at the very end of the address space are refused, not computed past it.
#[test]
fn ranges_at_the_end_of_the_address_space_are_refused() {
    for len in [0_usize, 1, 15, 16, 31, 32, 100] {
        for gap in [0_usize, 1, 15, 16, 17, 63] {
            let start = with_exposed_provenance_mut(usize::MAX - gap - len);
            // SAFETY: so short a range is refused before it is touched.
            unsafe {
                assert!(Heap::from_raw(start, len, Options::default()).is_err());
                assert!(Pool::<Wide>::create_in_raw(start, len, Options::default()).is_err());
            }
        }
    }
}

/// A summary that lost its bits ends a fast path's search, and the check says so.
#[test]
fn a_lost_summary_is_found() {
    let region = region(1 << 16, 4096);
    let start = region.as_ptr().addr();
    let mut heap = Heap::new(region).unwrap();
    heap.allocate(layout(100, 8)).unwrap();
    // SAFETY: the prefix tells the origin's distance; the summary is the sixth control word.
    unsafe {
        let distance = with_exposed_provenance_mut::<u32>(start + 12).read() as usize;
        let summary = start + distance + 5 * size_of::<usize>();
        let summary = with_exposed_provenance_mut::<usize>(summary);
        assert_ne!(summary.read(), 0);
        summary.write(0);
    }
    assert!(heap.check().is_err());
    let found = heap.allocate(layout(100, 8)).is_some();
    assert_eq!(found, !cfg!(feature = "fast"));
}
