//! Device DAX that pools lie in.
//!
//! All of a device is there from the first: nothing is allocated and nothing can be given back. What a
//! pool has committed says only how far it has come, so that a fork copies no more than that.

use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::AtomicUsize;

use super::anonymous::reserve;
use super::descriptor::{Descriptor, open};
use super::limits::LEAST;
use super::{ALIGNMENT, Backing, FIRST_PART, MapError, Mapping, NEITHER, is_pool_or_blank};
use crate::path_buffer::PathBuffer;
use crate::source::sysfs::CharacterDevice;

/// An open device.
#[derive(Debug)]
pub(super) struct BackingDevice {
    pub(super) descriptor: Descriptor,
    /// What addresses and lengths of its mappings are multiples of.
    pub(super) alignment: usize,
}

/// What a device that another process has is refused with.
pub(super) const IN_USE: &str = "another process uses the device";

/// Maps the Device DAX with this number at a path.
pub(super) fn map(
    path: &PathBuffer,
    number: libc::dev_t,
    asked: Option<usize>,
) -> Result<Mapping, MapError> {
    // First what sysfs says: merely to be opened may mean something to another device.
    let room = Room::of(CharacterDevice::new(number), asked)?;
    let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
    let failed = |error| MapError {
        step: "cannot open the device",
        error,
    };
    let descriptor = open(path.as_c_str(), flags)
        .and_then(Descriptor::new)
        .map_err(failed)?;
    let status = descriptor.status().map_err(failed)?;
    if status.st_mode & libc::S_IFMT != libc::S_IFCHR || status.st_rdev != number {
        return Err(MapError::plain(NEITHER));
    }
    match descriptor.lock() {
        Ok(true) => take(descriptor, room),
        Ok(false) => Err(MapError::plain(IN_USE)),
        Err(error) => Err(MapError {
            step: "cannot lock the device",
            error,
        }),
    }
}

/// Maps a device that is locked.
fn take(descriptor: Descriptor, room: Room) -> Result<Mapping, MapError> {
    let Room { size, alignment } = room;
    let start = reserve(size, libc::PROT_NONE, alignment.max(ALIGNMENT))?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the range was reserved for this.
    if let Err(error) = unsafe { descriptor.map_over(start, size, access) } {
        // SAFETY: the range is ours and unused.
        unsafe { libc::munmap(with_exposed_provenance_mut(start), size) };
        return Err(MapError {
            step: "cannot map the device",
            error,
        });
    }
    let mapping = Mapping {
        start,
        capacity: size,
        committed: AtomicUsize::new(0),
        is_zeroed: false,
        backing: Backing::Device(BackingDevice {
            descriptor,
            alignment,
        }),
    };
    // It cannot be read before it is mapped.
    // SAFETY: so much is mapped, and nobody else writes to it, since it is locked.
    let first = unsafe { core::slice::from_raw_parts(mapping.start().as_ptr(), FIRST_PART) };
    if !is_pool_or_blank(first) {
        return Err(MapError::plain(
            "the device holds something other than a pool: clear its first 4096 bytes first",
        ));
    }
    Ok(mapping)
}

/// What is to be mapped of a device.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    size: usize,
    alignment: usize,
}

impl Room {
    /// What a request gets of a device: all of it if no size is asked for, else what is asked for in units of its
    /// alignment.
    fn of(device: CharacterDevice<'_>, asked: Option<usize>) -> Result<Room, MapError> {
        match device.is_dax() {
            Ok(true) => {}
            Ok(false) => return Err(MapError::plain(NEITHER)),
            Err(error) => {
                return Err(MapError {
                    step: "cannot tell from sysfs what device it is",
                    error,
                });
            }
        }
        let size = device.number("size").map_err(|error| MapError {
            step: "cannot read the device's size from sysfs",
            error,
        })?;
        let alignment = device.number("align").map_err(|error| MapError {
            step: "cannot read the device's alignment from sysfs",
            error,
        })?;
        Room::new(size, alignment, asked)
    }

    fn new(size: u64, alignment: u64, asked: Option<usize>) -> Result<Room, MapError> {
        if !alignment.is_power_of_two() {
            return Err(MapError::plain(
                "the device's alignment is not a power of two",
            ));
        }
        let size = size & !(alignment - 1);
        if size < LEAST as u64 {
            return Err(MapError::plain(
                "the device is smaller than the least pool (1 MiB)",
            ));
        }
        let size = match asked {
            None => size,
            Some(asked) => (asked.max(1) as u64)
                .checked_next_multiple_of(alignment)
                .filter(|asked| *asked <= size)
                .ok_or(MapError::plain(
                    "the device is smaller than the size asked for",
                ))?,
        };
        match (usize::try_from(size), usize::try_from(alignment)) {
            (Ok(size), Ok(alignment)) => Ok(Room { size, alignment }),
            _ => Err(MapError::plain(
                "the device is larger than the address space: ask for a part of it",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::{bytes, status_of_child};
    use crate::mapping::{CopyPlace, FileKind};
    use crate::os_error::OsError;
    use std::fs::{self, File};
    use std::os::fd::{AsFd, IntoRawFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileExt, symlink};

    const DEVICE: Room = Room {
        size: 8 << 20,
        alignment: 2 << 20,
    };

    /// A file in memory, which stands in for a device: it is mapped in the same way.
    fn stand_in(size: usize, content: &[u8]) -> File {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(size as u64).unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    fn take_from(file: &File, room: Room) -> Result<Mapping, MapError> {
        let number = file.as_fd().try_clone_to_owned().unwrap().into_raw_fd();
        take(Descriptor::new(number).unwrap(), room)
    }

    #[test]
    fn all_of_a_device_or_what_is_asked_for_in_units_of_its_alignment() {
        let room = |size, alignment, asked| {
            Room::new(size, alignment, asked).map(|room| (room.size, room.alignment))
        };
        assert_eq!(room(256 << 20, 4096, None), Ok((256 << 20, 4096)));
        assert_eq!(room(256 << 20, 2 << 20, None), Ok((256 << 20, 2 << 20)));
        assert_eq!(
            room((4 << 20) + 4096, 2 << 20, None),
            Ok((4 << 20, 2 << 20))
        );
        assert_eq!(
            room(8 << 20, 4096, Some((1 << 20) + 1)),
            Ok(((1 << 20) + 4096, 4096))
        );
        assert_eq!(
            room(8 << 20, 2 << 20, Some(3 << 20)),
            Ok((4 << 20, 2 << 20))
        );
        assert_eq!(
            room(8 << 20, 2 << 20, Some(8 << 20)),
            Ok((8 << 20, 2 << 20))
        );
        assert_eq!(
            room(1 << 30, 1 << 30, Some(1 << 20)),
            Ok((1 << 30, 1 << 30))
        );

        let refused = |size, alignment, asked| room(size, alignment, asked).unwrap_err().step;
        let smaller = "the device is smaller than the size asked for";
        assert_eq!(refused(8 << 20, 2 << 20, Some((8 << 20) + 1)), smaller);
        assert_eq!(refused(8 << 20, 2 << 20, Some(usize::MAX)), smaller);
        let least = "the device is smaller than the least pool (1 MiB)";
        assert_eq!(refused(0, 4096, None), least);
        assert_eq!(refused((1 << 20) - 4096, 4096, None), least);
        assert_eq!(refused((1 << 30) - 1, 1 << 30, Some(1 << 20)), least);
        let odd = "the device's alignment is not a power of two";
        assert_eq!(refused(8 << 20, 0, None), odd);
        assert_eq!(refused(8 << 20, 3 << 20, None), odd);
    }

    #[test]
    fn what_sysfs_does_not_tell_is_named() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = root.path();
        let device = sysfs.join("devices/dax0.0");
        fs::create_dir_all(sysfs.join("dev/char")).unwrap();
        fs::create_dir_all(&device).unwrap();
        symlink("../../devices/dax0.0", sysfs.join("dev/char/252:5")).unwrap();
        let room = || {
            let number = libc::makedev(252, 5);
            Room::of(
                CharacterDevice::in_tree(sysfs.as_os_str().as_bytes(), number),
                None,
            )
        };
        let refused = || room().unwrap_err().to_string();
        let missing = "No such file or directory";
        assert_eq!(
            refused(),
            format!("cannot tell from sysfs what device it is: {missing}")
        );
        symlink("../../class/mem", device.join("subsystem")).unwrap();
        assert_eq!(refused(), NEITHER);
        fs::remove_file(device.join("subsystem")).unwrap();
        symlink("../../bus/dax", device.join("subsystem")).unwrap();
        assert_eq!(
            refused(),
            format!("cannot read the device's size from sysfs: {missing}")
        );
        fs::write(device.join("size"), "268435456\n").unwrap();
        assert_eq!(
            refused(),
            format!("cannot read the device's alignment from sysfs: {missing}")
        );
        fs::write(device.join("align"), "4096\n").unwrap();
        let expected = Room {
            size: 256 << 20,
            alignment: 4096,
        };
        assert_eq!(room(), Ok(expected));
    }

    #[test]
    fn a_device_is_there_from_the_first_and_comes_with_what_it_held() {
        let file = stand_in(DEVICE.size, b"ALLOTPL\0");
        file.write_all_at(&[7; 4096], 1 << 20).unwrap();
        let mut mapping = take_from(&file, DEVICE).unwrap();
        assert_eq!(mapping.file_kind(), Some(FileKind::Device));
        assert_eq!((mapping.capacity(), mapping.committed()), (8 << 20, 0));
        assert!(!mapping.is_zeroed() && !mapping.is_anonymous());
        assert!(!mapping.prefer_huge_pages());
        mapping.commit((2 << 20) - 1).unwrap();
        assert_eq!(mapping.committed(), 2 << 20);
        assert_eq!(mapping.commit((8 << 20) + 1), Err(OsError(libc::ENOMEM)));
        assert_eq!(
            (bytes(&mut mapping)[0], bytes(&mut mapping)[1 << 20]),
            (b'A', 7)
        );
        // SAFETY: nobody else uses the mapping.
        unsafe { assert_eq!(mapping.release(mapping.start().addr().get(), 2 << 20), 0) };
        assert_eq!(bytes(&mut mapping)[1 << 20], 7);
        bytes(&mut mapping)[1 << 20] = 8;
        drop(mapping);
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1 << 20).unwrap();
        assert_eq!(byte, [8]);
    }

    #[test]
    fn addresses_are_aligned_as_the_device_wants() {
        let file = stand_in(1 << 30, b"");
        for alignment in [4096, 2 << 20, 1 << 30] {
            let mapping = take_from(
                &file,
                Room {
                    size: 1 << 30,
                    alignment,
                },
            )
            .unwrap();
            let start = mapping.start().addr().get();
            assert_eq!(start % alignment.max(ALIGNMENT), 0, "{alignment:x}");
        }
    }

    #[test]
    fn what_somebody_may_miss_is_refused_and_stays() {
        for content in [&b"PMEMPOOL"[..], &[&[0; 4095][..], &[1]].concat()] {
            let file = stand_in(DEVICE.size, content);
            assert_eq!(
                take_from(&file, DEVICE).unwrap_err().to_string(),
                "the device holds something other than a pool: clear its first 4096 bytes first"
            );
            let mut found = vec![0; content.len()];
            file.read_exact_at(&mut found, 0).unwrap();
            assert_eq!(found, content);
        }
    }

    #[test]
    fn a_device_has_one_user_as_long_as_it_is_mapped() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("device");
        fs::write(&path, vec![0; DEVICE.size]).unwrap();
        let open = || {
            let file = File::options().read(true).write(true).open(&path).unwrap();
            Descriptor::new(file.into_raw_fd()).unwrap()
        };
        let first = open();
        assert_eq!(first.lock(), Ok(true));
        let mapping = take(first, DEVICE).unwrap();
        assert_eq!(open().lock(), Ok(false));
        let Backing::Device(device) = &mapping.backing else {
            panic!("no device");
        };
        // SAFETY: the descriptor is closed as a program might do it.
        unsafe { libc::close(device.descriptor.number().unwrap()) };
        assert_eq!(open().lock(), Ok(false));
        drop(mapping);
        // Children of other tests' forks may have it for a moment.
        while open().lock() == Ok(false) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_child_gets_its_own_copy_in_memory() {
        let used = (1 << 20) + 4096;
        for (lost, withheld) in [(false, false), (false, true), (true, false)] {
            let file = stand_in(DEVICE.size, b"ALLOTPL\0");
            file.write_all_at(&[7; 4096], 5 << 20).unwrap();
            let mut mapping = take_from(&file, DEVICE).unwrap();
            mapping.commit(used).unwrap();
            bytes(&mut mapping)[1 << 20] = 5;
            if lost {
                let Backing::Device(device) = &mapping.backing else {
                    panic!("no device");
                };
                // SAFETY: the descriptor is closed as a program might do it.
                unsafe { libc::close(device.descriptor.number().unwrap()) };
            }
            assert_eq!(mapping.withhold_from_children(withheld), !lost || !withheld);
            let status = status_of_child(&mut mapping, used, |copy| {
                copy.is_anonymous()
                    && !copy.is_zeroed()
                    && copy.committed() == used
                    && copy.commit(8 << 20).is_ok()
                    && bytes(copy)[0] == b'A'
                    && bytes(copy)[1 << 20] == 5
                    // Not used, so not copied.
                    && bytes(copy)[5 << 20] == 0
            });
            assert_eq!(status, 0, "lost descriptor: {lost}, withheld: {withheld}");
            assert_eq!(bytes(&mut mapping)[1 << 20], 5);
        }
    }

    #[test]
    fn a_snapshot_goes_to_memory_and_a_file_is_refused() {
        let file = stand_in(DEVICE.size, b"");
        let mut mapping = take_from(&file, DEVICE).unwrap();
        mapping.commit(1 << 20).unwrap();
        bytes(&mut mapping)[5000] = 1;
        let snapshot = mapping.snapshot(1 << 20).unwrap().unwrap();
        bytes(&mut mapping)[5000] = 2;
        // SAFETY: nobody else uses the mapping.
        unsafe { mapping.put(snapshot).unwrap() };
        assert!(mapping.is_anonymous());
        assert_eq!(mapping.capacity(), DEVICE.size);
        assert_eq!((bytes(&mut mapping)[5000], bytes(&mut mapping)[0]), (1, 0));

        let mut mapping = take_from(&file, DEVICE).unwrap();
        mapping.commit(1 << 20).unwrap();
        assert_eq!(bytes(&mut mapping)[5000], 2);
        // SAFETY: nobody else uses the mapping.
        let refused = unsafe { mapping.detach_from_parent(1 << 20, CopyPlace::File) };
        assert_eq!(
            refused.unwrap_err().to_string(),
            "a device has no room for a file"
        );
    }
}
