//! What `/proc/self/maps` says of a range of addresses.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use allotment::source::page;

/// A line of `/proc/self/maps`, cut to the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<usize>,
    /// `rwxp`, `s` in the place of `p` if shared.
    pub access: String,
    /// Where in the file the range begins.
    pub offset: usize,
    /// The file's inode, 0 if there is none.
    pub inode: u64,
    /// The file's path, or what the kernel writes there.
    pub path: String,
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Without access, private, and nothing behind it.
    Reserved,
    /// Shared anonymous memory, which is a file without a name.
    SharedMemory,
    /// A page of a file, shared: inode and offset.
    SharedFile(u64, usize),
    /// The same, private.
    PrivateFile(u64, usize),
    /// Anything else.
    Other,
}

impl Mapping {
    /// Each page, with its address.
    pub fn for_each_page(&self, mut visit: impl FnMut(usize, Page)) {
        for address in self.range.clone().step_by(page::size()) {
            let offset = self.offset + (address - self.range.start);
            let page = match self.access.as_str() {
                "---p" if self.inode == 0 => Page::Reserved,
                "rw-s" if self.path.starts_with("/dev/zero") => Page::SharedMemory,
                "rw-s" => Page::SharedFile(self.inode, offset),
                "rw-p" if self.inode != 0 => Page::PrivateFile(self.inode, offset),
                _ => Page::Other,
            };
            visit(address, page);
        }
    }
}

/// The mappings in a range, in order; addresses where nothing is are in none.
pub fn mappings_in(range: Range<usize>) -> Vec<Mapping> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let (start, end) = word().split_once('-').unwrap();
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        if end <= range.start || range.end <= start {
            continue;
        }
        let cut = start.max(range.start)..end.min(range.end);
        let access = word().to_owned();
        let offset = number(word()) + (cut.start - start);
        let _device = word();
        found.push(Mapping {
            range: cut,
            access,
            offset,
            inode: word().parse().unwrap(),
            path: word().to_owned(),
        });
    }
    found
}

/// What tells a file apart from others in [`Mapping`].
pub fn file_identity(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}
