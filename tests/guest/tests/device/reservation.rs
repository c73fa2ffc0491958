//! Mapping parts of the device into a reservation.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::thread;

use allotment::reservation::{Granularity, MapOptions, Reservation, ReservationError, Sharing};
use allotment::source::{Source, SourceKind};
use allotment_guest::address_space::{access, descriptors, mapped, reserved};
use allotment_guest::bystanders;
use allotment_guest::bytes::{is_marked, mark};
use allotment_guest::place::{Device, of_persistent_memory};

fn open(device: &Device) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(&device.path).unwrap()
}

/// What the units of a reservation are: mapped `m`, reserved `-`.
fn units(reservation: &Reservation, unit: usize) -> String {
    let start = reservation.start().addr().get();
    let of_unit = |number| {
        let from = start + number * unit;
        match access(from..from + unit).as_str() {
            "rw-s" => 'm',
            "---p" => '-',
            other => panic!("{other}"),
        }
    };
    (0..reservation.size() / unit).map(of_unit).collect()
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn units_of_the_device_are_mapped_and_reserved_again() {
    let device = Device::from_environment();
    let unit = device.unit;
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let reservation = Reservation::aligned(8 * unit, unit).unwrap();
    let part = |offset, len| MapOptions::new().offset(offset).len(len);

    let first = part(0, 2 * unit)
        .map_into(&reservation, 0, &source)
        .unwrap();
    let second = part(4 * unit, 2 * unit)
        .map_into(&reservation, 2 * unit, &source)
        .unwrap();
    let third = part(0, unit)
        .map_into(&reservation, 7 * unit, &source)
        .unwrap();
    assert_eq!(units(&reservation, unit), "mmmm---m");
    assert_eq!(second.kind(), SourceKind::DeviceDax);
    assert_eq!(second.len(), 2 * unit);
    assert_eq!(
        second.start().addr().get(),
        reservation.start().addr().get() + 2 * unit
    );

    // SAFETY: these are mapped, and only this test uses the device now.
    unsafe {
        mark(first.start(), 4 * unit, 1);
        // The same part of the device.
        assert!(is_marked(third.start(), unit, 1));
    }
    second.unmap().unwrap();
    assert_eq!(units(&reservation, unit), "mm-----m");
    // SAFETY: as above.
    unsafe { assert!(is_marked(first.start(), 2 * unit, 1)) };
    let second = part(4 * unit, unit)
        .map_into(&reservation, 3 * unit, &source)
        .unwrap();
    // SAFETY: as above.
    unsafe { assert!(is_marked(second.start(), unit, 1)) };

    assert!(reservation.first().unwrap().is(&first));
    assert!(reservation.next(&first).unwrap().is(&second));
    assert!(reservation.previous(&third).unwrap().is(&second));
    assert!(reservation.last().unwrap().is(&third));
    assert!(reservation.find(unit, 3 * unit).unwrap().is(&first));
    assert!(reservation.find(4 * unit, 3 * unit).is_none());

    let retained = reservation.delete().unwrap_err();
    assert_eq!(retained.error, ReservationError::NotEmpty);
    let reservation = retained.value;
    drop((first, second, third));
    assert_eq!(units(&reservation, unit), "--------");
    reservation.delete().unwrap();
    assert_eq!(mapped(&device.path), (0, 0));
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn what_cannot_be_mapped_leaves_the_pages_reserved() {
    let device = Device::from_environment();
    let unit = device.unit;
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let reservation = Reservation::aligned(8 * unit, unit).unwrap();
    let one = MapOptions::new().len(unit);
    let map = one.map_into(&reservation, 3 * unit, &source).unwrap();
    let refused = |options: &MapOptions, at| {
        let error = options.map_into(&reservation, at, &source).unwrap_err();
        assert_eq!(units(&reservation, unit), "---m----", "{error}");
        error
    };

    type Error = ReservationError;
    assert!(matches!(refused(&one, 3 * unit), Error::Occupied { .. }));
    let two = one.clone().len(2 * unit);
    assert!(matches!(refused(&two, 2 * unit), Error::Occupied { .. }));
    let error = refused(&two, 7 * unit);
    assert!(matches!(error, Error::LengthOutOfRange { .. }));
    let wraps = usize::MAX - unit + 1;
    let error = refused(&one, wraps);
    assert!(matches!(error, Error::LengthOutOfRange { .. }), "{error}");
    let error = refused(&one, unit / 2);
    if unit > 4096 {
        assert!(matches!(error, Error::AddressUnaligned { .. }), "{error}");
    } else {
        assert!(matches!(error, Error::OffsetUnaligned { .. }), "{error}");
    }
    let error = refused(&one.clone().len(unit / 2), 0);
    assert!(matches!(error, Error::LengthUnaligned { .. }));
    let error = refused(&one.clone().offset(unit / 2), 0);
    assert!(matches!(error, Error::OffsetUnaligned { .. }));
    let error = refused(&one.clone().offset(device.size), 0);
    assert!(matches!(error, Error::BeyondSource { .. }));
    let error = refused(&one.clone().sharing(Sharing::Private), 0);
    assert_eq!(error, Error::PrivateDeviceDax);

    let available = of_persistent_memory();
    if available > Granularity::Byte {
        let error = refused(&one.clone().granularity(Granularity::Byte), 0);
        let required = Granularity::Byte;
        assert_eq!(
            error,
            Error::GranularityNotSupported {
                required,
                available
            }
        );
    }
    drop(map);
    let read_only = File::open(&device.path).unwrap();
    let source = Source::from_fd(read_only.as_fd()).unwrap();
    let error = one.map_into(&reservation, 0, &source).unwrap_err();
    assert_eq!(error, Error::NoAccess);
    assert_eq!(units(&reservation, unit), "--------");
    let to_read = one.write(false).map_into(&reservation, 0, &source).unwrap();
    let start = to_read.start().addr().get();
    assert_eq!(access(start..start + unit), "r--s");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn its_granularity_is_the_platforms() {
    let device = Device::from_environment();
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let expected = of_persistent_memory();
    let map = MapOptions::new().map(&source).unwrap();
    assert_eq!((map.granularity(), map.len()), (expected, device.size));
    assert_eq!(map.start().addr().get() % (2 << 20), 0);
    for required in [expected, Granularity::Page] {
        let map = MapOptions::new().granularity(required);
        assert_eq!(map.map(&source).unwrap().granularity(), expected);
    }
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_device_lies_between_other_kinds() {
    let device = Device::from_environment();
    let unit = device.unit;
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let other = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open("/tmp/neighbour")
        .unwrap();
    std::fs::remove_file("/tmp/neighbour").unwrap();
    other.set_len(unit as u64).unwrap();
    let reservation = Reservation::aligned(3 * unit, unit).unwrap();
    let plain = Source::from_fd(other.as_fd()).unwrap();
    let of_file = MapOptions::new().map_into(&reservation, 0, &plain).unwrap();
    let anonymous = Source::anonymous(unit);
    let without_file = MapOptions::new()
        .map_into(&reservation, 2 * unit, &anonymous)
        .unwrap();
    let of_device = MapOptions::new()
        .len(unit)
        .map_into(&reservation, unit, &source)
        .unwrap();
    // SAFETY: all three are mapped next to each other, and only this test uses them.
    unsafe { mark(of_file.start(), 3 * unit, 9) };
    drop(of_device);
    // SAFETY: as above, without the middle.
    unsafe {
        assert!(is_marked(of_file.start(), unit, 9));
        assert!(is_marked(without_file.start(), unit, 9));
    }
    assert_eq!(units(&reservation, unit), "m-m");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_reservation_grows_and_shrinks_around_it() {
    let device = Device::from_environment();
    let unit = device.unit;
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let reservation = Reservation::aligned(4 * unit, unit).unwrap();
    let start = reservation.start().addr().get();
    let one = MapOptions::new().len(unit);
    let map = one.map_into(&reservation, 2 * unit, &source).unwrap();
    reservation.shrink(0, 2 * unit).unwrap();
    assert_eq!(reservation.start().addr().get(), start + 2 * unit);
    assert_eq!(access(start..start + 2 * unit), "none");
    assert_eq!(units(&reservation, unit), "m-");
    reservation.shrink(unit, unit).unwrap();
    let error = reservation.shrink(0, unit).unwrap_err();
    assert_eq!(error, ReservationError::WholeReservation);
    match reservation.extend(2 * unit) {
        Ok(()) => {
            let second = one.map_into(&reservation, unit, &source).unwrap();
            assert_eq!(units(&reservation, unit), "mm-");
            drop(second);
        }
        // Another thread of the process may have mapped something there.
        Err(error) => assert!(matches!(error, ReservationError::Occupied { .. })),
    }
    drop(map);
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn threads_map_and_unmap_beside_others() {
    let device = Device::from_environment();
    let unit = device.unit;
    let file = open(&device);
    let reservation = Reservation::aligned(8 * unit, unit).unwrap();
    bystanders::beside(|| {
        thread::scope(|scope| {
            for number in 0..2 {
                let (reservation, file) = (&reservation, &file);
                scope.spawn(move || {
                    let source = Source::from_fd(file.as_fd()).unwrap();
                    let at = number * 4 * unit;
                    let part = MapOptions::new().offset(at).len(4 * unit);
                    let part = part.granularity(Granularity::Page);
                    for round in 0..100 {
                        let map = part.map_into(reservation, at, &source).unwrap();
                        // SAFETY: it is mapped, and this thread alone uses this part.
                        unsafe {
                            map.start().write_volatile(round);
                            assert_eq!(map.start().read_volatile(), round);
                        }
                        assert!(reservation.find(at, unit).unwrap().is(&map));
                        map.unmap().unwrap();
                    }
                });
            }
        });
    });
    assert_eq!(units(&reservation, unit), "--------");
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn nothing_is_left_behind() {
    let device = Device::from_environment();
    let file = open(&device);
    let source = Source::from_fd(file.as_fd()).unwrap();
    let before = (descriptors(), reserved());
    for _ in 0..100 {
        let reservation = Reservation::new(8 << 20).unwrap();
        let one = MapOptions::new().len(device.unit);
        drop(one.map_into(&reservation, 0, &source).unwrap());
        reservation.delete().unwrap();
    }
    assert_eq!(mapped(&device.path), (0, 0));
    assert_eq!((descriptors(), reserved()), before);
}
