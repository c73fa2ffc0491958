//! A reservation beside a plain model of it: a list of pages. Both take the same operations, must answer the
//! same, and what `/proc/self/maps` says of the addresses must be what the model says.

mod pages;

use std::fs::File;
use std::os::fd::AsFd;

use allotment::reservation::{
    MapOptions, Reservation, ReservationError as Error, ReservedMap, Sharing,
};
use allotment::source::{Source, page};

pub use pages::{file_identity, mappings_in};

/// Pages of the file that is mapped. Its last page is only half there.
const FILE_PAGES: usize = 8;

/// One step, decoded from four numbers, all of which mean something.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Grow by so many pages.
    Extend(usize),
    /// Cut off pages, from an offset: a start, an end, a middle, all, or too much.
    Shrink(usize, usize),
    /// Map a source at an offset.
    Map {
        /// Where in the reservation, in pages; with a half page more if `unaligned`.
        offset: usize,
        /// Whether the offset is to be refused.
        unaligned: bool,
        /// What to map.
        content: Content,
        /// First page of the file.
        first: usize,
        /// Pages; 0 for all the rest.
        pages: usize,
    },
    /// Unmap the n-th map.
    Unmap(usize),
    /// Look for the first map in a part, in eighths of a page.
    Find(usize, usize),
}

/// What is mapped, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The file, seen by all.
    Shared,
    /// A copy of the file.
    Private,
    /// The file through a descriptor that is for reading only, for writing: to be refused.
    Forbidden,
    /// New memory.
    Anonymous,
}

impl Operation {
    /// Any four bytes.
    pub fn decode([kind, a, b, c]: [u8; 4]) -> Operation {
        let (a, b, c) = (usize::from(a), usize::from(b), usize::from(c));
        match kind % 16 {
            0 => Operation::Extend(a % 8),
            1 => Operation::Shrink(0, a % 6),
            2 | 3 => Operation::Shrink(a % 48, b % 8),
            4 | 5 => Operation::Find(a * 2, b * 2),
            6..=8 => Operation::Unmap(a),
            _ => Operation::Map {
                offset: a % 48,
                unaligned: c >= 248,
                content: match c % 8 {
                    0..=2 => Content::Shared,
                    3 | 4 => Content::Private,
                    5 => Content::Forbidden,
                    _ => Content::Anonymous,
                },
                first: b / 16,
                pages: b % 10,
            },
        }
    }
}

/// A map as the model knows it.
struct ModelMap {
    handle: ReservedMap,
    /// The page of the reservation's address space that it begins at; pages are counted from where the
    /// reservation began at first.
    page: usize,
    len: usize,
    content: Content,
    first: usize,
    /// What was written to its first and last byte, if anything can be.
    byte: u8,
}

impl ModelMap {
    fn pages(&self) -> usize {
        self.len.div_ceil(page::size())
    }

    fn bytes(&self) -> [*mut u8; 2] {
        let start = self.handle.start().as_ptr();
        [start, start.wrapping_add(self.len - 1)]
    }
}

/// The reservation and its model.
pub struct Model {
    reservation: Reservation,
    base: usize,
    /// Pages that were cut off at the start.
    first_page: usize,
    pages: usize,
    /// By place.
    maps: Vec<ModelMap>,
    file: File,
    read_only: File,
    written: u8,
}

impl Model {
    /// A reservation of 32 pages.
    pub fn new() -> Model {
        let pages = 32;
        let reservation = Reservation::new(pages * page::size()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(file_len() as u64).unwrap();
        let model = Model {
            base: reservation.start().addr().get(),
            reservation,
            first_page: 0,
            pages,
            maps: Vec::new(),
            read_only: File::open(file.path()).unwrap(),
            file: file.into_file(),
            written: 0,
        };
        model.check();
        model
    }

    /// Does one step with both, and compares.
    pub fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Extend(pages) => self.extend(pages),
            Operation::Shrink(offset, pages) => self.shrink(offset, pages),
            Operation::Map {
                offset,
                unaligned,
                content,
                first,
                pages,
            } => self.map(offset, unaligned, content, first, pages),
            Operation::Unmap(_) if self.maps.is_empty() => {
                assert!(self.reservation.first().is_none() && self.reservation.last().is_none());
            }
            Operation::Unmap(which) => {
                let map = self.maps.remove(which % self.maps.len());
                // Both ways.
                if which % 2 == 0 {
                    map.handle.unmap().unwrap();
                } else {
                    drop(map.handle);
                }
            }
            Operation::Find(offset, len) => self.find(offset, len),
        }
        self.check();
    }

    /// Unmaps everything, and deletes the reservation.
    pub fn finish(mut self) {
        let mut reservation = self.reservation;
        if !self.maps.is_empty() {
            let kept = reservation.delete().unwrap_err();
            assert_eq!(kept.error, Error::NotEmpty);
            reservation = kept.value;
            self.maps.clear();
        }
        reservation.delete().unwrap();
    }

    fn extend(&mut self, pages: usize) {
        let len = pages * page::size();
        let end = self.base + (self.first_page + self.pages) * page::size();
        match self.reservation.extend(len) {
            Ok(()) => self.pages += pages,
            // Whoever is there was there before.
            Err(Error::Occupied { address, len }) => {
                assert_eq!(address, end);
                assert!(!mappings_in(address..address + len).is_empty());
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn shrink(&mut self, offset: usize, pages: usize) {
        let size = page::size();
        let done = self.reservation.shrink(offset * size, pages * size);
        let end = offset + pages;
        if offset >= self.pages {
            assert!(matches!(done, Err(Error::OffsetOutOfRange { .. })));
        } else if pages == 0 || end > self.pages {
            assert!(matches!(done, Err(Error::LengthOutOfRange { .. })));
        } else if offset > 0 && end < self.pages {
            assert_eq!(done, Err(Error::NotAtAnEnd));
        } else if pages == self.pages {
            assert_eq!(done, Err(Error::WholeReservation));
        } else if self.is_occupied(offset, pages) {
            assert_eq!(done, Err(Error::NotEmpty));
        } else {
            done.unwrap();
            self.pages -= pages;
            if offset == 0 {
                self.first_page += pages;
            }
        }
    }

    fn map(
        &mut self,
        offset: usize,
        unaligned: bool,
        content: Content,
        first: usize,
        pages: usize,
    ) {
        let size = page::size();
        let file = if content == Content::Forbidden {
            &self.read_only
        } else {
            &self.file
        };
        let source = match content {
            Content::Anonymous => Source::anonymous(file_len()),
            _ => Source::from_fd(file.as_fd()).unwrap(),
        };
        let sharing = match content {
            Content::Private => Sharing::Private,
            _ => Sharing::Shared,
        };
        let address_offset = offset * size + if unaligned { size / 2 } else { 0 };
        let options = MapOptions::new()
            .sharing(sharing)
            .offset(first * size)
            .len(pages * size);
        let done = options.map_into(&self.reservation, address_offset, &source);
        let rest = file_len().checked_sub(first * size);
        let len = match rest {
            Some(rest) if pages * size <= rest => match pages {
                0 if content == Content::Anonymous => file_len(),
                0 => rest,
                _ => pages * size,
            },
            _ => {
                assert!(matches!(done, Err(Error::BeyondSource { .. })), "{done:?}");
                return;
            }
        };
        let needed = len.div_ceil(size);
        if unaligned {
            assert!(matches!(done, Err(Error::OffsetUnaligned { .. })));
        } else if offset + needed > self.pages {
            assert!(matches!(done, Err(Error::LengthOutOfRange { .. })));
        } else if self.is_occupied(offset, needed) {
            assert!(matches!(done, Err(Error::Occupied { .. })));
        } else if content == Content::Forbidden {
            assert_eq!(done.unwrap_err(), Error::NoAccess);
        } else {
            let handle = done.unwrap();
            assert_eq!(handle.len(), len);
            let place = self.first_page + offset;
            assert_eq!(handle.start().addr().get(), self.base + place * size);
            self.written = self.written.wrapping_add(1);
            let map = ModelMap {
                handle,
                page: place,
                len,
                content,
                first,
                byte: self.written,
            };
            if content != Content::Shared {
                for byte in map.bytes() {
                    // SAFETY: inside the map, which only this test uses.
                    unsafe { byte.write(map.byte) };
                }
            }
            let at = self.maps.partition_point(|other| other.page < place);
            self.maps.insert(at, map);
        }
    }

    fn find(&self, offset: usize, len: usize) {
        let (offset, len) = (offset * page::size() / 8, len * page::size() / 8);
        let first = (self.first_page * page::size()) + offset;
        let end = (first + len.max(1)).min((self.first_page + self.pages) * page::size());
        let expected = self.maps.iter().find(|map| {
            let start = map.page * page::size();
            start < end && first < start + map.len
        });
        let found = self.reservation.find(offset, len);
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.is(&expected.handle)),
            (found, _) => panic!("found {found:?}"),
        }
    }

    fn is_occupied(&self, offset: usize, pages: usize) -> bool {
        let first = self.first_page + offset;
        self.maps
            .iter()
            .any(|map| map.page < first + pages && first < map.page + map.pages())
    }

    /// That everything is as the model says.
    fn check(&self) {
        let size = page::size();
        let start = self.base + self.first_page * size;
        assert_eq!(self.reservation.start().addr().get(), start);
        assert_eq!(self.reservation.size(), self.pages * size);
        self.check_order();
        for map in &self.maps {
            if map.content != Content::Shared {
                for byte in map.bytes() {
                    // SAFETY: inside the map, which only this test uses.
                    assert_eq!(unsafe { byte.read() }, map.byte);
                }
            }
        }
        let expected = self.expected_pages();
        let mut found = Vec::new();
        for mapping in mappings_in(start..start + self.pages * size) {
            mapping.for_each_page(|address, page| found.push((address, page)));
        }
        assert_eq!(found, expected);
    }

    fn check_order(&self) {
        let is = |found: Option<ReservedMap>, expected: Option<&ModelMap>| match (found, expected) {
            (None, None) => true,
            (Some(found), Some(expected)) => found.is(&expected.handle),
            _ => false,
        };
        assert!(is(self.reservation.first(), self.maps.first()));
        assert!(is(self.reservation.last(), self.maps.last()));
        for (index, map) in self.maps.iter().enumerate() {
            assert!(self.reservation.contains(&map.handle));
            let next = self.reservation.next(&map.handle);
            assert!(is(next, self.maps.get(index + 1)));
            let previous = self.reservation.previous(&map.handle);
            assert!(is(previous, index.checked_sub(1).map(|i| &self.maps[i])));
        }
    }

    /// What each page of the reservation should be, with its address.
    fn expected_pages(&self) -> Vec<(usize, pages::Page)> {
        let size = page::size();
        let identity = file_identity(&self.file);
        (self.first_page..self.first_page + self.pages)
            .map(|page| {
                let map = self
                    .maps
                    .iter()
                    .find(|map| (map.page..map.page + map.pages()).contains(&page));
                let state = match map {
                    None => pages::Page::Reserved,
                    Some(map) => {
                        let offset = (map.first + page - map.page) * size;
                        match map.content {
                            Content::Anonymous => pages::Page::SharedMemory,
                            Content::Private => pages::Page::PrivateFile(identity, offset),
                            _ => pages::Page::SharedFile(identity, offset),
                        }
                    }
                };
                (self.base + page * size, state)
            })
            .collect()
    }
}

fn file_len() -> usize {
    FILE_PAGES * page::size() - page::size() / 2
}
