//! The nvdimm region that a source is in, as sysfs describes it.

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::str::FromStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use allotment::source::{Source, SourceKind};

/// An nvdimm region: some modules, or parts of them, that are interleaved.
#[derive(Debug)]
pub(crate) struct Region {
    sysfs: PathBuf,
    directory: PathBuf,
    /// The device in it that the source is, or that its file system is on.
    device: PathBuf,
}

impl Region {
    /// The region of a source; none if that is not on an nvdimm, or nothing can be found out about it.
    pub(crate) fn of(source: &Source<'_>) -> Option<Region> {
        let mut status = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
        let status = unsafe {
            if libc::fstat(source.fd()?.as_raw_fd(), status.as_mut_ptr()) != 0 {
                return None;
            }
            status.assume_init()
        };
        let (class, number) = match source.kind() {
            SourceKind::DeviceDax => ("char", status.st_rdev),
            _ => ("block", status.st_dev),
        };
        Region::of_device(Path::new("/sys"), class, number)
    }

    fn of_device(sysfs: &Path, class: &str, number: libc::dev_t) -> Option<Region> {
        let (major, minor) = (libc::major(number), libc::minor(number));
        let link = sysfs.join(format!("dev/{class}/{major}:{minor}"));
        let device = fs::canonicalize(link).ok()?;
        let directory = device.ancestors().find(|directory| {
            let name = directory.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_prefix("region"));
            // CXL has regions, too.
            number.is_some_and(|number| number.parse::<u32>().is_ok())
                && fs::canonicalize(directory.join("subsystem"))
                    .is_ok_and(|subsystem| subsystem.ends_with("nd"))
        })?;
        Some(Region {
            sysfs: sysfs.to_owned(),
            directory: directory.to_owned(),
            device: device.clone(),
        })
    }

    /// The NUMA node that it is nearest to.
    pub(crate) fn numa_node(&self) -> Option<i32> {
        read(&self.directory.join("numa_node"))
    }

    /// The unique names of its modules, one after the other; none if they do not tell.
    pub(crate) fn modules_id(&self) -> Option<String> {
        let modules = self.modules()?;
        let ids = modules.iter().map(|module| {
            let id = fs::read_to_string(module.join("nfit/id")).ok()?;
            Some(id.trim().to_owned()).filter(|id| !id.is_empty())
        });
        ids.collect()
    }

    /// How often the modules lost power before they could save what they had, summed up.
    pub(crate) fn unsafe_shutdowns(&self) -> Option<u64> {
        let modules = self.modules()?;
        let counts = modules
            .iter()
            .map(|module| read::<u64>(&module.join("nfit/dirty_shutdown")));
        counts.sum()
    }

    /// The directories of its modules; at least one.
    fn modules(&self) -> Option<Vec<PathBuf>> {
        let names = (0..).map_while(|number| {
            let mapping = self.directory.join(format!("mapping{number}"));
            fs::read_to_string(mapping).ok()
        });
        // A line is: name, start, length, position.
        let modules: Vec<_> = names
            .filter_map(|line| {
                let name = line.split(',').next()?.trim();
                Some(self.sysfs.join("bus/nd/devices").join(name))
            })
            .collect();
        (!modules.is_empty()).then_some(modules)
    }

    /// The bad ranges of a Device DAX, in bytes from its start.
    ///
    /// # Errors
    /// If sysfs does not tell where it starts: that is for root alone.
    pub(crate) fn bad_ranges_of_device(&self, size: u64) -> Result<Vec<(u64, u64)>, Unreadable> {
        let bad = read_bad_ranges(&self.directory.join("badblocks"));
        if bad.is_empty() {
            return Ok(bad);
        }
        let start = |directory: &Path| read_address(&directory.join("resource")).ok_or(Unreadable);
        let offset = start(&self.device)?
            .checked_sub(start(&self.directory)?)
            .ok_or(Unreadable)?;
        Ok(cut(&bad, offset, size))
    }

    /// The bad ranges of the block device, in bytes from its start.
    pub(crate) fn bad_ranges_of_block_device(&self) -> Vec<(u64, u64)> {
        const SECTOR: u64 = 512;
        if !self.device.join("partition").exists() {
            return read_bad_ranges(&self.device.join("badblocks"));
        }
        // The list is the whole disk's.
        let disk = self.device.parent().unwrap_or(&self.device);
        let bad = read_bad_ranges(&disk.join("badblocks"));
        let sectors = |attribute: &str| read::<u64>(&self.device.join(attribute)).unwrap_or(0);
        cut(
            &bad,
            sectors("start").saturating_mul(SECTOR),
            sectors("size").saturating_mul(SECTOR),
        )
    }
}

/// What has to be known cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The parts of ranges that are in the `len` bytes at `offset`, counted from there.
pub(crate) fn cut(ranges: &[(u64, u64)], offset: u64, len: u64) -> Vec<(u64, u64)> {
    let end = offset.saturating_add(len);
    let parts = ranges.iter().filter_map(|&(start, len)| {
        let first = start.max(offset);
        let last = start.saturating_add(len).min(end);
        (first < last).then(|| (first - offset, last - first))
    });
    parts.collect()
}

/// A list of sectors and how many of them, in bytes; empty if there is none.
fn read_bad_ranges(path: &Path) -> Vec<(u64, u64)> {
    const SECTOR: u64 = 512;
    let text = fs::read_to_string(path).unwrap_or_default();
    let ranges = text.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(u64::from_str);
        let sector = numbers.next()?.ok()?;
        let count = numbers.next()?.ok()?;
        Some((sector.checked_mul(SECTOR)?, count.checked_mul(SECTOR)?))
    });
    ranges.collect()
}

fn read<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn read_address(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// Copies a text with a null byte behind it.
///
/// # Safety
/// `place` is valid for writes of one byte more than the text has.
pub(crate) unsafe fn copy_string(text: &str, place: *mut c_char) {
    // SAFETY: the condition.
    unsafe {
        place
            .cast::<u8>()
            .copy_from_nonoverlapping(text.as_ptr(), text.len());
        place.add(text.len()).write(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A region with two modules, and a block device with a partition, and a Device DAX in it.
    fn sysfs() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let region = "devices/ndbus0/region2";
        for (file, text) in [
            ("numa_node", "1\n"),
            ("mapping0", "nmem0,0,1073741824,0\n"),
            ("mapping1", "nmem1,0,1073741824,1\n"),
            ("resource", "0x240000000\n"),
            ("badblocks", "8 1\n4104 16\n"),
            ("pfn2.0/block/pmem2/badblocks", "0 1\n2050 4\n"),
            ("pfn2.0/block/pmem2/pmem2p1/partition", "1\n"),
            ("pfn2.0/block/pmem2/pmem2p1/start", "2048\n"),
            ("pfn2.0/block/pmem2/pmem2p1/size", "4\n"),
            ("dax2.1/dax2.1/resource", "0x240200000\n"),
        ] {
            write(&format!("{region}/{file}"), text);
        }
        for (module, id, count) in [("nmem0", "8089-a2", "3"), ("nmem1", "8089-a3", "4")] {
            write(&format!("bus/nd/devices/{module}/nfit/id"), id);
            write(
                &format!("bus/nd/devices/{module}/nfit/dirty_shutdown"),
                count,
            );
        }
        let link = |from: &str, to: &str| {
            let from = root.path().join(from);
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            symlink(root.path().join(to), from).unwrap();
        };
        link(&format!("{region}/subsystem"), "bus/nd");
        link("dev/block/259:0", &format!("{region}/pfn2.0/block/pmem2"));
        link(
            "dev/block/259:1",
            &format!("{region}/pfn2.0/block/pmem2/pmem2p1"),
        );
        link("dev/char/252:1", &format!("{region}/dax2.1/dax2.1"));
        write("devices/virtual/block/vda/size", "8\n");
        link("dev/block/254:0", "devices/virtual/block/vda");
        root
    }

    #[test]
    fn what_a_region_says() {
        let root = sysfs();
        let of = |class, major, minor| {
            Region::of_device(root.path(), class, libc::makedev(major, minor))
        };
        assert!(of("block", 254, 0).is_none());
        assert!(of("block", 1, 1).is_none());
        let disk = of("block", 259, 0).unwrap();
        assert_eq!(disk.numa_node(), Some(1));
        assert_eq!(disk.modules_id().as_deref(), Some("8089-a28089-a3"));
        assert_eq!(disk.unsafe_shutdowns(), Some(7));
        assert_eq!(
            disk.bad_ranges_of_block_device(),
            [(0, 512), (2050 * 512, 2048)]
        );
        let partition = of("block", 259, 1).unwrap();
        assert_eq!(partition.bad_ranges_of_block_device(), [(1024, 1024)]);
        let device = of("char", 252, 1).unwrap();
        assert_eq!(
            device.bad_ranges_of_device(1 << 20),
            Ok(vec![(8 * 512, 16 * 512)])
        );
        fs::remove_file(root.path().join("devices/ndbus0/region2/resource")).unwrap();
        assert_eq!(device.bad_ranges_of_device(1 << 20), Err(Unreadable));
        fs::remove_file(root.path().join("bus/nd/devices/nmem1/nfit/id")).unwrap();
        assert_eq!(disk.modules_id(), None);
    }

    #[test]
    fn parts_of_ranges() {
        let ranges = [(0, 10), (20, 10), (40, 10)];
        assert_eq!(cut(&ranges, 5, 20), [(0, 5), (15, 5)]);
        assert_eq!(cut(&ranges, 10, 10), []);
        assert_eq!(cut(&ranges, 45, u64::MAX), [(0, 5)]);
    }
}
