//! What a heap promises beyond being right: a freed block can be had again, the largest block can be
//! had whole, a block grows where it lies when its neighbours allow, regions come and go.

mod shadow;

use std::alloc::Layout;
use std::ptr::NonNull;

use allotment_core::{GRANULE, Heap, MIN_REGION, Options};
use proptest::collection::vec;
use proptest::prelude::*;

use shadow::faults;
use shadow::heap::ShadowedHeap;
use shadow::memory::{Dirt, Memory};

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn shadowed(len: usize) -> ShadowedHeap {
    ShadowedHeap::new(Memory::new(5, len, len, Dirt::Noise(len as u64)), false).unwrap()
}

fn index_of(heap: &ShadowedHeap, pointer: NonNull<u8>) -> usize {
    heap.live()
        .iter()
        .position(|live| live.pointer == pointer)
        .expect("a live block")
}

fn free(heap: &mut ShadowedHeap, pointer: NonNull<u8>) {
    heap.free(index_of(heap, pointer), true);
}

/// Allocates blocks of these sizes until the heap is full, then frees those that `keep` rejects.
fn fragment(heap: &mut ShadowedHeap, sizes: &[(usize, u32)], keep: impl Fn(usize) -> bool) {
    let mut blocks = Vec::new();
    let mut misses = 0;
    for &(size, shift) in sizes.iter().cycle() {
        match heap.allocate(layout(size, 1 << shift), false) {
            Some(pointer) => blocks.push(pointer),
            None => misses += 1,
        }
        if misses > sizes.len() || blocks.len() > 3000 {
            break;
        }
    }
    for (index, pointer) in blocks.into_iter().enumerate() {
        if !keep(index) {
            free(heap, pointer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was freed can be had again at the same size and alignment, at once, in any state.
    #[test]
    fn a_freed_block_can_be_had_again(
        len in MIN_REGION..200_000,
        sizes in vec((0..6000_usize, 0..5_u32), 1..20),
        kept in any::<u64>(),
        chosen in any::<usize>(),
    ) {
        let mut heap = shadowed(len);
        fragment(&mut heap, &sizes, |index| kept >> (index % 64) & 1 == 1);
        let blocks: Vec<_> = heap.live().to_vec();
        for block in blocks.iter().cycle().skip(chosen % blocks.len().max(1)).take(blocks.len().min(40)) {
            free(&mut heap, block.pointer);
            let again = heap.allocate(block.layout, false);
            prop_assert!(again.is_some(), "{:?} was freed and is gone", block.layout);
        }
        heap.check();
        heap.finish();
    }

    /// The same for blocks with large alignments.
    #[test]
    fn a_freed_aligned_block_can_be_had_again(
        len in 8192..400_000_usize,
        sizes in vec((0..6000_usize, 0..13_u32), 1..20),
        kept in any::<u64>(),
    ) {
        let mut heap = shadowed(len);
        fragment(&mut heap, &sizes, |index| kept >> (index % 64) & 1 == 1);
        let blocks: Vec<_> = heap.live().to_vec();
        for block in blocks.iter().take(40) {
            free(&mut heap, block.pointer);
            let again = heap.allocate(block.layout, false);
            prop_assert!(again.is_some(), "{:?} was freed and is gone", block.layout);
        }
        heap.finish();
    }

    /// What `largest_free` names can be had whole, and nothing larger is left in one piece that is
    /// more than one list's width larger.
    #[test]
    fn the_largest_free_block_can_be_had_whole(
        len in MIN_REGION..400_000,
        sizes in vec((0..6000_usize, 0..7_u32), 1..20),
        kept in any::<u64>(),
    ) {
        let mut heap = shadowed(len);
        fragment(&mut heap, &sizes, |index| kept >> (index % 64) & 1 == 1);
        loop {
            let largest = heap.stats().largest_free;
            let longest = heap.heap().blocks().filter(|block| !block.used)
                .map(|block| block.size).max().unwrap_or(0);
            prop_assert!(largest <= longest);
            prop_assert!(longest <= largest + largest / 16 + 2 * GRANULE,
                "largest_free is {largest}, but a block of {longest} bytes is free");
            if longest == 0 {
                break;
            }
            prop_assert!(heap.allocate(layout(largest, 1), false).is_some());
        }
        heap.finish();
    }
}

/// Free blocks of many sizes, none of which can serve, do not hide the block that was just freed.
#[test]
fn a_freed_aligned_block_is_found_among_many_that_do_not_fit() {
    for shift in 5..=12 {
        let align = 1_usize << shift;
        let mut heap = shadowed(256 << 10);
        let fillers: Vec<_> = (1..40)
            .map(|number| {
                let filler = heap
                    .allocate(layout(number * align / 40 + 100, 1), false)
                    .unwrap();
                heap.allocate(layout(1, 1), false).unwrap();
                filler
            })
            .collect();
        let block = heap.allocate(layout(100, align), false).unwrap();
        let pad = heap
            .heap()
            .blocks()
            .find(|other| !other.used && other.address < block.as_ptr().addr());
        while heap.stats().largest_free > pad.map_or(0, |pad| pad.size) {
            let largest = heap.stats().largest_free;
            heap.allocate(layout(largest, 1), false).unwrap();
        }
        for filler in fillers {
            let live = heap.live()[index_of(&heap, filler)];
            let place = live.address().next_multiple_of(align);
            if place + 100 > live.address() + live.usable {
                free(&mut heap, filler);
            }
        }
        free(&mut heap, block);
        assert!(
            heap.allocate(layout(100, align), false).is_some(),
            "aligned to {align}"
        );
        heap.finish();
    }
}

#[test]
fn equal_blocks_are_had_again_in_any_order() {
    for size in [1, 24, 25, 100, 1000, 1024, 1025, 1500, 5000, 70_000] {
        let mut heap = shadowed(1 << 20);
        fragment(&mut heap, &[(size, 0)], |_| true);
        let count = heap.live().len();
        for stride in [1, 2, 3, 7] {
            let chosen: Vec<_> = heap.live().iter().step_by(stride).copied().collect();
            for live in &chosen {
                free(&mut heap, live.pointer);
            }
            for _ in &chosen {
                assert!(heap.allocate(layout(size, 1), false).is_some());
            }
            assert_eq!(heap.live().len(), count);
        }
        heap.finish();
    }
}

#[test]
fn an_untouched_region_is_one_block_that_can_be_had_whole() {
    for len in (MIN_REGION..4 * MIN_REGION).chain([1 << 16, 1 << 20, (1 << 24) + 4711]) {
        let mut heap = ShadowedHeap::new(Memory::new(0, len, len, Dirt::Ones), false).unwrap();
        let stats = heap.stats();
        assert_eq!(stats.largest_free + size_of::<usize>(), stats.free_bytes);
        let whole = heap.allocate(layout(stats.largest_free, 1), false).unwrap();
        let stats = heap.stats();
        assert_eq!((stats.free_bytes, stats.largest_free), (0, 0));
        free(&mut heap, whole);
        heap.finish();
    }
}

#[test]
fn fixed_cost_is_small_and_does_not_grow_with_the_region() {
    let overhead = |len: usize| {
        let heap = ShadowedHeap::new(Memory::new(0, len, len, Dirt::Zero), false).unwrap();
        heap.stats().overhead_bytes
    };
    let small = overhead(4096);
    let most = if size_of::<usize>() == 4 { 512 } else { 1280 };
    assert!(
        small <= most,
        "{small} bytes of a 4 KiB region are overhead"
    );
    let large = overhead(64 << 20);
    assert!(
        large <= 16 << 10,
        "{large} bytes of a 64 MiB region are overhead"
    );
}

mod in_place {
    use super::*;

    /// Three neighbours and a block that keeps them from the rest of the heap.
    fn neighbours() -> (ShadowedHeap, [NonNull<u8>; 3]) {
        let mut heap = shadowed(64 << 10);
        let mut next = || heap.allocate(layout(1000, 8), false).unwrap();
        let blocks = [next(), next(), next()];
        let barrier = next();
        assert!(
            blocks.is_sorted() && blocks[2] < barrier,
            "a fresh heap is cut from its start"
        );
        (heap, blocks)
    }

    #[test]
    fn grows_into_the_next_block() {
        for sized in [true, false] {
            let (mut heap, [_, middle, last]) = neighbours();
            free(&mut heap, last);
            let index = index_of(&heap, middle);
            assert_eq!(heap.reallocate(index, 1900, sized), Some(middle));
            heap.check();
            heap.finish();
        }
        let (mut heap, [_, middle, last]) = neighbours();
        let index = index_of(&heap, middle);
        assert!(!heap.resize_in_place(index, 1900));
        free(&mut heap, last);
        let index = index_of(&heap, middle);
        assert!(heap.resize_in_place(index, 1900));
        heap.finish();
    }

    #[test]
    fn grows_to_the_last_byte_of_the_next_block() {
        let (mut heap, [_, middle, last]) = neighbours();
        let index = index_of(&heap, last);
        let most = heap.live()[index].usable
            + size_of::<usize>()
            + heap.live()[index_of(&heap, middle)].usable;
        free(&mut heap, last);
        let index = index_of(&heap, middle);
        assert!(!heap.resize_in_place(index, most + 1));
        let index = index_of(&heap, middle);
        assert!(heap.resize_in_place(index, most));
        assert_eq!(heap.live().last().unwrap().usable, most);
        heap.finish();
    }

    #[test]
    fn shrinks_where_it_is_and_gives_the_rest_back() {
        for sized in [true, false] {
            let (mut heap, [_, middle, _]) = neighbours();
            let before = heap.stats();
            let index = index_of(&heap, middle);
            assert_eq!(heap.reallocate(index, 100, sized), Some(middle));
            assert!(heap.stats().used_bytes + 800 < before.used_bytes);
            heap.check();
            let index = index_of(&heap, middle);
            assert_eq!(heap.reallocate(index, 1000, sized), Some(middle));
            assert_eq!(heap.stats().used_bytes, before.used_bytes);
            heap.finish();
        }
    }

    #[test]
    fn grows_backwards_before_it_moves_elsewhere() {
        for sized in [true, false] {
            let (mut heap, [first, middle, _]) = neighbours();
            free(&mut heap, first);
            let index = index_of(&heap, middle);
            assert_eq!(heap.reallocate(index, 1900, sized), Some(first));
            heap.check();
            heap.finish();
        }
    }

    #[test]
    fn grows_both_ways_when_one_is_not_enough() {
        for sized in [true, false] {
            let (mut heap, [first, middle, last]) = neighbours();
            free(&mut heap, first);
            free(&mut heap, last);
            let index = index_of(&heap, middle);
            assert_eq!(heap.reallocate(index, 2900, sized), Some(first));
            heap.check();
            heap.finish();
        }
    }

    /// The only way to serve these is in place, since nothing else is free.
    #[test]
    fn grows_in_a_full_heap() {
        for (below, above) in [(false, true), (true, false), (true, true)] {
            let (mut heap, [first, middle, last]) = neighbours();
            while heap.stats().largest_free > 0 {
                let largest = heap.stats().largest_free;
                heap.allocate(layout(largest, 1), false).unwrap();
            }
            if below {
                free(&mut heap, first);
            }
            if above {
                free(&mut heap, last);
            }
            let size = 1000 + 900 * (usize::from(below) + usize::from(above));
            let index = index_of(&heap, middle);
            let grown = heap.reallocate(index, size, false).unwrap();
            assert_eq!(grown, if below { first } else { middle });
            heap.check();
            heap.finish();
        }
    }

    #[test]
    fn keeps_the_alignment() {
        for shift in 4..=13 {
            for sized in [true, false] {
                let align = 1_usize << shift;
                let mut heap = shadowed(1 << 20);
                heap.allocate(layout(40, 8), false).unwrap();
                let below = heap.allocate(layout(align * 3, 8), false).unwrap();
                let block = heap.allocate(layout(100, align), false).unwrap();
                heap.allocate(layout(40, 8), false).unwrap();
                free(&mut heap, below);
                // The shadow asserts the alignment at each of these, backwards and elsewhere.
                let mut index = index_of(&heap, block);
                for size in [align * 2, align * 40, 50, align * 5, 3, 200] {
                    let moved = heap.reallocate(index, size, sized).unwrap();
                    index = index_of(&heap, moved);
                }
                heap.finish();
            }
        }
    }
}

mod regions {
    use super::*;

    fn growing(len: usize, capacity: usize) -> ShadowedHeap {
        ShadowedHeap::new(Memory::new(9, len, capacity, Dirt::Ones), false).unwrap()
    }

    #[test]
    fn an_extension_merges_with_the_last_free_block() {
        let mut heap = growing(4096, 1 << 20);
        let before = heap.stats();
        heap.extend(100_000);
        heap.check();
        let after = heap.stats();
        assert_eq!(heap.heap().blocks().count(), 1);
        assert!(after.largest_free + 64 >= before.largest_free + 100_000);
        heap.finish();
    }

    #[test]
    fn a_full_heap_can_be_extended() {
        let mut heap = growing(4096, 1 << 20);
        let largest = heap.stats().largest_free;
        heap.allocate(layout(largest, 1), false).unwrap();
        heap.extend(65536);
        heap.check();
        assert!(heap.stats().largest_free + 64 >= 65536);
        heap.allocate(layout(60_000, 1), false).unwrap();
        // The block that filled the region grows into the extension.
        heap.free(1, true);
        assert!(heap.resize_in_place(0, largest + 60_000));
        heap.finish();
    }

    #[test]
    fn extensions_of_any_length_add_up() {
        let mut heap = growing(4096, 200_000);
        for additional in (0..400).chain([4096, 1, 4095, 30_000]) {
            heap.extend(additional);
            heap.check();
        }
        let given = heap.memory().len();
        assert!(given > 100_000);
        assert_eq!(heap.stats().region_bytes, given);
        assert!(heap.stats().largest_free + heap.stats().overhead_bytes + 64 >= given);
        heap.finish();
    }

    /// The index is sized at creation; beyond the promised capacity the heap may refuse, but stays whole.
    #[test]
    fn an_extension_beyond_the_capacity_is_served_or_refused_whole() {
        let memory = Memory::new(0, 2048, 4 << 20, Dirt::Noise(1));
        let options = Options {
            capacity: 8192,
            on_fault: faults::record,
            ..Options::default()
        };
        // SAFETY: the memory outlives the heap, and only the heap touches it.
        let mut heap = unsafe { Heap::from_raw(memory.start(), memory.len(), options) }.unwrap();
        // SAFETY: the bytes lie behind the region in the same memory.
        unsafe { heap.extend(8192 - 2048) }.expect("the promised capacity");
        assert!(heap.stats().largest_free > 6000);
        let before = heap.stats();
        // SAFETY: as above.
        if unsafe { heap.extend((4 << 20) - 8192) }.is_err() {
            assert_eq!(heap.stats(), before);
        }
        heap.check().unwrap();
        let largest = layout(heap.stats().largest_free, 1);
        assert!(heap.allocate(largest).is_some());
        heap.check().unwrap();
        memory.check_margins();
    }

    #[test]
    fn regions_are_added_used_and_removed() {
        let mut heap = growing(4096, 4096);
        assert!(heap.add_region(Memory::new(7, 1 << 20, 1 << 20, Dirt::Ones)));
        assert!(heap.add_region(Memory::new(0, 9000, 9000, Dirt::Zero)));
        heap.check();
        let big = heap.allocate(layout(500_000, 4096), false).unwrap();
        assert!(!heap.remove_region(1), "it holds a live block");
        assert!(heap.remove_region(2));
        heap.check();
        free(&mut heap, big);
        assert!(heap.remove_region(1));
        heap.check();
        assert!(!heap.remove_region(0), "it holds the header");
        assert_eq!(heap.allocate(layout(500_000, 1), false), None);
        heap.finish();
    }

    #[test]
    fn regions_too_small_for_a_block_are_refused() {
        let mut heap = growing(4096, 4096);
        for len in 0..8 {
            assert!(
                !heap.add_region(Memory::new(3, len, len, Dirt::Ones)),
                "{len} bytes"
            );
        }
        // From some length on they are taken, and then they serve.
        let least = (8..MIN_REGION)
            .find(|&len| heap.add_region(Memory::new(3, len, len, Dirt::Ones)))
            .expect("a region of the least length is taken");
        assert!(least <= 256, "{least} bytes");
        heap.check();
        heap.finish();
    }

    /// Free blocks of one size are in one list, wherever they lie, in any order of their frees.
    #[test]
    fn blocks_of_several_regions_share_their_lists() {
        let mut heap = growing(4096, 4096);
        assert!(heap.add_region(Memory::new(0, 512, 512, Dirt::Ones)));
        assert!(heap.add_region(Memory::new(0, 512, 512, Dirt::Ones)));
        let alike = heap
            .heap()
            .blocks()
            .last()
            .expect("the added region's block")
            .size;
        let size = alike - size_of::<usize>();
        for round in 0..24 {
            // One block from each region, all of one size, with something behind the first.
            let mut blocks: Vec<_> = (0..3)
                .map(|_| {
                    heap.allocate(layout(size, 1), false)
                        .expect("room for each")
                })
                .collect();
            let barrier = heap.allocate(layout(1, 1), false).unwrap();
            blocks.rotate_left(round % 3);
            if round % 2 == 0 {
                blocks.swap(0, 1);
            }
            for (index, block) in blocks.into_iter().enumerate() {
                free(&mut heap, block);
                heap.check();
                if (round >> 1) % 3 == index {
                    let again = heap.allocate(layout(size, 1), false).expect("just freed");
                    free(&mut heap, again);
                    heap.check();
                }
            }
            free(&mut heap, barrier);
        }
        assert!(heap.remove_region(1) && heap.remove_region(1));
        heap.finish();
    }

    /// Two regions that touch are two regions: no block lies across, and either can be removed.
    #[test]
    fn regions_that_touch_stay_apart() {
        let memory = Memory::new(0, 64 << 10, 64 << 10, Dirt::Ones);
        let half = memory.len() / 2;
        let mut heap = growing(4096, 4096);
        // SAFETY: both halves outlive the heap, and only the heap touches them.
        unsafe {
            heap.heap()
                .add_region_raw(memory.start().add(half), half)
                .unwrap();
            heap.heap().add_region_raw(memory.start(), half).unwrap();
        }
        let heap = heap.heap();
        heap.check().unwrap();
        assert!(heap.stats().largest_free < half);
        assert_eq!(heap.allocate(layout(half, 1)), None);
        let first = heap.allocate(layout(half - 1000, 1)).unwrap();
        let second = heap.allocate(layout(half - 1000, 1)).unwrap();
        heap.check().unwrap();
        let lower = first.min(second);
        // SAFETY: the block is live.
        unsafe { heap.free(lower) };
        let (start, len) = heap.remove_region(memory.start()).unwrap();
        assert_eq!((start, len), (memory.start(), half));
        heap.check().unwrap();
        // SAFETY: the block is live.
        unsafe { heap.free(first.max(second)) };
        heap.remove_region(memory.start().wrapping_add(half))
            .unwrap();
        heap.check().unwrap();
        faults::assert_none("all of it");
    }

    #[test]
    fn a_region_that_overlaps_or_is_unknown_is_refused() {
        let mut heap = growing(64 << 10, 64 << 10);
        let start = heap.memory().start();
        let before = heap.snapshot();
        for (offset, len) in [(0, 4096), (4096, 4096), (60 << 10, 4 << 10)] {
            // SAFETY: none; a range inside the heap's own region must be refused.
            let result = unsafe { heap.heap().add_region_raw(start.add(offset), len) };
            assert!(result.is_err(), "{offset} {len}");
        }
        // SAFETY: none; null and a range that wraps must be refused.
        unsafe {
            assert!(
                heap.heap()
                    .add_region_raw(std::ptr::null_mut(), 4096)
                    .is_err()
            );
            assert!(heap.heap().add_region_raw(start, usize::MAX).is_err());
        }
        assert!(heap.heap().remove_region(start.wrapping_add(16)).is_err());
        assert!(heap.heap().remove_region(std::ptr::null()).is_err());
        before.assert_unchanged(&heap);
        heap.finish();
    }

    /// A safe region: the borrow keeps the memory for the heap, and gives it back afterwards.
    #[test]
    fn a_borrowed_region_is_given_back() {
        let mut bytes = vec![std::mem::MaybeUninit::new(0xEE_u8); 10_000];
        for offset in 0..40 {
            let mut heap = Heap::new(&mut bytes[offset..]).unwrap();
            let pointer = heap.allocate(layout(1000, 64)).unwrap();
            assert_eq!(pointer.as_ptr().addr() % 64, 0);
            heap.check().unwrap();
        }
        bytes.fill(std::mem::MaybeUninit::new(1));
    }
}
