//! Kinds over the device.

use std::alloc::Layout;
use std::path::Path;

use allotment::kind::{Fork, Kind, KindOptions, detect};
use allotment::os_error::OsError;
use allotment_guest::address_space::{descriptors, mapped};
use allotment_guest::child;
use allotment_guest::kind_workload::fill_twice;
use allotment_guest::place::Device;

const MIB: usize = 1 << 20;

fn error_of(kind: Result<Kind, allotment::kind::KindError>) -> OsError {
    kind.expect_err("refused").os_error()
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_kind_takes_the_device_and_gives_it_back() {
    let device = Device::from_environment();
    let before = descriptors();
    // All of it; a number of its units; no number of pages.
    for (limit, size) in [
        (0, MIB),
        (32 * device.unit.max(MIB), 100_000),
        (MIB * 16 + 1, 96),
    ] {
        let capacity = if limit == 0 { device.size } else { limit };
        for _ in 0..2 {
            let kind = Kind::pmem(&device.path, limit).expect("a kind");
            assert!(kind.is_on_device() && kind.descriptor().is_some());
            assert_eq!(kind.capacity(), capacity);
            assert_eq!(mapped(&device.path), (1, device.size));
            let blocks = fill_twice(&kind, size);
            assert!(blocks * size * 10 >= capacity * 9, "{blocks} of {size}");
            // What was there before is not to be seen.
            let zeroed = kind.allocate_zeroed(Layout::new::<[u64; 100_000]>());
            let zeroed = zeroed.expect("room").cast::<[u64; 100_000]>();
            // SAFETY: allocated just now, with zeros.
            assert!(unsafe { zeroed.as_ref() }.iter().all(|&word| word == 0));
            assert_eq!(detect(zeroed.as_ptr()), Some(kind.id()));
            drop(kind);
            assert_eq!(detect(zeroed.as_ptr()), None);
            assert_eq!(mapped(&device.path), (0, 0));
        }
    }
    assert_eq!(descriptors(), before);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn large_alignments_hold_on_the_device() {
    let device = Device::from_environment();
    let kind = Kind::pmem(&device.path, 64 * MIB).expect("a kind");
    for shift in 4..=25 {
        let layout = Layout::from_size_align(64 << 10, 1 << shift).expect("a layout");
        let block = kind.allocate(layout).expect("room");
        assert_eq!(block.addr().get() % (1 << shift), 0);
        // SAFETY: allocated just now.
        unsafe { kind.free(block) };
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn what_cannot_be_served_is_refused() {
    let device = Device::from_environment();
    let kind = Kind::pmem(&device.path, 0).expect("a kind");
    let block = kind.allocate(Layout::new::<u64>()).expect("room");
    // SAFETY: allocated just now.
    unsafe { block.cast::<u64>().write(7) };
    // Two pools would lie in the same memory, in this process or another.
    assert_eq!(error_of(Kind::pmem(&device.path, 0)), OsError(libc::EBUSY));
    let status = child::run(|| {
        let other = Kind::pmem(&device.path, 0);
        i32::from(error_of(other) != OsError(libc::EBUSY))
    });
    assert_eq!(status, 0);
    // SAFETY: written above.
    assert_eq!(unsafe { block.cast::<u64>().read() }, 7);
    drop(kind);
    let snapshot = KindOptions::new().fork(Fork::Snapshot);
    let error = error_of(snapshot.pmem(&device.path, 0));
    assert_eq!(error, OsError(libc::EOPNOTSUPP));
    // Not the errors of a directory: they are character devices, but no Device DAX.
    let error = error_of(Kind::pmem(Path::new("/dev/zero"), 0));
    assert_eq!(error, OsError(libc::EINVAL));
    drop(Kind::pmem(&device.path, 0).expect("what was refused left nothing"));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn children_share_the_device_or_have_none_of_it() {
    let device = Device::from_environment();
    for fork in [Fork::Share, Fork::Unavailable] {
        let kind = KindOptions::new().fork(fork).pmem(&device.path, 0);
        let kind = kind.expect("a kind");
        let block = kind.allocate(Layout::new::<u64>()).expect("room");
        let word = block.cast::<u64>();
        // SAFETY: allocated just now.
        unsafe { word.write(1) };
        let status = child::run(|| {
            let is_there = mapped(&device.path).0 == 1;
            if is_there {
                // SAFETY: the parent's, which waits.
                unsafe { word.write(2) };
            }
            let is_refused = kind.allocate(Layout::new::<u64>()).is_none();
            i32::from(is_there != (fork == Fork::Share) || !is_refused)
        });
        assert_eq!(status, 0, "{fork:?}");
        // SAFETY: as above.
        let seen = unsafe { word.read() };
        assert_eq!(seen, if fork == Fork::Share { 2 } else { 1 });
        // SAFETY: allocated above.
        unsafe { kind.free(block) };
        fill_twice(&kind, 1 << 20);
    }
}
