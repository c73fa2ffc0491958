//! The map grows, and gets a slab's descriptor, while others look granules up: nobody sees an entry
//! or a descriptor that was not written yet, and whoever has an object finds its descriptor.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;

use super::{Search, explore};
use crate::slab::map::GranuleMap;
use crate::sync::{AtomicUsize, Ordering};

/// What the bytes of an entry hold before it is initialised.
const GARBAGE: usize = 99;
const NONE: usize = 0;
/// Leads to the descriptor.
const SLAB: usize = 7;
const WRITTEN: usize = 5;
const GRANULES: usize = 3;

/// The steps that a test can replace.
struct Steps {
    reveal: fn(&[AtomicUsize], &AtomicUsize, usize),
    set: fn(&[AtomicUsize], &AtomicUsize, usize),
    locked: bool,
}

const SHIPPED: Steps = Steps {
    reveal: |entries, limit, until| map(entries, limit).reveal(until, NONE),
    set: |entries, limit, granule| map(entries, limit).set(granule..granule + 1, SLAB),
    locked: true,
};

fn map<'a>(entries: &'a [AtomicUsize], limit: &'a AtomicUsize) -> GranuleMap<'a> {
    // SAFETY: the limit starts at 0 and nothing else writes to it, but for the planted bugs, which
    // keep it within the entries.
    unsafe { GranuleMap::new(entries, limit) }
}

struct Bench {
    steps: &'static Steps,
    lock: Mutex<()>,
    entries: [AtomicUsize; GRANULES],
    limit: AtomicUsize,
    descriptor: UnsafeCell<usize>,
    /// An object's granule, counted from 1, on its way from one thread to another.
    handed_over: AtomicUsize,
}

impl Bench {
    fn reveal(&self, until: usize) {
        (self.steps.reveal)(&self.entries, &self.limit, until);
    }

    /// Looks a granule up, as for the free of an address that may be wrong.
    fn look_up(&self, granule: usize) -> bool {
        match map(&self.entries, &self.limit).look_up(granule) {
            None | Some(NONE) => false,
            Some(SLAB) => {
                let content = self.descriptor.with(|descriptor| {
                    // SAFETY: loom has checked that nobody writes.
                    unsafe { *descriptor }
                });
                assert_eq!(content, WRITTEN);
                true
            }
            Some(entry) => panic!("an entry that was not initialised: {entry}"),
        }
    }
}

/// One thread adds a slab in granule 1 and hands an object of it over, another only extends the pool,
/// and a third looks up.
fn model(search: Search, steps: &'static Steps, two_extend: bool) {
    explore(search, move || {
        let bench = Arc::new(Bench {
            steps,
            lock: Mutex::new(()),
            entries: [(); GRANULES].map(|()| AtomicUsize::new(GARBAGE)),
            limit: AtomicUsize::new(0),
            descriptor: UnsafeCell::new(0),
            handed_over: AtomicUsize::new(0),
        });
        bench.reveal(1);
        let adder = {
            let bench = bench.clone();
            thread::spawn(move || {
                let locked = bench.steps.locked.then(|| bench.lock.lock().unwrap());
                bench.reveal(2);
                bench.descriptor.with_mut(|descriptor| {
                    // SAFETY: loom has checked that nobody else has access.
                    unsafe { *descriptor = WRITTEN };
                });
                (bench.steps.set)(&bench.entries, &bench.limit, 1);
                drop(locked);
                bench.handed_over.store(2, Ordering::Release);
            })
        };
        let extender = two_extend.then(|| {
            let bench = bench.clone();
            thread::spawn(move || {
                let locked = bench.steps.locked.then(|| bench.lock.lock().unwrap());
                bench.reveal(GRANULES);
                drop(locked);
            })
        });
        bench.look_up(1);
        bench.look_up(GRANULES - 1);
        let object = bench.handed_over.load(Ordering::Acquire);
        if object != 0 {
            assert!(
                bench.look_up(object - 1),
                "the free of an object finds no slab"
            );
        }
        adder.join().unwrap();
        if let Some(extender) = extender {
            extender.join().unwrap();
        }
        assert!(bench.look_up(1), "an entry was overwritten");
    });
}

#[test]
fn one_extends() {
    model(Search::Preemptions(5), &SHIPPED, false);
}

#[test]
fn two_extend() {
    model(Search::Preemptions(3), &SHIPPED, true);
}

fn reveal_planted(
    entries: &[AtomicUsize],
    limit: &AtomicUsize,
    until: usize,
    first: bool,
    order: Ordering,
) {
    let before = limit.load(Ordering::Relaxed);
    if until <= before {
        return;
    }
    if first {
        limit.store(until, order);
    }
    for entry in &entries[before..until] {
        entry.store(NONE, Ordering::Relaxed);
    }
    if !first {
        limit.store(until, order);
    }
}

#[test]
#[should_panic(expected = "an entry that was not initialised: 99")]
fn limit_before_the_entries_planted() {
    const STEPS: Steps = Steps {
        reveal: |entries, limit, until| {
            reveal_planted(entries, limit, until, true, Ordering::Release);
        },
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, false);
}

#[test]
#[should_panic(expected = "an entry that was not initialised: 99")]
fn limit_without_release_planted() {
    const STEPS: Steps = Steps {
        reveal: |entries, limit, until| {
            reveal_planted(entries, limit, until, false, Ordering::Relaxed);
        },
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, false);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn entry_without_release_planted() {
    const STEPS: Steps = Steps {
        set: |entries, _, granule| entries[granule].store(SLAB, Ordering::Relaxed),
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, false);
}

#[test]
#[should_panic(expected = "an entry was overwritten")]
fn extended_without_the_lock_planted() {
    const STEPS: Steps = Steps {
        locked: false,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, true);
}
