//! A Device DAX as sysfs describes it, on whatever bus the memory is: an nvdimm, hmem (HBM, soft
//! reserved memory) or CXL.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::sysfs::{self, CharacterDevice, SYSFS};
use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;

/// A character device of the subsystem `dax`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDax {
    /// Where sysfs is mounted.
    sysfs: PathBuf,
    number: libc::dev_t,
    /// Its directory in sysfs, without symbolic links.
    directory: PathBuf,
}

impl DeviceDax {
    /// The Device DAX with this device number, `None` if the character device is something else.
    ///
    /// # Errors
    /// If sysfs does not know the device, as when it is not mounted: `ENOENT`.
    pub fn identify(device: libc::dev_t) -> Result<Option<DeviceDax>, OsError> {
        DeviceDax::identify_in(Path::new(SYSFS), device)
    }

    fn identify_in(sysfs: &Path, device: libc::dev_t) -> Result<Option<DeviceDax>, OsError> {
        let character_device = CharacterDevice::in_tree(sysfs.as_os_str().as_bytes(), device);
        if !character_device.is_dax()? {
            return Ok(None);
        }
        let link = character_device.directory()?;
        let link = Path::new(std::ffi::OsStr::from_bytes(link.as_bytes()));
        Ok(Some(DeviceDax {
            sysfs: sysfs.to_owned(),
            number: device,
            directory: fs::canonicalize(link).map_err(os_error)?,
        }))
    }

    /// Its size in bytes.
    ///
    /// # Errors
    /// If sysfs does not tell.
    pub fn size(&self) -> Result<u64, OsError> {
        self.number("size")
    }

    /// Its alignment in bytes, as sysfs has it: what addresses and lengths of mappings have to be
    /// multiples of.
    ///
    /// # Errors
    /// If sysfs does not tell.
    pub fn alignment(&self) -> Result<u64, OsError> {
        self.number("align")
    }

    /// The number of the nvdimm region that it is part of; none if it is not on an nvdimm bus.
    #[must_use]
    pub fn nvdimm_region(&self) -> Option<u32> {
        self.directory.ancestors().find_map(|directory| {
            let name = directory.file_name()?.to_str()?;
            let number = name.strip_prefix("region")?.parse().ok()?;
            // CXL has regions, too.
            let subsystem = fs::canonicalize(directory.join("subsystem")).ok()?;
            subsystem.ends_with("nd").then_some(number)
        })
    }

    fn number(&self, attribute: &str) -> Result<u64, OsError> {
        CharacterDevice::in_tree(self.sysfs.as_os_str().as_bytes(), self.number).number(attribute)
    }
}

/// Empties the write buffers between the CPU and the memory of an nvdimm region. Answers whether
/// the region has such buffers and they were emptied: not if it says that there is no need, and not if it
/// does not offer it, to this user.
///
/// # Errors
/// If the device failed to do it.
pub fn deep_flush(nvdimm_region: u32) -> Result<bool, OsError> {
    deep_flush_in(Path::new(SYSFS), nvdimm_region)
}

fn deep_flush_in(sysfs: &Path, nvdimm_region: u32) -> Result<bool, OsError> {
    let file = sysfs.join(format!("bus/nd/devices/region{nvdimm_region}/deep_flush"));
    if read_number(&file).unwrap_or(0) == 0 {
        return Ok(false);
    }
    let Ok(mut file) = OpenOptions::new().write(true).open(file) else {
        return Ok(false);
    };
    file.write_all(b"1").map_err(os_error)?;
    Ok(true)
}

fn read_number(file: &Path) -> Result<u64, OsError> {
    let file = PathBuffer::from_bytes(file.as_os_str().as_bytes())
        .map_err(|_| OsError(libc::ENAMETOOLONG))?;
    sysfs::read_number(file.as_c_str())
}

fn os_error(error: io::Error) -> OsError {
    OsError(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The part of a sysfs tree that matters here: a device in `path`, with its attributes.
    fn sysfs_with(path: &str, attributes: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for bus in ["bus/dax/devices", "bus/nd/devices", "bus/cxl", "class/mem"] {
            fs::create_dir_all(at(bus)).unwrap();
        }
        fs::create_dir_all(at("dev/char")).unwrap();
        fs::create_dir_all(at(path)).unwrap();
        for (name, text) in attributes {
            fs::write(at(path).join(name), text).unwrap();
        }
        symlink(at(path), at("dev/char/252:5")).unwrap();
        root
    }

    fn device(root: &Path) -> DeviceDax {
        let found = DeviceDax::identify_in(root, libc::makedev(252, 5));
        found.unwrap().expect("a Device DAX")
    }

    #[test]
    fn on_an_nvdimm() {
        let region = "devices/LNXSYSTM:00/ndbus0/region3";
        let path = format!("{region}/dax3.0/dax3.0");
        let root = sysfs_with(&path, &[("size", "2147483648\n"), ("align", "2097152\n")]);
        let root = root.path();
        symlink(root.join("bus/dax"), root.join(&path).join("subsystem")).unwrap();
        symlink(root.join("bus/nd"), root.join(region).join("subsystem")).unwrap();
        let device = device(root);
        assert_eq!(device.size(), Ok(2 << 30));
        assert_eq!(device.alignment(), Ok(2 << 20));
        assert_eq!(device.nvdimm_region(), Some(3));

        // Without the file, with one that says no, and with one that says yes.
        assert_eq!(deep_flush_in(root, 3), Ok(false));
        symlink(root.join(region), root.join("bus/nd/devices/region3")).unwrap();
        let file = root.join(region).join("deep_flush");
        fs::write(&file, "0\n").unwrap();
        assert_eq!(deep_flush_in(root, 3), Ok(false));
        assert_eq!(fs::read(&file).unwrap(), b"0\n");
        fs::write(&file, "1\n").unwrap();
        assert_eq!(deep_flush_in(root, 3), Ok(true));
    }

    #[test]
    fn on_cxl_with_attributes_on_the_bus() {
        let region = "devices/platform/ACPI0017:00/root0/decoder0.0/region0";
        let path = format!("{region}/dax_region0/dax0.0");
        let root = sysfs_with(&path, &[("size", "1073741824\n")]);
        let root = root.path();
        symlink(root.join("bus/dax"), root.join(&path).join("subsystem")).unwrap();
        symlink(root.join("bus/cxl"), root.join(region).join("subsystem")).unwrap();
        let device = device(root);
        assert_eq!(device.size(), Ok(1 << 30));
        assert_eq!(device.alignment(), Err(OsError(libc::ENOENT)));
        fs::create_dir(root.join("bus/dax/devices/dax0.0")).unwrap();
        fs::write(root.join("bus/dax/devices/dax0.0/align"), "4096\n").unwrap();
        assert_eq!(device.alignment(), Ok(4096));
        assert_eq!(device.nvdimm_region(), None);
    }

    #[test]
    fn other_devices_and_no_sysfs() {
        let path = "devices/virtual/mem/zero";
        let root = sysfs_with(path, &[]);
        symlink(
            root.path().join("class/mem"),
            root.path().join(path).join("subsystem"),
        )
        .unwrap();
        let identify = |minor| DeviceDax::identify_in(root.path(), libc::makedev(252, minor));
        assert_eq!(identify(5), Ok(None));
        assert_eq!(identify(6), Err(OsError(libc::ENOENT)));
    }

    #[test]
    fn numbers_are_whole_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("size");
        let read = |text: &[u8]| {
            fs::write(&file, text).unwrap();
            read_number(&file)
        };
        assert_eq!(read(b"18446744073709551615\n"), Ok(u64::MAX));
        for text in [&b""[..], b"0x1000\n", b"-1\n", b"12 34\n", &[b'1'; 64]] {
            assert_eq!(read(text), Err(OsError(libc::EINVAL)), "{text:?}");
        }
    }
}
