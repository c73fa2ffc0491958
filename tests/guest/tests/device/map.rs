//! Mapping the device, or a part of it, and unmapping parts.

use std::os::unix::fs::symlink;
use std::ptr::{NonNull, null_mut};

use allotment::map::{MapFileFailure, MapOptions, WhyNotPmem, is_pmem, why_not_pmem};
use allotment::os_error::OsError;
use allotment_guest::address_space::{access, descriptors, mapped};
use allotment_guest::bytes::{is_marked, mark};
use allotment_guest::place::Device;

const PAGE: usize = 4096;

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn all_of_it_is_persistent_memory() {
    let device = Device::from_environment();
    let map = MapOptions::new().open(&device.path).unwrap();
    assert_eq!(map.len(), device.size);
    assert_eq!(map.start().addr().get() % (2 << 20), 0);
    assert_eq!(map.why_not_pmem(), None);
    assert_eq!(mapped(&device.path), (1, device.size));

    let start = map.start().as_ptr();
    assert!(is_pmem(start.wrapping_add(5), 12345));
    assert!(is_pmem(start.wrapping_add(map.len() - 1), 1));
    let beyond = why_not_pmem(start.wrapping_add(map.len() - 1), 2);
    assert_eq!(beyond, Some(WhyNotPmem::NotMapped));
    assert_eq!(why_not_pmem(start, 0), Some(WhyNotPmem::Empty));
    drop(map);
    assert_eq!(why_not_pmem(start, 1), Some(WhyNotPmem::NotMapped));
    assert_eq!(mapped(&device.path), (0, 0));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn memory_that_someone_else_mapped_is_not_known() {
    let device = Device::from_environment();
    let name = device.path.to_str().unwrap().to_owned() + "\0";
    // SAFETY: a new mapping, used only here.
    unsafe {
        let fd = libc::open(name.as_ptr().cast(), libc::O_RDWR);
        let start = libc::mmap(
            null_mut(),
            device.unit,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd,
            0,
        );
        libc::close(fd);
        assert_ne!(start, libc::MAP_FAILED);
        let reason = why_not_pmem(start.cast(), device.unit);
        assert_eq!(reason, Some(WhyNotPmem::NotMapped));
        libc::munmap(start, device.unit);
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn its_size_is_the_only_length_to_create() {
    let device = Device::from_environment();
    let exact = MapOptions::new().create(device.size).sparse(true);
    assert_eq!(exact.open(&device.path).unwrap().len(), device.size);
    for len in [
        PAGE,
        device.size - device.unit,
        device.size + device.unit,
        usize::MAX,
    ] {
        let error = MapOptions::new()
            .create(len)
            .open(&device.path)
            .unwrap_err();
        assert_eq!(error.os_error(), OsError(libc::EINVAL), "{len}: {error}");
    }
    for options in [
        exact.clone().exclusive(true),
        exact.clone().temporary(true),
        MapOptions::new().exclusive(true),
    ] {
        let error = options.open(&device.path).unwrap_err();
        assert_eq!(error.os_error(), OsError(libc::EINVAL), "{error}");
    }
    assert_eq!(mapped(&device.path), (0, 0));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_part_begins_and_ends_at_units() {
    let device = Device::from_environment();
    let unit = device.unit;
    let part = |offset, len| MapOptions::new().offset(offset).part(len);
    let map = part(unit, 3 * unit).open(&device.path).unwrap();
    assert_eq!(map.len(), 3 * unit);
    assert!(map.is_pmem());
    let whole = MapOptions::new().open(&device.path).unwrap();
    // SAFETY: both are mapped, and only this test uses the device now.
    unsafe {
        mark(map.start(), map.len(), 3);
        assert!(is_marked(whole.start().add(unit), 3 * unit, 3));
    }
    drop(map);

    let last = part(device.size - unit, unit).open(&device.path).unwrap();
    assert_eq!(last.len(), unit);
    drop(last);
    for (offset, len, what) in [
        (unit / 2, unit, "offset"),
        (1, unit, "offset"),
        (0, unit / 2, "length"),
        (unit, unit + 1, "length"),
    ] {
        let error = part(offset, len).open(&device.path).unwrap_err();
        let expected = MapFileFailure::Unaligned {
            what,
            alignment: unit,
        };
        assert_eq!(error.failure(), expected);
    }
    let error = part(device.size - unit, 2 * unit)
        .open(&device.path)
        .unwrap_err();
    let size = device.size;
    assert_eq!(error.failure(), MapFileFailure::BeyondEnd { size });
    let error = MapOptions::new()
        .offset(device.size)
        .open(&device.path)
        .unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::Empty);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn an_address_comes_back_if_it_is_free() {
    let device = Device::from_environment();
    let map = MapOptions::new().open(&device.path).unwrap();
    let address = map.start().addr().get();
    let again = MapOptions::new().address(address);
    let error = again.open(&device.path).unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::AddressTaken(address));
    drop(map);
    let map = again.open(&device.path).unwrap();
    assert_eq!(map.start().addr().get(), address);
    drop(map);
    let off = MapOptions::new().address(address + device.unit / 2);
    let error = off.open(&device.path).unwrap_err();
    let expected = if device.unit > PAGE {
        OsError(libc::EINVAL)
    } else {
        error.os_error()
    };
    assert_eq!(error.os_error(), expected, "{error}");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn content_outlives_the_mapping() {
    let device = Device::from_environment();
    let map = MapOptions::new().open(&device.path).unwrap();
    let (start, len) = (map.start(), map.len());
    // SAFETY: it is mapped, and only this test uses the device now.
    unsafe { mark(start, len, 7) };
    map.persist(0..1 << 20).unwrap();
    map.flush(5..1000).unwrap();
    map.deep_persist(len - device.unit..len).unwrap();
    map.deep_persist(7..7).unwrap();
    assert_eq!(map.msync(0..PAGE), Err(OsError(libc::EINVAL)));
    assert_eq!(map.persist(0..len + 1), Err(OsError(libc::EINVAL)));
    drop(map);
    let map = MapOptions::new().open(&device.path).unwrap();
    // SAFETY: as above.
    assert!(unsafe { is_marked(map.start(), len, 7) });
}

/// Which of the first eight units are mapped as persistent memory: `p`; mapped only: `m`; not
/// mapped: `_`.
fn units(start: NonNull<u8>, unit: usize) -> String {
    let of_unit = |number| {
        let address = start.as_ptr().wrapping_add(number * unit);
        match access(address.addr()..address.addr() + unit).as_str() {
            "none" => '_',
            _ if is_pmem(address, unit) => 'p',
            _ => 'm',
        }
    };
    (0..8).map(of_unit).collect()
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn units_are_unmapped_and_parts_of_units_are_not() {
    let device = Device::from_environment();
    let unit = device.unit;
    let mut map = MapOptions::new().open(&device.path).unwrap();
    let (start, len) = (map.start(), map.len());
    let rest = |from: usize| is_pmem(start.as_ptr().wrapping_add(from), len - from);
    let invalid = Err(OsError(libc::EINVAL));
    // SAFETY: nobody uses the parts that are unmapped.
    unsafe {
        if unit > PAGE {
            // What the kernel refuses stays known as what it is.
            assert_eq!(map.unmap_range(0..PAGE), invalid);
            assert_eq!(map.unmap_range(unit / 2..unit), invalid);
            assert_eq!(map.unmap_range(unit..2 * unit + 1), invalid);
        }
        assert_eq!(map.unmap_range(1..unit), invalid);
        assert_eq!(map.unmap_range(unit..unit), invalid);
        assert_eq!(map.unmap_range(0..len + unit), invalid);
        assert_eq!(units(start, unit), "pppppppp");
        assert!(map.is_pmem());

        map.unmap_range(2 * unit..4 * unit).unwrap();
        assert_eq!(units(start, unit), "pp__pppp");
        assert!(!map.is_pmem() && rest(4 * unit));
        assert_eq!(map.persist(0..3 * unit), Err(OsError(libc::ENOMEM)));
        map.persist(4 * unit..5 * unit).unwrap();

        // Over the hole, and the same once more.
        map.unmap_range(unit..5 * unit).unwrap();
        map.unmap_range(unit..5 * unit).unwrap();
        assert_eq!(units(start, unit), "p____ppp");
        map.unmap_range(0..unit).unwrap();
        map.unmap_range(len - unit..len).unwrap();
    }
    assert_eq!(units(start, unit), "_____ppp");
    assert_eq!(mapped(&device.path), (1, len - 6 * unit));
    drop(map);
    assert_eq!(mapped(&device.path), (0, 0));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn links_lead_to_it_and_other_devices_are_refused() {
    let device = Device::from_environment();
    let link = std::env::temp_dir().join("link-to-device");
    symlink(&device.path, &link).unwrap();
    let opened = MapOptions::new().open(&link);
    std::fs::remove_file(&link).unwrap();
    assert!(opened.unwrap().is_pmem());
    for other in ["/dev/zero", "/dev/null"] {
        let error = MapOptions::new().open(other).unwrap_err();
        assert_eq!(error.failure(), MapFileFailure::NotMappable);
        assert_eq!(error.os_error(), OsError(libc::EINVAL));
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn nothing_is_left_behind() {
    let device = Device::from_environment();
    let before = descriptors();
    for _ in 0..100 {
        let mut map = MapOptions::new().open(&device.path).unwrap();
        // SAFETY: nobody uses it.
        unsafe { map.unmap_range(device.unit..2 * device.unit).unwrap() };
    }
    assert_eq!(mapped(&device.path), (0, 0));
    assert_eq!(descriptors(), before);
}
