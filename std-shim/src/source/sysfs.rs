//! What sysfs says about a character device. Nothing here uses the heap: a program's heap may be
//! about to be made on the device.

use core::ffi::{CStr, c_char};
use core::fmt::Write;

use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;
use crate::text_buffer::TextBuffer;

/// Where sysfs is mounted.
pub(crate) const SYSFS: &str = "/sys";

/// A character device, by its device number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CharacterDevice<'a> {
    sysfs: &'a [u8],
    number: libc::dev_t,
}

impl CharacterDevice<'static> {
    pub(crate) fn new(number: libc::dev_t) -> Self {
        CharacterDevice::in_tree(SYSFS.as_bytes(), number)
    }
}

impl<'a> CharacterDevice<'a> {
    /// The same with sysfs mounted elsewhere.
    pub(crate) fn in_tree(sysfs: &'a [u8], number: libc::dev_t) -> Self {
        CharacterDevice { sysfs, number }
    }

    /// Whether it is a Device DAX: of the subsystem `dax`.
    ///
    /// # Errors
    /// If sysfs does not know the device, as when it is not mounted: `ENOENT`.
    pub(crate) fn is_dax(&self) -> Result<bool, OsError> {
        let mut link = self.directory()?;
        push(&mut link, b"/subsystem")?;
        Ok(target_name(&link)?.as_bytes() == b"dax")
    }

    /// An attribute that is a number, from the device's own directory or from its bus's.
    ///
    /// # Errors
    /// If sysfs does not tell: `ENOENT`, or `EINVAL` if its text is not a number.
    pub(crate) fn number(&self, attribute: &str) -> Result<u64, OsError> {
        let directory = self.directory()?;
        let mut own = directory;
        push(&mut own, b"/")?;
        push(&mut own, attribute.as_bytes())?;
        let number = read_number(own.as_c_str());
        if number != Err(OsError(libc::ENOENT)) {
            return number;
        }
        let mut on_bus = path(self.sysfs)?;
        push(&mut on_bus, b"/bus/dax/devices/")?;
        push(&mut on_bus, target_name(&directory)?.as_bytes())?;
        push(&mut on_bus, b"/")?;
        push(&mut on_bus, attribute.as_bytes())?;
        read_number(on_bus.as_c_str())
    }

    /// A link to its directory, whose name is the device's.
    pub(crate) fn directory(&self) -> Result<PathBuffer, OsError> {
        let (major, minor) = (libc::major(self.number), libc::minor(self.number));
        let mut name = TextBuffer::<40>::new();
        // A TextBuffer takes everything.
        let _ = write!(name, "/dev/char/{major}:{minor}");
        let mut directory = path(self.sysfs)?;
        push(&mut directory, name.as_str().as_bytes())?;
        Ok(directory)
    }
}

/// A decimal number, the whole content of a small file.
///
/// # Errors
/// What `open(2)` and `read(2)` say; `EINVAL` if it is not a number.
pub(crate) fn read_number(path: &CStr) -> Result<u64, OsError> {
    // SAFETY: the path is a string.
    let descriptor = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return Err(OsError::last());
    }
    let mut text = [0; 32];
    let read = read_all(descriptor, &mut text);
    // SAFETY: opened above.
    unsafe { libc::close(descriptor) };
    core::str::from_utf8(&text[..read?])
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or(OsError(libc::EINVAL))
}

/// Reads up to the file's end, or until the room is full.
fn read_all(descriptor: i32, room: &mut [u8]) -> Result<usize, OsError> {
    let mut len = 0;
    loop {
        let rest = &mut room[len..];
        // SAFETY: the rest is writable for its length.
        let read = unsafe { libc::read(descriptor, rest.as_mut_ptr().cast(), rest.len()) };
        match usize::try_from(read) {
            Ok(0) => return Ok(len),
            Ok(read) => len += read,
            Err(_) => match OsError::last() {
                OsError(libc::EINTR) => {}
                error => return Err(error),
            },
        }
    }
}

/// The last part of what a symbolic link holds.
fn target_name(link: &PathBuffer) -> Result<PathBuffer, OsError> {
    let mut target = [0u8; libc::PATH_MAX as usize];
    let room = target.as_mut_ptr().cast::<c_char>();
    // SAFETY: the path is a string, and the room is writable for its length.
    let len = unsafe { libc::readlink(link.as_c_str().as_ptr(), room, target.len()) };
    let Ok(len) = usize::try_from(len) else {
        return Err(OsError::last());
    };
    let target = &target[..len];
    let name = target.rsplit(|&byte| byte == b'/').next();
    path(name.unwrap_or(target))
}

fn path(bytes: &[u8]) -> Result<PathBuffer, OsError> {
    PathBuffer::from_bytes(bytes).map_err(|_| OsError(libc::ENAMETOOLONG))
}

fn push(path: &mut PathBuffer, bytes: &[u8]) -> Result<(), OsError> {
    path.push(bytes).map_err(|_| OsError(libc::ENAMETOOLONG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A tree with a device 252:5 called `dax1.0`, linked as sysfs does it.
    fn tree(subsystem: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in [
            "bus/dax/devices",
            "class/mem",
            "dev/char",
            "devices/hmem/dax1.0",
        ] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        symlink("../../devices/hmem/dax1.0", at("dev/char/252:5")).unwrap();
        symlink("../../../devices/hmem/dax1.0", at("bus/dax/devices/dax1.0")).unwrap();
        symlink(
            format!("../../../{subsystem}"),
            at("devices/hmem/dax1.0/subsystem"),
        )
        .unwrap();
        root
    }

    fn device(root: &Path, minor: u32) -> CharacterDevice<'_> {
        CharacterDevice::in_tree(root.as_os_str().as_bytes(), libc::makedev(252, minor))
    }

    #[test]
    fn the_subsystem_tells_a_device_dax() {
        for (subsystem, is_dax) in [
            ("bus/dax", true),
            ("class/dax", true),
            ("class/mem", false),
            ("bus/daxes", false),
            ("dax/other", false),
        ] {
            let root = tree(subsystem);
            assert_eq!(device(root.path(), 5).is_dax(), Ok(is_dax), "{subsystem}");
        }
        let root = tree("bus/dax");
        assert_eq!(device(root.path(), 6).is_dax(), Err(OsError(libc::ENOENT)));
        let nowhere = device(Path::new("/no/such/place"), 5);
        assert_eq!(nowhere.is_dax(), Err(OsError(libc::ENOENT)));
    }

    #[test]
    fn attributes_are_the_device_s_or_its_bus_s() {
        let root = tree("bus/dax");
        let device = device(root.path(), 5);
        let directory = root.path().join("devices/hmem/dax1.0");
        assert_eq!(device.number("size"), Err(OsError(libc::ENOENT)));
        fs::write(directory.join("size"), "268435456\n").unwrap();
        assert_eq!(device.number("size"), Ok(256 << 20));
        fs::write(directory.join("size"), "much\n").unwrap();
        assert_eq!(device.number("size"), Err(OsError(libc::EINVAL)));

        let on_bus = root.path().join("bus/dax/devices/dax1.0");
        fs::remove_file(&on_bus).unwrap();
        fs::create_dir(&on_bus).unwrap();
        fs::write(on_bus.join("align"), "2097152\n").unwrap();
        assert_eq!(device.number("align"), Ok(2 << 20));
    }

    #[test]
    fn the_kernel_s_own_devices_are_none() {
        let null = libc::makedev(1, 3);
        match CharacterDevice::new(null).is_dax() {
            Ok(is_dax) => assert!(!is_dax),
            // Without sysfs.
            Err(error) => assert_eq!(error, OsError(libc::ENOENT)),
        }
    }
}
