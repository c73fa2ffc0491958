//! Random sequences of operations, each step held against a shadow allocator.

mod shadow;

use std::alloc::Layout;

use allotment_core::{CreateError, Heap, MIN_REGION, Options};
use proptest::collection::vec;
use proptest::prelude::*;

use shadow::heap::{Entry, Op, ShadowedHeap};
use shadow::memory::{Dirt, Memory};

const LARGEST_REGION: usize = 64 << 20;

/// A failing input is printed, and shrunk to what matters; no file is left in the tree.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Sizes whose logarithm is spread evenly over `from..=to`.
fn logarithmic(from: usize, to: usize) -> impl Strategy<Value = usize> {
    let (from, to) = (from as f64, to as f64);
    (0.0..=1.0_f64).prop_map(move |place| (from * (to / from).powf(place)) as usize)
}

fn dirt() -> impl Strategy<Value = Dirt> {
    prop_oneof![
        Just(Dirt::Zero),
        Just(Dirt::Ones),
        any::<u64>().prop_map(Dirt::Noise),
        Just(Dirt::Addresses),
    ]
}

/// Sizes to ask a region of `len` bytes for.
fn size(len: usize) -> BoxedStrategy<usize> {
    prop_oneof![
        4 => 0..=32_usize,
        10 => logarithmic(16, (len / 8).max(32)),
        4 => logarithmic(16, len + len / 8),
        1 => prop_oneof![
            Just(isize::MAX as usize),
            (0..70_000_usize).prop_map(|less| isize::MAX as usize - less),
            (1..isize::MAX as usize),
        ],
    ]
    .boxed()
}

/// Sizes that the calls without a layout may be passed.
fn wild_size(len: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => size(len),
        1 => (0..70_000_usize).prop_map(|less| usize::MAX - less),
        1 => any::<usize>(),
    ]
}

fn align(len: usize) -> impl Strategy<Value = usize> {
    let most = len.ilog2() + 1;
    prop_oneof![
        8 => 0..=4_u32,
        4 => 5..=12_u32,
        1 => 0..=most,
        1 => 0..usize::BITS - 1,
    ]
    .prop_map(|shift| 1 << shift)
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        3 => Just(Entry::Free),
        1 => Just(Entry::Deallocate),
        1 => Just(Entry::Resize),
        1 => Just(Entry::Reallocate),
        1 => Just(Entry::ResizeInPlace),
        1 => Just(Entry::UsableSize),
    ]
}

/// Operations on a heap over `len` bytes.
fn op(len: usize) -> impl Strategy<Value = Op> {
    let index = any::<usize>;
    prop_oneof![
        20 => (size(len), align(len), any::<bool>())
            .prop_map(|(size, align, zeroed)| Op::Allocate { size, align, zeroed }),
        14 => (index(), any::<bool>()).prop_map(|(index, sized)| Op::Free { index, sized }),
        1 => Just(Op::FreeAlternate),
        5 => (index(), wild_size(len))
            .prop_map(|(index, size)| Op::Reallocate { index, size, sized: false }),
        5 => (index(), size(len))
            .prop_map(|(index, size)| Op::Reallocate { index, size, sized: true }),
        4 => (index(), wild_size(len)).prop_map(|(index, size)| Op::ResizeInPlace { index, size }),
        1 => (0..=len).prop_map(|additional| Op::Extend { additional }),
        1 => (0..300_usize).prop_map(|additional| Op::Extend { additional }),
        1 => (0..64_usize, logarithmic(1, len * 2), dirt())
            .prop_map(|(offset, len, dirt)| Op::AddRegion { offset, len, dirt }),
        1 => index().prop_map(|index| Op::RemoveRegion { index }),
        1 => (any::<usize>(), entry()).prop_map(|(distance, entry)| Op::Garbage { distance, entry }),
        1 => (0..len, entry()).prop_map(|(distance, entry)| Op::Garbage { distance, entry }),
        2 => (index(), index(), entry())
            .prop_map(|(index, offset, entry)| Op::Interior { index, offset, entry }),
        2 => (index(), 0..len, entry())
            .prop_map(|(index, offset, entry)| Op::Interior { index, offset: (offset & !15) | 15, entry }),
        2 => (index(), entry()).prop_map(|(index, entry)| Op::FreedBefore { index, entry }),
        1 => (index(), 0..isize::MAX as usize / 2)
            .prop_map(|(index, size)| Op::WrongSize { index, size }),
    ]
}

/// A region's length, the bytes it can be extended by, its offset from a page and what it contains.
fn region(largest: usize) -> impl Strategy<Value = (usize, usize, usize, Dirt)> {
    (
        logarithmic(MIN_REGION, largest),
        0..=2_usize,
        0..64_usize,
        dirt(),
    )
        .prop_map(|(len, growth, offset, dirt)| (len, len * growth / 2, offset, dirt))
}

fn run(region: (usize, usize, usize, Dirt), ops: &[Op]) {
    let (len, growth, offset, dirt) = region;
    let memory = Memory::new(offset, len, len + growth, dirt);
    let mut heap = ShadowedHeap::new(memory, dirt == Dirt::Zero).expect("a region that suffices");
    for op in ops {
        heap.step(op);
    }
    heap.finish();
}

proptest! {
    #![proptest_config(config(400))]

    /// Small regions fill up and fragment within a few operations.
    #[test]
    fn small_regions((region, ops) in region(64 << 10)
        .prop_flat_map(|region| (Just(region), vec(op(region.0), 1..150))))
    {
        run(region, &ops);
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn regions_up_to_64_mib((region, ops) in region(LARGEST_REGION)
        .prop_flat_map(|region| (Just(region), vec(op(region.0), 1..200))))
    {
        run(region, &ops);
    }
}

proptest! {
    #![proptest_config(config(24))]

    /// Thousands of blocks of mixed sizes; the whole heap is walked at the end only.
    #[test]
    fn many_blocks(
        (len, ops) in logarithmic(256 << 10, 4 << 20).prop_flat_map(|len| (
            Just(len),
            vec(prop_oneof![
                3 => (0..400_usize, 0..8_u32).prop_map(|(size, shift)| Op::Allocate {
                    size, align: 1 << shift, zeroed: false }),
                1 => (any::<usize>(), any::<bool>())
                    .prop_map(|(index, sized)| Op::Free { index, sized }),
                1 => (any::<usize>(), 0..3000_usize)
                    .prop_map(|(index, size)| Op::Reallocate { index, size, sized: true }),
            ], 1000..4000),
        )),
    ) {
        let memory = Memory::new(0, len, len, Dirt::Addresses);
        let mut heap = ShadowedHeap::new(memory, false).unwrap().check_at_the_end();
        for op in &ops {
            heap.step(op);
        }
        heap.step(&Op::FreeAlternate);
        heap.finish();
    }
}

proptest! {
    #![proptest_config(config(256))]

    /// A region is either refused with a reason or serves at least one byte, whatever its length.
    #[test]
    fn tiny_regions(len in 0..2 * MIN_REGION, offset in 0..64_usize, dirt in dirt()) {
        let memory = Memory::new(offset, len, len, dirt);
        let (start, given) = (memory.start(), len);
        match ShadowedHeap::new(memory, false) {
            Ok(mut heap) => {
                heap.step(&Op::Allocate { size: 1, align: 1, zeroed: true });
                assert_eq!(heap.live().len(), 1, "{len} bytes serve nothing");
                heap.finish();
            }
            Err(error) => {
                assert!(len < MIN_REGION, "{len} bytes at {start:p}: {error}");
                assert_eq!(error, CreateError::TooSmall { given });
            }
        }
    }

    /// Ranges that are no memory at all are refused before anything is written.
    #[test]
    fn impossible_regions(start in any::<usize>(), len in any::<usize>()) {
        let len = len.max(usize::MAX - start).max(1 << (usize::BITS - 1));
        let start = std::ptr::without_provenance_mut::<u8>(start);
        // SAFETY: none; the range wraps or is longer than an object can be, and must be refused.
        let result = unsafe { Heap::from_raw(start, len, Options::default()) };
        prop_assert!(result.is_err());
    }
}

#[test]
fn a_null_region_is_refused() {
    // SAFETY: none; null must be refused.
    let result = unsafe { Heap::from_raw(std::ptr::null_mut(), 1 << 20, Options::default()) };
    assert_eq!(result.err(), Some(CreateError::Null));
}

/// Regions that fit into the first one's length, but not into what its header leaves: their blocks
/// share the last list, where a longer one may lie too deep to be seen. On 32 bits other lengths do.
#[cfg(target_pointer_width = "64")]
#[test]
fn regions_that_are_longer_than_the_largest_block_may_hide_each_other() {
    let memory = |len| Memory::new(0, len, len, Dirt::Ones);
    let mut heap = ShadowedHeap::new(memory(7472), false).unwrap();
    let indexed = heap.stats().largest_free;
    for _ in 0..4 {
        assert!(heap.add_region(memory(indexed + 200)));
    }
    assert!(heap.add_region(memory(indexed + 800)));
    let longest = heap.stats().largest_free;
    for _ in 0..4 {
        assert!(heap.add_region(memory(indexed + 200)));
    }
    assert!(heap.stats().largest_free < longest);
    heap.allocate(Layout::new::<u8>(), false).unwrap();
    heap.finish();
}

#[test]
fn zero_size_requests_are_served_each_with_its_own_address() {
    let mut heap = ShadowedHeap::new(Memory::new(3, 4096, 4096, Dirt::Ones), false).unwrap();
    for shift in 0..8 {
        let layout = Layout::from_size_align(0, 1 << shift).unwrap();
        assert!(heap.allocate(layout, false).is_some());
        assert!(heap.allocate(layout, true).is_some());
    }
    // The shadow found no two blocks at one place, and a block of no bytes can be resized.
    heap.step(&Op::Reallocate {
        index: 3,
        size: 100,
        sized: false,
    });
    heap.step(&Op::Reallocate {
        index: 5,
        size: 0,
        sized: true,
    });
    assert_eq!(heap.live().len(), 16);
    heap.finish();
}

#[test]
fn requests_near_the_end_of_the_address_space_fail_cleanly() {
    let mut heap = ShadowedHeap::new(Memory::new(0, 1 << 20, 1 << 20, Dirt::Ones), false).unwrap();
    let small = Layout::from_size_align(100, 16).unwrap();
    heap.allocate(small, false).unwrap();
    for shift in 0..usize::BITS - 1 {
        let align = 1_usize << shift;
        for less in [0, 1, 7, 8, 15, 16, 31, 4095, 4096] {
            let most = isize::MAX as usize - (align - 1);
            let Ok(layout) = Layout::from_size_align(most.saturating_sub(less), align) else {
                continue;
            };
            if layout.size() < 2 << 20 {
                continue;
            }
            assert_eq!(heap.allocate(layout, false), None);
            assert_eq!(heap.allocate(layout, true), None);
            assert_eq!(heap.reallocate(0, layout.size(), false), None);
            assert_eq!(heap.reallocate(0, usize::MAX - less, false), None);
            assert!(!heap.resize_in_place(0, layout.size()));
            assert!(!heap.resize_in_place(0, usize::MAX - less));
        }
        heap.check();
    }
    heap.finish();
}

/// Sizes up to 4 GiB in a region of 8 GiB that gets memory only where it is touched.
#[cfg(all(unix, target_pointer_width = "64"))]
mod sparse {
    use super::*;
    use allotment_core::GRANULE;
    use shadow::faults;
    use shadow::memory::SparseMemory;
    use shadow::oracle::{ShadowAllocator, assert_kept};

    const LEN: usize = 8 << 30;

    fn heap(memory: &SparseMemory) -> Heap<'static> {
        let options = Options {
            zeroed: true,
            on_fault: faults::record,
            ..Options::default()
        };
        // SAFETY: the mapping is ours and outlives the heap in every test here.
        unsafe { Heap::from_raw(memory.start(), memory.len(), options) }.unwrap()
    }

    #[test]
    fn creation_touches_a_bounded_number_of_pages() {
        let memory = SparseMemory::new(LEN);
        let heap = heap(&memory);
        assert!(heap.check().is_ok());
        let touched = memory.resident_pages();
        assert!(touched <= 8, "{touched} pages touched");
    }

    #[test]
    fn zeroed_memory_that_is_known_to_be_zero_is_not_touched() {
        let memory = SparseMemory::new(LEN);
        let mut heap = heap(&memory);
        let layout = Layout::from_size_align(4 << 30, 16).unwrap();
        let block = heap.allocate_zeroed(layout).unwrap();
        let touched = memory.resident_pages();
        assert!(touched <= 16, "{touched} pages touched");
        // SAFETY: the block is live and long enough.
        unsafe { assert_eq!(block.as_ptr().add(3 << 30).read(), 0) };
    }

    #[test]
    fn blocks_up_to_4_gib() {
        let memory = SparseMemory::new(LEN);
        let mut heap = heap(&memory);
        let mut shadow = ShadowAllocator::default();
        shadow.add_region(memory.start(), memory.len());
        let mut random = 0x1234_5678_9ABC_DEF0_u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as usize
        };
        for round in 0..400 {
            let size = (1_usize << (5 + next() % 28)) + next() % 1000 * (next() % 2);
            let align = 1_usize << (next() % 5 * (next() % 7));
            let layout = Layout::from_size_align(size, align).unwrap();
            if round % 3 != 2 || shadow.live().is_empty() {
                let largest = heap.stats().largest_free;
                if let Some(pointer) = heap.allocate(layout) {
                    shadow.insert(pointer, layout, heap.usable_size(pointer).unwrap());
                } else {
                    assert!(align > GRANULE || size > largest);
                }
            } else if round % 2 == 0 {
                let live = shadow.remove(next() % shadow.live().len());
                // SAFETY: the block is live, and the shadow forgot it.
                unsafe { heap.deallocate(live.pointer, live.layout) };
            } else {
                let index = next() % shadow.live().len();
                let old = shadow.live()[index];
                // Copying gigabytes is nobody's wish in a test.
                let size = size.min(old.usable.max(64 << 20));
                // SAFETY: the block is live with this layout.
                let moved = unsafe { heap.reallocate(old.pointer, old.layout, size) };
                if let Some(moved) = moved {
                    assert_kept(&old, moved, old.layout.size().min(size));
                    shadow.forget(index);
                    let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
                    shadow.insert(moved, layout, heap.usable_size(moved).unwrap());
                }
            }
            if let Err(damage) = heap.check() {
                panic!("round {round}: {damage}");
            }
        }
        shadow.check_contents();
        while !shadow.live().is_empty() {
            let live = shadow.remove(0);
            // SAFETY: the block is live, and the shadow forgot it.
            unsafe { heap.free(live.pointer) };
        }
        faults::assert_none("all of it");
        assert_eq!(heap.blocks().count(), 1);
        let largest = Layout::from_size_align(heap.stats().largest_free, 1).unwrap();
        assert!(largest.size() > LEN - (64 << 10));
        assert!(heap.allocate(largest).is_some());
    }
}
