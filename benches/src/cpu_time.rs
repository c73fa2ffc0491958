//! The clocks of the benches.

use std::time::Duration;

/// The CPU time that the calling thread has used: other programs on the machine do not show in it, as they would in
/// wall time. See [`clock_gettime(2)`](https://man7.org/linux/man-pages/man2/clock_gettime.2.html).
///
/// # Panics
/// When the system has no such clock.
pub fn thread_cpu_time() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The CPU time that all threads of this process have used, those that have ended included.
///
/// # Panics
/// When the system has no such clock.
pub fn process_cpu_time() -> Duration {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writes.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(
        status,
        0,
        "clock_gettime({clock}): {}",
        std::io::Error::last_os_error()
    );
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How much longer an interval between two readings of [`thread_cpu_time`] looks because of the readings: a system call
/// takes half a microsecond on some machines.
pub fn reading_cost() -> Duration {
    let mut intervals: Vec<_> = (0..1000)
        .map(|_| {
            let start = thread_cpu_time();
            thread_cpu_time() - start
        })
        .collect();
    // The median: an interrupt makes one long, a move to another processor may make one short.
    intervals.sort_unstable();
    intervals[intervals.len() / 2]
}
