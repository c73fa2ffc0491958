//! Free addresses at a multiple of 4 MiB or more.

use core::ptr::{null_mut, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment::os_error::OsError;

use crate::log::variable;

/// Pools begin at a multiple of this.
pub(crate) const ALIGNMENT: usize = 4 << 20;

/// Programs may map nothing below.
const LOWEST: usize = 1 << 16;

/// `PMEM_MMAP_HINT`: where the search begins; 0: wherever the kernel likes.
static HINT: AtomicUsize = AtomicUsize::new(0);

/// Reads the environment.
pub(crate) fn initialize() {
    let text = variable(c"PMEM_MMAP_HINT").unwrap_or_default();
    let text = core::str::from_utf8(text).unwrap_or_default().trim_ascii();
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    HINT.store(
        usize::from_str_radix(digits, 16).unwrap_or(0),
        Ordering::Relaxed,
    );
}

/// Reserves `len` bytes of addresses, a multiple of the page size, at a multiple of `alignment`.
pub(crate) fn reserve(len: usize, alignment: usize) -> Result<usize, OsError> {
    let hint = HINT.load(Ordering::Relaxed);
    if hint != 0
        && let Some(place) = first_gap(hint, len, alignment)
        && let Ok(found) = map_nothing(place, len, libc::MAP_FIXED_NOREPLACE)
    {
        if found == place {
            return Ok(found);
        }
        release(found, len);
    }
    let padded = len.checked_add(alignment).ok_or(OsError(libc::ENOMEM))?;
    let found = map_nothing(0, padded, 0)?;
    let start = found.next_multiple_of(alignment);
    release(found, start - found);
    release(start + len, found + padded - (start + len));
    Ok(start)
}

fn map_nothing(place: usize, len: usize, flags: i32) -> Result<usize, OsError> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags;
    let place = if place == 0 {
        null_mut()
    } else {
        with_exposed_provenance_mut(place)
    };
    // SAFETY: a new mapping that replaces none disturbs nobody.
    match unsafe { libc::mmap(place, len, libc::PROT_NONE, flags, -1, 0) } {
        libc::MAP_FAILED => Err(OsError::last()),
        found => Ok(found.expose_provenance()),
    }
}

/// Gives addresses back.
pub(crate) fn release(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: the addresses were reserved here, and nobody uses them any more.
        unsafe { libc::munmap(with_exposed_provenance_mut(start), len) };
    }
}

/// The first free addresses from `hint` on; none if `/proc` cannot be read.
fn first_gap(hint: usize, len: usize, alignment: usize) -> Option<usize> {
    let maps = std::fs::read(MAPS).ok()?;
    let mappings = maps.split(|&byte| byte == b'\n').filter_map(Area::parse);
    gap_between(
        mappings.map(|area| (area.start, area.end)),
        hint,
        len,
        alignment,
    )
}

/// Whether the child of a fork has some of these bytes in common with its parent, or, where they are in huge
/// pages, may find no page for a copy of its own (`SIGBUS`). Where `/proc` cannot be read, not.
pub(crate) fn is_shared(start: usize, len: usize) -> bool {
    let maps = std::fs::read(MAPS).unwrap_or_default();
    maps.split(|&byte| byte == b'\n')
        .filter_map(Area::parse)
        .any(|area| area.is_shared && area.start < start.saturating_add(len) && start < area.end)
}

const MAPS: &str = "/proc/self/maps";

/// What a line of `/proc/self/maps` says.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    start: usize,
    end: usize,
    is_shared: bool,
}

impl Area {
    fn parse(line: &[u8]) -> Option<Area> {
        let mut words = line.split(|&byte| byte == b' ');
        let (start, end) = core::str::from_utf8(words.next()?).ok()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let access = words.next()?;
        Some(Area {
            start: address(start)?,
            end: address(end)?,
            is_shared: access.ends_with(b"s") || words.any(|word| word == b"/anon_hugepage"),
        })
    }
}

fn gap_between(
    mappings: impl Iterator<Item = (usize, usize)>,
    hint: usize,
    len: usize,
    alignment: usize,
) -> Option<usize> {
    let mut place = hint.max(LOWEST).checked_next_multiple_of(alignment)?;
    for (start, end) in mappings {
        if place.checked_add(len)? <= start {
            break;
        }
        if end > place {
            place = end.checked_next_multiple_of(alignment)?;
        }
    }
    place.checked_add(len).map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_aligned_and_free() {
        for alignment in [ALIGNMENT, 1 << 30] {
            let place = reserve(14 << 20, alignment).unwrap();
            assert_eq!(place % alignment, 0);
            release(place, 14 << 20);
        }
        assert_eq!(
            reserve(usize::MAX & !4095, ALIGNMENT),
            Err(OsError(libc::ENOMEM))
        );
    }

    #[test]
    fn shared_memory_is_told_from_private() {
        let parse = |line: &str| Area::parse(line.as_bytes()).map(|area| area.is_shared);
        assert_eq!(parse("1000-2000 rw-p 00000000 00:00 0 "), Some(false));
        assert_eq!(
            parse("1000-2000 rw-s 00000000 00:01 3 /dev/zero (deleted)"),
            Some(true)
        );
        let huge = "1000-2000 rw-p 00000000 00:0f 3    /anon_hugepage (deleted)";
        assert_eq!(parse(huge), Some(true));
        assert_eq!(parse(""), None);
        let here = 0u8;
        assert!(!is_shared((&raw const here).addr(), 1));
    }

    #[test]
    fn gaps_are_long_enough() {
        let mappings = [(0x20_0000, 0x40_0000), (0x100_0000, 0x100_1000)];
        let gap = |hint, len| gap_between(mappings.into_iter(), hint, len, 0x40_0000);
        assert_eq!(gap(1, 0x40_0000), Some(0x40_0000));
        assert_eq!(gap(1, 0x100_0000), Some(0x140_0000));
        assert_eq!(gap(0x200_0000, 1), Some(0x200_0000));
        assert_eq!(gap(usize::MAX, 1), None);
    }
}
