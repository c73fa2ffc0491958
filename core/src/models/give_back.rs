//! The owner gives an empty slab back while the senders of its last objects may not be done: no
//! sender touches the descriptor any more, and whatever they did to it is over.

use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use super::slab::{OBJECTS, SHIPPED, Slab, Steps, collect, free};
use super::{Search, explore, planted};
use crate::slab::remote::{BITS, RemoteQueue};
use crate::sync::AtomicUsize;

struct Bench {
    slabs: [Slab; 1],
    queue: RemoteQueue,
}

/// Each sender frees its objects; the owner frees the others and collects, and gives the slab back as
/// soon as it counts as empty.
fn model(search: Search, steps: &'static Steps, senders: &'static [&'static [usize]]) {
    explore(search, move || {
        let bench = Arc::new(Bench {
            slabs: [Slab::new(steps, &OBJECTS)],
            queue: RemoteQueue(AtomicUsize::new(0)),
        });
        let threads: Vec<_> = senders
            .iter()
            .map(|objects| {
                let bench = bench.clone();
                thread::spawn(move || {
                    for &object in *objects {
                        free(&bench.slabs, 1, object, &bench.queue);
                    }
                })
            })
            .collect();
        let slab = &bench.slabs[0];
        for object in OBJECTS {
            if !senders.concat().contains(&object) {
                slab.free_own(object);
            }
        }
        let mut given_back = false;
        for _ in 0..2 {
            collect(steps, &bench.slabs, &bench.queue);
            if !given_back && slab.is_empty() {
                slab.give_back();
                given_back = true;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        if !given_back {
            collect(steps, &bench.slabs, &bench.queue);
            slab.assert_quiet();
            slab.give_back();
        }
    });
}

const ONE: &[&[usize]] = &[&[OBJECTS[0]]];
const ONE_WORD: &[&[usize]] = &[&[OBJECTS[0]], &[OBJECTS[1]]];
const TWO_WORDS: &[&[usize]] = &[&[OBJECTS[0]], &[BITS]];
const ALL: &[&[usize]] = &[&[OBJECTS[0], BITS], &[OBJECTS[1]]];

#[test]
fn after_one_sender() {
    model(Search::Preemptions(5), &SHIPPED, ONE);
}

#[test]
fn after_two_senders_to_one_word() {
    model(Search::Preemptions(5), &SHIPPED, ONE_WORD);
}

#[test]
fn after_two_senders_to_two_words() {
    model(Search::Preemptions(5), &SHIPPED, TWO_WORDS);
}

#[test]
fn after_three_remote_frees() {
    model(Search::Preemptions(5), &SHIPPED, ALL);
}

/// The owner counts an object as free whose sender has not announced it.
#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn taken_without_the_summary_planted() {
    const STEPS: Steps = Steps {
        take: planted::take_every_word,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_WORDS);
}

/// The owner looks at its slab without taking it from the queue.
#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn taken_without_the_queue_planted() {
    const STEPS: Steps = Steps {
        from_queue: false,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn pushed_without_release_planted() {
    const STEPS: Steps = Steps {
        push: planted::push_relaxed,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn queue_taken_without_acquire_planted() {
    const STEPS: Steps = Steps {
        take_queue: planted::take_queue_relaxed,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE);
}
