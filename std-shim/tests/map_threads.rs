//! Many threads map and unmap at once, among others that do the same without the library.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use allotment::map::MapOptions;

const HUGE: usize = 2 << 20;

/// Maps memory and touches it, again and again: it must never be anybody else's.
fn stand_by(done: &AtomicBool, byte: u8) {
    const LEN: usize = 1 << 20;
    while !done.load(Ordering::Relaxed) {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, used inside its bounds and unmapped once.
        unsafe {
            let start = libc::mmap(null_mut(), LEN, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            let bytes = start.cast::<u8>();
            for at in (0..LEN).step_by(4096) {
                assert_eq!(bytes.add(at).read_volatile(), 0);
                bytes.add(at).write_volatile(byte);
            }
            for at in (0..LEN).step_by(4096) {
                assert_eq!(bytes.add(at).read_volatile(), byte);
            }
            assert_eq!(libc::munmap(start, LEN), 0);
        }
    }
}

/// Maps a file of its own, again and again: aligned, and with what this thread wrote.
fn map_and_unmap(directory: &std::path::Path, thread: usize, rounds: u64) {
    let path = directory.join(thread.to_string());
    let mut expected = 0;
    for round in 1..=rounds {
        let map = MapOptions::new()
            .create(100_000)
            .sparse(true)
            .open(&path)
            .unwrap();
        assert_eq!(map.start().addr().get() % HUGE, 0, "thread {thread}");
        let word = map.start().cast::<u64>();
        // SAFETY: inside the map; the file is this thread's.
        unsafe {
            assert_eq!(word.read_volatile(), expected);
            expected = round << 8 | thread as u64;
            word.write_volatile(expected);
        }
        if round % 16 == 0 {
            map.persist(0..8).unwrap();
        }
        drop(map);
    }
}

#[test]
fn nobodys_mapping_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (done, path) = (AtomicBool::new(false), directory.path());
    thread::scope(|scope| {
        for byte in 1..=2 {
            let done = &done;
            scope.spawn(move || stand_by(done, byte));
        }
        let mappers: Vec<_> = (0..6)
            .map(|thread| scope.spawn(move || map_and_unmap(path, thread, 300)))
            .collect();
        let results: Vec<_> = mappers.into_iter().map(|mapper| mapper.join()).collect();
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap();
        }
    });
}
