//! A producer and a consumer around a bounded ring.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::allocator::{Allocator, USUAL};
use super::handover::wait_until;
use super::task::{Effort, Measurement};
use super::workload::RING_BLOCKS;
use crate::cpu_time::thread_cpu_time;

/// How many blocks the producer makes between two looks at its clock.
const ROUND: u64 = 1 << 14;

/// An index on a cache line of its own (two, as processors fetch them in pairs).
#[repr(align(128))]
#[derive(Default)]
struct Index(AtomicUsize);

/// A queue for one producer and one consumer. Both count without end; the place is the count modulo the length.
struct Ring {
    places: Box<[AtomicPtr<u8>]>,
    /// So many have been put in.
    put: Index,
    /// So many have been taken out.
    taken: Index,
}

impl Ring {
    fn new() -> Self {
        Self {
            places: (0..RING_BLOCKS)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            put: Index::default(),
            taken: Index::default(),
        }
    }
}

/// The producer's end.
struct Producer<'a> {
    ring: &'a Ring,
    put: usize,
    /// What the consumer has taken at least.
    taken: usize,
}

impl Producer<'_> {
    #[inline]
    fn put(&mut self, block: *mut u8) {
        if self.put - self.taken == RING_BLOCKS {
            wait_until(|| {
                self.taken = self.ring.taken.0.load(Ordering::Acquire);
                self.put - self.taken < RING_BLOCKS
            });
        }
        self.ring.places[self.put % RING_BLOCKS].store(block, Ordering::Relaxed);
        self.put += 1;
        self.ring.put.0.store(self.put, Ordering::Release);
    }
}

/// The consumer's end.
struct Consumer<'a> {
    ring: &'a Ring,
    taken: usize,
    /// What the producer has put in at least.
    put: usize,
}

impl Consumer<'_> {
    #[inline]
    fn take(&mut self) -> *mut u8 {
        if self.put == self.taken {
            wait_until(|| {
                self.put = self.ring.put.0.load(Ordering::Acquire);
                self.put != self.taken
            });
        }
        let block = self.ring.places[self.taken % RING_BLOCKS].load(Ordering::Relaxed);
        self.taken += 1;
        self.ring.taken.0.store(self.taken, Ordering::Release);
        block
    }
}

/// Told to the consumer, through the ring: no block. The measured part begins and ends where it arrives.
const MARK: *mut u8 = ptr::null_mut();

/// The time of both threads for blocks of `size` bytes; an operation is a block's whole way.
///
/// # Panics
/// When a thread cannot be made.
pub fn run<A: Allocator>(allocator: A, size: usize, effort: Effort) -> Measurement {
    let ring = Ring::new();
    thread::scope(|scope| {
        let producer = scope.spawn(|| produce(allocator, size, &ring, effort));
        let consumer = scope.spawn(|| consume(allocator, size, &ring));
        let (time, blocks) = producer.join().expect("no thread panics");
        let both = time + consumer.join().expect("no thread panics");
        Measurement::new(both, blocks)
    })
}

/// Returns the time of the measured part and the number of its blocks.
fn produce<A: Allocator>(
    allocator: A,
    size: usize,
    ring: &Ring,
    effort: Effort,
) -> (Duration, u64) {
    let mut end = Producer {
        ring,
        put: 0,
        taken: 0,
    };
    let round = |end: &mut Producer<'_>| {
        for _ in 0..ROUND {
            end.put(allocator.malloc(size));
        }
    };
    let start = thread_cpu_time();
    let mut rounds = 0;
    while !effort.is_warm(rounds, thread_cpu_time() - start) {
        round(&mut end);
        rounds += 1;
    }
    end.put(MARK);
    let start = thread_cpu_time();
    let mut rounds = 0;
    let time = loop {
        round(&mut end);
        rounds += 1;
        let time = thread_cpu_time() - start;
        if effort.is_measured(rounds, time) {
            break time;
        }
    };
    end.put(MARK);
    (time, rounds * ROUND)
}

/// Returns the time between both marks.
fn consume<A: Allocator>(allocator: A, size: usize, ring: &Ring) -> Duration {
    let mut end = Consumer {
        ring,
        taken: 0,
        put: 0,
    };
    let mut free_until_mark = || {
        loop {
            let block = end.take();
            if block == MARK {
                return thread_cpu_time();
            }
            // SAFETY: the producer has passed this live block on, and forgotten it.
            unsafe { allocator.free(block, size, USUAL) };
        }
    };
    let start = free_until_mark();
    free_until_mark() - start
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::*;

    #[test]
    fn every_block_passes_in_order() {
        let ring = Ring::new();
        let count = 10 * RING_BLOCKS;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut end = Producer {
                    ring: &ring,
                    put: 0,
                    taken: 0,
                };
                for number in 0..count {
                    end.put(ptr::without_provenance_mut(number));
                }
            });
            let mut end = Consumer {
                ring: &ring,
                taken: 0,
                put: 0,
            };
            for number in 0..count {
                assert_eq!(end.take().addr(), number);
            }
        });
    }

    #[test]
    fn whole_rounds_are_counted() {
        let effort = Effort {
            warm_up_ms: 0,
            measured_ms: 0,
            seed: 1,
        };
        let measurement = run(Family::resolve().unwrap(), 64, effort);
        assert_eq!(measurement.operations, 3 * ROUND);
        assert!(measurement.nanoseconds > 0.0);
    }
}
