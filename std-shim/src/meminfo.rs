//! What `/proc/meminfo` says. Nothing is allocated to find out.

use core::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const FILE: &CStr = c"/proc/meminfo";

/// More than a line of the file has.
const ROOM: usize = 512;

/// The numbers of these names, such as `MemAvailable`, all of one moment: bytes, or how many where the
/// file gives no unit. `None` if the system does not say one of them. `errno` may change. See
/// [`proc_meminfo(5)`](https://man7.org/linux/man-pages/man5/proc_meminfo.5.html).
#[must_use]
pub fn read<const N: usize>(names: [&str; N]) -> Option<[usize; N]> {
    // SAFETY: the path is a string.
    let descriptor = unsafe { libc::open(FILE.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: it is open, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    find(names, |room| {
        // SAFETY: the room is writable for its length.
        let len = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        usize::try_from(len).ok()
    })
}

/// `read` puts the text's next bytes into the room that it is given, and answers how many; 0 at the
/// end.
fn find<const N: usize>(
    names: [&str; N],
    mut read: impl FnMut(&mut [u8]) -> Option<usize>,
) -> Option<[usize; N]> {
    let mut found = [None; N];
    let mut text = [0; ROOM];
    let mut len = 0;
    while found.contains(&None) {
        // No room is left where a line does not end.
        let more = read(text.get_mut(len..)?)?;
        if more == 0 {
            return None;
        }
        len += more;
        while let Some(end) = text.get(..len)?.iter().position(|&byte| byte == b'\n') {
            for (number, name) in found.iter_mut().zip(names) {
                *number = number.or_else(|| parse(&text[..end], name));
            }
            text.copy_within(end + 1..len, 0);
            len -= end + 1;
        }
    }
    let mut numbers = [0; N];
    for (number, found) in numbers.iter_mut().zip(found) {
        *number = found?;
    }
    Some(numbers)
}

/// The number in a line, if it has this name.
fn parse(line: &[u8], name: &str) -> Option<usize> {
    let number = line
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b":")?
        .trim_ascii();
    let (number, unit) = match number.strip_suffix(b" kB") {
        Some(number) => (number, 1024),
        None => (number, 1),
    };
    let number: usize = core::str::from_utf8(number).ok()?.parse().ok()?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "MemTotal:       16384000 kB\n\
        MemFree:               1 kB\n\
        MemAvailable:    1234567 kB\n\
        HugePages_Total:      12\n\
        HugePages_Free:        7\n\
        HugePages_Rsvd:        2\n\
        Hugepagesize:       2048 kB\n";

    /// As the system gives the text in pieces.
    fn find_in<const N: usize>(text: &str, piece: usize, names: [&str; N]) -> Option<[usize; N]> {
        let mut rest = text.as_bytes();
        find(names, |room| {
            let (now, later) = rest.split_at(piece.min(room.len()).min(rest.len()));
            room[..now.len()].copy_from_slice(now);
            rest = later;
            Some(now.len())
        })
    }

    #[test]
    fn numbers_are_found_in_any_order() {
        for piece in [1, 7, ROOM] {
            assert_eq!(
                find_in(TEXT, piece, ["MemAvailable"]),
                Some([1_234_567 << 10])
            );
            assert_eq!(
                find_in(
                    TEXT,
                    piece,
                    ["Hugepagesize", "HugePages_Free", "HugePages_Rsvd"]
                ),
                Some([2 << 20, 7, 2])
            );
        }
    }

    #[test]
    fn text_longer_than_the_room_is_read_to_its_end() {
        let long = format!("{}{TEXT}", "Other: 5 kB\n".repeat(ROOM));
        assert_eq!(find_in(&long, ROOM, ["HugePages_Rsvd"]), Some([2]));
    }

    #[test]
    fn what_is_not_said_is_not_made_up() {
        // Part of a name, cut off, no number, too large, one of two.
        assert_eq!(find_in(TEXT, ROOM, ["HugePages"]), None);
        assert_eq!(
            find_in("MemFree: 7 kB\nMemAvailable:  1234", ROOM, ["MemAvailable"]),
            None
        );
        assert_eq!(find_in("MemFree: many kB\n", ROOM, ["MemFree"]), None);
        let most = format!("MemFree: {} kB\n", usize::MAX);
        assert_eq!(find_in(&most, ROOM, ["MemFree"]), None);
        assert_eq!(find_in(TEXT, ROOM, ["MemFree", "MemUsed"]), None);
        assert_eq!(find_in("", ROOM, ["MemFree"]), None);
        assert_eq!(find_in(&"x".repeat(2 * ROOM), ROOM, ["MemFree"]), None);
    }

    #[test]
    fn the_system_has_some() {
        assert!(read(["MemTotal"]).is_none_or(|[bytes]| bytes > 0));
    }
}
