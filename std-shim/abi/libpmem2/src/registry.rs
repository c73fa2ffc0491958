//! All maps of the process, by address, behind one lock.
//!
//! A map is looked up only under the lock, and deleted under it, so that a search in a reservation never meets
//! a map half-way gone.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use allotment::reservation::ReservedMap;

use crate::code;
use crate::failure::{Failure, Outcome};
use crate::map::Pmem2Map;

/// The end of each map's content and its handle, by its start. They do not overlap, and none is empty.
type Maps = BTreeMap<usize, (usize, Registered)>;

static MAPS: RwLock<Maps> = RwLock::new(BTreeMap::new());

/// A handle's address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Registered(*mut Pmem2Map);

// SAFETY: only compared and handed back to the program, whose handles are for any thread.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

fn read() -> RwLockReadGuard<'static, Maps> {
    MAPS.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Maps> {
    MAPS.write().unwrap_or_else(PoisonError::into_inner)
}

/// The part of the first map that overlaps `len` bytes at `start`; for 0 bytes, of the map that the address is in.
fn overlap(maps: &Maps, start: usize, len: usize) -> Option<(usize, usize)> {
    let end = start.saturating_add(len.max(1));
    let before = maps.range(..=start).next_back();
    let before = before.filter(|&(_, &(its_end, _))| its_end > start);
    let found = before.or_else(|| maps.range(start..end).next());
    found.map(|(&its_start, &(its_end, _))| (its_start.max(start), its_end.min(end)))
}

/// Adds a map. One of no bytes is in nobody's way, so there is nothing to add.
///
/// # Errors
/// `PMEM2_E_MAP_EXISTS` if a map is registered there.
pub(crate) fn add(start: usize, len: usize, map: *mut Pmem2Map) -> Outcome {
    let mut maps = write();
    if overlap(&maps, start, len).is_some() {
        return Err(Failure::new(
            code::MAP_EXISTS,
            format_args!("a map is registered already in the {len} bytes from {start:#x}"),
        ));
    }
    if len > 0 {
        maps.insert(start, (start.saturating_add(len), Registered(map)));
    }
    Ok(())
}

/// Removes a map, after `unmap` succeeded, and nobody finds it meanwhile.
///
/// # Errors
/// `PMEM2_E_MAPPING_NOT_FOUND` if it is not registered.
pub(crate) fn remove(
    start: usize,
    len: usize,
    map: *mut Pmem2Map,
    unmap: impl FnOnce() -> Outcome,
) -> Outcome {
    let mut maps = write();
    if len > 0 && maps.get(&start).map(|&(_, found)| found) != Some(Registered(map)) {
        return Err(Failure::new(
            code::MAPPING_NOT_FOUND,
            "the map is not registered",
        ));
    }
    unmap()?;
    if len > 0 {
        maps.remove(&start);
    }
    Ok(())
}

/// Looks for a map in a reservation, and finds the program's handle to it.
pub(crate) fn handle_of(
    look: impl FnOnce() -> Outcome<Option<ReservedMap>>,
) -> Outcome<Option<*mut Pmem2Map>> {
    let maps = read();
    let found = look()?;
    // One that is not registered yet does not count as mapped yet.
    Ok(found
        .and_then(|map| maps.get(&map.start().addr().get()))
        .map(|&(_, Registered(map))| map))
}

/// The parts of registered maps that overlap a range, one after the other.
pub(crate) fn registered_parts(start: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = start.saturating_add(len);
    let mut at = start;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (part, part_end) = overlap(&read(), at, end - at)?;
        at = part_end;
        Some((part, part_end - part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::without_provenance_mut;

    #[test]
    fn maps_do_not_overlap() {
        // No real map is there.
        let base = usize::MAX - 100_000;
        let handle = |n: usize| without_provenance_mut::<Pmem2Map>(n);
        add(base + 100, 50, handle(1)).unwrap();
        add(base + 150, 20, handle(2)).unwrap();
        for (start, len) in [(100, 1), (90, 11), (149, 0), (120, 5), (0, 1000), (150, 0)] {
            assert!(add(base + start, len, handle(3)).is_err(), "{start} {len}");
        }
        add(base + 90, 10, handle(4)).unwrap();
        add(base + 200, usize::MAX, handle(5)).unwrap();
        let parts: Vec<_> = registered_parts(base + 95, 60).collect();
        assert_eq!(parts, [(base + 95, 5), (base + 100, 50), (base + 150, 5)]);
        assert_eq!(registered_parts(base, 90).count(), 0);

        assert!(remove(base + 100, 50, handle(9), || Ok(())).is_err());
        let refused = remove(base + 100, 50, handle(1), || Err(Failure::new(-5, "")));
        assert_eq!(refused.unwrap_err().code(), -5);
        for (start, number) in [(100, 1), (150, 2), (90, 4), (200, 5)] {
            remove(base + start, 1, handle(number), || Ok(())).unwrap();
        }
        assert!(remove(base + 100, 50, handle(1), || Ok(())).is_err());
    }

    #[test]
    fn a_map_of_no_bytes_is_in_nobodys_way() {
        let base = usize::MAX - 200_000;
        let handle = |n: usize| without_provenance_mut::<Pmem2Map>(n);
        add(base + 50, 0, handle(1)).unwrap();
        add(base + 50, 0, handle(2)).unwrap();
        add(base, 100, handle(3)).unwrap();
        for (start, len, number) in [(50, 0, 1), (0, 100, 3), (50, 0, 2)] {
            remove(base + start, len, handle(number), || Ok(())).unwrap();
        }
    }
}
