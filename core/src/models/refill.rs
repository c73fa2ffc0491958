//! Two threads use up their slabs, free each other's objects and refill from what came back: nobody
//! gets an object that somebody else has, or before its last user is done with it.

use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use super::slab::{OBJECTS, SHIPPED, Slab, Steps, collect, free};
use super::{Search, explore, planted};
use crate::slab::remote::{BITS, RemoteQueue};
use crate::sync::{AtomicUsize, Ordering};

struct Bench {
    steps: &'static Steps,
    slabs: [Slab; 2],
    queues: [RemoteQueue; 2],
    /// An object of each thread on its way to the other: its number, counted from 1.
    handed_over: [AtomicUsize; 2],
}

impl Bench {
    fn collect(&self, me: usize) {
        let doubles = collect(self.steps, &self.slabs, &self.queues[me]);
        assert_eq!(doubles, 0, "an object came back twice");
    }

    /// Frees what the other handed over.
    fn free_received(&self, me: usize) {
        let other = 1 - me;
        let object = self.handed_over[other].swap(0, Ordering::Acquire);
        if object != 0 {
            free(&self.slabs, other + 1, object - 1, &self.queues[other]);
        }
    }

    fn run(&self, me: usize, first: &[usize]) {
        for &object in first {
            free(&self.slabs, 2 - me, object, &self.queues[1 - me]);
        }
        let mut mine = Vec::new();
        for _ in 0..2 {
            while let Some(object) = self.slabs[me].allocate() {
                mine.push(object);
            }
            self.collect(me);
        }
        if let Some(object) = mine.pop() {
            // Not a store: loom lets one come before a swap that did not see it.
            self.handed_over[me].swap(object + 1, Ordering::Release);
        }
        self.free_received(me);
        for object in mine {
            self.slabs[me].free_own(object);
        }
    }
}

/// At first each thread has these objects of the other's slab.
fn model(search: Search, steps: &'static Steps, first: &'static [usize]) {
    explore(search, move || {
        let bench = Arc::new(Bench {
            steps,
            slabs: [Slab::new(steps, first), Slab::new(steps, first)],
            queues: [(); 2].map(|()| RemoteQueue(AtomicUsize::new(0))),
            handed_over: [(); 2].map(|()| AtomicUsize::new(0)),
        });
        let other = {
            let bench = bench.clone();
            thread::spawn(move || bench.run(1, first))
        };
        bench.run(0, first);
        other.join().unwrap();
        for me in 0..2 {
            bench.free_received(me);
        }
        for me in 0..2 {
            bench.collect(me);
            bench.slabs[me].assert_quiet();
        }
    });
}

#[test]
fn from_one_word() {
    model(Search::Preemptions(5), &SHIPPED, &OBJECTS[..1]);
}

#[test]
fn from_two_words() {
    model(Search::Preemptions(5), &SHIPPED, &[OBJECTS[1], BITS]);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write accesses")]
fn bit_set_without_release_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_relaxed,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, &OBJECTS[..2]);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write accesses")]
fn words_taken_without_acquire_planted() {
    const STEPS: Steps = Steps {
        take: planted::take_relaxed_words,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, &OBJECTS[..2]);
}
