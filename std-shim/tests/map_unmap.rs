//! Unmapping ranges of pages, and what is persistent memory.

mod map_support;

use std::ptr::with_exposed_provenance_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use allotment::map::{FileMap, MapOptions, WhyNotPmem, is_pmem, unmap, why_not_pmem};
use libc::{EINVAL, ENOMEM};
use map_support::{is_mapped, is_second_run, run_again};

const PAGE: usize = 4096;

/// So many pages of a file that nobody else has.
fn pages(number: usize) -> FileMap {
    MapOptions::new()
        .create(number * PAGE)
        .temporary(true)
        .open(std::env::temp_dir())
        .unwrap()
}

fn start(map: &FileMap) -> usize {
    map.start().as_ptr().expose_provenance()
}

/// What one test unmaps, another one may get: they run one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As C does it.
fn unmap_at(start: usize, len: usize) -> Result<(), i32> {
    // SAFETY: the tests use nothing that they unmap.
    unsafe { unmap(with_exposed_provenance_mut(start), len) }.map_err(|error| error.0)
}

#[test]
fn any_range_of_pages() {
    let _alone = alone();
    let (start, len) = {
        let (start, len) = pages(8).into_raw_parts();
        (start.as_ptr().expose_provenance(), len)
    };
    let mapped = || [0, 1, 2, 3, 4, 5, 6, 7].map(|page| is_mapped(start + page * PAGE, 1));
    assert_eq!(mapped(), [true; 8]);
    // One byte is a page: the middle, the beginning, the end, then all with its holes.
    unmap_at(start + 3 * PAGE, 1).unwrap();
    unmap_at(start, PAGE).unwrap();
    unmap_at(start + 6 * PAGE, PAGE + 1).unwrap();
    assert_eq!(
        mapped(),
        [false, true, true, false, true, true, false, false]
    );
    unmap_at(start, len).unwrap();
    assert_eq!(mapped(), [false; 8]);
    unmap_at(start, len).unwrap();
}

#[test]
fn what_cannot_be_unmapped() {
    let _alone = alone();
    let map = pages(2);
    let start = start(&map);
    for (address, len) in [
        (start + 1, PAGE),
        (start, 0),
        (start, usize::MAX),
        (start, usize::MAX / 2 + 1),
        (usize::MAX & !(PAGE - 1), 2 * PAGE),
    ] {
        assert_eq!(unmap_at(address, len), Err(EINVAL), "{address:#x} {len:#x}");
    }
    assert!(is_mapped(start, 2 * PAGE));
}

#[test]
fn a_value_unmaps_only_what_is_its_own() {
    let _alone = alone();
    let mut map = pages(4);
    let start = start(&map);
    // SAFETY: nobody uses the page.
    unsafe { map.unmap_range(PAGE..2 * PAGE) }.unwrap();
    assert!(is_mapped(start, PAGE) && !is_mapped(start + PAGE, 1));

    // Somebody else's page in the hole, with something in it.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let hole = with_exposed_provenance_mut(start + PAGE);
    // SAFETY: nothing is replaced.
    let other = unsafe { libc::mmap(hole, PAGE, access, flags, -1, 0) };
    assert_eq!(other, hole);
    let other = other.cast::<u8>();
    // SAFETY: just mapped.
    unsafe { other.write(77) };

    assert_eq!(map.persist(0..4 * PAGE).unwrap_err().0, ENOMEM);
    assert_eq!(map.flush(PAGE..PAGE + 1).unwrap_err().0, ENOMEM);
    map.persist(2 * PAGE..4 * PAGE).unwrap();
    // SAFETY: nobody uses the pages of the map.
    unsafe { map.unmap_range(0..3 * PAGE) }.unwrap();
    drop(map);
    assert!(!is_mapped(start, 1) && !is_mapped(start + 2 * PAGE, 1));
    // SAFETY: it is still mapped, as the read shows, and nobody else knows of it.
    unsafe {
        assert_eq!(other.read(), 77);
        libc::munmap(hole, PAGE);
    }
}

#[test]
fn ranges_outside_a_value_are_errors() {
    let _alone = alone();
    let mut map = pages(2);
    #[allow(clippy::reversed_empty_ranges, reason = "bad input is the test")]
    for range in [0..2 * PAGE + 1, 5..4, usize::MAX - 1..usize::MAX] {
        for result in [
            map.persist(range.clone()),
            map.flush(range.clone()),
            map.msync(range.clone()),
            map.deep_persist(range.clone()),
            // SAFETY: nothing is unmapped.
            unsafe { map.unmap_range(range.clone()) },
        ] {
            assert_eq!(result.unwrap_err().0, EINVAL, "{range:?}");
        }
    }
    // SAFETY: nothing is unmapped.
    unsafe {
        assert_eq!(map.unmap_range(1..PAGE).unwrap_err().0, EINVAL);
        assert_eq!(map.unmap_range(0..0).unwrap_err().0, EINVAL);
    }
    for empty in [0..0, 2 * PAGE..2 * PAGE] {
        map.persist(empty.clone()).unwrap();
        map.msync(empty).unwrap();
    }
    map.deep_persist(1..2 * PAGE).unwrap();
}

/// Whether a file here is persistent memory depends on the file system; that the answer and the
/// reason agree does not.
#[test]
fn no_comes_with_its_reason() {
    let _alone = alone();
    let map = pages(2);
    let address = map.start().as_ptr().cast_const();
    assert_eq!(map.is_pmem(), map.why_not_pmem().is_none());
    if let Some(reason) = map.why_not_pmem() {
        assert!(
            matches!(reason, WhyNotPmem::NotDax | WhyNotPmem::NoSync),
            "{reason}"
        );
    }
    assert_eq!(why_not_pmem(address, 0), Some(WhyNotPmem::Empty));
    let beyond = why_not_pmem(address, 2 * PAGE + 1);
    assert!(beyond.is_some());
    drop(map);
    assert_eq!(why_not_pmem(address, 1), Some(WhyNotPmem::NotMapped));
}

#[test]
fn the_environment_forces_the_answer() {
    let _alone = alone();
    const NAME: &str = "the_environment_forces_the_answer";
    if !is_second_run() {
        for force in ["0", "1", "x", "2"] {
            run_again(NAME, &[("PMEM_IS_PMEM_FORCE", force)]);
        }
        return;
    }
    let stack = 1_u8;
    let stack = &raw const stack;
    let map = pages(1);
    let null = core::ptr::null::<u8>();
    match std::env::var("PMEM_IS_PMEM_FORCE").unwrap().as_str() {
        "1" => {
            assert!(is_pmem(stack, 1) && is_pmem(null, 1) && map.is_pmem());
            assert!(!is_pmem(stack, 0));
            // Flushing suffices then.
            map.persist(0..PAGE).unwrap();
        }
        "2" => assert_eq!(why_not_pmem(stack, 1), Some(WhyNotPmem::NotMapped)),
        _ => {
            assert_eq!(why_not_pmem(stack, 1), Some(WhyNotPmem::Forced));
            assert_eq!(map.why_not_pmem(), Some(WhyNotPmem::Forced));
        }
    }
}
