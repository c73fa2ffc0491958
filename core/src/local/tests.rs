//! Local heaps against a model: after every step each object of each slab must be in one state, and
//! each slab in one list.

extern crate std;

use core::alloc::Layout;
use core::ptr::NonNull;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use super::LocalHeap;
use crate::fault::{Fault, FaultKind};
use crate::heap::Options;
use crate::pool::Pool;
use crate::pool::control::Control;
use crate::slab::class::{CLASSES, MAX_OBJECTS, SLAB_GRANULE, STEP, TABLE};
use crate::slab::descriptor::{Descriptor, State, WORDS};
use crate::slab::remote::BITS;
use crate::sync::Ordering;

std::thread_local! {
    static FAULTS: Cell<usize> = const { Cell::new(0) };
}

fn count_double_free(fault: &Fault) {
    assert_eq!(fault.kind, FaultKind::AlreadyFree, "{fault}");
    FAULTS.set(FAULTS.get() + 1);
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// A pool with some local heaps, all used by one thread, and what must be true of it.
struct Model {
    pool: Pool<'static>,
    memory: Vec<u128>,
    /// Attached, in the order of their numbers; `None` while it is idle.
    locals: Vec<Option<NonNull<LocalHeap>>>,
    live: BTreeMap<usize, Layout>,
    /// Freed, and not handed out since.
    free: BTreeSet<usize>,
}

impl Model {
    fn new(len: usize, locals: usize) -> Model {
        FAULTS.set(0);
        let mut memory = vec![u128::MAX; len / size_of::<u128>()];
        let options = Options {
            on_fault: count_double_free,
            ..Options::default()
        };
        // SAFETY: the memory lives as long as the pool, and nobody else uses it.
        let pool = unsafe { Pool::create_in_raw(memory.as_mut_ptr().cast(), len, options) };
        let pool: Pool<'static> = pool.unwrap();
        let locals = (0..locals).map(|_| pool.attach()).collect();
        Model {
            pool,
            memory,
            locals,
            live: BTreeMap::new(),
            free: BTreeSet::new(),
        }
    }

    fn local(&self, number: usize) -> &LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        self.locals[number].map_or(LocalHeap::EMPTY, |local| unsafe { local.as_ref() })
    }

    fn control(&self) -> &Control {
        let local = (0..self.locals.len())
            .map(|number| self.local(number))
            .find(|local| !local.is_empty_heap())
            .expect("one is attached");
        // SAFETY: a local heap knows its pool's control block.
        unsafe { &*core::ptr::with_exposed_provenance::<Control>(local.pool.get()) }
    }

    /// Answers whether there was room.
    fn allocate(&mut self, number: usize, layout: Layout) -> bool {
        // SAFETY: the local heap is used by this thread alone.
        let object = unsafe { self.pool.allocate_in(self.local(number), layout) };
        let Some(object) = object else { return false };
        // SAFETY: the object has this size.
        unsafe { object.write_bytes(0xA5, layout.size()) };
        let address = object.addr().get();
        assert_eq!(address % layout.align(), 0);
        if let Some((&before, of)) = self.live.range(..=address).next_back() {
            assert!(before + of.size().max(1) <= address, "overlaps {before:#x}");
        }
        if let Some((&after, _)) = self.live.range(address + 1..).next() {
            assert!(address + layout.size() <= after, "overlaps {after:#x}");
        }
        self.live.insert(address, layout);
        let end = address + layout.size().max(1);
        let covered: Vec<usize> = self.free.range(address..end).copied().collect();
        covered.iter().for_each(|at| {
            self.free.remove(at);
        });
        true
    }

    fn release(&mut self, number: usize, address: usize, with_layout: bool) {
        let layout = self.live.remove(&address).expect("live");
        let pointer = NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap();
        // SAFETY: the object is live, with this layout.
        unsafe {
            if with_layout {
                self.pool.deallocate_in(self.local(number), pointer, layout);
            } else {
                self.pool.free_in(self.local(number), pointer);
            }
        }
        self.free.insert(address);
    }

    /// Frees what is free, by a local heap that must see it. Answers whether that was tried.
    fn release_again(&mut self, number: usize, address: usize) -> bool {
        let local = self.local(number);
        let Some(slab) = self.control().slab_of(address) else {
            return false;
        };
        let Some(object) = slab.object_at(address) else {
            return false;
        };
        let own = slab.owner.load(Ordering::Relaxed) == local.address();
        // What another has freed the owner sees only when it collects, and what is checked out only
        // the owner sees.
        let seen = if own {
            !slab.is_freed_remotely(object)
        } else {
            slab.is_free(object) || slab.is_freed_remotely(object)
        };
        if !seen {
            return false;
        }
        let pointer = NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap();
        let before = FAULTS.get();
        // SAFETY: the pool must refuse it.
        unsafe { self.pool.free_in(local, pointer) };
        assert_eq!(FAULTS.get(), before + 1, "{address:#x} was freed twice");
        true
    }

    fn trim(&self, number: usize) {
        // SAFETY: the local heap is used by this thread alone.
        unsafe { self.pool.trim(self.local(number)) };
    }

    /// Holds everything that is written down about slabs against the model.
    fn check(&self) {
        let control = self.control();
        let mut places = BTreeMap::new();
        let mut listed: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queued = BTreeSet::new();
        let heaps: BTreeMap<usize, &LocalHeap> = control
            .local_heaps()
            .map(|local| (local.address(), local))
            .collect();
        for (&owner, local) in &heaps {
            let mut kept = 0;
            for (class, shelf) in local.shelves.iter().enumerate() {
                let (mut at, mut before, mut empty) = (shelf.first.get(), 0, 0);
                while at != 0 {
                    assert_eq!(listed.insert(at, owner), None, "twice on a shelf");
                    // SAFETY: shelves name descriptors.
                    let slab = unsafe { Descriptor::at(at) };
                    assert_eq!(slab.previous.get(), before);
                    assert_eq!(slab.class.get() as usize, class);
                    assert!(matches!(slab.state.get(), State::Available | State::Empty));
                    if slab.state.get() == State::Empty {
                        if empty == 0 {
                            assert_eq!(shelf.first_empty.get(), at);
                        }
                        empty += 1;
                        kept += slab.bytes();
                    } else {
                        assert_eq!(empty, 0, "behind an empty one");
                    }
                    before = at;
                    at = slab.next.get();
                }
                assert_eq!(shelf.last.get(), before);
                assert_eq!(shelf.empty.get(), empty);
            }
            assert_eq!(local.kept.get(), kept);
            for first in [local.pending.get(), local.queue().0.load(Ordering::Relaxed)] {
                let mut at = first;
                while at != 0 {
                    assert!(queued.insert(at), "twice in a queue");
                    // SAFETY: queues name descriptors.
                    let slab = unsafe { Descriptor::at(at) };
                    assert_eq!(slab.owner.load(Ordering::Relaxed), owner);
                    at = slab.remote_next.load(Ordering::Relaxed);
                }
            }
        }
        let mut in_slabs = 0;
        for slab in control.slabs() {
            let owner = slab.owner.load(Ordering::Relaxed);
            let local = heaps.get(&owner).expect("a slab's owner is a local heap");
            let class = slab.class.get() as usize;
            let (size, count) = (TABLE[class].size, slab.count.get() as usize);
            let start = slab.start.get();
            assert_eq!(start % SLAB_GRANULE, 0);
            assert_eq!(places.insert(start, start + count * size), None);
            let current = local.shelves[class].current.load(Ordering::Relaxed);
            let current = current == slab.address();
            let (mut free, mut used) = (0, 0);
            for number in 0..WORDS * BITS {
                let own = slab.is_free(number);
                let remote = slab.is_freed_remotely(number);
                if number >= count {
                    assert!(own && !remote, "a bit beyond the objects");
                    continue;
                }
                let address = start + number * size;
                assert!(core::ptr::eq(
                    control.slab_of(address).expect("an entry"),
                    slab
                ));
                assert_eq!(slab.object_at(address), Some(number));
                // SAFETY: the local heap is this thread's.
                let out = unsafe { local.is_checked_out(slab, number) };
                let live = self.live.contains_key(&address);
                let states = [own, remote, out, live].map(usize::from);
                assert_eq!(states.iter().sum::<usize>(), 1, "{states:?} {address:#x}");
                free += usize::from(own);
                used += usize::from(!own);
                in_slabs += usize::from(live);
            }
            let quota = slab.quota.get();
            let shelved = listed.contains_key(&slab.address());
            let state = slab.state.get();
            assert_eq!(state == State::Current, current);
            assert_eq!(
                matches!(state, State::Available | State::Empty),
                shelved,
                "{state:?}"
            );
            match state {
                State::Current | State::Empty => assert!(quota as usize > MAX_OBJECTS, "{quota}"),
                // Less if it came to the shelf when each free counted.
                State::Available => assert!(quota > 0 && quota as usize <= used),
                State::Full => {
                    let most = slab.quota_when_full() as usize;
                    assert!(quota > 0 && quota as usize + free <= most);
                    let local = heaps[&slab.owner.load(Ordering::Relaxed)];
                    assert!(!local.counts_each(slab.class.get() as usize) || free == 0);
                }
            }
            if state == State::Empty {
                assert_eq!(used, 0);
            }
            assert!(state != State::Available || used > 0 && free > 0);
            let summary = slab.remote_summary.load(Ordering::Relaxed);
            for (word, remote) in slab.remote.0.iter().enumerate() {
                let any = remote.load(Ordering::Relaxed) != 0;
                assert_eq!(summary >> word & 1 == 1, any);
            }
            assert_eq!(queued.contains(&slab.address()), summary != 0);
        }
        for local in heaps.values() {
            for class in 0..CLASSES {
                let owned = control.slabs().filter(|slab| {
                    slab.is_owned_by(local.address()) && slab.class.get() as usize == class
                });
                assert_eq!(local.slabs_of(class), owned.count());
            }
        }
        let ends: Vec<_> = places.into_iter().collect();
        assert!(
            ends.windows(2).all(|two| two[0].1 <= two[1].0),
            "slabs overlap"
        );
        let live_in_slabs = self
            .live
            .keys()
            .filter(|&&address| control.slab_of(address).is_some())
            .count();
        assert_eq!(in_slabs, live_in_slabs);
        assert_eq!(self.pool.stats().live_blocks, self.live.len());
        self.pool.check().unwrap();
    }
}

fn run(seed: u64, len: usize, locals: usize, sizes: &[usize], most: usize, steps: usize) {
    let mut model = Model::new(len, locals);
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut growing = true;
    for _ in 0..steps {
        let number = random.below(locals);
        growing = match model.live.len() {
            0 => true,
            live if live >= most => false,
            _ => growing,
        };
        let chosen = random.below(usize::MAX);
        let nth = |of: usize| chosen % of;
        match random.below(100) {
            0..80 if growing || random.below(8) == 0 => {
                let size = sizes[nth(sizes.len())];
                let align = [1, 1, 1, STEP, 64, 256][random.below(6)];
                let layout = Layout::from_size_align(size, align).unwrap();
                growing &= model.allocate(number, layout);
            }
            0..80 if !model.live.is_empty() => {
                let nth = nth(model.live.len());
                let address = *model.live.keys().nth(nth).unwrap();
                model.release(number, address, random.below(2) == 0);
            }
            80..94 if !model.free.is_empty() => {
                let address = *model.free.iter().nth(nth(model.free.len())).unwrap();
                model.release_again(number, address);
            }
            94..96 => model.trim(number),
            // One stays attached.
            96..100 if number > 0 => match model.locals[number].take() {
                // SAFETY: the local heap is not used any more.
                Some(local) => unsafe { model.pool.detach(local) },
                None => model.locals[number] = model.pool.attach(),
            },
            _ => {}
        }
        model.check();
    }
    assert!(FAULTS.get() > 0, "no double free was tried");
    let live: Vec<usize> = model.live.keys().copied().collect();
    for address in live {
        model.release(0, address, true);
        model.check();
    }
    for number in 0..locals {
        model.trim(number);
    }
    model.check();
    let local = model.local(0);
    assert!(local.pool.get() != 0 && !model.memory.is_empty());
    assert_eq!(model.control().slabs().count(), 0, "a slab was left behind");
}

#[test]
fn slabs_of_few_objects() {
    for seed in 0..6 {
        run(seed, 512 << 10, 3, &[640], 100, 2000);
    }
}

#[test]
fn slabs_of_whole_words() {
    // 64 bytes: 127 objects; 16 bytes: 511.
    for seed in 10..12 {
        run(seed, 512 << 10, 2, &[64, 16, 1], 300, 700);
    }
}

#[test]
fn several_sizes_until_the_region_is_full() {
    for seed in 20..24 {
        run(seed, 200 << 10, 3, &[0, 100, 300, 640, 5000], 1000, 2000);
    }
}

/// An owner that always has free objects would never look otherwise, and each of its frees would have
/// to look among those of others.
#[test]
fn what_others_free_is_collected_while_there_are_free_objects() {
    let mut model = Model::new(512 << 10, 2);
    let layout = Layout::from_size_align(64, 1).unwrap();
    for _ in 0..1000 {
        assert!(model.allocate(0, layout));
    }
    let live: Vec<usize> = model.live.keys().copied().collect();
    let frees = |model: &Model| {
        let slabs = model.control().slabs();
        slabs
            .filter(|slab| slab.remote_summary.load(Ordering::Relaxed) != 0)
            .count()
    };
    for &address in live.iter().step_by(100) {
        model.release(1, address, false);
    }
    assert!(frees(&model) > 0);
    let mut random = Random(5);
    for step in 0..5000 {
        let nth = random.below(model.live.len());
        let address = *model.live.keys().nth(nth).unwrap();
        model.release(0, address, false);
        assert!(step < 500 || model.allocate(0, layout));
    }
    model.check();
    assert_eq!(frees(&model), 0);
}

#[test]
fn full_slabs_wait_for_several_objects_again_when_there_is_memory() {
    let mut model = Model::new(4 << 20, 1);
    let large = Layout::from_size_align(1 << 20, 1).unwrap();
    assert!(model.allocate(0, large));
    let layout = Layout::from_size_align(640, 1).unwrap();
    let class = crate::slab::class::class_of(layout).unwrap();
    while model.allocate(0, layout) {}
    assert!(model.local(0).counts_each(class));
    let mut objects: Vec<usize> = model.live.keys().copied().collect();
    objects.retain(|address| model.live[address].size() == 640);
    let mut random = Random(9);
    for _ in 0..20 {
        let nth = random.below(objects.len());
        model.release(0, objects.swap_remove(nth), true);
    }
    let address = *model
        .live
        .iter()
        .find(|(_, live)| live.size() == 1 << 20)
        .unwrap()
        .0;
    model.release(0, address, true);
    for _ in 0..2000 {
        let nth = random.below(objects.len());
        model.release(0, objects.swap_remove(nth), true);
        let before: BTreeSet<usize> = model.live.keys().copied().collect();
        assert!(model.allocate(0, layout));
        objects.extend(
            model
                .live
                .keys()
                .filter(|address| !before.contains(address)),
        );
    }
    assert!(!model.local(0).counts_each(class));
    model.check();
}
