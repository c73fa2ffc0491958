//! Wrong pointers to objects of slabs, and writes beyond them: each is reported once, with the
//! place, and changes nothing.
#![cfg(feature = "spin")]

mod shadow;

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::thread;

use allotment_core::lock_api::{GuardSend, RawMutex};
use allotment_core::{Fault, FaultKind, LocalHeap, Options, Pool};

use shadow::faults::{self, Report};
use shadow::memory::{Dirt, Memory};

const MIB: usize = 1 << 20;
/// What a slab's addresses are multiples of.
const STEP: usize = 16;

/// The ways in which a pointer comes back.
const ENTRIES: [Entry; 11] = [
    Entry::FreeIn,
    Entry::DeallocateIn,
    Entry::ResizeIn,
    Entry::ReallocateIn,
    Entry::FreeByAnother,
    Entry::Free,
    Entry::Deallocate,
    Entry::Resize,
    Entry::Reallocate,
    Entry::ResizeInPlace,
    Entry::UsableSize,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    FreeIn,
    DeallocateIn,
    ResizeIn,
    ReallocateIn,
    /// By one who is bound to another local heap.
    FreeByAnother,
    /// The rest is without a local heap.
    Free,
    Deallocate,
    Resize,
    Reallocate,
    ResizeInPlace,
    UsableSize,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

fn pointer(address: usize) -> NonNull<u8> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap()
}

/// A pool with two local heaps, over memory that a test may damage.
struct Victim {
    pool: Pool<'static>,
    own: NonNull<LocalHeap>,
    another: NonNull<LocalHeap>,
    memory: Memory,
}

impl Victim {
    /// Its slabs are of one granule, for objects of up to 640 bytes.
    fn small() -> Victim {
        Victim::new(MIB, 0, faults::record)
    }

    /// Its slabs serve all classes.
    fn large() -> Victim {
        Victim::new(16 * MIB, 1 << 30, faults::record)
    }

    fn new(len: usize, capacity: usize, on_fault: fn(&Fault)) -> Victim {
        faults::take();
        let memory = Memory::new(0, len, len, Dirt::Ones);
        let options = Options {
            on_fault,
            capacity,
            ..Options::default()
        };
        // SAFETY: the memory is owned beside the pool, and the tests write to it only what a
        // program with a stray pointer could.
        let pool = unsafe { Pool::create_in_raw(memory.start(), memory.len(), options) }.unwrap();
        let own = pool.attach().expect("room for a local heap");
        let another = pool.attach().expect("room for a local heap");
        Victim {
            pool,
            own,
            another,
            memory,
        }
    }

    fn own(&self) -> &LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        unsafe { self.own.as_ref() }
    }

    fn another(&self) -> &LocalHeap {
        // SAFETY: as above.
        unsafe { self.another.as_ref() }
    }

    fn allocate(&self, size: usize) -> NonNull<u8> {
        self.allocate_as(layout(size))
    }

    fn allocate_as(&self, layout: Layout) -> NonNull<u8> {
        // SAFETY: this thread is bound to the local heap.
        unsafe { self.pool.allocate_in(self.own(), layout) }.expect("room for an object")
    }

    fn allocate_many(&self, size: usize, count: usize) -> Vec<NonNull<u8>> {
        (0..count).map(|_| self.allocate(size)).collect()
    }

    fn free(&self, object: NonNull<u8>) {
        // SAFETY: the tests pass what they allocated, or what the pool must refuse.
        unsafe { self.pool.free_in(self.own(), object) }
    }

    fn free_by_another(&self, object: NonNull<u8>) {
        // SAFETY: as above.
        unsafe { self.pool.free_in(self.another(), object) }
    }

    fn trim(&self) {
        // SAFETY: this thread is bound to both.
        unsafe {
            self.pool.trim(self.own());
            self.pool.trim(self.another());
        }
    }

    fn call(&self, entry: Entry, p: NonNull<u8>, layout: Layout) {
        let (pool, size) = (&self.pool, layout.size());
        // SAFETY: the tests pass what the pool must refuse.
        unsafe {
            match entry {
                Entry::FreeIn => pool.free_in(self.own(), p),
                Entry::DeallocateIn => pool.deallocate_in(self.own(), p, layout),
                Entry::ResizeIn => assert_eq!(pool.resize_in(self.own(), p, size + 100), None),
                Entry::ReallocateIn => {
                    assert_eq!(pool.reallocate_in(self.own(), p, layout, size + 100), None);
                }
                Entry::FreeByAnother => pool.free_in(self.another(), p),
                Entry::Free => pool.free(p),
                Entry::Deallocate => pool.deallocate(p, layout),
                Entry::Resize => assert_eq!(pool.resize(p, size + 100), None),
                Entry::Reallocate => assert_eq!(pool.reallocate(p, layout, size + 100), None),
                Entry::ResizeInPlace => assert!(!pool.resize_in_place(p, size)),
                Entry::UsableSize => assert_eq!(pool.usable_size(p), None),
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is owned by `self`, was written from end to end when it was made, and
        // nothing writes to it while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.memory.start(), self.memory.len()) }
    }

    /// Expects an address to be refused at once, with one report and not a byte changed.
    #[track_caller]
    fn refused(&self, entry: Entry, address: usize, layout: Layout) -> Report {
        // Copies of a large region take long, and the small ones have all kinds of metadata.
        let watched = self.memory.len() <= MIB
            && matches!(
                entry,
                Entry::FreeIn | Entry::DeallocateIn | Entry::FreeByAnother | Entry::Free
            );
        let before = watched.then(|| self.bytes().to_vec());
        let stats = self.pool.stats();
        self.call(entry, pointer(address), layout);
        let mut reports = faults::take();
        assert_eq!(reports.len(), 1, "{entry:?} of {address:#x}: {reports:?}");
        let report = reports.remove(0);
        assert_eq!(report.address, address, "{entry:?}: {report:?}");
        assert!(report.line.contains(&format!("{address:#x}")), "{report:?}");
        assert!(!report.line.contains('\n'), "{report:?}");
        if let Some(before) = before {
            assert!(
                before == self.bytes(),
                "the refused {entry:?} of {address:#x} wrote to the region"
            );
        }
        assert_eq!(self.pool.stats().used_bytes, stats.used_bytes);
        report
    }

    /// As [`Victim::refused`], by all ways in, and all report the same kind.
    #[track_caller]
    fn refused_by_all(&self, address: usize, layout: Layout, kind: FaultKind) {
        for entry in ENTRIES {
            let report = self.refused(entry, address, layout);
            assert_eq!(report.kind, kind, "{entry:?} of {address:#x}");
        }
    }

    /// Allocates and frees objects of a size, enough to come across all that are free, and expects
    /// each to be handed out once, and none that is `live`.
    #[track_caller]
    fn hands_out_each_once(&self, size: usize, live: &[NonNull<u8>]) {
        self.pool.check().unwrap();
        let mut taken: BTreeSet<usize> = live.iter().map(|p| p.addr().get()).collect();
        assert_eq!(taken.len(), live.len(), "handed out twice before");
        let objects = self.allocate_many(size, (self.memory.len() / 4 / size.max(16)).min(1500));
        for p in &objects {
            // SAFETY: the object has this size.
            unsafe { p.write_bytes(0x5A, size) };
            assert!(taken.insert(p.addr().get()), "{p:?} was handed out twice");
        }
        let places: Vec<usize> = taken.into_iter().collect();
        assert!(places.windows(2).all(|two| two[1] - two[0] >= size));
        for p in objects {
            self.free(p);
        }
        faults::assert_none("allocations and frees");
        self.pool.check().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.memory.check_margins();
    }
}

const SMALL_SIZES: [usize; 6] = [1, 16, 48, 64, 100, 640];
const LARGE_SIZES: [usize; 6] = [16, 128, 1000, 4096, 20_000, 64 << 10];

fn victims() -> impl Iterator<Item = (Victim, usize)> {
    let small = SMALL_SIZES.iter().map(|&size| (Victim::small(), size));
    let large = LARGE_SIZES
        .iter()
        .filter(|&&size| cfg!(target_pointer_width = "64") || size <= 8 << 10)
        .map(|&size| (Victim::large(), size));
    small.chain(large)
}

#[test]
fn double_free_at_once() {
    for (victim, size) in victims() {
        let kept = victim.allocate_many(size, 3);
        let p = victim.allocate(size);
        victim.free(p);
        victim.refused_by_all(p.addr().get(), layout(size), FaultKind::AlreadyFree);
        victim.hands_out_each_once(size, &kept);
    }
}

#[test]
fn double_free_after_others() {
    for (victim, size) in victims() {
        for between in [1, 1024] {
            let between = if size > 1000 { 1 } else { between };
            let p = victim.allocate(size);
            let others = victim.allocate_many(size, between);
            let kept = victim.allocate_many(size, 3);
            victim.free(p);
            others.into_iter().for_each(|other| victim.free(other));
            victim.refused_by_all(p.addr().get(), layout(size), FaultKind::AlreadyFree);
            victim.hands_out_each_once(size, &kept);
            kept.into_iter().for_each(|p| victim.free(p));
        }
    }
}

#[test]
fn double_free_of_an_object_that_is_next_to_be_handed_out() {
    const OBJECTS: usize = 200;
    for size in [16, 64, 100] {
        for again in (0..OBJECTS).step_by(7) {
            let victim = Victim::small();
            let mut gone: BTreeSet<_> = victim.allocate_many(size, OBJECTS).into_iter().collect();
            gone.iter().for_each(|&p| victim.free(p));
            let live = victim.allocate_many(size, again);
            live.iter().for_each(|p| {
                gone.remove(p);
            });
            for p in gone {
                for entry in [Entry::FreeIn, Entry::DeallocateIn, Entry::ResizeIn] {
                    let address = p.addr().get();
                    victim.call(entry, p, layout(size));
                    let reports = faults::take();
                    assert_eq!(reports.len(), 1, "{entry:?} of {address:#x} after {again}");
                    assert_eq!(reports[0].kind, FaultKind::AlreadyFree);
                    assert_eq!(reports[0].address, address);
                }
            }
            victim.hands_out_each_once(size, &live);
            live.into_iter().for_each(|p| victim.free(p));
            faults::assert_none("the frees of all that is live");
        }
    }
}

#[test]
fn double_free_by_another_thread() {
    for (victim, size) in victims() {
        let kept = victim.allocate_many(size, 3);
        let p = victim.allocate(size);
        victim.free(p);
        let (pool, address) = (&victim.pool, p.addr().get());
        let reports = thread::scope(|scope| {
            let freer = scope.spawn(|| {
                let local = pool.attach().expect("room for a local heap");
                // SAFETY: this thread is bound to the local heap; the pool must refuse the pointer.
                unsafe {
                    pool.free_in(local.as_ref(), pointer(address));
                    pool.detach(local);
                }
                faults::take()
            });
            freer.join().unwrap()
        });
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].kind, FaultKind::AlreadyFree);
        assert_eq!(reports[0].address, address);
        victim.hands_out_each_once(size, &kept);
    }
}

#[test]
fn double_free_by_another_of_an_object_that_is_next_to_be_handed_out_is_reported_later() {
    let size = 64;
    let victim = Victim::small();
    let first = victim.allocate(size);
    // The object behind the first was never handed out.
    let next = pointer(first.addr().get() + size);
    victim.free_by_another(next);
    let mut reports = faults::take();
    victim.trim();
    reports.append(&mut faults::take());
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].kind, FaultKind::AlreadyFree);
    assert_eq!(reports[0].address, next.addr().get());
    victim.hands_out_each_once(size, &[first]);
}

#[test]
fn double_free_of_what_the_owner_has_not_collected() {
    for (victim, size) in victims() {
        let kept = victim.allocate_many(size, 3);
        let p = victim.allocate(size);
        victim.free_by_another(p);
        faults::assert_none("a free by another");
        for entry in ENTRIES {
            if !matches!(entry, Entry::FreeIn | Entry::DeallocateIn) {
                let report = victim.refused(entry, p.addr().get(), layout(size));
                assert_eq!(report.kind, FaultKind::AlreadyFree, "{entry:?}");
            }
        }
        victim.hands_out_each_once(size, &kept);
    }
}

#[test]
fn free_by_the_owner_of_what_another_has_freed() {
    for (victim, size) in victims() {
        // More than a slab's, so that most of them are not in the current one.
        let count = 600.min(victim.memory.len() / 4 / size.max(16));
        let objects = victim.allocate_many(size, count);
        let chosen = |at: &usize| at % 7 == 3;
        for at in (0..count).filter(chosen) {
            victim.free_by_another(objects[at]);
            faults::assert_none("a free by another");
            victim.free(objects[at]);
            let reports = faults::take();
            assert_eq!(reports.len(), 1, "{at} of {size}: {reports:?}");
            assert_eq!(reports[0].kind, FaultKind::AlreadyFree);
            assert_eq!(reports[0].address, objects[at].addr().get());
        }
        let live: Vec<_> = (0..count)
            .filter(|at| !chosen(at))
            .map(|at| objects[at])
            .collect();
        victim.hands_out_each_once(size, &live);
        live.iter().for_each(|&p| victim.free(p));
        victim.trim();
        faults::assert_none("the frees of all that is live");
    }
}

/// With the second free, the slab looks empty to its owner; but it is in the owner's queue still.
#[test]
fn a_slab_with_uncollected_frees_is_not_released_by_a_double_free() {
    for (victim, size) in victims() {
        // Slabs that are empty are kept until there are some.
        let count = if size > 1000 { 12 * 8 } else { 12 * 255 };
        let count = count.min(victim.memory.len() / 2 / size.max(16));
        let objects = victim.allocate_many(size, count);
        let twice: Vec<_> = objects.iter().copied().step_by(40).collect();
        twice.iter().for_each(|&p| victim.free_by_another(p));
        faults::assert_none("frees by another");
        let mut reports = Vec::new();
        for &p in &objects {
            victim.free(p);
            reports.append(&mut faults::take());
        }
        for _ in 0..3 {
            victim.trim();
            reports.append(&mut faults::take());
        }
        let told: BTreeSet<_> = reports.iter().map(|report| report.address).collect();
        assert_eq!(told.len(), reports.len(), "reported twice");
        let wrong: BTreeSet<_> = twice.iter().map(|p| p.addr().get()).collect();
        assert_eq!(told, wrong);
        // Some slabs are collected in time, and gone when the second free comes.
        let kinds = [FaultKind::AlreadyFree, FaultKind::NotABlock];
        assert!(reports.iter().all(|report| kinds.contains(&report.kind)));
        assert!(reports.iter().any(|report| report.kind == kinds[0]));
        victim.hands_out_each_once(size, &[]);
        victim.trim();
        victim.hands_out_each_once(size, &[]);
    }
}

#[test]
fn inside_an_object() {
    for (victim, size) in victims() {
        let kept = victim.allocate_many(size, 4);
        let usable = victim.pool.usable_size(kept[1]).unwrap();
        for p in &kept[1..3] {
            let p = p.addr().get();
            for offset in [1, 2, 4, 8, 15, usable - 1] {
                victim.refused_by_all(p + offset, layout(size), FaultKind::Misaligned);
            }
            for offset in [STEP, 2 * STEP, (usable / 2) & !(STEP - 1), usable - STEP] {
                if offset > 0 && offset < usable {
                    victim.refused_by_all(p + offset, layout(size), FaultKind::NotABlock);
                }
            }
        }
        victim.hands_out_each_once(size, &kept);
    }
}

#[test]
fn between_the_objects_and_the_end_of_a_slab() {
    for size in [48, 64, 100, 112, 640] {
        let victim = Victim::small();
        let usable = victim.pool.usable_size(victim.allocate(size)).unwrap();
        let mut live = victim.allocate_many(size, (8192 - 8) / usable - 1);
        live.sort_unstable();
        let last = *live.last().unwrap();
        let slab = last.addr().get() & !8191;
        let end = last.addr().get() + usable;
        assert!(end <= slab + 8192);
        for address in (end..slab + 8192).step_by(STEP) {
            victim.refused_by_all(address, layout(size), FaultKind::NotABlock);
        }
        victim.hands_out_each_once(size, &live);
    }
}

#[test]
fn object_of_a_slab_that_was_released() {
    for (victim, size) in victims() {
        let objects = victim.allocate_many(size, 500.min(victim.memory.len() / 2 / size));
        objects.iter().for_each(|&p| victim.free(p));
        victim.trim();
        for p in &objects {
            for entry in ENTRIES {
                let report = victim.refused(entry, p.addr().get(), layout(size));
                assert!(
                    matches!(report.kind, FaultKind::AlreadyFree | FaultKind::NotABlock),
                    "{report:?}"
                );
            }
            if victim.memory.len() <= MIB {
                break;
            }
        }
        victim.hands_out_each_once(size, &[]);
    }
}

#[test]
fn nothing_of_the_pools_own_is_a_block() {
    let victim = Victim::small();
    let live = victim.allocate_many(64, 300);
    let object = live[0].addr().get() & !8191;
    let mut own = Vec::new();
    victim.pool.for_each_block(|block| {
        if block.used {
            own.push((block.address, block.size));
        }
    });
    assert!(own.iter().any(|&(at, _)| at == object));
    let first = own[0].0;
    let local = victim.own.addr().get();
    for address in (local..local + 256).step_by(STEP) {
        victim.refused(Entry::FreeIn, address, layout(1));
    }
    for entry in ENTRIES {
        victim.refused(entry, local, layout(1));
    }
    // The very start of a block of the pool's own is known to nobody but this test.
    let slabs: BTreeSet<usize> = live.iter().map(|p| p.addr().get() & !8191).collect();
    for (at, size) in own.into_iter().filter(|(at, _)| !slabs.contains(at)) {
        for address in (at + STEP..at + size).step_by(STEP) {
            let entry = ENTRIES[address / STEP % ENTRIES.len()];
            victim.call(entry, pointer(address), layout(1));
            assert_eq!(faults::take().len(), 1, "{entry:?} of {address:#x}");
        }
    }
    let start = victim.memory.start().addr();
    for address in (start..first).step_by(STEP) {
        victim.refused(Entry::Free, address, layout(1));
        victim.refused(Entry::FreeIn, address, layout(1));
    }
    victim.hands_out_each_once(64, &live);
}

#[test]
fn foreign_and_wild_pointers() {
    let victim = Victim::small();
    let other = Victim::small();
    let live = victim.allocate_many(64, 10);
    let elsewhere = other.allocate(64);
    let on_the_stack = 0_u128;
    let boxed = Box::new([0_u128; 4]);
    let start = victim.memory.start().addr();
    let end = start + victim.memory.len();
    for address in [
        1,
        8,
        STEP,
        4096,
        8192,
        (&raw const on_the_stack).addr() & !15,
        (&raw const *boxed).addr() & !15,
        elsewhere.addr().get(),
        start - STEP,
        start - 8192,
        end,
        end + STEP,
        end + 8192,
        start.wrapping_add(1 << 30),
        start.wrapping_sub(1 << 30),
        start ^ isize::MIN as usize,
        isize::MAX as usize & !15,
        isize::MIN as usize,
        usize::MAX - 8191,
        usize::MAX & !15,
        usize::MAX,
    ] {
        for entry in ENTRIES {
            let report = victim.refused(entry, address, layout(64));
            let expected = if address.is_multiple_of(STEP) {
                FaultKind::OutsideRegion
            } else {
                report.kind
            };
            assert_eq!(report.kind, expected, "{entry:?} of {address:#x}");
        }
    }
    victim.hands_out_each_once(64, &live);
    other.hands_out_each_once(64, &[elsewhere]);
}

#[test]
fn wrong_size() {
    for (victim, size) in victims() {
        let kept = victim.allocate_many(size, 3);
        let p = victim.allocate(size);
        let usable = victim.pool.usable_size(p).unwrap();
        for wrong in [
            0,
            size.saturating_sub(STEP * 2),
            usable / 2,
            usable + 1,
            usable * 2,
            1 << 20,
            isize::MAX as usize,
        ] {
            if wrong > usable || (wrong.max(1)).div_ceil(STEP) * STEP * 5 <= usable * 4 {
                for entry in [
                    Entry::DeallocateIn,
                    Entry::ReallocateIn,
                    Entry::Deallocate,
                    Entry::Reallocate,
                ] {
                    // A larger size than there is cannot be asked for either.
                    if wrong > 1 << 21 && !matches!(entry, Entry::DeallocateIn | Entry::Deallocate)
                    {
                        continue;
                    }
                    let report = victim.refused(entry, p.addr().get(), layout(wrong));
                    assert_eq!(report.kind, FaultKind::SizeMismatch, "{size} {wrong}");
                    assert!(report.line.contains(&wrong.to_string()), "{report:?}");
                }
            }
        }
        let aligned = Layout::from_size_align(size, 1 << 20).unwrap();
        for entry in [Entry::DeallocateIn, Entry::Deallocate] {
            let report = victim.refused(entry, p.addr().get(), aligned);
            assert_eq!(report.kind, FaultKind::SizeMismatch);
        }
        victim.free(p);
        faults::assert_none("a free");
        victim.hands_out_each_once(size, &kept);
    }
}

#[test]
fn writes_over_free_objects_have_no_effect() {
    for (victim, size) in victims() {
        let mut objects = victim.allocate_many(size, 40);
        for byte in [0, 0xFF, 0x41] {
            for &p in &objects[10..] {
                victim.free(p);
            }
            for &p in &objects[10..] {
                // SAFETY: the bytes lie in the region; what is tested is that nobody relies on them.
                unsafe { p.write_bytes(byte, size) };
            }
            victim.hands_out_each_once(size, &objects[..10]);
            objects.truncate(10);
            objects.extend(victim.allocate_many(size, 30));
        }
        faults::assert_none("writes over free objects");
    }
}

#[test]
fn a_write_beyond_the_end_of_a_slab_is_reported_when_the_slab_goes() {
    let size = 64;
    let victim = Victim::small();
    let filler = victim.allocate_many(size, 127 * 8);
    let mut slabs: Vec<usize> = filler.iter().map(|p| p.addr().get() & !8191).collect();
    slabs.sort_unstable();
    slabs.dedup();
    for slab in [slabs[2], slabs[4], slabs[5]] {
        // The last word is the header of the block behind the slab.
        let end = pointer(slab + 8192 - 64);
        // SAFETY: the bytes lie in the region; a program that writes beyond an object's end does
        // this.
        unsafe { end.write_bytes(0x41, 64) };
    }
    let mut reports = Vec::new();
    filler.iter().for_each(|&p| victim.free(p));
    reports.append(&mut faults::take());
    victim.trim();
    reports.append(&mut faults::take());
    assert!(!reports.is_empty(), "the damage was not reported");
    for report in reports {
        assert!(
            matches!(report.kind, FaultKind::Corrupt | FaultKind::NotABlock),
            "{report:?}"
        );
    }
    assert!(victim.pool.check().is_err());
    // What is not next to the damage goes on.
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        assert!(seen.insert(victim.allocate(size)), "handed out twice");
    }
}

fn panic_and_record(fault: &Fault) {
    faults::record(fault);
    panic!("{fault}");
}

#[test]
fn a_handler_that_panics_leaves_the_pool_in_order() {
    let victim = Victim::new(MIB, 0, panic_and_record);
    let size = 64;
    let objects = victim.allocate_many(size, 400);
    let (gone, live) = objects.split_at(200);
    for (at, &p) in gone.iter().enumerate() {
        if at % 3 == 0 {
            victim.free_by_another(p);
        } else {
            victim.free(p);
        }
    }
    faults::take();
    for &p in gone {
        for entry in ENTRIES {
            if matches!(entry, Entry::FreeIn | Entry::DeallocateIn) {
                continue;
            }
            let call = AssertUnwindSafe(|| victim.call(entry, p, layout(size)));
            assert!(catch_unwind(call).is_err(), "{entry:?}");
            assert_eq!(faults::take().len(), 1);
        }
    }
    victim.hands_out_each_once(size, live);
    live.iter().for_each(|&p| victim.free(p));
    faults::assert_none("the frees of all that is live");
}

#[test]
fn a_handler_that_panics_in_a_trim_loses_no_idle_local_heap() {
    let victim = Victim::new(MIB, 0, panic_and_record);
    let idle: Vec<_> = (0..5).map(|_| victim.pool.attach().unwrap()).collect();
    for &local in &idle {
        // SAFETY: this thread is bound to the local heap until it detaches; the second pointer is
        // that of an object that was never handed out.
        unsafe {
            let p = victim.pool.allocate_in(local.as_ref(), layout(64)).unwrap();
            victim.free_by_another(p.byte_add(64));
            victim.pool.detach(local);
        }
    }
    faults::assert_none("frees by another");
    let attempts = (0..10)
        .take_while(|_| catch_unwind(AssertUnwindSafe(|| victim.trim())).is_err())
        .count();
    assert!((1..=5).contains(&attempts), "{attempts}");
    assert_eq!(faults::take().len(), 5);
    let before: BTreeSet<_> = idle.into_iter().collect();
    let after: BTreeSet<_> = (0..5).map(|_| victim.pool.attach().unwrap()).collect();
    assert_eq!(after, before, "idle local heaps were lost");
}

#[test]
fn an_object_resized_in_place_can_be_freed_with_its_new_layout() {
    for (victim, size) in victims() {
        for new_size in [1, size / 2, size.saturating_sub(1), size, size + 1] {
            let p = victim.allocate(size);
            // SAFETY: the object was just allocated.
            unsafe {
                if victim.pool.resize_in_place(p, new_size) {
                    victim.pool.deallocate_in(victim.own(), p, layout(new_size));
                } else {
                    victim.pool.deallocate_in(victim.own(), p, layout(size));
                }
            }
            faults::assert_none("a resize in place and a free");
        }
        victim.hands_out_each_once(size, &[]);
    }
}

/// Where the header of a slab's block is, going by one of its objects in the first granule.
fn header_of_slab(object: NonNull<u8>) -> NonNull<usize> {
    pointer((object.addr().get() & !8191) - size_of::<usize>()).cast()
}

#[test]
fn a_damaged_slab_does_not_keep_others_from_being_given_back() {
    let victim = Victim::new(4 * MIB, 0, faults::record);
    let damaged = victim.allocate_many(48, 10);
    let objects = victim.allocate_many(64, 2 * MIB / 64);
    // SAFETY: the block is a slab's object.
    unsafe { header_of_slab(damaged[0]).write(0xDEAD_BEE0) };
    damaged.iter().for_each(|&p| victim.free(p));
    objects.iter().for_each(|&p| victim.free(p));
    faults::take();
    // SAFETY: this thread is bound to the local heap.
    let block = unsafe { victim.pool.allocate_in(victim.own(), layout(3 * MIB)) };
    assert!(block.is_some());
    assert!(!faults::take().is_empty());
}

std::thread_local! {
    static FORKED: std::cell::Cell<Option<(*const Pool<'static>, NonNull<LocalHeap>)>> =
        const { std::cell::Cell::new(None) };
}

/// As if the handler forked, and this were the child.
fn recover_and_record(fault: &Fault) {
    faults::record(fault);
    if let Some((pool, own)) = FORKED.take() {
        // SAFETY: both are there, and this is the only thread.
        unsafe { (*pool).recover_after_fork(own.as_ref(), true) }.unwrap();
    }
}

#[test]
fn a_fork_in_the_middle_of_a_trim_leaves_each_local_heap_once() {
    let victim = Victim::new(4 * MIB, 0, recover_and_record);
    let idle: Vec<_> = (0..4).map(|_| victim.pool.attach().unwrap()).collect();
    // SAFETY: this thread is bound to all of them, until they are given up; the header is that of the
    // slab's block.
    unsafe {
        for (at, local) in idle.iter().enumerate() {
            let p = victim.pool.allocate_in(local.as_ref(), layout(64)).unwrap();
            if at == 2 {
                victim.pool.free_in(local.as_ref(), p);
                header_of_slab(p).write(0xDEAD_BEE0);
            }
        }
        idle.iter().for_each(|&local| victim.pool.detach(local));
    }
    FORKED.set(Some((&raw const victim.pool, victim.own)));
    victim.trim();
    assert!(FORKED.take().is_none(), "the handler was called");
    faults::take();
    let attached: Vec<_> = (0..8).map(|_| victim.pool.attach().unwrap()).collect();
    let different: BTreeSet<_> = attached.iter().copied().collect();
    assert_eq!(different.len(), attached.len());
}

std::thread_local! {
    /// After how many times that it is taken a [`ForkingLock`] finds itself in a fork's child, and what is
    /// done there.
    static FORKS: std::cell::Cell<Option<(usize, *const ForkingPool, NonNull<LocalHeap>)>> =
        const { std::cell::Cell::new(None) };
}

type ForkingPool = Pool<'static, ForkingLock>;

/// As if a signal came before it is taken, whose handler forks, and this were the child.
struct ForkingLock(std::sync::atomic::AtomicBool);

// SAFETY: the exchange from false to true lets one in, and only `unlock` turns it back.
unsafe impl RawMutex for ForkingLock {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for a constant that is copied into place"
    )]
    const INIT: Self = Self(std::sync::atomic::AtomicBool::new(false));
    type GuardMarker = GuardSend;

    fn lock(&self) {
        if let Some((left, pool, own)) = FORKS.take() {
            if left == 0 {
                // SAFETY: both are there, and this is the only thread.
                unsafe { (*pool).recover_after_fork(own.as_ref(), true) }.unwrap();
            } else {
                FORKS.set(Some((left - 1, pool, own)));
            }
        }
        assert!(self.try_lock());
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[test]
fn a_fork_between_any_two_steps_of_a_trim_loses_nothing() {
    let run = |forks_after: usize| {
        let memory = Memory::new(0, 4 * MIB, 4 * MIB, Dirt::Zero);
        let options = Options {
            on_fault: faults::record,
            ..Options::default()
        };
        // SAFETY: the memory outlives the pool, and only the pool touches it.
        let pool: ForkingPool =
            unsafe { Pool::create_in_raw(memory.start(), memory.len(), options) }.unwrap();
        let own = pool.attach().unwrap();
        let idle: Vec<_> = (0..3).map(|_| pool.attach().unwrap()).collect();
        // SAFETY: this thread is bound to all of them until they are given up, and frees what it allocated.
        unsafe {
            for &local in &idle {
                for size in [16, 64, 500] {
                    let objects: Vec<_> = (0..(40 << 10) / size)
                        .map(|_| pool.allocate_in(local.as_ref(), layout(size)).unwrap())
                        .collect();
                    for object in objects {
                        pool.free_in(local.as_ref(), object);
                    }
                }
            }
            idle.iter().for_each(|&local| pool.detach(local));
            FORKS.set(Some((forks_after, &raw const pool, own)));
            pool.trim(own.as_ref());
            let forked = FORKS.take().is_none();
            faults::assert_none("a trim");
            pool.check().unwrap();
            pool.trim(own.as_ref());
            pool.check().unwrap();
            let used = pool.stats().used_bytes;
            let again: BTreeSet<_> = (0..3).map(|_| pool.attach().unwrap()).collect();
            assert_eq!(again, idle.iter().copied().collect(), "after {forks_after}");
            (used, forked)
        }
    };
    let (used, _) = run(usize::MAX);
    let forks = (0..)
        .take_while(|&after| {
            let (left, forked) = run(after);
            assert_eq!(left, used, "after {after}");
            forked
        })
        .count();
    assert!(forks > 20, "{forks}");
}
