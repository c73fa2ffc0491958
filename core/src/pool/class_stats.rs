//! Figures about the size classes of a pool's slabs.

use lock_api::RawMutex;

use super::Pool;
use super::control::Control;
use crate::slab::class::{CLASSES, TABLE};
use crate::sync::Ordering;

/// What a pool holds of one size class. Objects are counted as [`Pool::stats`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of an object.
    pub size: usize,
    /// Slabs of the class, of all local heaps.
    pub slabs: usize,
    /// Objects in them, in use or free.
    pub objects: usize,
    /// Objects in use.
    pub used_objects: usize,
}

impl<R: RawMutex> Pool<'_, R> {
    /// Calls `f` for each size class that has slabs, from the smallest on, with the lock not held.
    ///
    /// Takes time proportional to the number of slabs, while the lock is held.
    pub fn for_each_class(&self, f: impl FnMut(ClassStats)) {
        let control = self.control();
        let mut classes = [ClassStats::default(); CLASSES];
        self.with(|_| {
            for slab in control.slabs() {
                let owner = slab.owner.load(Ordering::Relaxed);
                if owner == 0 {
                    continue;
                }
                // SAFETY: a slab's owner is a local heap.
                let free = slab.all_free(unsafe { Control::local(owner) }.ready_of(slab));
                let number = slab.class.get() as usize;
                let class = &mut classes[number];
                class.size = TABLE[number].size;
                class.slabs += 1;
                class.objects += slab.count.get() as usize;
                class.used_objects += slab.count.get() as usize - free;
            }
        });
        classes.into_iter().filter(|c| c.slabs > 0).for_each(f);
    }
}
