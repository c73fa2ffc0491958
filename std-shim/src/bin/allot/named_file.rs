//! What `--file` may name, looked at before the program starts.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use allotment::source::device_dax::DeviceDax;

use crate::environment::plain;

/// Whether a pool may lie in it. A line about what the user may not expect, if there is one.
///
/// # Errors
/// Why it may not.
pub(crate) fn check(file: &Path) -> Result<Option<String>, String> {
    const NEITHER: &str = "it is neither a regular file nor a Device DAX";
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(None),
        Ok(metadata) if metadata.file_type().is_char_device() => {
            match DeviceDax::identify(metadata.rdev()) {
                Ok(Some(_)) => Ok(warning_about(file, &metadata)),
                Ok(None) => Err(NEITHER.into()),
                Err(error) => Err(format!("cannot tell from sysfs what device it is: {error}")),
            }
        }
        Ok(_) => Err(NEITHER.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = file.parent().unwrap_or(Path::new("/"));
            match parent.metadata() {
                Ok(_) => Ok(None),
                Err(error) => Err(format!("{}: {}", parent.display(), plain(&error))),
            }
        }
        Err(error) => Err(plain(&error)),
    }
}

/// Another process's lock on a device is no error: the program may be meant for its children. But who
/// has named the device just now should know.
fn warning_about(file: &Path, metadata: &Metadata) -> Option<String> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let name = lock_name(metadata.dev(), metadata.ino());
    let holder = holder_of(&locks, &name).filter(|&holder| holder != std::process::id())?;
    Some(format!(
        "warning: process {holder} uses {}; the heap will be in anonymous memory instead",
        file.display()
    ))
}

/// What a file is called in `/proc/locks`.
fn lock_name(device: u64, inode: u64) -> String {
    let (major, minor) = (libc::major(device), libc::minor(device));
    format!("{major:02x}:{minor:02x}:{inode}")
}

/// The process that `flock(2)` has given a file's lock to, from the text of `/proc/locks`. To take the lock and see
/// would keep others from it for that moment.
fn holder_of(locks: &str, name: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        // Who waits for a lock has an arrow here.
        if fields.next() != Some("FLOCK") {
            return None;
        }
        let mut fields = fields.skip(2);
        let holder = fields.next()?.parse().ok()?;
        (fields.next()? == name).then_some(holder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: FLOCK  ADVISORY  WRITE 40 00:05:17 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 41 00:05:18 0 EOF\n\
            2: POSIX  ADVISORY  WRITE 42 00:05:19 0 EOF\n\
            3: OFDLCK ADVISORY  READ -1 00:06:10 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 43 fd:10:20 0 EOF\n";
        assert_eq!(
            holder_of(locks, &lock_name(libc::makedev(0, 5), 17)),
            Some(40)
        );
        assert_eq!(
            holder_of(locks, &lock_name(libc::makedev(0xfd, 0x10), 20)),
            Some(43)
        );
        for (minor, inode) in [(5, 1), (5, 18), (5, 19), (6, 10), (7, 17)] {
            let name = lock_name(libc::makedev(0, minor), inode);
            assert_eq!(holder_of(locks, &name), None, "{name}");
        }
    }

    #[test]
    fn the_kernel_tells_of_locks_in_this_way() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
        let metadata = file.path().metadata().unwrap();
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let name = lock_name(metadata.dev(), metadata.ino());
        assert_eq!(
            holder_of(&locks, &name),
            Some(std::process::id()),
            "{locks}"
        );
        assert_eq!(warning_about(file.path(), &metadata), None);
    }

    #[test]
    fn other_devices_are_refused() {
        for device in ["/dev/null", "/dev/zero"] {
            assert_eq!(
                check(Path::new(device)),
                Err("it is neither a regular file nor a Device DAX".into())
            );
        }
    }
}
