//! Pools on the device.

use std::fs::File;
use std::os::fd::AsFd;

use allotment::map::MapOptions;
use allotment::reservation::{self, Reservation};
use allotment::source::Source;
use allotment_guest::bytes::memory;
use allotment_guest::place::Device;
use allotment_guest::pool_workload;

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_pool_fills_the_device() {
    let device = Device::from_environment();
    let map = MapOptions::new().open(&device.path).unwrap();
    // SAFETY: mapped until the end, and only this test uses the device now.
    pool_workload::run(unsafe { memory(map.start(), map.len()) }, 3000);
    map.persist(0..1 << 20).unwrap();
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_pool_lies_on_maps_side_by_side() {
    let device = Device::from_environment();
    let file = File::options()
        .read(true)
        .write(true)
        .open(&device.path)
        .unwrap();
    let source = Source::from_fd(file.as_fd()).unwrap();
    let half = 16 << 20;
    let reservation = Reservation::aligned(3 * half, device.unit).unwrap();
    // The parts of the device the other way round, then memory without a file.
    let part = |offset| reservation::MapOptions::new().offset(offset).len(half);
    let maps = [
        part(half).map_into(&reservation, 0, &source).unwrap(),
        part(0).map_into(&reservation, half, &source).unwrap(),
        reservation::MapOptions::new()
            .map_into(&reservation, 2 * half, &Source::anonymous(half))
            .unwrap(),
    ];
    // SAFETY: mapped until the end, and only this test uses the device now.
    pool_workload::run(unsafe { memory(maps[0].start(), 3 * half) }, 3000);
}
