//! Wrong pointers and overwritten metadata: each is reported, with the place, and nothing is followed or changed.

mod shadow;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use allotment_core::{BlockInfo, Fault, FaultKind, GRANULE, Heap, Options, Stats};

use shadow::faults::{self, Report};
use shadow::heap::{Entry, ShadowedHeap};
use shadow::memory::{Dirt, Memory};
use shadow::oracle::ShadowAllocator;

const WORD: usize = size_of::<usize>();
const LEN: usize = 64 << 10;
const ENTRIES: [Entry; 6] = [
    Entry::Free,
    Entry::Deallocate,
    Entry::Resize,
    Entry::Reallocate,
    Entry::ResizeInPlace,
    Entry::UsableSize,
];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

/// A heap over memory that a test may damage.
struct Victim {
    heap: Heap<'static>,
    memory: Memory,
    /// Bytes from the region's start to its first block.
    header: usize,
}

impl Victim {
    fn new(len: usize) -> Self {
        Self::over(Memory::new(0, len, len, Dirt::Zero))
    }

    fn over(memory: Memory) -> Self {
        faults::take();
        let options = Options {
            on_fault: faults::record,
            ..Options::default()
        };
        // SAFETY: the memory is owned beside the heap, and the tests write to it only what a
        // program with a stray pointer could.
        let heap = unsafe { Heap::from_raw(memory.start(), memory.len(), options) }.unwrap();
        let first = heap.blocks().next().expect("a heap has a block").address;
        let header = first - WORD - memory.start().addr();
        Self {
            heap,
            memory,
            header,
        }
    }

    fn allocate(&mut self, size: usize) -> NonNull<u8> {
        self.heap.allocate(layout(size)).expect("room for a block")
    }

    fn free(&mut self, pointer: NonNull<u8>) {
        // SAFETY: the tests pass what they allocated, or what the heap must refuse.
        unsafe { self.heap.free(pointer) }
    }

    fn usable(&self, pointer: NonNull<u8>) -> usize {
        self.heap.usable_size(pointer).expect("a live block")
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is owned by `self`, was written from end to end when it was made, and
        // nothing writes to it while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.memory.start(), self.memory.len()) }
    }

    fn restore(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.memory.len());
        // SAFETY: the bytes are those of this memory at an earlier time.
        unsafe {
            self.memory
                .start()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Frees `address` and expects the heap to refuse it.
    #[track_caller]
    fn refused(&mut self, address: usize) -> Report {
        let before = (self.heap.stats(), self.bytes_without_header().to_vec());
        // SAFETY: none; the pointer is wrong on purpose.
        unsafe { self.heap.free(pointer(address)) };
        let mut reports = faults::take();
        assert_eq!(
            reports.len(),
            1,
            "free({address:#x}) was not refused: {reports:?}"
        );
        let after = (self.heap.stats(), self.bytes_without_header());
        assert_eq!(without_requests(after.0), without_requests(before.0));
        assert_eq!(after.1, before.1, "a refused free wrote to the region");
        if let Err(damage) = self.heap.check() {
            panic!("after the refused free of {address:#x}: {damage}");
        }
        reports.remove(0)
    }

    /// What the used blocks of a list contain.
    fn contents(&self, blocks: &[BlockInfo]) -> Vec<Vec<u8>> {
        let bytes = self.bytes_without_header();
        let first = self.memory.start().addr() + self.header;
        let used = blocks.iter().filter(|block| block.used);
        used.map(|block| block.address - first)
            .zip(blocks.iter().filter(|block| block.used))
            .map(|(at, block)| bytes[at..at + block.size - WORD].to_vec())
            .collect()
    }

    /// The bytes of all blocks; the counters in the header may change.
    fn bytes_without_header(&self) -> &[u8] {
        &self.bytes()[self.header..]
    }
}

fn without_requests(stats: Stats) -> Stats {
    let mut stats = stats;
    stats.failures = 0;
    stats.reallocations = 0;
    stats
}

fn pointer(address: usize) -> NonNull<u8> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap()
}

fn fill(pointer: NonNull<u8>, len: usize, word: impl Fn(usize) -> usize) {
    for index in 0..len / WORD {
        // SAFETY: the callers pass live blocks of this length.
        unsafe {
            pointer
                .cast::<usize>()
                .add(index)
                .write_unaligned(word(index))
        };
    }
}

#[test]
fn outside_the_region() {
    let mut victim = Victim::new(LEN);
    victim.allocate(100);
    let on_the_stack = 0_u128;
    let elsewhere = Box::new([0_u128; 4]);
    let start = victim.memory.start().addr();
    for address in [
        (&raw const on_the_stack).addr() & !15,
        (&raw const *elsewhere).addr() & !15,
        start - 16,
        start - 4096,
        start + LEN,
        start + LEN + 16,
        start.wrapping_add(1 << 30),
        16,
        4096,
        usize::MAX & !15,
        isize::MAX as usize & !15,
        isize::MIN as usize,
        start ^ isize::MIN as usize,
    ] {
        let report = victim.refused(address);
        assert_eq!(
            report.kind,
            FaultKind::OutsideRegion,
            "{address:#x}: {report:?}"
        );
        assert_eq!(report.address, address);
        assert!(report.line.contains(&format!("{address:#x}")), "{report:?}");
        assert!(!report.line.contains('\n'));
    }
    // Not a word of the header is a block either, nor is the very end.
    for address in (start..start + 2048).chain(start + LEN - 64..start + LEN) {
        let live = victim
            .heap
            .blocks()
            .any(|block| block.used && address == block.address);
        if !live {
            victim.refused(address);
        }
    }
}

#[test]
fn misaligned() {
    let mut victim = Victim::new(LEN);
    for content in [0, usize::MAX, 0x4141_4141] {
        let block = victim.allocate(200);
        fill(block, 200, |_| content);
        for distance in (1..GRANULE).chain(GRANULE + 1..2 * GRANULE) {
            let address = block.as_ptr().addr() + distance;
            let report = victim.refused(address);
            assert_eq!(report.kind, FaultKind::Misaligned, "{report:?}");
            assert_eq!(report.address, address);
        }
    }
}

/// Every aligned place in a block, whatever the user has written there.
#[test]
fn inside_a_block() {
    /// From the block's address and the word's number.
    type Content = fn(usize, usize) -> usize;
    let contents: [(&str, Content); 9] = [
        ("zeros", |_, _| 0),
        ("ones", |_, _| usize::MAX),
        ("text", |_, _| usize::MAX / 0xFF * 0x41),
        ("its own addresses", |base, index| base + index * WORD),
        ("the block's address", |base, _| base),
        ("sizes", |_, index| index * GRANULE + GRANULE),
        ("sizes with a flag", |_, index| {
            index * GRANULE + GRANULE + 1
        }),
        ("one size", |_, _| 4 * WORD),
        ("small numbers", |_, index| index % 7),
    ];
    for (name, word) in contents {
        let mut victim = Victim::new(LEN);
        let below = victim.allocate(64);
        let block = victim.allocate(4000);
        let base = block.as_ptr().addr();
        fill(block, victim.usable(block), |index| word(base, index));
        for address in (base + GRANULE..base + victim.usable(block)).step_by(GRANULE) {
            let report = victim.refused(address);
            assert_eq!(report.kind, FaultKind::NotABlock, "{name}: {report:?}");
            assert_eq!(report.address, address);
        }
        victim.free(block);
        victim.free(below);
        faults::assert_none("the right frees");
    }
    // Negative numbers may pass for the header of a free block, but never for a live one.
    for distance in 1..100 {
        let mut victim = Victim::new(LEN);
        let block = victim.allocate(4000);
        fill(block, 4000, |_| (distance * WORD).wrapping_neg());
        for offset in (GRANULE..4000).step_by(GRANULE * 7) {
            victim.refused(block.as_ptr().addr() + offset);
        }
    }
}

/// Headers that earlier blocks left behind in memory that is now the inside of another block.
#[test]
fn inside_a_block_over_headers_of_earlier_blocks() {
    for (earlier, order) in [(24, 1), (24, 7), (100, 1), (100, 3), (1000, 3)] {
        let mut victim = Victim::new(LEN);
        let mut blocks = Vec::new();
        while let Some(block) = victim.heap.allocate(layout(earlier)) {
            blocks.push(block);
        }
        for first in 0..order {
            for block in blocks.iter().skip(first).step_by(order) {
                victim.free(*block);
            }
        }
        let large = victim.heap.stats().largest_free;
        let large = victim.allocate(large);
        assert!(large <= blocks[0]);
        for block in &blocks[1..] {
            let report = victim.refused(block.as_ptr().addr());
            assert!(
                matches!(report.kind, FaultKind::NotABlock | FaultKind::AlreadyFree),
                "{report:?}"
            );
        }
    }
}

/// The same for headers that growing, moving down and shrinking leave behind.
#[test]
fn inside_a_block_after_reallocations() {
    let sizes = [40, 100, 500, 24, 1500];
    for (small, large) in [(24, 3000), (100, 1000), (40, 2000)] {
        for freed in 0..8_u32 {
            let mut victim = Victim::new(LEN);
            let blocks: Vec<_> = (0..16).map(|i| victim.allocate(sizes[i % 5])).collect();
            let middle = victim.allocate(small);
            let more: Vec<_> = (0..16).map(|i| victim.allocate(sizes[i % 5])).collect();
            let mut seen: Vec<usize> = blocks
                .iter()
                .chain(&more)
                .map(|b| b.as_ptr().addr())
                .collect();
            seen.push(middle.as_ptr().addr());
            // The neighbours on either side are freed in different orders.
            for (index, block) in blocks.iter().rev().enumerate() {
                if freed & 1 == 1 || index < 8 {
                    victim.free(*block);
                }
            }
            for (index, block) in more.iter().enumerate() {
                if freed & 2 == 2 || index < 8 {
                    victim.free(*block);
                }
            }
            let mut current = middle;
            for size in [large, small, large / 2, large * 2, small, large] {
                // SAFETY: the block is live.
                let moved = unsafe {
                    if freed & 4 == 4 {
                        victim.heap.resize(current, size)
                    } else {
                        let old = layout(victim.usable(current));
                        victim.heap.reallocate(current, old, size)
                    }
                };
                current = moved.expect("there is room");
                seen.push(current.as_ptr().addr());
                let live: Vec<usize> = victim
                    .heap
                    .blocks()
                    .filter(|block| block.used)
                    .map(|block| block.address)
                    .collect();
                for address in &seen {
                    if !live.contains(address) {
                        victim.refused(*address);
                    }
                }
            }
        }
    }
}

/// A heap made over the remains of another one does not take the old blocks for its own.
#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "a 32-bit header has too few bits to tell all of these apart"
)]
fn inside_a_block_over_an_earlier_heap() {
    for offset in [0, 16, 64, 4096] {
        let memory = Memory::new(0, LEN, LEN, Dirt::Zero);
        let mut earlier = Victim::over(memory);
        let mut old = Vec::new();
        while let Some(block) = earlier.heap.allocate(layout(100)) {
            old.push(block.as_ptr().addr());
        }
        // The earlier heap ends here; its blocks' headers stay behind.
        let Victim { memory, .. } = earlier;
        let options = Options {
            on_fault: faults::record,
            ..Options::default()
        };
        // SAFETY: the earlier heap is gone, and the memory lives to the end of the loop's body.
        let mut heap =
            unsafe { Heap::from_raw(memory.start().add(offset), LEN - offset, options) }.unwrap();
        let whole = heap.stats().largest_free;
        let whole = heap.allocate(layout(whole)).unwrap();
        for address in old {
            if address != whole.as_ptr().addr() {
                // SAFETY: none; no block of this heap starts there.
                unsafe { heap.free(pointer(address)) };
                let reports = faults::take();
                assert_eq!(
                    reports.len(),
                    1,
                    "{address:#x} of the earlier heap was freed"
                );
            }
        }
        heap.check().unwrap();
    }
}

/// A block that itself holds a heap: the outer heap does not take the inner one's blocks.
#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "a 32-bit header has too few bits to tell all of these apart"
)]
fn inside_a_block_that_holds_a_heap() {
    let mut outer = Victim::new(LEN);
    let block = outer.allocate(8192);
    let options = Options {
        on_fault: faults::record,
        ..Options::default()
    };
    // SAFETY: the block is live to the end of the test, and only the inner heap uses it.
    let mut inner = unsafe { Heap::from_raw(block.as_ptr(), 8192, options) }.unwrap();
    let mine: Vec<_> = (0..20)
        .map(|i| inner.allocate(layout(i * 10)).unwrap())
        .collect();
    for pointer in &mine {
        outer.refused(pointer.as_ptr().addr());
    }
    for pointer in mine {
        // SAFETY: the block is live in the inner heap.
        unsafe { inner.free(pointer) };
    }
    faults::assert_none("the right frees");
    inner.check().unwrap();
}

#[test]
fn twice() {
    let mut victim = Victim::new(LEN);
    let blocks: Vec<_> = (0..5).map(|_| victim.allocate(100)).collect();
    victim.free(blocks[2]);
    let report = victim.refused(blocks[2].as_ptr().addr());
    assert_eq!(report.kind, FaultKind::AlreadyFree, "{report:?}");
    assert!(report.line.contains("double free"), "{report:?}");
    // Joined with the one before, then with the one after.
    victim.free(blocks[1]);
    for index in [1, 2] {
        let report = victim.refused(blocks[index].as_ptr().addr());
        assert_eq!(
            report.kind,
            FaultKind::AlreadyFree,
            "block {index}: {report:?}"
        );
    }
    victim.free(blocks[3]);
    for index in [1, 2, 3] {
        let report = victim.refused(blocks[index].as_ptr().addr());
        assert_eq!(
            report.kind,
            FaultKind::AlreadyFree,
            "block {index}: {report:?}"
        );
    }
}

#[test]
fn twice_with_a_thousand_operations_between() {
    for size in [8, 16, 100, 5000] {
        let mut heap =
            ShadowedHeap::new(Memory::new(0, 1 << 20, 1 << 20, Dirt::Noise(3)), false).unwrap();
        let mut first = None;
        for _ in 0..10 {
            let block = heap.allocate(layout(size), false).unwrap();
            first.get_or_insert(block);
        }
        let first = first.unwrap().as_ptr().addr();
        heap.free(0, false);
        for round in 0..1024_usize {
            if round % 3 == 2 {
                heap.free(round * 7 % heap.live().len(), round % 2 == 0);
            } else if heap.allocate(layout(round * 31 % 900), false).is_none() {
                heap.free(0, true);
            }
        }
        // `misuse` does nothing where a block starts now; else it expects the report.
        for entry in ENTRIES {
            heap.misuse(first, entry);
        }
        heap.check();
        heap.finish();
    }
}

#[test]
fn every_call_with_every_wrong_pointer() {
    let mut heap = ShadowedHeap::new(Memory::new(0, LEN, LEN, Dirt::Addresses), false).unwrap();
    for size in [100, 200, 300, 400, 500] {
        heap.allocate(layout(size), false).unwrap();
    }
    let block = heap.live()[2].address();
    let freed = heap.live()[3].address();
    let start = heap.memory().start().addr();
    heap.free(3, true);
    for entry in ENTRIES {
        for address in [
            block + 1,
            block + 8,
            block + 16,
            freed,
            freed + 16,
            start,
            start - 16,
            start + LEN,
            1,
            16,
            usize::MAX,
        ] {
            heap.misuse(address, entry);
        }
    }
    heap.finish();
}

#[test]
fn a_layout_of_the_wrong_size() {
    let mut victim = Victim::new(LEN);
    let block = victim.allocate(100);
    let usable = victim.usable(block);
    for size in [usable + 1, 200, 1000, 1 << 20, isize::MAX as usize] {
        let before = victim.heap.stats();
        // SAFETY: none; the size is wrong on purpose.
        unsafe { victim.heap.deallocate(block, layout(size)) };
        let reports = faults::take();
        assert_eq!(reports.len(), 1, "{size}");
        assert_eq!(reports[0].kind, FaultKind::SizeMismatch);
        assert_eq!(reports[0].address, block.as_ptr().addr());
        assert!(reports[0].line.contains(&size.to_string()), "{reports:?}");
        assert_eq!(
            without_requests(victim.heap.stats()),
            without_requests(before)
        );
    }
    // SAFETY: this is the right layout.
    unsafe { victim.heap.deallocate(block, layout(100)) };
    faults::assert_none("the right free");
}

/// What an overflow may leave behind in a metadata word.
fn evil_words(victim: &Victim, own: usize, old: usize) -> Vec<usize> {
    let start = victim.memory.start().addr();
    let mut words = vec![
        0,
        1,
        2,
        8,
        usize::MAX,
        usize::MAX - 1,
        isize::MAX as usize,
        isize::MIN as usize,
        usize::MAX / 0xFF * 0x41,
        start,
        start + LEN,
        own,
        old ^ 1,
        old ^ 2,
        old ^ 8,
        old ^ (1 << 20),
        !old,
        old.wrapping_neg(),
        old.wrapping_add(GRANULE),
        old.wrapping_sub(GRANULE),
    ];
    words.extend((1..40).map(|number| number * GRANULE));
    words.extend((1..40).map(|number| (number * GRANULE).wrapping_neg()));
    words.extend((1..200).step_by(13));
    for block in victim.heap.blocks() {
        words.extend([block.address, block.address - start, block.size]);
    }
    words
}

/// Every word of metadata around a few blocks is overwritten with many values, one at a time. Then
/// each operation either is refused and changes nothing, or had no need of that word; the check
/// names the place; and once the word is restored a heap that refused is whole.
#[test]
fn overwritten_metadata_is_never_followed() {
    let build = || {
        let mut victim = Victim::new(8 << 10);
        let blocks: Vec<_> = (0..12)
            .map(|i| victim.allocate(100 + i % 3 * 200))
            .collect();
        for block in &blocks {
            fill(*block, victim.usable(*block), |_| usize::MAX / 0xFF * 0x2E);
        }
        // Two free blocks in one list, one in another, and the rest behind.
        for index in [2, 5, 7] {
            victim.free(blocks[index]);
        }
        (victim, blocks)
    };
    let operations = operations();
    let (model, _) = build();
    let places: Vec<usize> = {
        let start = model.memory.start().addr();
        let mut places = Vec::new();
        for block in model.heap.blocks() {
            let at = block.address - start;
            places.push(at - WORD);
            if !block.used {
                places.extend([at, at + WORD, at + block.size - 2 * WORD]);
            }
        }
        places
    };
    let mut wrong = BTreeMap::new();
    for place in places {
        let (victim, _) = build();
        let own = victim.memory.start().addr() + place;
        // SAFETY: the place is a word inside the region.
        let old = unsafe { std::ptr::with_exposed_provenance::<usize>(own).read() };
        let words = evil_words(&victim, own, old);
        for word in words {
            if word == old {
                continue;
            }
            for (name, operation) in operations {
                let (mut victim, blocks) = build();
                let run = catch_unwind(AssertUnwindSafe(|| {
                    one_word(&mut victim, &blocks, place, word, operation)
                }));
                if let Err(what) = run.unwrap_or_else(|_| Err("panicked".to_owned())) {
                    // One example of each kind says enough.
                    let example = format!("word at {place:#x}: {old:#x} became {word:#x}");
                    wrong.entry((name, what)).or_insert((example, 0)).1 += 1;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Overwrites a word of metadata, does one operation, and says what of the promise is broken.
fn one_word(
    victim: &mut Victim,
    blocks: &[NonNull<u8>],
    place: usize,
    word: usize,
    operation: Operation,
) -> Result<(), String> {
    let own = victim.memory.start().addr() + place;
    let word_at = std::ptr::with_exposed_provenance_mut::<usize>(own);
    let chain: Vec<BlockInfo> = victim.heap.blocks().collect();
    // SAFETY: the place is a word inside the region.
    let old = unsafe { word_at.replace(word) };
    let (stats, contents) = (victim.heap.stats(), victim.contents(&chain));
    let damage = victim.heap.check();
    faults::take();
    let served = operation(&mut victim.heap, blocks);
    let reports = faults::take();
    let ensure = |holds: bool, what: &str| {
        let kinds: Vec<_> = reports.iter().map(|report| report.kind).collect();
        if holds {
            Ok(())
        } else {
            Err(format!("{what}, reported {kinds:?}"))
        }
    };
    if reports.is_empty() {
        return Ok(());
    }
    // A word that the check takes for right is one that the heap may rely on.
    ensure(damage.is_err(), "the check found nothing")?;
    ensure(reports.len() == 1 && !served, "served all the same")?;
    let start = victim.memory.start().addr();
    let region = start..start + victim.memory.len();
    ensure(region.contains(&reports[0].address), "a place outside")?;
    let now = without_requests(victim.heap.stats());
    ensure(now == without_requests(stats), "the figures changed")?;
    // SAFETY: as above.
    unsafe { word_at.write(old) };
    ensure(victim.contents(&chain) == contents, "contents changed")?;
    if let Err(damage) = victim.heap.check() {
        return Err(format!(
            "{:?} after the word was restored",
            damage.invariant
        ));
    }
    ensure(victim.heap.blocks().eq(chain), "blocks changed")
}

type Operation = fn(&mut Heap<'static>, &[NonNull<u8>]) -> bool;

fn operations() -> [(&'static str, Operation); 11] {
    /// Frees a block and says whether it was taken back.
    fn free(heap: &mut Heap<'static>, pointer: NonNull<u8>) -> bool {
        let before = heap.stats().deallocations;
        // SAFETY: the block is live; its surroundings are damaged on purpose.
        unsafe { heap.free(pointer) };
        heap.stats().deallocations > before
    }
    fn resize(heap: &mut Heap<'static>, pointer: NonNull<u8>, size: usize) -> bool {
        // SAFETY: as in `free`.
        unsafe { heap.resize(pointer, size) }.is_some()
    }
    [
        ("nothing", |_, _| false),
        ("free 1", |heap, blocks| free(heap, blocks[1])),
        ("free 3", |heap, blocks| free(heap, blocks[3])),
        ("free 6", |heap, blocks| free(heap, blocks[6])),
        ("free 11", |heap, blocks| free(heap, blocks[11])),
        ("allocate 100", |heap, _| {
            heap.allocate(layout(100)).is_some()
        }),
        ("allocate 500", |heap, _| {
            heap.allocate(layout(500)).is_some()
        }),
        ("allocate 512 aligned", |heap, _| {
            heap.allocate(Layout::from_size_align(512, 256).unwrap())
                .is_some()
        }),
        ("grow 1", |heap, blocks| resize(heap, blocks[1], 700)),
        ("grow 6", |heap, blocks| resize(heap, blocks[6], 700)),
        ("shrink 4", |heap, blocks| resize(heap, blocks[4], 10)),
    ]
}

/// As long as a damage is not reported, nobody's content is touched and no byte is handed out twice,
/// whatever is done next.
#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "a 32-bit header has too few bits to tell all of these apart"
)]
fn unreported_damage_does_no_harm() {
    const LEN: usize = 6 << 10;
    let build = || {
        let mut victim = Victim::new(LEN);
        let mut shadow = ShadowAllocator::default();
        shadow.add_region(victim.memory.start(), LEN);
        let blocks: Vec<_> = (0..10).map(|i| victim.allocate(60 + i % 3 * 100)).collect();
        for (index, block) in blocks.into_iter().enumerate() {
            if index % 3 == 2 {
                victim.free(block);
            }
        }
        let used: Vec<_> = victim.heap.blocks().filter(|block| block.used).collect();
        for block in used {
            let usable = block.size - WORD;
            shadow.insert(pointer(block.address), layout(usable), usable);
        }
        (victim, shadow)
    };
    let (model, _) = build();
    let start = model.memory.start().addr();
    let mut places = Vec::new();
    for block in model.heap.blocks() {
        let at = block.address - start;
        places.push(at - WORD);
        if !block.used {
            places.extend([at, at + WORD, at + block.size - 2 * WORD]);
        }
    }
    let mut wrong = BTreeMap::new();
    for place in places {
        let (victim, _) = build();
        let own = victim.memory.start().addr() + place;
        // SAFETY: the place is a word inside the region.
        let old = unsafe { std::ptr::with_exposed_provenance::<usize>(own).read() };
        for word in evil_words(&victim, own, old) {
            for script in 0..6 {
                let (mut victim, mut shadow) = build();
                let own = victim.memory.start().addr() + place;
                // SAFETY: as above.
                unsafe { std::ptr::with_exposed_provenance_mut::<usize>(own).write(word) };
                let run = catch_unwind(AssertUnwindSafe(|| {
                    go_on(&mut victim.heap, &mut shadow, script);
                }));
                if let Err(payload) = run {
                    let what = payload.downcast_ref::<String>().map_or("", |what| what);
                    let what: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
                    let example = format!("word at {place:#x}: {old:#x} became {word:#x}");
                    wrong.entry((script, what)).or_insert((example, 0)).1 += 1;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Frees, allocates and resizes until a fault is reported; the shadow asserts that nothing overlaps.
fn go_on(heap: &mut Heap<'static>, shadow: &mut ShadowAllocator, script: usize) {
    faults::take();
    for step in 0..12 {
        let index = (script + step * 3) % shadow.live().len().max(1);
        let size = [24, 300, 60, 1500][(script + step) % 4];
        match (script * 5 + step) % 3 {
            0 if !shadow.live().is_empty() => {
                let live = shadow.remove(index);
                // SAFETY: the block is live; its surroundings may be damaged.
                unsafe { heap.free(live.pointer) };
            }
            1 if !shadow.live().is_empty() => {
                let live = shadow.live()[index];
                // SAFETY: as above.
                if let Some(moved) = unsafe { heap.resize(live.pointer, size) } {
                    if faults::take().is_empty() {
                        shadow.forget(index);
                        shadow.insert(moved, layout(size), size);
                    } else {
                        break;
                    }
                }
            }
            _ => {
                if let Some(pointer) = heap.allocate(layout(size)) {
                    shadow.insert(pointer, layout(size), size);
                }
            }
        }
        if !faults::take().is_empty() {
            break;
        }
    }
    shadow.check_contents();
}

/// A program that runs over the end of its block by some words, with each of many contents.
#[test]
fn an_overflow_is_found_by_the_check_and_by_the_free() {
    for content in [
        0,
        usize::MAX,
        32,
        64,
        0x4141_4141,
        1 << (usize::BITS - 24),
        (64_usize).wrapping_neg(),
    ] {
        for words in [1, 2, 3, 4, 8] {
            for free_neighbour in [false, true] {
                let mut victim = Victim::new(LEN);
                let block = victim.allocate(100);
                let neighbour = victim.allocate(500);
                let behind = victim.allocate(100);
                if free_neighbour {
                    victim.free(neighbour);
                }
                let usable = victim.usable(block);
                fill(block, usable + words * WORD, |_| content);
                let context =
                    format!("{words} words of {content:#x}, neighbour free: {free_neighbour}");
                let damage = victim.heap.check().expect_err(&context);
                let address = neighbour.as_ptr().addr();
                assert!(
                    (address - WORD..=address + 500).contains(&damage.address),
                    "{context}: {damage}, but the neighbour is at {address:#x}"
                );
                assert!(
                    damage
                        .to_string()
                        .contains(&format!("{:#x}", damage.address)),
                    "{damage}"
                );
                let before = victim.bytes().to_vec();
                let damaged = if free_neighbour { block } else { neighbour };
                victim.free(damaged);
                let reports = faults::take();
                if reports.is_empty() {
                    // The block beside the damage could be freed without relying on it. It stays
                    // damaged, and is refused when it is wanted.
                    assert!(free_neighbour, "{context}: not found");
                    victim.heap.check().expect_err(&context);
                    assert!(
                        victim
                            .heap
                            .allocate(layout(500))
                            .is_none_or(|other| other > behind)
                    );
                    continue;
                }
                assert_eq!(reports.len(), 1, "{context}: {reports:?}");
                let expected = [
                    FaultKind::Corrupt,
                    FaultKind::NotABlock,
                    FaultKind::AlreadyFree,
                ];
                assert!(
                    expected.contains(&reports[0].kind),
                    "{context}: {reports:?}"
                );
                // Allocation goes on where it does not need the damaged block, and never hands it out.
                for size in [10, 100, 480, 500, 2000, 30_000] {
                    if let Some(other) = victim.heap.allocate(layout(size)) {
                        let usable = victim.usable(other);
                        let range = other.as_ptr().addr()..other.as_ptr().addr() + usable;
                        for live in [block, behind] {
                            assert!(!range.contains(&live.as_ptr().addr()), "{context}");
                        }
                    }
                }
                faults::take();
                victim.restore(&before);
            }
        }
    }
}

#[test]
fn the_default_handler_panics_with_address_and_reason() {
    let mut bytes = vec![MaybeUninit::<u8>::uninit(); 4096];
    let mut heap = Heap::new(&mut bytes).unwrap();
    let block = heap.allocate(layout(100)).unwrap();
    let address = block.as_ptr().addr();
    // SAFETY: the block is live.
    unsafe { heap.free(block) };
    // SAFETY: none; the second free must panic.
    let payload = catch_unwind(AssertUnwindSafe(|| unsafe { heap.free(block) })).unwrap_err();
    let message = payload
        .downcast_ref::<String>()
        .expect("a formatted message");
    assert!(message.contains(&format!("{address:#x}")), "{message}");
    assert!(message.contains("double free"), "{message}");
    heap.check().expect("the panic came before any change");
}

#[test]
#[should_panic(expected = "not in any region")]
fn the_default_handler_panics_on_a_foreign_pointer() {
    let mut bytes = vec![MaybeUninit::<u8>::uninit(); 4096];
    let mut heap = Heap::new(&mut bytes).unwrap();
    // SAFETY: none; the pointer is foreign on purpose.
    unsafe { heap.free(pointer(64)) };
}

#[test]
fn faults_are_one_line() {
    fn assert_display(fault: &Fault) {
        let line = fault.to_string();
        assert!(!line.contains('\n') && line.len() < 120, "{line}");
        faults::record(fault);
    }
    let memory = Memory::new(0, LEN, LEN, Dirt::Zero);
    let options = Options {
        on_fault: assert_display,
        ..Options::default()
    };
    // SAFETY: the memory outlives the heap, and only the heap touches it.
    let mut heap = unsafe { Heap::from_raw(memory.start(), LEN, options) }.unwrap();
    let block = heap.allocate(layout(10)).unwrap();
    let address = block.as_ptr().addr();
    faults::take();
    for wrong in [address + 1, address + 16, address + LEN, 16] {
        // SAFETY: none; the pointers are wrong on purpose.
        unsafe { heap.free(pointer(wrong)) };
    }
    assert_eq!(faults::take().len(), 4);
}
