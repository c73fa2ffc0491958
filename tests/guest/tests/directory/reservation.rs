//! Mapping files into a reservation.

use std::fs::{File, remove_file};
use std::os::fd::AsFd;
use std::thread;

use allotment::reservation::{Granularity, MapOptions, Reservation, ReservationError, Sharing};
use allotment::source::{Source, SourceKind};
use allotment_guest::address_space::{access, descriptors, reserved};
use allotment_guest::bystanders;
use allotment_guest::bytes::{is_marked, mark};
use allotment_guest::place::{Dax, Directory};

const PAGE: usize = 4096;

/// A file without a name.
fn file(directory: &Directory, name: &str, len: usize) -> File {
    let path = directory.path.join(name);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    remove_file(path).unwrap();
    file.set_len(len as u64).unwrap();
    file
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn its_granularity_is_the_file_systems() {
    let directory = Directory::from_environment();
    let file = file(&directory, "granularity", 4 * PAGE);
    let source = Source::from_fd(file.as_fd()).unwrap();
    assert_eq!(source.kind(), SourceKind::File);
    assert_eq!(source.alignment(), Ok(PAGE));
    assert_eq!(source.supports_sync(), Ok(directory.dax == Dax::Sync));

    let reservation = Reservation::new(8 * PAGE).unwrap();
    let start = reservation.start().addr().get();
    let available = directory.granularity();
    for required in [Granularity::Byte, Granularity::CacheLine, Granularity::Page] {
        let options = MapOptions::new().granularity(required);
        let result = options.map_into(&reservation, 2 * PAGE, &source);
        if available <= required {
            assert_eq!(result.unwrap().granularity(), available);
        } else {
            let error = result.unwrap_err();
            assert_eq!(
                error,
                ReservationError::GranularityNotSupported {
                    required,
                    available
                }
            );
        }
        assert_eq!(access(start..start + 8 * PAGE), "---p");
    }
    let private = MapOptions::new().sharing(Sharing::Private);
    let private = private.granularity(Granularity::Byte).map(&source).unwrap();
    assert_eq!(private.granularity(), Granularity::Byte);
    // SAFETY: mapped, and only this test uses it.
    unsafe {
        mark(private.start(), private.len(), 1);
        let shared = MapOptions::new().map(&source).unwrap();
        assert!(is_marked(shared.start(), shared.len(), 0));
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_file_grows_piece_by_piece() {
    let directory = Directory::from_environment();
    let piece = 2 << 20;
    let file = file(&directory, "pieces", 0);
    let reservation = Reservation::new(4 * piece).unwrap();
    let mut maps = Vec::new();
    for number in 0..4 {
        let at = number * piece;
        file.set_len((at + piece) as u64).unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        let options = MapOptions::new().offset(at).len(piece);
        let map = options.map_into(&reservation, at, &source).unwrap();
        // SAFETY: all pieces up to here are mapped side by side, and only this test uses them.
        unsafe {
            mark(map.start(), piece, number as u8 + 1);
            for earlier in 0..=number {
                let start = reservation.start().add(earlier * piece);
                assert!(is_marked(start, piece, earlier as u8 + 1));
            }
        }
        maps.push(map);
    }
    maps.remove(1).unmap().unwrap();
    let start = reservation.start().addr().get();
    assert_eq!(access(start..start + piece), "rw-s");
    assert_eq!(access(start + piece..start + 2 * piece), "---p");
    assert_eq!(access(start + 2 * piece..start + 4 * piece), "rw-s");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn threads_map_and_unmap_beside_others() {
    let directory = Directory::from_environment();
    let len = 64 * PAGE;
    let reservation = Reservation::new(2 * len).unwrap();
    bystanders::beside(|| {
        thread::scope(|scope| {
            for number in 0..2 {
                let reservation = &reservation;
                let file = file(&directory, &format!("thread-{number}"), len);
                scope.spawn(move || {
                    let at = number * len;
                    // Asks for MAP_SYNC, whether there is such a thing or not.
                    let options = MapOptions::new().granularity(Granularity::Page);
                    for round in 0..200 {
                        let source = Source::from_fd(file.as_fd()).unwrap();
                        let map = options.map_into(reservation, at, &source).unwrap();
                        // SAFETY: mapped, and this thread alone uses the file.
                        unsafe {
                            map.start().write_volatile(round);
                            assert_eq!(map.start().read_volatile(), round);
                        }
                        map.unmap().unwrap();
                    }
                });
            }
        });
    });
    let start = reservation.start().addr().get();
    assert_eq!(access(start..start + 2 * len), "---p");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn nothing_is_left_behind() {
    let directory = Directory::from_environment();
    let file = file(&directory, "leaks", PAGE);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let before = (descriptors(), reserved());
    for _ in 0..100 {
        let reservation = Reservation::new(PAGE).unwrap();
        drop(
            MapOptions::new()
                .map_into(&reservation, 0, &source)
                .unwrap(),
        );
        reservation.delete().unwrap();
    }
    assert_eq!((descriptors(), reserved()), before);
}
