//! Workloads that allocators have been compared by for decades, written anew after what is known of them.
//!
//! An episode starts the threads, gives each its part of the work, and waits for their ends, as most of the originals
//! do: what allocators do at a thread's end counts. The CPU time is that of the whole process. Blocks that must keep what
//! was written to them are looked at when they are freed: a process that finds something else ends.
//!
//! | module | workloads |
//! |---|---|
//! | `larson` | larson |
//! | `xmalloc` | xmalloc |
//! | `mstress` | mstress |
//! | `cache` | cscratch, cthrash |
//! | `sh` | sh6, sh8 |
//! | `alloc_test` | alloctest |
//! | `glibc_simple` | glibc-simple |
//! | `glibc_thread` | glibc-thread |
//! | `malloc_large` | malloc-large |
//! | `mleak` | mleak |
//! | `rptest` | rptest |
//! | `sizes` | the sizes of blocks in some of them |
//! | `lane` | what a thread has from one episode to the next, in some of them |
//! | `contents` | what is written to blocks in some of them |

mod alloc_test;
mod cache;
mod contents;
mod glibc_simple;
mod glibc_thread;
mod lane;
mod larson;
mod malloc_large;
mod mleak;
mod mstress;
mod rptest;
mod sh;
mod sizes;
mod xmalloc;

use std::time::Duration;

use super::family::Family;
use super::task::{Effort, Measurement};
use crate::cpu_time::process_cpu_time;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classic {
    /// Replaces random blocks of an array; the next thread inherits the array.
    Larson,
    /// Some threads allocate, as many others free.
    Xmalloc,
    /// Allocates, frees and passes blocks on through shared slots, at random.
    Mstress,
    /// Writes to small blocks, of which the first was allocated by another thread.
    CacheScratch,
    /// Writes to small blocks.
    CacheThrash,
    /// Batches of mostly small blocks, freed half in order and half in reverse.
    Sh6,
    /// The same, freed by the next thread.
    Sh8,
    /// Fills or empties random slots, and uses all bytes of each block.
    AllocTest,
    /// Allocates small blocks of one size, and frees them in order.
    GlibcSimple,
    /// Replaces random blocks, most of them very small, and writes to all bytes of each.
    GlibcThread,
    /// Replaces random buffers of many MiB, and writes to all bytes of each.
    MallocLarge,
    /// Threads that allocate one block, free another, and end.
    Mleak,
    /// Frees and allocates by turns, and now and then allocates what another thread frees.
    Rptest,
}

impl Classic {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 13] = [
        ("larson", Self::Larson),
        ("xmalloc", Self::Xmalloc),
        ("mstress", Self::Mstress),
        ("cscratch", Self::CacheScratch),
        ("cthrash", Self::CacheThrash),
        ("sh6", Self::Sh6),
        ("sh8", Self::Sh8),
        ("alloctest", Self::AllocTest),
        ("glibc-simple", Self::GlibcSimple),
        ("glibc-thread", Self::GlibcThread),
        ("malloc-large", Self::MallocLarge),
        ("mleak", Self::Mleak),
        ("rptest", Self::Rptest),
    ];

    /// Whether the workload can run on `threads` threads.
    pub fn runs_on(self, threads: u32) -> bool {
        match self {
            Self::Xmalloc => threads.is_multiple_of(2),
            Self::GlibcSimple | Self::MallocLarge => threads == 1,
            _ => true,
        }
    }
}

/// A workload at work.
trait Episodes {
    /// Runs one episode; returns the number of operations.
    fn run(&mut self) -> u64;
}

/// Runs the workload on `threads` threads.
///
/// # Panics
/// When a thread cannot be made.
pub fn run(family: Family, classic: Classic, threads: u32, effort: Effort) -> Measurement {
    let mut episodes = episodes(family, classic, threads as usize, effort.seed);
    repeat(&mut *episodes, |count, time| {
        effort.is_warm(count, time / threads)
    });
    repeat(&mut *episodes, |count, time| {
        effort.is_measured(count, time / threads)
    })
}

fn episodes(family: Family, classic: Classic, threads: usize, seed: u64) -> Box<dyn Episodes> {
    match classic {
        Classic::Larson => Box::new(larson::Larson::new(family, threads, seed)),
        Classic::Xmalloc => Box::new(xmalloc::Xmalloc::new(family, threads, seed)),
        Classic::Mstress => Box::new(mstress::Mstress::new(family, threads, seed)),
        Classic::CacheScratch => Box::new(cache::Cache::scratch(family, threads)),
        Classic::CacheThrash => Box::new(cache::Cache::thrash(family, threads)),
        Classic::Sh6 => Box::new(sh::Sh::sh6(family, threads, seed)),
        Classic::Sh8 => Box::new(sh::Sh::sh8(family, threads, seed)),
        Classic::AllocTest => Box::new(alloc_test::AllocTest::new(family, threads, seed)),
        Classic::GlibcSimple => Box::new(glibc_simple::GlibcSimple::new(family)),
        Classic::GlibcThread => Box::new(glibc_thread::GlibcThread::new(family, threads, seed)),
        Classic::MallocLarge => Box::new(malloc_large::MallocLarge::new(family, seed)),
        Classic::Mleak => Box::new(mleak::Mleak::new(family, threads, seed)),
        Classic::Rptest => Box::new(rptest::Rptest::new(family, threads, seed)),
    }
}

/// Runs episodes until they are enough.
fn repeat(episodes: &mut dyn Episodes, enough: impl Fn(u64, Duration) -> bool) -> Measurement {
    let start = process_cpu_time();
    let (mut count, mut operations) = (0, 0);
    loop {
        operations += episodes.run();
        count += 1;
        let time = process_cpu_time() - start;
        if enough(count, time) {
            return Measurement::new(time, operations);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_classic_counts_its_operations() {
        let family = Family::resolve().unwrap();
        for (name, classic) in Classic::ALL {
            for threads in [1, 2] {
                if classic.runs_on(threads) {
                    // Twice: most begin with what the episode before has left.
                    let mut episodes = episodes(family, classic, threads as usize, 1);
                    let measurement = repeat(&mut *episodes, |count, _| count == 2);
                    let least = if classic == Classic::MallocLarge {
                        20
                    } else {
                        2000
                    };
                    assert!(measurement.operations >= least, "{name}/{threads}");
                    assert!(measurement.nanoseconds > 0.0, "{name}/{threads}");
                }
            }
        }
    }
}
