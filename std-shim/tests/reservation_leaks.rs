//! A thousand reservations leave nothing behind. Alone in its process, since it looks at all of it.
#![cfg(target_os = "linux")]

#[allow(dead_code, unreachable_pub, reason = "shared with other programs")]
mod reservation_model;

use std::fs;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use allotment::reservation::{MapOptions, Reservation, ReservationError, Sharing};
use allotment::source::Source;
use reservation_model::mappings_in;

/// The address space in use, neighbours taken together, but for the heap, which grows.
fn address_space() -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for mapping in mappings_in(0..usize::MAX) {
        match ranges.last_mut() {
            _ if mapping.path == "[heap]" => {}
            Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
            _ => ranges.push(mapping.range),
        }
    }
    ranges
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn one_round(source: &Source<'_>, size: usize) {
    let reservation = Reservation::new(size).unwrap();
    let start = reservation.start();
    {
        let _whole = MapOptions::new().map_into(&reservation, 0, source).unwrap();
        // Some that fail, early and late.
        let again = MapOptions::new().map_into(&reservation, 0, source);
        assert!(matches!(again, Err(ReservationError::Occupied { .. })));
    }
    let executable = MapOptions::new().sharing(Sharing::Private).execute(true);
    let map = executable.map_into(&reservation, 0, source).unwrap();
    map.unmap().unwrap();
    reservation.shrink(0, 4096).unwrap();
    reservation.delete().unwrap();
    let exactly_there = Reservation::at(start, 4096).unwrap();
    let refused = Reservation::at(NonNull::new(start.as_ptr()).unwrap(), 4096);
    assert!(matches!(refused, Err(ReservationError::Occupied { .. })));
    drop(exactly_there);
    drop(MapOptions::new().map(source).unwrap());
}

#[test]
fn a_thousand_reservations_leave_nothing() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(8192).unwrap();
    let run = |rounds: usize| {
        for round in 0..rounds {
            let source = if round % 2 == 0 {
                Source::from_fd(file.as_fd()).unwrap()
            } else {
                Source::anonymous(8192)
            };
            for size in [8192, 2 << 20, 3 << 30] {
                one_round(&source, size);
            }
        }
    };
    run(2);
    let before = (address_space(), descriptors());
    run(1000);
    assert_eq!((address_space(), descriptors()), before);
}
