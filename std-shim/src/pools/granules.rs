//! The map from addresses to the numbers of pools.
//!
//! ```text
//! address   root: 4 GiB each                   leaf: 2 MiB each
//! 47     32 31        21 20       0
//! [ root   ][ leaf     ][          ]
//!     |          '----------------------------> number + 1, 0 if there is none
//!     '---> a leaf, or a pool's number, if it has all of the 4 GiB
//! ```
//!
//! It is changed under the registry's lock, and read at any time. Leaves are never given back.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// Binary logarithms of the addresses that a leaf's entry and a root's stand for.
const LEAF_ENTRY: u32 = 21;
const ROOT_ENTRY: u32 = 32;

/// Addresses of user space have so many bits, but for those that a program asks for with a hint.
const ADDRESS_BITS: u32 = 48;

const LEAF_ENTRIES: usize = 1 << (ROOT_ENTRY - LEAF_ENTRY);
const ROOT_ENTRIES: usize = 1 << (ADDRESS_BITS - ROOT_ENTRY);

/// Numbers are below this.
pub(super) const MOST_NUMBERS: usize = 1 << 16;

type Leaf = [AtomicU32; LEAF_ENTRIES];

/// 0; a leaf's address; or twice a number, plus one.
static ROOT: [AtomicUsize; ROOT_ENTRIES] = [const { AtomicUsize::new(0) }; ROOT_ENTRIES];

/// Whether two pools ever had addresses in one granule.
static SHARED: AtomicBool = AtomicBool::new(false);

/// Whether an entry may name one pool of several.
pub(super) fn are_shared() -> bool {
    SHARED.load(Ordering::Acquire)
}

fn split(address: u64) -> (usize, usize) {
    let root = address >> ROOT_ENTRY;
    let leaf = address >> LEAF_ENTRY & (LEAF_ENTRIES as u64 - 1);
    (root as usize, leaf as usize)
}

/// A pool that has addresses in the granule of this address.
#[inline]
pub(super) fn number_at(address: usize) -> Option<usize> {
    let (root, leaf) = split(address as u64);
    let entry = ROOT.get(root)?.load(Ordering::Acquire);
    if entry == 0 {
        return None;
    }
    if entry & 1 == 1 {
        return Some(entry >> 1);
    }
    let leaves = core::ptr::with_exposed_provenance::<Leaf>(entry);
    // SAFETY: leaves are never given back.
    let number = unsafe { &*leaves }[leaf].load(Ordering::Acquire);
    (number as usize).checked_sub(1)
}

/// The same range, rounded to whole granules.
pub(super) fn around(range: &Range<usize>) -> Range<usize> {
    let granule = 1usize << LEAF_ENTRY;
    let start = range.start & !(granule - 1);
    let end = range.end.saturating_add(granule - 1) & !(granule - 1);
    start..end.max(range.end)
}

/// Calls `whole` for root entries that a range fills, and `part` for entries of leaves, with their
/// addresses.
fn for_each(
    range: &Range<usize>,
    mut whole: impl FnMut(&AtomicUsize) -> bool,
    mut part: impl FnMut(&AtomicUsize, usize, Range<usize>),
) {
    let (mut at, end) = (range.start as u64 >> LEAF_ENTRY, range.end as u64);
    let last = end.saturating_sub(1) >> LEAF_ENTRY;
    let per_root = LEAF_ENTRIES as u64;
    while at <= last && range.start < range.end {
        let (root, leaf) = split(at << LEAF_ENTRY);
        let Some(entry) = ROOT.get(root) else {
            return;
        };
        let fills = range.start as u64 <= at << LEAF_ENTRY && (at + per_root) << LEAF_ENTRY <= end;
        if leaf == 0 && fills && whole(entry) {
            at += per_root;
        } else {
            let start = (at << LEAF_ENTRY) as usize;
            part(entry, leaf, start..start.saturating_add(1 << LEAF_ENTRY));
            at += 1;
        }
    }
}

/// The leaf of a root entry, which gets one if it has none. Not if a pool has all of it.
fn leaf_of(entry: &AtomicUsize) -> Option<&'static Leaf> {
    match entry.load(Ordering::Relaxed) {
        0 => {
            let leaf: &'static Leaf =
                Box::leak(Box::new([const { AtomicU32::new(0) }; LEAF_ENTRIES]));
            let address = (&raw const *leaf).expose_provenance();
            entry.store(address, Ordering::Release);
            Some(leaf)
        }
        number if number & 1 == 1 => None,
        // SAFETY: leaves are never given back.
        address => Some(unsafe { &*core::ptr::with_exposed_provenance::<Leaf>(address) }),
    }
}

/// Enters a pool wherever nothing is entered.
pub(super) fn insert(range: &Range<usize>, number: usize) {
    let tag = number << 1 | 1;
    for_each(
        range,
        |entry| {
            let now = entry.load(Ordering::Relaxed);
            if now == 0 {
                entry.store(tag, Ordering::Release);
            } else if now & 1 == 1 && now != tag {
                SHARED.store(true, Ordering::Release);
            }
            now & 1 == 1 || now == 0
        },
        |entry, index, _| match leaf_of(entry) {
            Some(leaf) => {
                let number = number as u32 + 1;
                match leaf[index].load(Ordering::Relaxed) {
                    0 => leaf[index].store(number, Ordering::Release),
                    now if now != number => SHARED.store(true, Ordering::Release),
                    _ => {}
                }
            }
            None => SHARED.store(true, Ordering::Release),
        },
    );
}

/// Takes a pool out. In the granules of its edges, one of the `others` takes its place in one step, so that
/// it is found at any time.
pub(super) fn remove(range: &Range<usize>, number: usize, others: &[(Range<usize>, usize)]) {
    let instead = |granule: Range<usize>| {
        let other = others
            .iter()
            .find(|(range, _)| range.start < granule.end && granule.start < range.end);
        other.map_or(0, |&(_, number)| number as u32 + 1)
    };
    let tag = number << 1 | 1;
    for_each(
        range,
        |entry| {
            let now = entry.load(Ordering::Relaxed);
            if now == tag {
                entry.store(0, Ordering::Release);
            }
            now == 0 || now & 1 == 1
        },
        |entry, index, granule| {
            let now = entry.load(Ordering::Relaxed);
            if now != 0
                && now & 1 == 0
                && let Some(leaf) = leaf_of(entry)
                && leaf[index].load(Ordering::Relaxed) == number as u32 + 1
            {
                leaf[index].store(instead(granule), Ordering::Release);
            }
        },
    );
}
