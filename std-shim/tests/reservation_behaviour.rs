//! What reservations promise, one promise a test.
#![cfg(target_os = "linux")]

#[allow(dead_code, unreachable_pub, reason = "shared with other programs")]
mod reservation_model;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::Range;
use std::os::fd::{AsFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use allotment::reservation::{
    Granularity, MapOptions, Reservation, ReservationError as Error, ReservedMap, Sharing,
};
use allotment::source::{Source, SourceKind, page};
use reservation_model::mappings_in;

fn address(reservation: &Reservation) -> usize {
    reservation.start().addr().get()
}

fn file_of(len: u64) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(len).unwrap();
    file
}

fn map_file(reservation: &Reservation, offset: usize, file: &File) -> Result<ReservedMap, Error> {
    let source = Source::from_fd(file.as_fd()).unwrap();
    MapOptions::new().map_into(reservation, offset, &source)
}

fn map_memory(reservation: &Reservation, offset: usize, len: usize) -> Result<ReservedMap, Error> {
    MapOptions::new().map_into(reservation, offset, &Source::anonymous(len))
}

/// The bytes of a map, which only this thread uses.
fn bytes(map: &mut ReservedMap) -> &mut [u8] {
    // SAFETY: mapped to be read and written, for as long as the handle, and nobody else uses it.
    unsafe { std::slice::from_raw_parts_mut(map.start().as_ptr(), map.len()) }
}

/// That the range is reserved pages and nothing else.
#[track_caller]
fn assert_reserved(start: usize, len: usize) {
    let mappings = mappings_in(start..start + len);
    // The kernel joins reserved pages with those of another test that lie next to them.
    let inside = |range: &Range<usize>| range.end.min(start + len) - range.start.max(start);
    let covered: usize = mappings.iter().map(|mapping| inside(&mapping.range)).sum();
    assert_eq!(covered, len);
    for mapping in mappings {
        assert_eq!((mapping.access.as_str(), mapping.inode), ("---p", 0));
    }
}

#[test]
fn the_start_is_aligned_by_the_size() {
    const GIB: usize = 1 << 30;
    for (size, alignment) in [
        (4096, 2 << 20),
        (2 << 20, 2 << 20),
        (2 * GIB - 4096, 2 << 20),
        (2 * GIB, GIB),
        (3 * GIB, GIB),
    ] {
        let reservation = Reservation::new(size).unwrap();
        assert_eq!(address(&reservation) % alignment, 0);
        assert_eq!(reservation.size(), size);
        assert_reserved(address(&reservation), size);
        reservation.delete().unwrap();
    }
    let wide = Reservation::aligned(4096, 1 << 33).unwrap();
    assert_eq!(address(&wide) % (1 << 33), 0);
}

#[test]
fn an_exact_hole_fits_and_a_neighbour_is_no_hindrance() {
    let page = page::size();
    let outer = Reservation::new(8 * page).unwrap();
    let start = address(&outer);
    // Both neighbours stay. The hole is smaller than any alignment.
    outer.shrink(0, page).unwrap();
    outer.shrink(6 * page, page).unwrap();
    let before = Reservation::at(NonNull::new(start as *mut u8).unwrap(), page).unwrap();
    let behind = NonNull::new((start + 7 * page) as *mut u8).unwrap();
    let behind = Reservation::at(behind, page).unwrap();
    drop(outer);
    let hole = NonNull::new((start + page) as *mut u8).unwrap();
    let inside = Reservation::at(hole, 6 * page).unwrap();
    assert_eq!(address(&inside), start + page);
    let occupied = |result: Result<Reservation, Error>| {
        assert!(matches!(result, Err(Error::Occupied { .. })));
    };
    occupied(Reservation::at(hole, 6 * page));
    occupied(Reservation::at(hole, page));
    assert!(matches!(inside.extend(page), Err(Error::Occupied { .. })));
    assert_eq!(inside.size(), 6 * page);
    drop((before, behind, inside));
}

#[test]
fn sizes_and_addresses_that_are_refused() {
    let page = page::size();
    let at = |address: usize, size| {
        let address = NonNull::new(std::ptr::without_provenance_mut(address)).unwrap();
        Reservation::at(address, size).unwrap_err()
    };
    assert_eq!(Reservation::new(0).unwrap_err(), Error::SizeZero);
    assert_eq!(at(1 << 40, 0), Error::SizeZero);
    let unaligned = Reservation::new(page - 1).unwrap_err();
    assert!(matches!(unaligned, Error::LengthUnaligned { .. }));
    let unaligned = at((1 << 40) + 1, page - 1);
    assert!(matches!(unaligned, Error::AddressUnaligned { .. }));
    let most = usize::MAX & !(page - 1);
    for error in [
        Reservation::new(most).unwrap_err(),
        Reservation::new(1 << 62).unwrap_err(),
        at(most - page, 4 * page),
        at(most - 8 * page, page),
    ] {
        assert!(
            matches!(error, Error::System { error, .. } if error.0 == libc::ENOMEM),
            "{error}"
        );
    }
    let reservation = Reservation::new(page).unwrap();
    for additional in [most, 1 << 62] {
        let error = reservation.extend(additional).unwrap_err();
        assert!(matches!(error, Error::System { error, .. } if error.0 == libc::ENOMEM));
    }
    assert_eq!(reservation.size(), page);
}

#[test]
fn no_offset_overflows() {
    let page = page::size();
    let reservation = Reservation::new(16 * page).unwrap();
    let most = usize::MAX & !(page - 1);
    for offset in [most, most - 3 * page, 1 << 63, 16 * page, 17 * page] {
        for len in [page, 4 * page, 5 * page] {
            let error = map_memory(&reservation, offset, len).unwrap_err();
            assert!(matches!(error, Error::LengthOutOfRange { .. }), "{error}");
        }
        assert!(reservation.find(offset, page).is_none());
        let error = reservation.shrink(offset, page).unwrap_err();
        assert!(matches!(error, Error::OffsetOutOfRange { .. }));
    }
    let error = reservation.shrink(page, most).unwrap_err();
    assert!(matches!(error, Error::LengthOutOfRange { .. }));
    let _map = map_memory(&reservation, page, page).unwrap();
    assert!(reservation.find(0, usize::MAX).is_some());
    assert!(reservation.find(page, usize::MAX).is_some());
    assert!(reservation.find(2 * page, usize::MAX).is_none());
}

#[test]
fn maps_side_by_side_are_one_piece_of_memory() {
    let page = page::size();
    let reservation = Reservation::new(8 * page).unwrap();
    let mut file = file_of(3 * page as u64);
    // The kernel may make one mapping of these.
    let source = Source::from_fd(file.as_fd()).unwrap();
    let part = |number: usize| {
        let options = MapOptions::new().offset(number * page).len(page);
        options
            .map_into(&reservation, (number + 1) * page, &source)
            .unwrap()
    };
    let (first, second, third) = (part(0), part(1), part(2));
    // SAFETY: three pages are mapped, and only this test uses them.
    let all = unsafe { std::slice::from_raw_parts_mut(first.start().as_ptr(), 3 * page) };
    for (at, byte) in all.iter_mut().enumerate() {
        *byte = (at / 7) as u8;
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, all);

    second.unmap().unwrap();
    let start = address(&reservation);
    assert_reserved(start + 2 * page, page);
    assert_eq!(
        mappings_in(start + page..start + 2 * page)[0].access,
        "rw-s"
    );
    assert_eq!(
        mappings_in(start + 3 * page..start + 4 * page)[0].access,
        "rw-s"
    );
    // At once there is room again.
    let mut again = map_memory(&reservation, 2 * page, page).unwrap();
    assert!(bytes(&mut again).iter().all(|&byte| byte == 0));
    drop((first, third, again));
    assert_reserved(start, 8 * page);
}

#[test]
fn a_file_that_is_no_multiple_of_a_page() {
    let page = page::size();
    let reservation = Reservation::new(8 * page).unwrap();
    let file = file_of(page as u64 + 100);
    let map = map_file(&reservation, page, &file).unwrap();
    assert_eq!(map.len(), page + 100);
    // Its content ends in its second page, which is occupied all the same.
    for (offset, len, found) in [
        (0, page, false),
        (0, page + 1, true),
        (page, 0, true),
        (2 * page + 99, 0, true),
        (2 * page + 100, 0, false),
        (2 * page + 100, page, false),
    ] {
        let answer = reservation.find(offset, len);
        assert_eq!(answer.is_some(), found, "{offset} {len}");
    }
    let refused = map_file(&reservation, 2 * page, &file).unwrap_err();
    assert!(matches!(refused, Error::Occupied { .. }));
    let other = map_file(&reservation, 3 * page, &file).unwrap();
    let refused = map_file(&reservation, 7 * page, &file).unwrap_err();
    assert!(matches!(refused, Error::LengthOutOfRange { .. }));
    assert!(reservation.next(&map).unwrap().is(&other));
    assert!(reservation.previous(&other).unwrap().is(&map));
    assert!(reservation.next(&other).is_none() && reservation.previous(&map).is_none());
}

#[test]
fn shrinking_gives_back_and_moves_the_start() {
    let page = page::size();
    let reservation = Reservation::new(16 * page).unwrap();
    let start = address(&reservation);
    let map = map_memory(&reservation, 8 * page, page).unwrap();
    let place = map.start();
    reservation.shrink(0, 3 * page).unwrap();
    assert_eq!(address(&reservation), start + 3 * page);
    assert_eq!(reservation.size(), 13 * page);
    assert_eq!(map.start(), place);
    assert!(reservation.find(5 * page, 1).unwrap().is(&map));
    assert_eq!(reservation.shrink(0, 6 * page), Err(Error::NotEmpty));
    assert_eq!(reservation.shrink(5 * page, 8 * page), Err(Error::NotEmpty));
    reservation.shrink(6 * page, 7 * page).unwrap();
    assert_eq!(reservation.size(), 6 * page);
    // What was given back can be had again.
    let hole = NonNull::new((start + 15 * page) as *mut u8).unwrap();
    drop(Reservation::at(hole, page).unwrap());
    reservation.extend(2 * page).unwrap();
    assert_eq!(reservation.size(), 8 * page);
    assert_reserved(start + 9 * page, 2 * page);
}

#[test]
fn handles_keep_what_they_need() {
    let page = page::size();
    let reservation = Reservation::new(4 * page).unwrap();
    let start = address(&reservation);
    let file = file_of(page as u64);
    let mut map = map_file(&reservation, 0, &file).unwrap();
    let found = reservation.first().unwrap();
    assert!(reservation.contains(&found));
    let kept = map.unmap().unwrap_err();
    assert_eq!(kept.error, Error::InUse);
    map = kept.value;
    drop(found);
    drop(file);
    let kept = reservation.delete().unwrap_err();
    assert_eq!(kept.error, Error::NotEmpty);
    drop(kept.value);
    // The reservation's handle and the file are gone, the map is not.
    bytes(&mut map).fill(7);
    assert_reserved(start + page, 3 * page);
    assert!(bytes(&mut map).iter().all(|&byte| byte == 7));
}

#[test]
fn what_a_source_is_not_fit_for() {
    let page = page::size();
    let reservation = Reservation::new(8 * page).unwrap();
    let file = file_of(4 * page as u64);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let refused = |options: MapOptions| {
        let error = options.map_into(&reservation, 0, &source).unwrap_err();
        assert_reserved(address(&reservation), 8 * page);
        error
    };
    let new = MapOptions::new;
    let is = |error: Error, expected: &str| {
        let text = format!("{error:?}");
        assert!(text.starts_with(expected), "{text}");
    };
    is(refused(new().offset(1)), "OffsetUnaligned");
    is(refused(new().len(1)), "LengthUnaligned");
    is(refused(new().offset(page).len(4 * page)), "BeyondSource");
    is(refused(new().offset(5 * page)), "BeyondSource");
    is(refused(new().offset(4 * page)), "System");
    let empty = map_file(&reservation, 0, &file_of(0)).unwrap_err();
    assert_eq!(empty, Error::SourceEmpty);
    let pair = Reservation::new(page).unwrap();
    assert!(map_memory(&pair, 0, usize::MAX).is_err());
}

#[test]
fn access_and_sharing() {
    let page = page::size();
    let reservation = Reservation::new(8 * page).unwrap();
    let named = tempfile::NamedTempFile::new().unwrap();
    named.as_file().write_all(&vec![3; page]).unwrap();
    let read_only = File::open(named.path()).unwrap();
    let source = Source::from_fd(read_only.as_fd()).unwrap();
    let access = |options: MapOptions| {
        let map = options.map_into(&reservation, page, &source)?;
        assert_eq!(map.kind(), SourceKind::File);
        let start = map.start().addr().get();
        Ok(mappings_in(start..start + page)[0].access.clone())
    };
    let new = MapOptions::new;
    assert_eq!(access(new()), Err(Error::NoAccess));
    assert_reserved(address(&reservation), 8 * page);
    assert_eq!(access(new().write(false)).as_deref(), Ok("r--s"));
    assert_eq!(
        access(new().write(false).execute(true)).as_deref(),
        Ok("r-xs")
    );
    assert_eq!(
        access(new().write(false).read(false)).as_deref(),
        Ok("---s")
    );
    assert_eq!(
        access(new().sharing(Sharing::Private)).as_deref(),
        Ok("rw-p")
    );
    // A private map's stores stay there.
    let mut map = new()
        .sharing(Sharing::Private)
        .map_into(&reservation, 0, &source)
        .unwrap();
    assert_eq!(map.sharing(), Sharing::Private);
    bytes(&mut map).fill(9);
    let mut content = Vec::new();
    named.as_file().rewind().unwrap();
    named.as_file().read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![3; page]);
}

#[test]
fn granularity() {
    let page = page::size();
    let reservation = Reservation::new(8 * page).unwrap();
    let file = file_of(page as u64);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let new = || MapOptions::new().granularity(Granularity::Page);
    // What it has depends on the machine.
    let available = new()
        .map_into(&reservation, 0, &source)
        .unwrap()
        .granularity();
    for required in [Granularity::Byte, Granularity::CacheLine, Granularity::Page] {
        let options = MapOptions::new().granularity(required);
        let mapped = options.map_into(&reservation, 0, &source);
        if available <= required {
            assert_eq!(mapped.unwrap().granularity(), available);
        } else {
            let error = Error::GranularityNotSupported {
                required,
                available,
            };
            assert_eq!(mapped.unwrap_err(), error);
            assert_reserved(address(&reservation), 8 * page);
        }
        let private = options.clone().sharing(Sharing::Private);
        let private = private.map_into(&reservation, page, &source).unwrap();
        assert_eq!(private.granularity(), Granularity::Byte);
        let memory = Source::anonymous(page);
        let memory = options.map_into(&reservation, 2 * page, &memory).unwrap();
        assert_eq!(memory.granularity(), Granularity::Byte);
    }
    for assumed in [Granularity::Byte, Granularity::CacheLine, Granularity::Page] {
        let options = new().assume_granularity(Some(assumed));
        let mut map = options.map_into(&reservation, 0, &source).unwrap();
        assert_eq!(map.granularity(), assumed);
        bytes(&mut map).fill(1);
        for (offset, len) in [(0, page), (100, 7), (page, 0)] {
            map.persist(offset, len).unwrap();
        }
        for (offset, len) in [(0, page + 1), (page + 1, 0), (1, usize::MAX)] {
            let error = map.persist(offset, len).unwrap_err();
            assert!(matches!(error, Error::LengthOutOfRange { .. }));
        }
    }
}

#[test]
fn a_source_by_itself() {
    let page = page::size();
    let file = file_of(page as u64 + 1);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let map = MapOptions::new().map(&source).unwrap();
    let start = map.start().addr().get();
    assert_eq!(start % (2 << 20), 0);
    assert_eq!(map.len(), page + 1);
    map.unmap().unwrap();
    let error = MapOptions::new().len(1).map(&source).unwrap_err();
    assert!(matches!(error, Error::LengthUnaligned { .. }));
}

#[test]
fn a_file_that_shrinks_below_a_map() {
    let page = page::size();
    let reservation = Reservation::new(4 * page).unwrap();
    let file = file_of(4 * page as u64);
    let mut map = map_file(&reservation, 0, &file).unwrap();
    bytes(&mut map).fill(5);
    file.set_len(page as u64).unwrap();
    assert!(bytes(&mut map)[..page].iter().all(|&byte| byte == 5));
    // What is gone cannot be touched, but it can be unmapped, and a new map is as long as the file is now.
    map.unmap().unwrap();
    assert_reserved(address(&reservation), 4 * page);
    assert_eq!(map_file(&reservation, 0, &file).unwrap().len(), page);
}

#[test]
fn threads_map_unmap_find_and_extend_at_once() {
    const THREADS: usize = 4;
    const PLACES: usize = 8;
    let page = page::size();
    let reservation = Arc::new(Reservation::new(THREADS * PLACES * page).unwrap());
    let file = file_of(page as u64);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|number| {
                let (reservation, file) = (&reservation, &file);
                scope.spawn(move || {
                    for round in 0..300 {
                        let offset = (number * PLACES + round % PLACES) * page;
                        let source = Source::from_fd(file.as_fd()).unwrap();
                        let options = MapOptions::new().sharing(Sharing::Private);
                        let mut map = loop {
                            // The finder may still keep the one that was here.
                            match options.map_into(reservation, offset, &source) {
                                Err(Error::Occupied { .. }) => thread::yield_now(),
                                mapped => break mapped.unwrap(),
                            }
                        };
                        bytes(&mut map).fill(number as u8);
                        thread::yield_now();
                        assert!(bytes(&mut map).iter().all(|&byte| byte == number as u8));
                        assert!(reservation.find(offset, page).unwrap().is(&map));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // Handles that are found keep their maps, so these can be read.
                let mut at = reservation.first();
                while let Some(map) = at {
                    // SAFETY: mapped as long as the handle; another thread may write it, hence volatile.
                    unsafe { map.start().as_ptr().read_volatile() };
                    at = reservation.next(&map);
                }
                if reservation.extend(page).is_ok() {
                    let end = reservation.size() - page;
                    reservation.shrink(end, page).unwrap();
                }
            }
        });
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            outcome.unwrap();
        }
    });
    assert!(reservation.first().is_none());
    let reservation = Arc::into_inner(reservation).unwrap();
    assert_reserved(address(&reservation), reservation.size());
    reservation.delete().unwrap();
}

#[test]
fn huge_pages_do_not_reach_over_their_neighbours() {
    const HUGE: usize = 2 << 20;
    // SAFETY: the name is a string; the descriptor is checked.
    let fd = unsafe {
        libc::memfd_create(
            c"huge".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_HUGETLB | libc::MFD_HUGE_2MB,
        )
    };
    if fd < 0 {
        eprintln!(
            "skipped: no huge pages of 2 MiB: {}",
            std::io::Error::last_os_error()
        );
        return;
    }
    // SAFETY: just opened, and nobody else's.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(2 * HUGE as u64).unwrap();
    let reservation = Reservation::new(8 * HUGE).unwrap();
    let start = address(&reservation);
    let neighbour = map_memory(&reservation, 3 * HUGE, HUGE).unwrap();
    let source = Source::from_fd(file.as_fd()).unwrap();
    let page = page::size();
    // The kernel would round these up.
    let refused = |options: MapOptions, offset| options.map_into(&reservation, offset, &source);
    let error = refused(MapOptions::new().len(page), 2 * HUGE).unwrap_err();
    assert!(matches!(error, Error::LengthUnaligned { .. }), "{error}");
    let error = refused(MapOptions::new(), HUGE / 2).unwrap_err();
    assert!(matches!(error, Error::AddressUnaligned { .. }), "{error}");
    match map_file(&reservation, HUGE, &file) {
        Ok(mut map) => {
            bytes(&mut map).fill(1);
            assert_eq!(map.start().addr().get(), start + HUGE);
            map.unmap().unwrap();
        }
        // The machine has set none aside.
        Err(error) => assert!(
            matches!(error, Error::System { error, .. } if error.0 == libc::ENOMEM),
            "{error}"
        ),
    }
    assert_reserved(start, 3 * HUGE);
    assert_reserved(start + 4 * HUGE, 4 * HUGE);
    neighbour.unmap().unwrap();
}
