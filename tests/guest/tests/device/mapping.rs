//! The mapping of a pool under a whole program.

use std::fs::{read_dir, read_link};
use std::os::unix::ffi::OsStrExt;
use std::ptr::NonNull;

use allotment::map::MapOptions;
use allotment::mapping::{ALIGNMENT, CopyPlace, FileKind, MapError, Mapping};
use allotment::path_buffer::PathBuffer;
use allotment_guest::place::Device;

/// Makes the device's first 4096 bytes begin like this and go on with zeros.
fn begin_with(device: &Device, bytes: &[u8]) {
    let map = MapOptions::new().open(&device.path).unwrap();
    // SAFETY: mapped until the end, and only this test uses the device now.
    unsafe {
        map.start().write_bytes(0, 4096);
        map.start()
            .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
    }
}

fn map(device: &Device, size: Option<usize>) -> Result<Mapping, MapError> {
    let path = PathBuffer::from_bytes(device.path.as_os_str().as_bytes()).unwrap();
    Mapping::file(&path, size)
}

fn bytes(mapping: &mut Mapping) -> &mut [u8] {
    // SAFETY: the committed part is mapped, and borrowed with the mapping.
    unsafe { core::slice::from_raw_parts_mut(mapping.start().as_ptr(), mapping.committed()) }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn the_device_is_mapped_whole_or_in_part() {
    let device = Device::from_environment();
    begin_with(&device, b"PMEMPOOL");
    let refused = |size| map(&device, size).unwrap_err().to_string();
    assert!(refused(None).starts_with("the device holds something other than a pool"));
    begin_with(&device, b"");
    let size = (5 << 20) + 1;
    let part = map(&device, Some(size)).unwrap();
    assert_eq!(part.capacity(), size.next_multiple_of(device.unit));
    drop(part);
    assert_eq!(
        refused(Some(device.size + 1)),
        "the device is smaller than the size asked for"
    );
    let mut whole = map(&device, None).unwrap();
    assert_eq!(whole.file_kind(), Some(FileKind::Device));
    assert_eq!(whole.capacity(), device.size);
    assert_eq!(whole.start().addr().get() % device.unit.max(ALIGNMENT), 0);
    whole.commit(device.size).unwrap();
    *bytes(&mut whole).last_mut().unwrap() = 7;
    assert!(!whole.is_zeroed());
    // SAFETY: nobody else uses the mapping.
    let released = unsafe { whole.release(whole.start().addr().get(), device.size) };
    assert_eq!((released, bytes(&mut whole).last()), (0, Some(&7)));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn the_device_has_one_user_as_long_as_it_is_mapped() {
    let device = Device::from_environment();
    begin_with(&device, b"");
    let first = map(&device, None).unwrap();
    assert!(map(&device, None).unwrap_err().is_device_in_use());
    let path = device.path.canonicalize().unwrap();
    for entry in read_dir("/proc/self/fd").unwrap().flatten() {
        if read_link(entry.path()).is_ok_and(|link| link == path) {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            // SAFETY: the descriptor is closed as a program might do it.
            unsafe { libc::close(number) };
        }
    }
    assert!(map(&device, None).unwrap_err().is_device_in_use());
    drop(first);
    assert!(map(&device, None).is_ok());
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_child_gets_its_own_copy_in_memory() {
    let device = Device::from_environment();
    begin_with(&device, b"");
    let mut mapping = map(&device, None).unwrap();
    let used = (5 << 20) + 4096;
    mapping.commit(used).unwrap();
    bytes(&mut mapping).fill(5);
    for withheld in [false, true] {
        assert!(mapping.withhold_from_children(withheld));
        // SAFETY: the child uses only this mapping and system calls, and ends by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: the child has one thread, whose stack is elsewhere.
            let detached = unsafe { mapping.detach_from_parent(used, CopyPlace::FileOrMemory) };
            let good = detached.is_ok()
                && mapping.is_anonymous()
                && bytes(&mut mapping).iter().all(|&byte| byte == 5);
            bytes(&mut mapping).fill(9);
            let good = good && mapping.commit(mapping.capacity()).is_ok();
            // SAFETY: ends the child without running the test harness's handlers.
            unsafe { libc::_exit(i32::from(!good)) };
        }
        let mut status = 0;
        // SAFETY: `status` is writable.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "withheld: {withheld}");
        assert!(bytes(&mut mapping).iter().all(|&byte| byte == 5));
    }
}
