//! What the guest's session says about the device or the file system under test.

use std::env;
use std::fs::read_to_string;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use allotment::map::WhyNotPmem;
use allotment::reservation::Granularity;

/// A Device DAX.
#[derive(Clone, Debug)]
pub struct Device {
    /// A path to it: a symbolic link.
    pub path: PathBuf,
    /// The unit of its mappings, in bytes.
    pub unit: usize,
    /// Bytes, as the kernel says.
    pub size: usize,
    /// Whether it is on an NVDIMM bus.
    pub is_nvdimm: bool,
}

impl Device {
    /// The device in `GUEST_DEVICE`, `GUEST_ALIGNMENT` and `GUEST_BUS`.
    ///
    /// # Panics
    /// If one of them is not set or makes no sense.
    #[must_use]
    pub fn from_environment() -> Device {
        let path = PathBuf::from(variable("GUEST_DEVICE"));
        let number = path.metadata().expect("the device").rdev();
        let (major, minor) = (libc::major(number), libc::minor(number));
        let size = read_to_string(format!("/sys/dev/char/{major}:{minor}/size"));
        Device {
            path,
            unit: variable("GUEST_ALIGNMENT").parse().expect("bytes"),
            size: size.expect("sysfs").trim_end().parse().expect("bytes"),
            is_nvdimm: variable("GUEST_BUS") == "nvdimm",
        }
    }
}

/// How the file system under test keeps its files' pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dax {
    /// They are the device's memory, and `MAP_SYNC` is offered.
    Sync,
    /// They are the device's memory, and `MAP_SYNC` is not offered.
    NoSync,
    /// In the page cache.
    No,
}

/// A directory on the file system under test.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Its path.
    pub path: PathBuf,
    /// What the file system is mounted with.
    pub dax: Dax,
}

impl Directory {
    /// The directory in `GUEST_DIRECTORY`, with `GUEST_DAX` being `sync`, `nosync` or `no`.
    ///
    /// # Panics
    /// If one of them is not set or makes no sense.
    #[must_use]
    pub fn from_environment() -> Directory {
        Directory {
            path: variable("GUEST_DIRECTORY").into(),
            dax: match variable("GUEST_DAX").as_str() {
                "sync" => Dax::Sync,
                "nosync" => Dax::NoSync,
                "no" => Dax::No,
                other => panic!("GUEST_DAX: {other}"),
            },
        }
    }

    /// What a file there should say when asked whether it is persistent memory.
    #[must_use]
    pub fn why_not_pmem(&self) -> Option<WhyNotPmem> {
        match self.dax {
            Dax::Sync => None,
            Dax::NoSync => Some(WhyNotPmem::NoSync),
            Dax::No => Some(WhyNotPmem::NotDax),
        }
    }

    /// The finest granularity that a shared file there can have.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        match self.dax {
            Dax::Sync => of_persistent_memory(),
            Dax::NoSync | Dax::No => Granularity::Page,
        }
    }
}

/// Whether the guest's platform says that it flushes CPU caches when power fails: `GUEST_EADR`, 1 or 0.
///
/// # Panics
/// If it is not set.
#[must_use]
pub fn has_auto_flush() -> bool {
    variable("GUEST_EADR") == "1"
}

/// The granularity of stores to persistent memory in this guest.
#[must_use]
pub fn of_persistent_memory() -> Granularity {
    if has_auto_flush() {
        Granularity::Byte
    } else {
        Granularity::CacheLine
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
