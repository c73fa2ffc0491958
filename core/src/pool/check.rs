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
    let (mut slabs, mut granules) = (0, 0);
    for slab in control.slabs() {
        check_slab(control, heap, slab).map_err(|invariant| Damage {
            address: slab.address(),
            invariant,
        })?;
        slabs += 1;
        granules += slab.granules();
    }
    let whole = |invariant| Damage {
        address: (&raw const *control).addr(),
        invariant,
    };
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
