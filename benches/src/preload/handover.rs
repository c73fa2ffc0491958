//! A thread allocates batches, another frees them: two batches are on their way at most, so both work at once.

use std::hint;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::allocator::{Allocator, USUAL};
use super::slots::Slots;
use super::task::{Effort, Measurement};
use super::workload;
use crate::cpu_time::{reading_cost, thread_cpu_time};

/// How many batches there is room for.
const BATCHES: usize = 2;

/// How far both sides are. Batches are numbered from 0.
struct Progress {
    /// So many batches have been allocated.
    allocated: AtomicU64,
    /// So many batches have been freed.
    freed: AtomicU64,
    /// The first batch that is measured, once it is known.
    first_measured: AtomicU64,
    /// The number of all batches, once it is known.
    end: AtomicU64,
}

/// The times of the allocations and of the frees of blocks of `size` bytes. Waiting for the other side is in neither.
///
/// # Panics
/// When a thread cannot be made.
pub fn run<A: Allocator>(allocator: A, size: usize, effort: Effort) -> [Measurement; 2] {
    let count = workload::batch(size);
    let batches = [(); BATCHES].map(|()| Mutex::new(Slots::new(count)));
    let progress = Progress {
        allocated: AtomicU64::new(0),
        freed: AtomicU64::new(0),
        first_measured: AtomicU64::new(u64::MAX),
        end: AtomicU64::new(u64::MAX),
    };
    // Each batch is measured by itself, so this falls into each.
    let reading = reading_cost();
    thread::scope(|scope| {
        let allocations =
            scope.spawn(|| allocate(allocator, size, &batches, &progress, effort, reading));
        let frees = scope.spawn(|| free(allocator, size, &batches, &progress, reading));
        [allocations, frees].map(|thread| {
            let sum = thread.join().expect("no thread panics");
            Measurement::new(sum.time, sum.batches * count as u64)
        })
    })
}

/// The measured batches of one side.
#[derive(Default)]
struct Sum {
    time: Duration,
    batches: u64,
}

/// Runs `work`, and returns its CPU time.
fn timed(reading: Duration, work: impl FnOnce()) -> Duration {
    let start = thread_cpu_time();
    work();
    (thread_cpu_time() - start).saturating_sub(reading)
}

fn allocate<A: Allocator>(
    allocator: A,
    size: usize,
    batches: &[Mutex<Slots>; BATCHES],
    progress: &Progress,
    effort: Effort,
    reading: Duration,
) -> Sum {
    let mut warm_up = Duration::ZERO;
    let mut sum = Sum::default();
    for number in 0.. {
        wait_until(|| number - progress.freed.load(Ordering::Acquire) < BATCHES as u64);
        let mut slots = batches[number as usize % BATCHES]
            .lock()
            .expect("no thread panics");
        let time = timed(reading, || {
            for block in slots.blocks() {
                *block = allocator.malloc(size);
            }
        });
        drop(slots);
        if number >= progress.first_measured.load(Ordering::Relaxed) {
            sum.time += time;
            sum.batches += 1;
            if effort.is_measured(sum.batches, sum.time) {
                progress.end.store(number + 1, Ordering::Relaxed);
            }
        } else {
            warm_up += time;
            if effort.is_warm(number + 1, warm_up) {
                progress.first_measured.store(number + 1, Ordering::Relaxed);
            }
        }
        // Publishes all of the above.
        progress.allocated.store(number + 1, Ordering::Release);
        if progress.end.load(Ordering::Relaxed) == number + 1 {
            break;
        }
    }
    sum
}

fn free<A: Allocator>(
    allocator: A,
    size: usize,
    batches: &[Mutex<Slots>; BATCHES],
    progress: &Progress,
    reading: Duration,
) -> Sum {
    let mut sum = Sum::default();
    for number in 0.. {
        wait_until(|| progress.allocated.load(Ordering::Acquire) > number);
        let mut slots = batches[number as usize % BATCHES]
            .lock()
            .expect("no thread panics");
        let time = timed(reading, || {
            for &mut block in slots.blocks() {
                // SAFETY: the other thread has filled this batch and handed it over; it reads none of it again.
                unsafe { allocator.free(block, size, USUAL) };
            }
        });
        drop(slots);
        if number >= progress.first_measured.load(Ordering::Relaxed) {
            sum.time += time;
            sum.batches += 1;
        }
        progress.freed.store(number + 1, Ordering::Release);
        if progress.end.load(Ordering::Relaxed) == number + 1 {
            break;
        }
    }
    sum
}

/// Waits, and leaves the processor to others when it takes long.
pub(super) fn wait_until(mut condition: impl FnMut() -> bool) {
    let mut tries = 0_u32;
    while !condition() {
        tries += 1;
        if tries < 200 {
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::*;

    #[test]
    fn both_sides_count_whole_batches() {
        let effort = Effort {
            warm_up_ms: 0,
            measured_ms: 0,
            seed: 1,
        };
        let [allocations, frees] = run(Family::resolve().unwrap(), 65536, effort);
        assert_eq!(allocations.operations, 3 * workload::batch(65536) as u64);
        assert_eq!(frees.operations, allocations.operations);
        assert!(allocations.nanoseconds > 0.0 && frees.nanoseconds > 0.0);
    }
}
