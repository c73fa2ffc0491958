//! Giving work to CPUs.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::boot::CPUS;

/// What to do: a `fn(usize)`, which is called with the CPU's number.
static JOB: AtomicUsize = AtomicUsize::new(0);

/// How often there was something to do.
static ROUND: AtomicUsize = AtomicUsize::new(0);

/// CPUs that are to do it.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// CPUs that are done with it.
static DONE: AtomicUsize = AtomicUsize::new(0);

/// Runs `job` on the first `cpus` CPUs, and waits until all are done. By the first CPU.
pub(crate) fn on(cpus: usize, job: fn(usize)) {
    assert!(cpus <= CPUS);
    JOB.store(job as *const () as usize, Ordering::Relaxed);
    WANTED.store(cpus, Ordering::Relaxed);
    DONE.store(0, Ordering::Relaxed);
    ROUND.fetch_add(1, Ordering::Release);
    job(0);
    wait_until(|| DONE.load(Ordering::Acquire) == cpus - 1);
}

/// What the other CPUs do all their life.
pub(crate) fn serve(number: usize) -> ! {
    let mut round = 0;
    loop {
        wait_until(|| ROUND.load(Ordering::Acquire) != round);
        round += 1;
        if number < WANTED.load(Ordering::Relaxed) {
            // SAFETY: what is stored is always a `fn(usize)`.
            let job = unsafe {
                core::mem::transmute::<*const (), fn(usize)>(core::ptr::with_exposed_provenance(
                    JOB.load(Ordering::Relaxed),
                ))
            };
            job(number);
            DONE.fetch_add(1, Ordering::Release);
        }
    }
}

/// Waits for other CPUs.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        core::hint::spin_loop();
    }
}

/// A place where CPUs wait for one another.
pub(crate) struct Barrier(AtomicUsize);

impl Barrier {
    pub(crate) const fn new() -> Self {
        Barrier(AtomicUsize::new(0))
    }

    /// Makes it ready for `cpus` CPUs, while nobody is there.
    pub(crate) fn prepare(&self, cpus: usize) {
        self.0.store(cpus, Ordering::Release);
    }

    /// Waits until all are here.
    pub(crate) fn wait(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
        wait_until(|| self.0.load(Ordering::Acquire) == 0);
    }
}
