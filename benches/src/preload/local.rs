//! Workloads whose threads free what they allocate themselves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use super::allocator::{Allocator, USUAL};
use super::slots::Slots;
use super::task::{Effort, Measurement};
use super::workload::{self, CHURN_BLOCKS, Order, Pattern, Workload};
use crate::cpu_time::thread_cpu_time;
use crate::random::Random;

/// A piece of work that leaves the heap as it was, but for churn; returns the number of operations.
type Round = Box<dyn FnMut() -> u64>;

/// How many operations a round of a pattern has that does not say so itself.
const ROUND: u64 = 1024;

/// How long the clock is not read: beside that, a reading costs nothing.
const UNREAD: Duration = Duration::from_micros(200);

/// Runs the workload on `threads` threads at once, each for itself, and returns the sum.
///
/// # Panics
/// When the pattern is not one for threads that work for themselves.
pub fn run<A: Allocator>(
    allocator: A,
    workload: &Workload,
    threads: u32,
    effort: Effort,
) -> Measurement {
    if threads == 1 {
        // On the main thread of a process that has no other: allocators may well have a path of their own for that.
        let mut round = round(allocator, workload, effort.seed);
        let rounds = warm_up(&mut round, effort);
        return measure(&mut round, rounds, effort);
    }
    let start = Barrier::new(threads as usize);
    let finished = AtomicU32::new(0);
    let sum = Mutex::new(Measurement::default());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (start, finished, sum) = (&start, &finished, &sum);
            scope.spawn(move || {
                let mut round = round(allocator, workload, effort.seed + u64::from(thread));
                start.wait();
                let rounds = warm_up(&mut round, effort);
                start.wait();
                let measurement = measure(&mut round, rounds, effort);
                finished.fetch_add(1, Ordering::Relaxed);
                // The others are still measured beside a busy thread.
                while finished.load(Ordering::Relaxed) < threads {
                    round();
                }
                let mut sum = sum.lock().expect("no thread has panicked");
                *sum = sum.plus(measurement);
            });
        }
    });
    sum.into_inner().expect("no thread has panicked")
}

/// Returns how many rounds go by between two readings of the clock from now on.
fn warm_up(round: &mut Round, effort: Effort) -> u64 {
    let start = thread_cpu_time();
    let mut rounds = 0;
    loop {
        round();
        rounds += 1;
        let time = thread_cpu_time() - start;
        if effort.is_warm(rounds, time) {
            let unread = UNREAD.as_nanos() * u128::from(rounds) / time.as_nanos().max(1);
            return (unread as u64).clamp(1, 1 << 16);
        }
    }
}

/// Measures sets of so many rounds.
fn measure(round: &mut Round, rounds: u64, effort: Effort) -> Measurement {
    let start = thread_cpu_time();
    let (mut sets, mut operations) = (0, 0);
    loop {
        for _ in 0..rounds {
            operations += round();
        }
        sets += 1;
        let time = thread_cpu_time() - start;
        if effort.is_measured(sets, time) {
            return Measurement::new(time, operations);
        }
    }
}

/// The round of a pattern. What it keeps alive is never freed: the process ends with the measurement.
fn round<A: Allocator>(allocator: A, workload: &Workload, seed: u64) -> Round {
    let size = workload.size;
    match workload.pattern {
        Pattern::Pair => pairs(allocator, size, USUAL, move || allocator.malloc(size)),
        Pattern::Zeroed => pairs(allocator, size, USUAL, move || allocator.calloc(size)),
        Pattern::Aligned(alignment) => pairs(allocator, size, alignment, move || {
            allocator.aligned(alignment, size)
        }),
        Pattern::Batch(order) => batches(allocator, size, order, seed),
        Pattern::Churn => churn(allocator, size, seed),
        Pattern::Grow(step) => grow(allocator, size, step),
        Pattern::Handover | Pattern::Ring | Pattern::Classic(_) => {
            panic!("{} starts its own threads", workload.name)
        }
    }
}

fn pairs<A: Allocator>(
    allocator: A,
    size: usize,
    alignment: usize,
    allocate: impl Fn() -> *mut u8 + 'static,
) -> Round {
    Box::new(move || {
        for _ in 0..ROUND {
            let block = allocate();
            // SAFETY: the block is new, of that size and alignment, and forgotten with this.
            unsafe { allocator.free(block, size, alignment) };
        }
        ROUND
    })
}

fn batches<A: Allocator>(allocator: A, size: usize, order: Order, seed: u64) -> Round {
    let count = workload::batch(size);
    let mut slots = Slots::new(count);
    let mut places = (order == Order::Random).then(|| Slots::shuffled(count, seed));
    Box::new(move || {
        let blocks = slots.blocks();
        if let Some(places) = &mut places {
            // In random places now: so they are freed at random by and by.
            for &place in places.numbers().iter() {
                blocks[place] = allocator.malloc(size);
            }
        } else {
            for block in blocks.iter_mut() {
                *block = allocator.malloc(size);
            }
        }
        let free = |&block: &*mut u8| {
            // SAFETY: every slot was filled above, and is filled anew before it is read again.
            unsafe { allocator.free(block, size, USUAL) }
        };
        if order == Order::Reversed {
            blocks.iter().rev().for_each(free);
        } else {
            blocks.iter().for_each(free);
        }
        count as u64
    })
}

/// What a slot of churn holds: the block, and its size if the allocator wants to know it again, in the upper 16 bits,
/// which no address of a process has.
#[inline(always)]
fn remember<A: Allocator>(block: *mut u8, size: usize) -> *mut u8 {
    if A::WANTS_SIZES {
        block.map_addr(|address| address | size << SIZE_BITS)
    } else {
        block
    }
}

/// The block in a slot and its size, if that is there.
#[inline(always)]
fn recall<A: Allocator>(slot: *mut u8) -> (*mut u8, usize) {
    if A::WANTS_SIZES {
        let block = slot.map_addr(|address| address & ((1 << SIZE_BITS) - 1));
        (block, slot.addr() >> SIZE_BITS)
    } else {
        (slot, 0)
    }
}

/// Where the size begins.
const SIZE_BITS: u32 = usize::BITS - 16;

fn churn<A: Allocator>(allocator: A, size: usize, seed: u64) -> Round {
    let mut random = Random::new(seed);
    let mut slots = Slots::new(CHURN_BLOCKS);
    for block in slots.blocks() {
        let size = random.between(1, size as u32) as usize;
        *block = remember::<A>(allocator.malloc(size), size);
    }
    Box::new(move || {
        let blocks = slots.blocks();
        for _ in 0..ROUND {
            // One draw for both: its halves are independent.
            let bits = random.next_u64();
            let below = |half: u64, bound: usize| ((half * bound as u64) >> 32) as usize;
            let slot = &mut blocks[below(bits >> 32, CHURN_BLOCKS)];
            let (block, old) = recall::<A>(*slot);
            // SAFETY: every slot holds a live block and its size; this one's is replaced at once.
            unsafe { allocator.free(block, old, USUAL) };
            let new = 1 + below(bits & 0xFFFF_FFFF, size);
            *slot = remember::<A>(allocator.malloc(new), new);
        }
        ROUND
    })
}

fn grow<A: Allocator>(allocator: A, size: usize, step: usize) -> Round {
    let steps = size / step;
    Box::new(move || {
        let mut block = allocator.malloc(step);
        for reached in 1..steps {
            // SAFETY: the block is live and known here only; what is written is the first byte of the part that it
            // has grown by.
            unsafe {
                block = allocator.realloc(block, reached * step, (reached + 1) * step);
                block.add(reached * step).write_volatile(1);
            }
        }
        // SAFETY: live, and forgotten with this.
        unsafe { allocator.free(block, size, USUAL) };
        steps as u64
    })
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::*;

    const EFFORT: Effort = Effort {
        warm_up_ms: 0,
        measured_ms: 0,
        seed: 1,
    };

    #[test]
    fn every_workload_counts_its_operations() {
        let family = Family::resolve().unwrap();
        for workload in workload::all() {
            // The larger ones take long without optimisation.
            if !workload.runs_on(1)
                || workload.size > 64 << 10
                || matches!(workload.pattern, Pattern::Classic(_))
            {
                continue;
            }
            let measurement = run(family, &workload, 1, EFFORT);
            let round = match workload.pattern {
                Pattern::Grow(step) => workload.size / step,
                Pattern::Batch(_) => workload::batch(workload.size),
                _ => ROUND as usize,
            };
            assert!(
                measurement.operations >= 3 * round as u64,
                "{}",
                workload.name
            );
            assert!(measurement.nanoseconds > 0.0, "{}", workload.name);
        }
    }

    #[test]
    fn threads_are_summed() {
        let family = Family::resolve().unwrap();
        let workload = &workload::all()[0];
        let measurement = run(family, workload, 2, EFFORT);
        assert!(measurement.operations >= 2 * 3 * ROUND);
    }
}
