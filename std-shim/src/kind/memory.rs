//! What the system says of a range of memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;

/// What a pool takes for itself, roughly, when it is fresh.
pub(super) const OVERHEAD: usize = 64 << 10;

/// Whether children of a fork have a copy of a range that they can write to: no part of it is shared, or in huge
/// pages, of which there may be none left when a copy is due (`SIGBUS`). What cannot be told is taken for
/// copied.
pub(super) fn is_copied(start: usize, len: usize) -> bool {
    let Ok(maps) = File::open("/proc/self/maps") else {
        return true;
    };
    let end = start.saturating_add(len);
    !BufReader::new(maps)
        .lines()
        .map_while(Result::ok)
        .any(|line| {
            parse(&line).is_some_and(|area| !area.copied && area.from < end && start < area.to)
        })
}

/// The descriptor of the file that is mapped at an address, if the process has it open and the system tells of
/// both.
pub(super) fn descriptor_at(address: usize) -> Option<RawFd> {
    let maps = BufReader::new(File::open("/proc/self/maps").ok()?);
    let line = maps
        .lines()
        .map_while(Result::ok)
        .find(|line| parse(line).is_some_and(|area| area.from <= address && address < area.to))?;
    let mut fields = line.split_ascii_whitespace().skip(3);
    let (major, minor) = fields.next()?.split_once(':')?;
    let device = libc::makedev(
        u32::from_str_radix(major, 16).ok()?,
        u32::from_str_radix(minor, 16).ok()?,
    );
    let inode: u64 = fields.next()?.parse().ok()?;
    let descriptors = std::fs::read_dir("/proc/self/fd").ok()?;
    descriptors.filter_map(Result::ok).find_map(|entry| {
        let status = std::fs::metadata(entry.path()).ok()?;
        let is_same = status.ino() == inode && status.dev() == device;
        is_same.then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    from: usize,
    to: usize,
    copied: bool,
}

fn parse(line: &str) -> Option<Area> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let from = usize::from_str_radix(from, 16).ok()?;
    let to = usize::from_str_radix(to, 16).ok()?;
    let shared = rest.as_bytes().get(3) == Some(&b's');
    // The kernel's name of anonymous memory in huge pages.
    let copied = !shared && !rest.contains("/anon_hugepage");
    Some(Area { from, to, copied })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let area = |copied| {
            Some(Area {
                from: 0x7f00,
                to: 0x7f10,
                copied,
            })
        };
        let line = "7f00-7f10 rw-s 00000000 00:01 1 /dev/zero (deleted)";
        assert_eq!(parse(line), area(false));
        let line = "7f00-7f10 rw-p 00000000 00:0f 1 /anon_hugepage (deleted)";
        assert_eq!(parse(line), area(false));
        assert_eq!(parse("7f00-7f10 rw-p 0"), area(true));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn the_stack_is_copied() {
        let here = 0u8;
        assert!(is_copied((&raw const here).addr(), 1));
    }
}
