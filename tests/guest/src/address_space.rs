//! What the kernel says about this process's mappings and descriptors.

use std::fs::{read_dir, read_to_string};
use std::ops::Range;
use std::path::Path;

/// A line of `/proc/self/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its addresses.
    pub range: Range<usize>,
    /// As in `rw-s`.
    pub access: String,
    /// What is mapped there; may be empty.
    pub name: String,
}

/// All mappings, by address.
///
/// # Panics
/// If `/proc` is not mounted.
#[must_use]
pub fn areas() -> Vec<Area> {
    let text = read_to_string("/proc/self/maps").expect("/proc is there");
    text.lines().map(area).collect()
}

fn area(line: &str) -> Area {
    // Address, access, offset, device, inode, and after blanks the name.
    let mut fields = line.splitn(6, ' ');
    let mut field = || fields.next().expect("six fields");
    let number = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
    let (start, end) = field().split_once('-').expect("two addresses");
    let access = field().to_owned();
    for _ in ["offset", "device", "inode"] {
        field();
    }
    Area {
        range: number(start)..number(end),
        access,
        name: field().trim_start().to_owned(),
    }
}

/// The access of a range, all of which is mapped alike; `none` if nothing of it is mapped.
///
/// # Panics
/// If its parts differ.
#[must_use]
pub fn access(range: Range<usize>) -> String {
    let mut mapped = 0;
    let mut found: Vec<String> = Vec::new();
    for area in areas() {
        let start = area.range.start.max(range.start);
        let end = area.range.end.min(range.end);
        if start < end {
            mapped += end - start;
            found.push(area.access);
        }
    }
    found.dedup();
    match (found.as_slice(), mapped) {
        ([], _) => "none".to_owned(),
        ([access], mapped) if mapped == range.len() => access.clone(),
        _ => panic!("{mapped} of {} bytes are mapped: {found:?}", range.len()),
    }
}

/// How often a file or a device is mapped, and how many bytes of it in all.
///
/// # Panics
/// If it does not exist.
#[must_use]
pub fn mapped(path: &Path) -> (usize, usize) {
    let path = path.canonicalize().expect("it exists");
    let mine = areas();
    let mine = mine.iter().filter(|area| Path::new(&area.name) == path);
    mine.fold((0, 0), |(count, bytes), area| {
        (count + 1, bytes + area.range.len())
    })
}

/// Addresses that are mapped without any access, in bytes.
#[must_use]
pub fn reserved() -> usize {
    let areas = areas();
    let reserved = areas.iter().filter(|area| area.access == "---p");
    reserved.map(|area| area.range.len()).sum()
}

/// Open descriptors.
///
/// # Panics
/// If `/proc` is not mounted.
#[must_use]
pub fn descriptors() -> usize {
    read_dir("/proc/self/fd").expect("/proc is there").count()
}
