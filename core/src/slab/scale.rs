//! Figures that say how large a pool's parts are, not how they work. In the models they are small, so
//! that what can happen does so with a few slabs of a few objects.

use super::class::SLAB_GRANULE;

/// Whether there are large classes.
pub(crate) const IS_WIDE: bool = usize::BITS == 64 && !IS_MODELLED;

/// Fewer objects are not worth a slab.
pub(crate) const LEAST: usize = modelled_or(3, 12);

/// Descriptors of a chunk.
pub(crate) const CHUNK: usize = modelled_or(1, 31);

/// Entries of the first map at least, if the region may become longer.
pub(crate) const FIRST_ENTRIES: usize = modelled_or(1, 8192);

/// Bytes of empty slabs that a local heap of the smallest pools keeps.
pub(crate) const KEPT_AT_LEAST: usize = modelled_or(0, 4 * SLAB_GRANULE);

/// Empty slabs of so many bytes are kept though others are needed.
pub(crate) const KEPT_AT_ALL_EVENTS: usize = modelled_or(1, 32 * SLAB_GRANULE);

/// One in so many slabs that have got free objects again is for the pool to see to, which also has
/// other things to see to now and then.
pub(crate) const SEEN_BY_POOL: usize = modelled_or(2, 8);

/// How often who lacks memory looks whether others have put back the idle local heaps that they trim.
pub(crate) const LOOKS: usize = modelled_or(2, 1024);

const IS_MODELLED: bool = cfg!(all(test, loom));

const fn modelled_or(modelled: usize, shipped: usize) -> usize {
    if IS_MODELLED { modelled } else { shipped }
}
