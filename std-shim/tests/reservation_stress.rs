//! Two threads map and unmap in a reservation, two others map, touch and unmap memory of their own beside it:
//! nobody's memory is ever somebody else's.
//!
//! A few seconds; `RESERVATION_STRESS_SECONDS` says how many.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use allotment::reservation::{Granularity, MapOptions, Reservation, Sharing};
use allotment::source::Source;

const MIB: usize = 1 << 20;

/// How long one of the places is put under stress.
fn duration() -> Duration {
    let seconds = std::env::var("RESERVATION_STRESS_SECONDS");
    let seconds = seconds.map_or(3.0, |text| {
        text.parse::<f64>().expect("a number of seconds")
    });
    Duration::from_secs_f64(seconds / 2.0)
}

/// A file in which each page says which it is.
fn numbered_file(directory: &Path) -> File {
    use std::io::Write;
    let mut file = tempfile::tempfile_in(directory).unwrap();
    for page in 0..16 * MIB / 4096 {
        let mut content = [0; 4096];
        content[..8].copy_from_slice(&page.to_ne_bytes());
        file.write_all(&content).unwrap();
    }
    file
}

/// Maps parts of the file all over its half of the reservation, and looks at them.
fn tenant(reservation: &Reservation, half: usize, file: &File, stop: &AtomicBool) -> usize {
    let mut random = 0x9e37_79b9_7f4a_7c15_usize.wrapping_mul(half + 1);
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let source = Source::from_fd(file.as_fd()).unwrap();
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        // In pairs, so that there are neighbours.
        let place = (half * 64 + next(63)) * MIB;
        let maps = [0, 1].map(|second| {
            let first = next(15 * 256);
            let sharing = [Sharing::Shared, Sharing::Private][next(2)];
            // Asks for MAP_SYNC, where the kernel can refuse late.
            let options = MapOptions::new()
                .offset(first * 4096)
                .len(MIB)
                .sharing(sharing)
                .granularity(Granularity::Page);
            let map = options.map_into(reservation, place + second * MIB, &source);
            (first, map.unwrap())
        });
        for (first, map) in &maps {
            for page in [0, 17, 255] {
                // SAFETY: mapped while there is the handle; the file is only read.
                let number = unsafe { map.start().add(page * 4096).cast::<usize>().read() };
                assert_eq!(number, first + page);
            }
        }
        rounds += 1;
    }
    rounds
}

/// Maps memory of its own, fills it and looks whether it stays that way.
fn bystander(number: u8, stop: &AtomicBool) -> usize {
    let (access, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        // SAFETY: a new mapping in a place of the kernel's choice, of which only this thread knows.
        unsafe {
            let start = libc::mmap(null_mut(), MIB, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let memory = std::slice::from_raw_parts_mut(start.cast::<u8>(), MIB);
            for page in memory.chunks_mut(4096) {
                page[..64].fill(number);
            }
            thread::yield_now();
            for page in memory.chunks(4096) {
                assert!(page[..64].iter().all(|&byte| byte == number));
            }
            assert_eq!(libc::munmap(start, MIB), 0);
        }
        rounds += 1;
    }
    rounds
}

/// Memory above the reservation, where the kernel would look for room first, so that a hole in the reservation would
/// be the next place that it finds.
struct Roof(Vec<*mut libc::c_void>);

impl Roof {
    fn over(reservation: &Reservation) -> Roof {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mut pieces = Vec::new();
        loop {
            // SAFETY: a new mapping in a place of the kernel's choice.
            let piece = unsafe { libc::mmap(null_mut(), MIB, libc::PROT_NONE, flags, -1, 0) };
            assert_ne!(piece, libc::MAP_FAILED);
            pieces.push(piece);
            if piece.addr() < reservation.start().addr().get() {
                return Roof(pieces);
            }
        }
    }
}

impl Drop for Roof {
    fn drop(&mut self) {
        for &piece in &self.0 {
            // SAFETY: this value's own, which nobody uses.
            unsafe { libc::munmap(piece, MIB) };
        }
    }
}

fn stress(directory: &Path) {
    let file = numbered_file(directory);
    let reservation = Reservation::new(128 * MIB).unwrap();
    let _roof = Roof::over(&reservation);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (reservation, file, stop) = (&reservation, &file, &stop);
        let tenants = [0, 1].map(|half| scope.spawn(move || tenant(reservation, half, file, stop)));
        let bystanders = [1, 2].map(|number| scope.spawn(move || bystander(number, stop)));
        thread::sleep(duration());
        stop.store(true, Ordering::Relaxed);
        for thread in tenants.into_iter().chain(bystanders) {
            assert!(thread.join().unwrap() > 0);
        }
    });
    assert!(reservation.first().is_none());
    reservation.delete().unwrap();
}

#[test]
fn nobody_loses_memory() {
    stress(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        stress(shared_memory);
    } else {
        eprintln!("skipped: there is no /dev/shm");
    }
}
