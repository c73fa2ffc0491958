//! A thread ends, and the next adopts its local heap, while others free objects of it: the local heap
//! has one owner at a time, who sees what the one before did, and no remote free is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Unmodelled};
use std::vec::Vec;

use loom::sync::Mutex;
use loom::thread;

use super::slab::{OBJECTS, SHIPPED, Slab, collect, free};
use super::{Search, explore};
use crate::slab::remote::RemoteQueue;
use crate::sync::{AtomicUsize, Ordering};

/// The steps that a test can replace.
struct Steps {
    retire: fn(&Bench),
    adopt: fn(&Bench) -> bool,
    collect_before: bool,
    keep_queue: bool,
}

/// The list of idle local heaps is the pool's, under its lock.
const LOCKED: Steps = Steps {
    retire: |bench| *bench.idle.lock().unwrap() = true,
    adopt: |bench| core::mem::take(&mut *bench.idle.lock().unwrap()),
    collect_before: true,
    keep_queue: true,
};

struct Bench {
    steps: &'static Steps,
    slabs: [Slab; 1],
    queue: RemoteQueue,
    /// Whether the local heap is idle.
    idle: Mutex<bool>,
    /// The same for the bugs that do without the lock.
    unlocked: AtomicUsize,
    /// Whether somebody works with the local heap. Not part of the protocol.
    owned: AtomicBool,
}

impl Bench {
    fn begin(&self) {
        let before = self.owned.swap(true, Unmodelled::Relaxed);
        assert!(!before, "a local heap has two owners");
    }

    fn end(&self) {
        self.owned.store(false, Unmodelled::Relaxed);
    }

    fn collect(&self) {
        let doubles = collect(&SHIPPED, &self.slabs, &self.queue);
        assert_eq!(doubles, 0, "an object came back twice");
    }

    /// What an owner does, and then its thread ends.
    fn work_and_end(&self) {
        if let Some(object) = self.slabs[0].allocate() {
            self.slabs[0].free_own(object);
        }
        if self.steps.collect_before {
            self.collect();
            self.end();
            (self.steps.retire)(self);
        } else {
            (self.steps.retire)(self);
            self.collect();
            self.end();
        }
    }

    /// A new thread.
    fn adopt(&self) -> bool {
        let adopted = (self.steps.adopt)(self);
        if adopted {
            self.begin();
            if !self.steps.keep_queue {
                self.queue.0.store(0, Ordering::Relaxed);
            }
        }
        adopted
    }
}

fn model(search: Search, steps: &'static Steps, new_threads: usize, senders: usize) {
    explore(search, move || {
        let in_use = &OBJECTS[..senders];
        let bench = Arc::new(Bench {
            steps,
            slabs: [Slab::new(&SHIPPED, in_use)],
            queue: RemoteQueue(AtomicUsize::new(0)),
            idle: Mutex::new(false),
            unlocked: AtomicUsize::new(0),
            owned: AtomicBool::new(true),
        });
        let mut threads: Vec<_> = in_use
            .iter()
            .map(|&object| {
                let bench = bench.clone();
                thread::spawn(move || free(&bench.slabs, 1, object, &bench.queue))
            })
            .collect();
        threads.extend((0..new_threads).map(|_| {
            let bench = bench.clone();
            thread::spawn(move || {
                if bench.adopt() {
                    bench.work_and_end();
                }
            })
        }));
        bench.work_and_end();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(bench.adopt(), "a local heap was lost");
        bench.collect();
        bench.slabs[0].assert_quiet();
    });
}

#[test]
fn by_one_during_two_remote_frees() {
    model(Search::Preemptions(3), &LOCKED, 1, 2);
}

#[test]
fn by_two_during_a_remote_free() {
    model(Search::Preemptions(3), &LOCKED, 2, 1);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write accesses")]
fn taken_in_two_steps_planted() {
    const STEPS: Steps = Steps {
        retire: |bench| bench.unlocked.store(1, Ordering::Release),
        adopt: |bench| {
            let idle = bench.unlocked.load(Ordering::Acquire) == 1;
            if idle {
                bench.unlocked.store(0, Ordering::Release);
            }
            idle
        },
        ..LOCKED
    };
    model(Search::Planted(3), &STEPS, 2, 1);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write accesses")]
fn listed_without_release_planted() {
    const STEPS: Steps = Steps {
        retire: |bench| bench.unlocked.store(1, Ordering::Relaxed),
        adopt: |bench| bench.unlocked.swap(0, Ordering::Acquire) == 1,
        ..LOCKED
    };
    model(Search::Planted(3), &STEPS, 1, 1);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write accesses")]
fn listed_before_the_last_collection_planted() {
    const STEPS: Steps = Steps {
        collect_before: false,
        ..LOCKED
    };
    model(Search::Planted(3), &STEPS, 1, 1);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn adopted_with_an_empty_queue_planted() {
    const STEPS: Steps = Steps {
        keep_queue: false,
        ..LOCKED
    };
    model(Search::Planted(3), &STEPS, 1, 1);
}
