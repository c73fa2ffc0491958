//! The pool is checked and counted while others allocate and free: there is no false alarm.

use std::vec::Vec;

use super::{Bench, LOCK_NOT_TAKEN, Local, OBJECTS, Object, ROOM, Search, model, thread};
use crate::sync::modelled::Plant;

/// While `other` runs, which has all objects of a slab, and its owner.
fn run(search: Search, bug: Option<Plant>, other: fn(&Bench, Local, Vec<Object>)) {
    model(search, bug, ROOM, move |bench| {
        let owner = bench.attach();
        let objects: Vec<_> = (0..OBJECTS)
            .map(|_| bench.allocate(owner).unwrap())
            .collect();
        let other = thread(&bench, move |bench| other(bench, owner, objects));
        bench.assert_sound();
        let in_use = bench.pool.stats().live_blocks;
        assert!(in_use <= OBJECTS + 1, "more is in use than was allocated");
        other.join().unwrap();
        bench.detach(owner);
        bench.assert_whole();
    });
}

/// The owner frees them, allocates, and gives the slab back.
fn owner(search: Search, bug: Option<Plant>) {
    run(search, bug, |bench, owner, objects| {
        for object in objects {
            bench.free(owner, object);
        }
        let object = bench.allocate(owner).unwrap();
        bench.free(owner, object);
        bench.trim(owner);
    });
}

/// Another frees them.
fn sender(search: Search, bug: Option<Plant>) {
    run(search, bug, |bench, _, objects| {
        let sender = bench.attach();
        for object in objects {
            bench.free(sender, object);
        }
        bench.detach(sender);
    });
}

#[test]
fn beside_the_owner() {
    owner(Search::Preemptions(2), None);
}

#[test]
fn beside_a_sender() {
    sender(Search::Preemptions(2), None);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_lock_planted() {
    owner(Search::Planted(2), LOCK_NOT_TAKEN);
}
