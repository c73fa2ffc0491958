//! One object is freed twice: exactly one of the two is told, or the owner finds it.
//!
//! Promised for as long as the object was not handed out again and its slab has another object in
//! use. After that the second free is the free of an object that somebody else has, which no
//! allocator without a memory of the past can tell from an honest one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering as Unmodelled};

use loom::thread;

use super::slab::{OBJECTS, SHIPPED, Slab, Steps, collect, send};
use super::{Search, explore, planted};
use crate::slab::remote::{Posted, RemoteQueue};
use crate::sync::AtomicUsize;

struct Bench {
    slabs: [Slab; 1],
    queue: RemoteQueue,
    told: Count,
}

/// So many senders free one object, and the owner does or does not.
fn model(search: Search, steps: &'static Steps, senders: usize, owner_frees: bool) {
    explore(search, move || {
        let object = OBJECTS[0];
        let bench = Arc::new(Bench {
            slabs: [Slab::new(steps, &OBJECTS[..2])],
            queue: RemoteQueue(AtomicUsize::new(0)),
            told: Count::new(0),
        });
        let threads: std::vec::Vec<_> = (0..senders)
            .map(|_| {
                let bench = bench.clone();
                thread::spawn(move || {
                    let posted = send(&bench.slabs, 1, object, &bench.queue);
                    if posted == Posted::AlreadyFree {
                        bench.told.fetch_add(1, Unmodelled::Relaxed);
                    }
                })
            })
            .collect();
        let mut found = collect(steps, &bench.slabs, &bench.queue);
        if owner_frees {
            found += bench.slabs[0].join(0, 1 << object);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        found += collect(steps, &bench.slabs, &bench.queue);
        assert_eq!(
            bench.told.load(Unmodelled::Relaxed) + found,
            senders + usize::from(owner_frees) - 1,
            "not every free but one was noticed"
        );
        // The object is free, once; the other is the only one that was in use.
        assert_eq!(bench.slabs[0].join(0, 1 << OBJECTS[1]), 0);
        bench.slabs[0].assert_quiet();
    });
}

#[test]
fn by_two_senders() {
    model(Search::Preemptions(5), &SHIPPED, 2, false);
}

#[test]
fn by_a_sender_and_the_owner() {
    model(Search::Preemptions(5), &SHIPPED, 1, true);
}

#[test]
fn by_two_senders_and_the_owner() {
    model(Search::Preemptions(5), &SHIPPED, 2, true);
}

#[test]
#[should_panic(expected = "not every free but one was noticed")]
fn bit_set_in_two_steps_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_in_two_steps,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, 2, false);
}
