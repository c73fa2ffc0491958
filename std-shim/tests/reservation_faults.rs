//! What a reservation does when the system refuses: the documented error, and it is as it was. Each case in a
//! process of its own, whose limits it lowers.
#![cfg(target_os = "linux")]

#[allow(dead_code, unreachable_pub, reason = "shared with other programs")]
mod reservation_model;

use std::os::fd::AsFd;
use std::process::Command;
use std::ptr::null_mut;

use allotment::reservation::{MapOptions, Reservation, ReservationError as Error};
use allotment::source::{Source, page};
use reservation_model::mappings_in;

/// Set in a process that runs one case alone.
const ALONE: &str = "RESERVATION_TEST_ALONE";

/// Runs a case of this name in a process of its own.
fn alone(name: &str, case: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return case();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}",
        output.status
    );
}

fn is_out_of_memory(error: &Error) -> bool {
    matches!(error, Error::System { error, .. } if error.0 == libc::ENOMEM)
}

/// Whether every page of the range is reserved; it is not if anything is mapped in it. A hole is an error.
#[track_caller]
fn is_reserved(start: usize, len: usize) -> bool {
    let mappings = mappings_in(start..start + len);
    let covered: usize = mappings.iter().map(|mapping| mapping.range.len()).sum();
    assert_eq!(covered, len, "there is a hole");
    mappings
        .iter()
        .all(|mapping| mapping.access == "---p" && mapping.inode == 0)
}

fn limit_address_space(more: Option<u64>) {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    let now = pages * page::size() as u64;
    let limit = libc::rlimit {
        rlim_cur: more.map_or(libc::RLIM_INFINITY, |more| now + more),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is readable.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(done, 0);
}

#[test]
fn no_address_space_left() {
    alone("no_address_space_left", || {
        const MIB: usize = 1 << 20;
        let reservation = Reservation::new(64 * MIB).unwrap();
        let start = reservation.start().addr().get();
        let file = tempfile::tempfile().unwrap();
        file.set_len(32 * MIB as u64).unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        let map = MapOptions::new()
            .map_into(&reservation, 0, &source)
            .unwrap();

        limit_address_space(Some(8 * MIB as u64));
        let refused = MapOptions::new().map_into(&reservation, 32 * MIB, &source);
        assert!(is_out_of_memory(&refused.unwrap_err()));
        assert!(is_reserved(start + 32 * MIB, 32 * MIB));
        assert!(is_out_of_memory(&Reservation::new(64 * MIB).unwrap_err()));
        // Something may be mapped behind it, too.
        assert!(reservation.extend(64 * MIB).is_err());
        assert_eq!(reservation.size(), 64 * MIB);
        // What gives back still works.
        map.unmap().unwrap();
        assert!(is_reserved(start, 64 * MIB));
        reservation.shrink(32 * MIB, 32 * MIB).unwrap();

        limit_address_space(None);
        let map = MapOptions::new().map_into(&reservation, 0, &source);
        assert_eq!(map.unwrap().len(), 32 * MIB);
        reservation.delete().unwrap();
    });
}

/// Mappings of this process that keep others from being made.
struct Crowd {
    start: *mut libc::c_void,
    pages: usize,
    /// How many pages are mappings of their own.
    used: usize,
}

impl Crowd {
    fn new() -> Crowd {
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let pages = 2 * most.trim().parse::<usize>().unwrap();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let len = pages * page::size();
        // SAFETY: a new mapping in a place of the kernel's choice.
        let start = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let mut crowd = Crowd {
            start,
            pages,
            used: 0,
        };
        while crowd.protect(crowd.used, libc::PROT_READ) {
            crowd.used += 1;
        }
        crowd
    }

    /// Every second page is different from those beside it.
    fn protect(&self, number: usize, access: i32) -> bool {
        assert!(2 * number + 1 < self.pages);
        let page = page::size();
        let place = self.start.wrapping_byte_add((2 * number + 1) * page);
        // SAFETY: a page of this value's own, which nobody uses.
        unsafe { libc::mprotect(place, page, access) == 0 }
    }

    /// Makes room for two mappings.
    fn make_room(&mut self) {
        self.used -= 1;
        assert!(self.protect(self.used, libc::PROT_NONE));
    }

    fn leave(&mut self) {
        // SAFETY: this value's own, which nobody uses.
        unsafe { libc::munmap(self.start, self.pages * page::size()) };
    }
}

#[test]
fn no_more_mappings_left() {
    alone("no_more_mappings_left", || {
        let page = page::size();
        let reservation = Reservation::new(32 * page).unwrap();
        let start = reservation.start().addr().get();
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * page as u64).unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        let part = |number: usize| {
            let options = MapOptions::new().offset(number * page).len(page);
            options.map_into(&reservation, (8 + number) * page, &source)
        };
        // One mapping to the kernel: unmapping the middle makes more of them.
        let parts: Vec<_> = (0..4).map(|number| part(number).unwrap()).collect();
        let [first, middle, other, last] = <[_; 4]>::try_from(parts).unwrap();

        let mut crowd = Crowd::new();
        assert!(is_out_of_memory(&Reservation::new(page).unwrap_err()));
        let kept = middle.unmap().unwrap_err();
        assert!(is_out_of_memory(&kept.error));
        let mapped = kept.value;
        assert!(reservation.find(9 * page, 1).unwrap().is(&mapped));
        assert!(!is_reserved(start + 9 * page, page));
        // Its last handle goes, and it cannot be unmapped: nobody gets its pages, nor does it get lost.
        drop(other);
        assert!(!is_reserved(start + 10 * page, page));
        assert!(reservation.find(10 * page, 1).is_none());

        // At every number of mappings that are left there is either a map or none, and never a hole.
        let mut outcomes = Vec::new();
        for _ in 0..12 {
            let map = MapOptions::new().map_into(&reservation, 20 * page, &Source::anonymous(page));
            match map {
                Ok(map) => {
                    assert!(!is_reserved(start + 20 * page, page));
                    outcomes.push(map.unmap().is_ok());
                }
                Err(error) => {
                    assert!(is_out_of_memory(&error), "{error}");
                    assert!(is_reserved(start + 20 * page, page));
                    outcomes.push(false);
                }
            }
            is_reserved(start, 32 * page);
            crowd.make_room();
        }
        assert!(!outcomes[0] && outcomes[11], "{outcomes:?}");
        // Meanwhile there was room to take back what was stranded.
        assert!(is_reserved(start + 10 * page, page));
        crowd.leave();

        mapped.unmap().unwrap();
        drop((first, last));
        assert!(is_reserved(start, 32 * page));
        reservation.delete().unwrap();
        assert!(mappings_in(start..start + 32 * page).is_empty());
    });
}

#[test]
fn a_place_the_system_keeps_free() {
    let lowest = std::fs::read_to_string("/proc/sys/vm/mmap_min_addr").unwrap();
    let lowest: usize = lowest.trim().parse().unwrap();
    let beyond = (usize::MAX / 2 + 1) & !(page::size() - 1);
    for (address, allowed) in [(page::size(), lowest <= page::size()), (beyond, false)] {
        let address = std::ptr::NonNull::new(std::ptr::without_provenance_mut(address)).unwrap();
        match Reservation::at(address, page::size()) {
            // Root may map there.
            Ok(reservation) => assert_eq!(reservation.start(), address),
            Err(Error::System { error, .. }) => {
                assert!(!allowed, "{error}");
                assert!([libc::EPERM, libc::ENOMEM, libc::EACCES].contains(&error.0));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
