//! Figures about the size classes of a pool's slabs.

use lock_api::RawMutex;

use super::Pool;
use crate::slab::class::CLASSES;

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
            control.for_each_slab(|slab, used| {
                let class = &mut classes[slab.class.get() as usize];
                class.size = slab.class().size;
                class.slabs += 1;
                class.objects += slab.count.get() as usize;
                class.used_objects += used;
            });
        });
        classes.into_iter().filter(|c| c.slabs > 0).for_each(f);
    }
}
