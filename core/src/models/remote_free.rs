//! Remote frees while the owner collects: every object comes back, once.

use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use super::slab::{OBJECTS, SHIPPED, Slab, Steps, collect, free};
use super::{Search, explore, planted};
use crate::slab::remote::{BITS, RemoteQueue};
use crate::sync::AtomicUsize;

struct Bench {
    slabs: [Slab; 2],
    queue: RemoteQueue,
}

/// Each sender frees its objects (slab and number) while the owner collects.
fn model(search: Search, steps: &'static Steps, senders: &'static [&'static [(usize, usize)]]) {
    explore(search, move || {
        let in_use = [1, 2].map(|slab| -> Vec<usize> {
            let objects = senders.iter().copied().flatten();
            objects
                .filter(|one| one.0 == slab)
                .map(|one| one.1)
                .collect()
        });
        let bench = Arc::new(Bench {
            slabs: in_use.map(|objects| Slab::new(steps, &objects)),
            queue: RemoteQueue(AtomicUsize::new(0)),
        });
        let threads: Vec<_> = senders
            .iter()
            .map(|objects| {
                let bench = bench.clone();
                thread::spawn(move || {
                    for &(slab, object) in *objects {
                        free(&bench.slabs, slab, object, &bench.queue);
                    }
                })
            })
            .collect();
        let mut doubles = collect(steps, &bench.slabs, &bench.queue);
        for thread in threads {
            thread.join().unwrap();
        }
        doubles += collect(steps, &bench.slabs, &bench.queue);
        assert_eq!(doubles, 0, "an object came back twice");
        for slab in &bench.slabs {
            slab.assert_quiet();
        }
    });
}

const ONE_WORD: &[&[(usize, usize)]] = &[&[(1, OBJECTS[0])], &[(1, OBJECTS[1])]];
const TWO_WORDS: &[&[(usize, usize)]] = &[&[(1, OBJECTS[0])], &[(1, BITS)]];
const THREE_OBJECTS: &[&[(usize, usize)]] = &[&[(1, OBJECTS[0]), (1, OBJECTS[1])], &[(1, BITS)]];
const TWO_SLABS: &[&[(usize, usize)]] = &[&[(1, OBJECTS[0]), (1, BITS)], &[(2, OBJECTS[0])]];

#[test]
fn two_objects_of_one_word() {
    model(Search::Preemptions(5), &SHIPPED, ONE_WORD);
}

#[test]
fn two_objects_of_two_words() {
    model(Search::Preemptions(5), &SHIPPED, TWO_WORDS);
}

#[test]
fn three_objects() {
    model(Search::Preemptions(5), &SHIPPED, THREE_OBJECTS);
}

#[test]
fn two_slabs() {
    model(Search::Preemptions(5), &SHIPPED, TWO_SLABS);
}

#[test]
#[should_panic(expected = "the summary names a word that is empty")]
fn announced_before_the_bit_is_set_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_after_summary,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE_WORD);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn summary_skipped_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_without_summary,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE_WORD);
}

#[test]
#[should_panic(expected = "a slab is pushed that is in the queue")]
fn announced_once_a_word_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_announces_words,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_WORDS);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn word_taken_in_two_steps_planted() {
    const STEPS: Steps = Steps {
        take: planted::take_in_two_steps,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, ONE_WORD);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn queue_taken_in_two_steps_planted() {
    const STEPS: Steps = Steps {
        take_queue: planted::take_queue_in_two_steps,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_SLABS);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn pushed_without_a_comparison_planted() {
    const STEPS: Steps = Steps {
        push: planted::push_without_comparison,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_SLABS);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn link_read_after_the_take_planted() {
    const STEPS: Steps = Steps {
        link_first: false,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_SLABS);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn summary_taken_without_release_planted() {
    const STEPS: Steps = Steps {
        take: planted::take_relaxed_summary,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_SLABS);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn summary_written_without_acquire_planted() {
    const STEPS: Steps = Steps {
        post: planted::post_release_summary,
        ..SHIPPED
    };
    model(Search::Planted(3), &STEPS, TWO_SLABS);
}
