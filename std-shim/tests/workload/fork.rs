//! Forks of a program whose other threads are in the midst of allocating.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Patterned, churn};

/// Runs `child` in a child process, and answers how that ended: its wait status.
pub(crate) fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child does not return, and uses nothing of the other threads but the heap.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the child.
        unsafe { libc::_exit(if good.unwrap_or(false) { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: the status is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

/// Forks again and again while other threads allocate.
pub(crate) fn forks(count: usize, threads: usize) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..threads {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    churn(number, 300);
                }
            });
        }
        for round in 0..count {
            let mut mine: Vec<Patterned> = (0..100)
                .map(|at| Patterned::new(round + at, 1 + at * 61))
                .collect();
            let status = in_child(|| {
                mine.truncate(50);
                churn(round, 600);
                // The child may make threads, and they end.
                let thread = thread::spawn(|| churn(1, 300));
                mine.iter().all(Patterned::is_intact) && thread.join().is_ok()
            });
            assert_eq!(status, 0, "the child of round {round}");
            assert!(mine.iter().all(Patterned::is_intact));
        }
        stop.store(true, Ordering::Relaxed);
    });
}
