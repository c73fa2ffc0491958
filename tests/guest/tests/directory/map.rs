//! Mapping files, and unmapping parts of them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use allotment::map::{MapFileFailure, MapOptions, is_pmem, why_not_pmem};
use allotment::os_error::OsError;
use allotment_guest::address_space::{access, areas, descriptors, mapped};
use allotment_guest::bytes::{is_marked, mark};
use allotment_guest::place::{Dax, Directory};

const PAGE: usize = 4096;

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_file_is_created_and_says_whether_it_is_persistent_memory() {
    let directory = Directory::from_environment();
    let path = directory.path.join("created");
    let options = MapOptions::new().create(3 << 20).mode(0o640);
    let map = options.open(&path).unwrap();
    let status = path.metadata().unwrap();
    assert_eq!(status.len(), 3 << 20);
    assert!(status.blocks() * 512 >= 3 << 20, "space is allocated");
    assert_eq!(status.permissions().mode() & 0o137, 0);
    assert_eq!(map.len(), 3 << 20);
    assert_eq!(map.start().addr().get() % (2 << 20), 0);
    assert_eq!(map.why_not_pmem(), directory.why_not_pmem());
    assert_eq!(map.is_pmem(), directory.dax == Dax::Sync);
    assert_eq!(mapped(&path), (1, 3 << 20));
    assert_eq!(is_synced(&map), directory.dax == Dax::Sync);

    // SAFETY: mapped, and only this test knows of the file.
    unsafe { mark(map.start(), map.len(), 5) };
    map.persist(0..map.len()).unwrap();
    map.flush(3..5000).unwrap();
    map.msync(1..2).unwrap();
    map.deep_persist(PAGE..map.len()).unwrap();
    let start = map.start().as_ptr();
    drop(map);
    assert!(why_not_pmem(start, 1).is_some());

    let content = fs::read(&path).unwrap();
    assert!(content.iter().step_by(PAGE).all(|&byte| byte == 5));
    let map = MapOptions::new().open(&path).unwrap();
    // SAFETY: as above.
    assert!(unsafe { is_marked(map.start(), map.len(), 5) });
    drop(map);
    fs::remove_file(&path).unwrap();
}

/// Whether the kernel has the mapping as one with `MAP_SYNC`.
fn is_synced(map: &allotment::map::FileMap) -> bool {
    let start = map.start().addr().get();
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let lines = smaps.lines();
    let mut of_map = lines.skip_while(|line| !line.starts_with(&format!("{start:x}-")));
    let flags = of_map.find_map(|line| line.strip_prefix("VmFlags: "));
    flags.unwrap().split(' ').any(|flag| flag == "sf")
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn pages_are_unmapped_one_by_one() {
    let directory = Directory::from_environment();
    let path = directory.path.join("parts");
    // Its last page is not full.
    let len = 8 * PAGE - 1000;
    let mut map = MapOptions::new().create(len).open(&path).unwrap();
    let start = map.start();
    let pages = || -> String {
        let of_page = |number| {
            let address = start.as_ptr().wrapping_add(number * PAGE);
            match access(address.addr()..address.addr() + PAGE).as_str() {
                "none" => '_',
                _ if is_pmem(address, 1) => 'p',
                _ => 'm',
            }
        };
        let pages: String = (0..8).map(of_page).collect();
        pages.replace(if directory.dax == Dax::Sync { 'p' } else { 'm' }, "o")
    };
    assert_eq!(pages(), "oooooooo");
    // SAFETY: nobody uses the parts that are unmapped.
    unsafe {
        map.unmap_range(2 * PAGE..3 * PAGE + 1).unwrap();
        assert_eq!(pages(), "oo__oooo");
        map.unmap_range(7 * PAGE..len).unwrap();
        assert_eq!(pages(), "oo__ooo_");
        let error = map.unmap_range(1..PAGE).unwrap_err();
        assert_eq!(error, OsError(libc::EINVAL));
        map.unmap_range(0..4 * PAGE).unwrap();
    }
    assert_eq!(pages(), "____ooo_");
    let rest = why_not_pmem(start.as_ptr().wrapping_add(4 * PAGE), 3 * PAGE);
    assert_eq!(rest, directory.why_not_pmem());
    map.persist(4 * PAGE..7 * PAGE).unwrap();
    assert_eq!(map.persist(0..PAGE), Err(OsError(libc::ENOMEM)));
    drop(map);
    assert_eq!(mapped(&path), (0, 0));
    fs::remove_file(&path).unwrap();
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    let directory = Directory::from_environment();
    let path = directory.path.join("too-large");
    let large = MapOptions::new().create(4 << 30);
    let error = large.clone().exclusive(true).open(&path).unwrap_err();
    assert_eq!(
        error.failure(),
        MapFileFailure::Allocate(4 << 30, OsError(libc::ENOSPC))
    );
    assert!(!path.exists());
    assert!(error.to_string().contains("too-large"));

    // Space that is never touched is no space.
    let map = large.sparse(true).open(&path).unwrap();
    assert_eq!(map.start().addr().get() % (1 << 30), 0);
    assert_eq!(map.why_not_pmem(), directory.why_not_pmem());
    drop(map);
    fs::remove_file(&path).unwrap();
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_temporary_file_has_no_name() {
    let directory = Directory::from_environment();
    let count = || fs::read_dir(&directory.path).unwrap().count();
    let before = count();
    let temporary = MapOptions::new().create(1 << 20).temporary(true);
    let map = temporary.open(&directory.path).unwrap();
    assert_eq!(count(), before);
    assert_eq!(map.why_not_pmem(), directory.why_not_pmem());
    // SAFETY: mapped, and nobody else knows of the file.
    unsafe { mark(map.start(), map.len(), 1) };
    map.persist(0..map.len()).unwrap();
    let start = map.start().addr().get();
    let area = areas().into_iter().find(|area| area.range.start == start);
    assert!(area.unwrap().name.ends_with(" (deleted)"));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_part_of_a_file_is_mapped_at_an_address() {
    let directory = Directory::from_environment();
    let path = directory.path.join("part");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let whole = MapOptions::new().open(&path).unwrap();
    let part = MapOptions::new().offset(5 * PAGE).part(PAGE);
    let map = part.open(&path).unwrap();
    let address = map.start().addr().get();
    // SAFETY: both are mapped, and only this test knows of the file.
    unsafe {
        mark(map.start(), map.len(), 6);
        assert!(is_marked(whole.start().add(5 * PAGE), PAGE, 6));
        assert!(is_marked(whole.start(), 5 * PAGE, 0));
    }
    let again = part.address(address);
    let error = again.open(&path).unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::AddressTaken(address));
    drop(map);
    assert_eq!(again.open(&path).unwrap().start().addr().get(), address);
    fs::remove_file(&path).unwrap();
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn nothing_is_left_behind() {
    let directory = Directory::from_environment();
    let path = directory.path.join("again");
    let before = descriptors();
    for _ in 0..100 {
        let options = MapOptions::new().create(4 * PAGE);
        let mut map = options.open(&path).unwrap();
        // SAFETY: nobody uses it.
        unsafe { map.unmap_range(PAGE..2 * PAGE).unwrap() };
    }
    assert_eq!(mapped(&path), (0, 0));
    assert_eq!(descriptors(), before);
    fs::remove_file(&path).unwrap();
}
