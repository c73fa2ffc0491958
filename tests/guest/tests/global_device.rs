//! A whole test program whose heap is a Device DAX.

use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::slice::from_raw_parts_mut;

use allotment::Allotment;

#[path = "../../../std-shim/tests/workload/mod.rs"]
#[expect(dead_code, reason = "a part of it takes long enough here")]
mod workload;

use workload::{layouts, threads};

/// What it takes of the device.
const SIZE: usize = 128 << 20;

#[global_allocator]
static ALLOCATOR: Allotment = Allotment::in_region_of(map_device);

/// Maps the device in `GUEST_DEVICE`; anonymous memory where the variable is not set, and the test is
/// ignored.
fn map_device() -> &'static mut [MaybeUninit<u8>] {
    // SAFETY: nobody changes the environment before `main`. The mapping is new, in a place of the
    // kernel's choice, and stays for ever.
    unsafe {
        let path = libc::getenv(c"GUEST_DEVICE".as_ptr());
        let (device, sharing) = if path.is_null() {
            (-1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)
        } else {
            (
                libc::open(path, libc::O_RDWR | libc::O_CLOEXEC),
                libc::MAP_SHARED,
            )
        };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(null_mut(), SIZE, access, sharing, device, 0);
        if start == libc::MAP_FAILED {
            libc::perror(c"cannot map the device".as_ptr());
            libc::abort();
        }
        libc::close(device);
        from_raw_parts_mut(start.cast(), SIZE)
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_program_lives_on_a_device() {
    let device = PathBuf::from(std::env::var_os("GUEST_DEVICE").expect("GUEST_DEVICE"));
    let device = device.canonicalize().expect("the device");
    let boxed = Box::new(7);
    let address = (&raw const *boxed).addr();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is there");
    let of_device = maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("two addresses");
        let number = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
        (number(start)..number(end)).contains(&address)
            && device.to_str().is_some_and(|device| rest.ends_with(device))
    });
    assert!(of_device, "{address:x} is not on {device:?}: {maps}");
    workload::churn(5, 500);
    layouts::alignment();
    threads::stress(4, 200);
    threads::short_lived(8);
    threads::thread_local_destructors();
    ALLOCATOR.check().expect("the heap is in order");
}
