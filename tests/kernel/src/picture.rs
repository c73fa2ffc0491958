//! The pool's figures, and what its memory looks like.

use crate::allocator::pool;
use crate::port::line;

/// Places in the picture.
const PLACES: usize = 64;

/// Prints statistics, the size classes, and one character for each part of the region.
pub(crate) fn print() {
    let stats = pool().stats();
    line!(
        "region {} KiB, used {} KiB in {} blocks, free {} KiB, own {} KiB, peak {} KiB",
        stats.region_bytes >> 10,
        stats.used_bytes >> 10,
        stats.live_blocks,
        stats.free_bytes >> 10,
        stats.overhead_bytes >> 10,
        stats.peak_bytes >> 10,
    );
    line!(
        "{} allocations, {} deallocations, {} reallocations, {} failures",
        stats.allocations,
        stats.deallocations,
        stats.reallocations,
        stats.failures,
    );
    line!("  size  slabs  objects   used");
    pool().for_each_class(|class| {
        line!(
            "{:6} {:6} {:8} {:6}",
            class.size,
            class.slabs,
            class.objects,
            class.used_objects
        );
    });

    // The pool is locked while its blocks are shown, so they are only counted there.
    let part = stats.region_bytes.div_ceil(PLACES);
    let mut used = [0; PLACES];
    pool().for_each_block(|block| {
        let mut at = block.address - crate::memory::HEAP;
        let end = at + block.size;
        while block.used && at < end {
            let place = at / part;
            let next = end.min((place + 1) * part);
            used[place.min(PLACES - 1)] += next - at;
            at = next;
        }
    });
    let picture = used.map(|used| match used * 8 / part {
        0 if used == 0 => b'.',
        0..4 => b'-',
        4..8 => b'+',
        _ => b'#',
    });
    line!(
        "[{}] each {} KiB; . free, - and + in part, # full",
        core::str::from_utf8(&picture).expect("they are ASCII"),
        part >> 10,
    );
}
