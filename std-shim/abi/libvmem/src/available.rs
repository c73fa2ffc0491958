//! What memory the system has left. Nothing is allocated to find out.

use core::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const FILE: &CStr = c"/proc/meminfo";

/// Bytes that can be had without swapping, as the kernel estimates; `None` if it does not say.
pub(crate) fn bytes() -> Option<usize> {
    // SAFETY: the path is a string.
    let descriptor = unsafe { libc::open(FILE.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: it is open, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // The line is among the first.
    let mut text = [0u8; 512];
    // SAFETY: the buffer is writable for its length.
    let len = unsafe { libc::read(file.as_raw_fd(), text.as_mut_ptr().cast(), text.len()) };
    parse(text.get(..usize::try_from(len).ok()?)?)
}

fn parse(text: &[u8]) -> Option<usize> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"MemAvailable:"))?;
    let number = line.trim_ascii().strip_suffix(b" kB")?;
    let kibibytes: usize = core::str::from_utf8(number).ok()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found() {
        let text = b"MemTotal:       16384000 kB\nMemFree:  1 kB\nMemAvailable:    1234567 kB\nBuffers: 2 kB";
        assert_eq!(parse(text), Some(1_234_567 << 10));
        // Cut off, from an old kernel, or from none.
        assert_eq!(parse(b"MemTotal: 7 kB\nMemAvailable:    1234"), None);
        assert_eq!(parse(b"MemTotal: 7 kB\nMemFree: 7 kB\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn the_system_has_some() {
        assert!(bytes().is_none_or(|bytes| bytes > 0));
    }
}
