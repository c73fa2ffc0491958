//! Kinds over files in a directory.

use std::alloc::Layout;
use std::ffi::CString;
use std::fs::read_dir;
use std::mem::MaybeUninit;
use std::path::Path;

use allotment::kind::{Fork, Kind, KindOptions, Policy};
use allotment_guest::address_space::descriptors;
use allotment_guest::child;
use allotment_guest::kind_workload::fill_twice;
use allotment_guest::place::Directory;

const MIB: usize = 1 << 20;

/// Free space of the file system, in bytes.
fn free_space(path: &Path) -> usize {
    let path = CString::new(path.to_str().expect("ASCII")).expect("no null byte");
    let mut status = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a null byte, and the result is writable.
    let status = unsafe {
        assert_eq!(libc::statvfs(path.as_ptr(), status.as_mut_ptr()), 0);
        status.assume_init()
    };
    (status.f_bfree * status.f_frsize) as usize
}

/// Waits until so many bytes are free: some file systems give the space of a closed file back a little later.
fn wait_for_space(path: &Path, bytes: usize) {
    for _ in 0..1000 {
        if free_space(path) >= bytes {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} of {bytes} bytes are free", free_space(path));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_kind_grows_in_the_directory_and_gives_its_space_back() {
    let directory = Directory::from_environment();
    let before = (descriptors(), free_space(&directory.path));
    let entries = || read_dir(&directory.path).expect("the directory").count();
    let names = entries();
    for (policy, limit, size) in [
        (Policy::Never, 64 * MIB, 100_000),
        (Policy::Conservative, 64 * MIB + 1, MIB),
        (Policy::Decay, 16 * MIB, 96),
    ] {
        let options = KindOptions::new().policy(policy);
        let kind = options.pmem(&directory.path, limit).expect("a kind");
        assert_eq!(entries(), names);
        let blocks = fill_twice(&kind, size);
        assert!(blocks * size * 10 >= limit * 9, "{blocks} of {size}");
        let purged = kind.purge();
        if policy == Policy::Never {
            assert!(purged > limit / 2, "{purged}");
        }
        wait_for_space(&directory.path, before.1 - 4 * MIB);
        // What went back can be had again.
        fill_twice(&kind, size);
    }
    wait_for_space(&directory.path, before.1 - MIB);
    assert_eq!(descriptors(), before.0);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_full_file_system_refuses_blocks_and_nothing_else() {
    let directory = Directory::from_environment();
    let free = free_space(&directory.path);
    let kind = Kind::pmem(&directory.path, 0).expect("a kind");
    let blocks = fill_twice(&kind, MIB);
    assert!(blocks * MIB * 10 >= free * 8, "{blocks} MiB of {free}");
    drop(kind);
    wait_for_space(&directory.path, free - MIB);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn children_share_copy_or_have_nothing() {
    let directory = Directory::from_environment();
    for fork in [Fork::Share, Fork::Snapshot, Fork::Unavailable] {
        let kind = KindOptions::new().fork(fork);
        let kind = kind.pmem(&directory.path, 16 * MIB).expect("a kind");
        let block = kind.allocate(Layout::new::<u64>()).expect("room");
        let word = block.cast::<u64>();
        // SAFETY: allocated just now.
        unsafe { word.write(1) };
        let status = child::run(|| {
            if fork != Fork::Unavailable {
                // SAFETY: the parent's, which waits, or a copy.
                unsafe { word.write(2) };
            }
            let is_served = kind.allocate(Layout::new::<[u64; 1000]>()).is_some();
            i32::from(is_served != (fork == Fork::Snapshot))
        });
        assert_eq!(status, 0, "{fork:?}");
        // SAFETY: as above.
        let seen = unsafe { word.read() };
        assert_eq!(seen, if fork == Fork::Share { 2 } else { 1 }, "{fork:?}");
        // SAFETY: allocated above.
        unsafe { kind.free(block) };
        fill_twice(&kind, MIB);
    }
}
