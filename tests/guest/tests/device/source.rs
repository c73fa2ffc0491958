//! What a source says about the device.

use std::fs::OpenOptions;
use std::os::fd::AsFd;

use allotment::persist::{self, CacheFlush, auto_flush};
use allotment::source::{Source, SourceError, SourceKind};
use allotment_guest::place::{Device, has_auto_flush};

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_device_is_known_by_its_descriptor() {
    let device = Device::from_environment();
    let file = OpenOptions::new().read(true).open(&device.path).unwrap();
    let source = Source::from_fd(file.as_fd()).unwrap();
    assert_eq!(source.kind(), SourceKind::DeviceDax);
    assert_eq!(source.size(), Ok(device.size));
    assert_eq!(source.alignment(), Ok(device.unit));
    assert_eq!(source.supports_sync(), Ok(true));
    let dax = source.device_dax().unwrap();
    assert_eq!(dax.nvdimm_region().is_some(), device.is_nvdimm);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn other_devices_and_write_only_descriptors_are_refused() {
    let device = Device::from_environment();
    let file = OpenOptions::new().write(true).open(&device.path).unwrap();
    let error = Source::from_fd(file.as_fd()).unwrap_err();
    assert_eq!(error, SourceError::NotReadable);
    let zero = OpenOptions::new().read(true).open("/dev/zero").unwrap();
    let error = Source::from_fd(zero.as_fd()).unwrap_err();
    assert_eq!(error, SourceError::OtherType);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn the_platform_flushes_caches_or_does_not() {
    assert_eq!(auto_flush::detect(), Ok(has_auto_flush()));
    let expected = if has_auto_flush() {
        CacheFlush::Unneeded
    } else {
        CacheFlush::Needed
    };
    assert_eq!(persist::cache_flush(), expected);
}
