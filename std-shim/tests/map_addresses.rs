//! Where files are mapped, and which part of them.

mod map_support;

use std::fs;
use std::path::Path;

use allotment::map::{FileMap, MapFileFailure, MapOptions};
use map_support::{is_mapped, is_second_run, run_again};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

fn sparse(directory: &Path, len: usize) -> FileMap {
    MapOptions::new()
        .create(len)
        .sparse(true)
        .temporary(true)
        .open(directory)
        .unwrap()
}

#[test]
fn aligned_for_huge_pages() {
    let directory = tempfile::tempdir().unwrap();
    for (len, alignment) in [
        (1, 2 * MIB),
        (4096, 2 * MIB),
        (2 * MIB, 2 * MIB),
        (GIB, 2 * MIB),
        (2 * GIB - 4096, 2 * MIB),
        (2 * GIB, GIB),
        (3 * GIB, GIB),
    ] {
        // Both at once, so that they don't get the same addresses.
        let maps = [sparse(directory.path(), len), sparse(directory.path(), len)];
        for map in &maps {
            assert_eq!(map.start().addr().get() % alignment, 0, "{len} bytes");
            assert_eq!(map.len(), len);
        }
    }
}

#[test]
fn a_fixed_address_comes_back_or_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let first = MapOptions::new().create(8192).open(&path).unwrap();
    let address = first.start().addr().get();
    let again = MapOptions::new().address(address);
    let error = again.open(&path).unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::AddressTaken(address));
    assert_eq!(error.os_error().0, libc::EEXIST);
    drop(first);
    assert_eq!(again.open(&path).unwrap().start().addr().get(), address);

    let error = MapOptions::new().address(address + 1).open(&path);
    let unaligned = MapFileFailure::Unaligned {
        what: "address",
        alignment: 4096,
    };
    assert_eq!(error.unwrap_err().failure(), unaligned);
    let beyond = usize::MAX & !4095;
    let error = MapOptions::new().address(beyond).open(&path).unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::AddressTaken(beyond));
}

#[test]
fn parts_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let content: Vec<u8> = (0..20_000_usize).map(|at| (at / 4096) as u8).collect();
    fs::write(&path, &content).unwrap();
    let first_byte = |options: MapOptions, len| {
        let map = options.open(&path).unwrap();
        assert_eq!(map.len(), len);
        // SAFETY: inside the map.
        unsafe { map.start().read() }
    };
    let options = MapOptions::new;
    assert_eq!(first_byte(options().offset(4096), 20_000 - 4096), 1);
    assert_eq!(first_byte(options().offset(8192).part(4096), 4096), 2);
    assert_eq!(first_byte(options().offset(16_384).part(100), 100), 4);
    assert_eq!(first_byte(options().part(1), 1), 0);
    // A part of what is created.
    let created = options().create(40_960).offset(36_864);
    assert_eq!(first_byte(created, 4096), 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), 40_960);

    let failure = |options: MapOptions| options.open(&path).unwrap_err().failure();
    let size = 40_960;
    assert_eq!(
        failure(options().offset(100)),
        MapFileFailure::Unaligned {
            what: "offset",
            alignment: 4096
        }
    );
    for beyond in [
        options().offset(size + 4096),
        options().offset(36_864).part(4097),
        options().part(usize::MAX),
        options().offset(usize::MAX & !4095),
    ] {
        assert_eq!(failure(beyond), MapFileFailure::BeyondEnd { size });
    }
    assert_eq!(failure(options().part(0)), MapFileFailure::Empty);
    assert_eq!(failure(options().offset(size)), MapFileFailure::Empty);
}

#[test]
fn the_hint_is_where_the_search_begins() {
    if !is_second_run() {
        run_again(
            "the_hint_is_where_the_search_begins",
            &[("PMEM_MMAP_HINT", "0x10000001000")],
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let maps = [4096, 4096, 2 * GIB].map(|len| sparse(directory.path(), len));
    let addresses = maps.each_ref().map(|map| map.start().addr().get());
    assert_eq!(
        addresses,
        [0x100_0020_0000, 0x100_0040_0000, 0x100_4000_0000]
    );
    let [first, ..] = maps;
    drop(first);
    assert!(!is_mapped(addresses[0], 1));
    let again = sparse(directory.path(), 4096);
    assert_eq!(again.start().addr().get(), addresses[0]);
}

#[test]
fn a_hint_that_is_no_number_is_ignored() {
    if !is_second_run() {
        for hint in ["zz", "", "ffffffffffffffff", "7fffffffffff"] {
            run_again(
                "a_hint_that_is_no_number_is_ignored",
                &[("PMEM_MMAP_HINT", hint)],
            );
        }
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let map = sparse(directory.path(), 4096);
    assert_eq!(map.start().addr().get() % (2 * MIB), 0);
}
