//! Reading slabs and local heaps, and comparing all that is written down twice.
//!
//! The pool's lock is held, so slabs neither come nor go, and idle local heaps stay idle. All the
//! same, threads allocate from and free to the slabs of those that are not. What is looked at here
//! holds at every moment:
//!
//! | what | why it cannot be seen broken |
//! |---|---|
//! | a descriptor's constant fields, map entries | written with the lock held |
//! | bits beyond the objects | never changed |
//! | remote bits beyond the objects | only numbers of objects are posted |
//! | the summary | only numbers of words are noted |
//! | lists of idle local heaps | nobody is bound to them |
//! | the queue of an idle local heap | others only push, and what was pushed is not changed |

use core::ptr::NonNull;

use super::control::Control;
use crate::check::{Damage, Invariant};
use crate::heap::Heap;
use crate::local::LocalHeap;
use crate::slab::class::{CLASSES, SLAB_GRANULE, TABLE};
use crate::slab::descriptor::{Descriptor, WORDS};
use crate::sync::Ordering;

pub(super) fn check(control: &Control, heap: &mut Heap<'_>) -> Result<(), Damage> {
    let whole = |invariant| Damage {
        address: (&raw const *control).addr(),
        invariant,
    };
    let holds = |address: usize, bytes: usize| {
        NonNull::new(core::ptr::with_exposed_provenance_mut(address))
            .and_then(|block| heap.try_usable_size(block).ok())
            .is_some_and(|usable| usable >= bytes)
    };
    if control.is_astray(holds) || control.are_idle_astray() {
        return Err(whole(Invariant::SlabBlock));
    }
    let (mut slabs, mut granules) = (0, 0);
    for slab in control.slabs() {
        check_slab(control, heap, slab).map_err(|invariant| Damage {
            address: slab.address(),
            invariant,
        })?;
        slabs += 1;
        granules += slab.granules();
    }
    if slabs != control.slabs.get() {
        return Err(whole(Invariant::Counters));
    }
    if granules != control.entries_in_use() {
        return Err(whole(Invariant::GranuleMap));
    }
    for local in control.idle_heaps() {
        check_idle(heap, local, slabs).map_err(|invariant| Damage {
            address: local.address(),
            invariant,
        })?;
    }
    Ok(())
}

fn check_slab(control: &Control, heap: &mut Heap<'_>, slab: &Descriptor) -> Result<(), Invariant> {
    let owner = slab.owner.load(Ordering::Relaxed);
    if !control.local_heaps().any(|local| local.address() == owner) {
        return Err(Invariant::Descriptor);
    }
    let number = slab.class.get() as usize;
    if number >= CLASSES
        || slab.count.get() as usize > control.count_of(number)
        || slab.count.get() == 0
        || slab.inverse.get() != TABLE[number].inverse
        || !slab.start.get().is_multiple_of(SLAB_GRANULE)
    {
        return Err(Invariant::Descriptor);
    }
    let start = NonNull::new(core::ptr::with_exposed_provenance_mut(slab.start.get()));
    let bytes = start.and_then(|start| heap.try_usable_size(start).ok());
    if bytes.is_none_or(|bytes| bytes < TABLE[number].bytes_of(slab.count.get() as usize)) {
        return Err(Invariant::SlabBlock);
    }
    for granule in 0..slab.granules() {
        let address = slab.start.get() + granule * SLAB_GRANULE;
        if control.entry_of(address) != Some(slab.address()) {
            return Err(Invariant::GranuleMap);
        }
    }
    for word in 0..WORDS {
        let beyond = !slab.valid(word);
        let bits = slab.bits[word].load(Ordering::Relaxed);
        let remote = slab.remote.0[word].load(Ordering::Relaxed);
        if bits & beyond != beyond || remote & beyond != 0 {
            return Err(Invariant::SlabBits);
        }
    }
    if slab.remote_summary.load(Ordering::Relaxed) >> WORDS != 0 {
        return Err(Invariant::SlabBits);
    }
    Ok(())
}

/// A local heap that nobody is bound to.
fn check_idle(heap: &Heap<'_>, local: &LocalHeap, slabs: usize) -> Result<(), Invariant> {
    let is_own = |address: usize| {
        let pointer = core::ptr::with_exposed_provenance::<u8>(address);
        address.is_multiple_of(align_of::<Descriptor>()) && heap.contains(pointer) && {
            // SAFETY: the words lie in the heap's region, so they can be read.
            unsafe { Descriptor::owner_at(address) == local.address() }
        }
    };
    local.check_shelves(is_own).map_err(|()| Invariant::Shelf)?;
    local
        .check_queue(slabs, is_own)
        .map_err(|()| Invariant::RemoteQueue)
}

#[cfg(all(test, feature = "spin"))]
mod tests {
    extern crate std;

    use core::alloc::Layout;
    use core::mem::MaybeUninit;
    use core::sync::atomic::{AtomicBool, AtomicUsize};
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::local::{BOUND, OUT};
    use crate::pool::Pool;
    use crate::slab::remote::BITS;
    use crate::sync::AtomicUsize as AtomicUsizeWord;

    const LEN: usize = 4 << 20;

    fn region() -> Vec<MaybeUninit<u8>> {
        vec![MaybeUninit::uninit(); LEN]
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 1).unwrap()
    }

    /// Damages the slab of an object of an idle local heap, and checks what is found, and that all is
    /// well when the damage is undone.
    fn found(damage: impl FnOnce(&Control, &Descriptor, &LocalHeap) -> Undo) -> Invariant {
        let mut region = region();
        let pool: Pool = Pool::create_in_region(&mut region).unwrap();
        let local = pool.attach().unwrap();
        // SAFETY: local heaps live as long as the pool; this thread is bound to it.
        let (local, object) = unsafe {
            let object = pool.allocate_in(local.as_ref(), layout(48)).unwrap();
            pool.allocate_in(local.as_ref(), layout(100)).unwrap();
            (local.as_ref(), object)
        };
        let slab = pool.control().slab_of(object.addr().get()).unwrap();
        // SAFETY: as above; from here on the local heap is idle.
        unsafe {
            pool.trim(local);
            pool.detach(NonNull::from(local));
        }
        pool.check().unwrap();
        let undo = damage(pool.control(), slab, local);
        let invariant = pool.check().expect_err("damaged").invariant;
        undo();
        pool.check().unwrap();
        invariant
    }

    type Undo = Box<dyn FnOnce()>;

    /// Changes a word of a slab's or a local heap's, which outlives the test's closures.
    fn change(word: &AtomicUsizeWord, value: usize) -> Undo {
        let word: *const AtomicUsizeWord = word;
        // SAFETY: the word lies in the region, which lives until the end of the test.
        let before = unsafe { &*word }.swap(value, Ordering::Relaxed);
        Box::new(move || {
            // SAFETY: as above.
            unsafe { &*word }.store(before, Ordering::Relaxed);
        })
    }

    /// A cell's word.
    fn word<T>(cell: &core::cell::Cell<T>) -> &AtomicUsizeWord {
        const { assert!(size_of::<T>() == size_of::<usize>()) };
        // SAFETY: a cell of a word is as large and aligned as an atomic one, and may be written.
        unsafe { &*cell.as_ptr().cast() }
    }

    #[test]
    fn damaged_descriptors_are_found() {
        let owner = found(|_, slab, _| change(&slab.owner, 0x1000));
        assert_eq!(owner, Invariant::Descriptor);
        let inverse = found(|_, slab, _| change(word(&slab.inverse), 12345));
        assert_eq!(inverse, Invariant::Descriptor);
        let start = found(|_, slab, _| change(word(&slab.start), slab.start.get() + 16));
        assert_eq!(start, Invariant::Descriptor);
        let moved =
            found(|_, slab, _| change(word(&slab.start), slab.start.get() + 64 * SLAB_GRANULE));
        assert_eq!(moved, Invariant::SlabBlock);
    }

    #[test]
    fn damaged_bits_are_found() {
        let local = found(|_, slab, _| change(&slab.bits[WORDS - 1], 0));
        assert_eq!(local, Invariant::SlabBits);
        let remote = found(|_, slab, _| change(&slab.remote.0[WORDS - 1], 1 << (BITS - 1)));
        assert_eq!(remote, Invariant::SlabBits);
        let summary = found(|_, slab, _| change(&slab.remote_summary, 1 << WORDS));
        assert_eq!(summary, Invariant::SlabBits);
    }

    #[test]
    fn damaged_maps_and_lists_are_found() {
        let list = found(|_, slab, _| change(word(&slab.previous), 64));
        assert_eq!(list, Invariant::Shelf);
        let next = found(|_, slab, _| change(word(&slab.next), slab.address()));
        assert_eq!(next, Invariant::Shelf);
        let queue = found(|control, _, local| change(&local.queue().0, control.base.get()));
        assert_eq!(queue, Invariant::RemoteQueue);
        let circle = found(|_, slab, local| {
            let link = change(&slab.remote_next, slab.address());
            let head = change(&local.queue().0, slab.address());
            Box::new(move || {
                link();
                head();
            })
        });
        assert_eq!(circle, Invariant::RemoteQueue);
        let count = found(|control, _, _| change(word(&control.slabs), 7));
        assert_eq!(count, Invariant::Counters);
        let map = found(|control, slab, _| {
            let entry = control.entry_word(slab.start.get()).unwrap();
            change(entry, (&raw const *control).addr())
        });
        assert_eq!(map, Invariant::GranuleMap);
        let stray = found(|control, slab, _| {
            let entry = control.entry_word(control.base.get()).unwrap();
            change(entry, slab.address())
        });
        assert_eq!(stray, Invariant::GranuleMap);
    }

    #[test]
    fn a_map_that_reaches_too_far_is_found() {
        for limit in [1 << 20, usize::MAX] {
            let found = found(|control, _, _| change(control.limit_of_map().unwrap(), limit));
            assert_eq!(found, Invariant::SlabBlock);
        }
    }

    #[test]
    fn lists_that_lead_elsewhere_are_found() {
        let places: [fn(&Control, &Descriptor) -> usize; 5] = [
            |_, _| 8,
            |_, _| usize::MAX - 7,
            |control, _| (&raw const *control).addr(),
            |control, _| control.base.get() + 1,
            |_, slab| slab.start.get(),
        ];
        for number in 0..5 {
            for place in places {
                let invariant = found(|control, slab, _| {
                    let word = control.lists()[number];
                    // SAFETY: the word lies in the region, which lives until the end of the test, and
                    // nobody else uses it.
                    let before = unsafe { word.replace(place(control, slab)) };
                    // SAFETY: as above.
                    Box::new(move || unsafe { word.write(before) })
                });
                assert_eq!(invariant, Invariant::SlabBlock, "list {number}");
            }
        }
    }

    #[test]
    fn who_counts_as_idle_is_listed() {
        let mut region = region();
        let pool: Pool = Pool::create_in_region(&mut region).unwrap();
        let [idle, bound] = [(); 2].map(|()| pool.attach().unwrap());
        // SAFETY: local heaps live as long as the pool.
        let [idle, bound] = [idle, bound].map(|local| unsafe { local.as_ref() });
        // SAFETY: nobody uses the local heap any more.
        unsafe { pool.detach(NonNull::from(idle)) };
        pool.check().unwrap();
        for (local, wrong) in [(idle, BOUND), (idle, OUT), (bound, 0), (bound, 7)] {
            let right = local.trimmed.replace(wrong);
            let damage = pool.check().expect_err("damaged");
            assert_eq!(damage.invariant, Invariant::SlabBlock);
            local.trimmed.set(right);
            pool.check().unwrap();
        }
    }

    #[test]
    fn a_list_of_idle_local_heaps_without_an_end_is_found() {
        let mut region = region();
        let pool: Pool = Pool::create_in_region(&mut region).unwrap();
        // One more is bound than the list has.
        let [_, first, second] = [(); 3].map(|()| pool.attach().unwrap());
        // SAFETY: local heaps live as long as the pool, and nobody uses these two any more.
        let (first, second) = unsafe {
            pool.detach(second);
            pool.detach(first);
            (first.as_ref(), second.as_ref())
        };
        pool.check().unwrap();
        second.next_idle.set(first.address());
        let damage = pool.check().expect_err("damaged");
        assert_eq!(damage.invariant, Invariant::SlabBlock);
        second.next_idle.set(0);
        pool.check().unwrap();
    }

    #[test]
    fn there_is_no_false_alarm_beside_busy_threads() {
        let mut region = region();
        let pool: Pool = Pool::create_in_region(&mut region).unwrap();
        let stop = AtomicBool::new(false);
        let shared: Vec<AtomicUsize> = (0..64).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (pool, stop, shared) = (&pool, &stop, &shared);
                scope.spawn(move || {
                    let mut step = thread * 7919_usize;
                    while !stop.load(Ordering::Relaxed) {
                        // A thread that comes and goes.
                        let handle = pool.handle().expect("room for a local heap");
                        for _ in 0..500 {
                            step = step.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
                            let size = 1 + (step >> 9) % 600;
                            let new = handle.allocate(layout(size)).map_or(0, |p| p.addr().get());
                            let old = shared[(step >> 20) % 64].swap(new, Ordering::AcqRel);
                            let old = core::ptr::with_exposed_provenance_mut::<u8>(old);
                            if let Some(old) = NonNull::new(old) {
                                // SAFETY: it was taken out of the shared place by this thread alone.
                                unsafe { handle.free(old) };
                            }
                        }
                    }
                });
            }
            for _ in 0..2000 {
                pool.check().unwrap();
                assert!(pool.stats().region_bytes > 0);
            }
            stop.store(true, Ordering::Relaxed);
        });
        pool.check().unwrap();
    }
}
