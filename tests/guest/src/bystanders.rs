//! Threads that map and unmap memory of their own, as any program does: nobody else's mapping may
//! ever land on theirs.

use std::io::Error;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const LEN: usize = 1 << 20;
const PAGE: usize = 4096;

/// Runs `work` while two threads map 1 MiB, write to each page, look whether it is still there, and unmap
/// it, over and over.
///
/// # Panics
/// If one of their pages changed, and if `work` panics.
pub fn beside<T>(work: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 1..=2 {
            let is_done = &is_done;
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    map_and_unmap(number);
                }
            });
        }
        let _stop = Stop(&is_done);
        work()
    })
}

/// Stops the bystanders also when the work panics, so that the scope ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn map_and_unmap(number: u8) {
    let (access, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping, used only here, and unmapped at last.
    unsafe {
        let start = libc::mmap(null_mut(), LEN, access, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED, "{}", Error::last_os_error());
        let bytes = start.cast::<u8>();
        for at in (0..LEN).step_by(PAGE) {
            bytes.add(at).write_volatile(number);
        }
        thread::yield_now();
        for at in (0..LEN).step_by(PAGE) {
            let found = bytes.add(at).read_volatile();
            assert_eq!(found, number, "a bystander's page was replaced");
        }
        assert_eq!(libc::munmap(start, LEN), 0, "{}", Error::last_os_error());
    }
}
