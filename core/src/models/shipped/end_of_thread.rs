//! A thread ends while another frees its objects. The next one adopts its local heap.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::vec::Vec;

use super::{LOCK_NOT_TAKEN, Local, OBJECTS, ROOM, Search, model, planted, thread};
use crate::local::LocalHeap;
use crate::sync::modelled::{Access, Bug, Plant};

/// One thread ends, if `early` before it is done. Another frees objects of it. A third begins, and needs
/// what was freed.
fn adopted(search: Search, bug: Option<Plant>, early: bool) {
    model(search, bug, ROOM, move |bench| {
        let (mortal, sender) = (bench.attach(), bench.attach());
        let mut objects: Vec<_> = (0..OBJECTS)
            .map(|_| bench.allocate(mortal).unwrap())
            .collect();
        let own = objects.pop().unwrap();
        let sending = thread(&bench, move |bench| {
            for object in objects {
                bench.free(sender, object);
            }
        });
        let ending = thread(&bench, move |bench| {
            if early {
                bench.detach(mortal);
            }
            bench.free(mortal, own);
            if !early {
                bench.detach(mortal);
            }
        });
        let next = bench.attach();
        for object in [(); 2].map(|()| bench.allocate(next).unwrap()) {
            bench.free(next, object);
        }
        bench.trim(next);
        bench.detach(next);
        sending.join().unwrap();
        ending.join().unwrap();
        bench.detach(sender);
        bench.assert_whole();
    });
}

/// One thread ends while another frees an object of it. A third gives back what nobody uses, and begins.
fn trimmed(search: Search, bug: Option<Plant>) {
    model(search, bug, ROOM, move |bench| {
        let (mortal, sender) = (bench.attach(), bench.attach());
        let sent = bench.allocate(mortal).unwrap();
        let own = bench.allocate(mortal).unwrap();
        let sending = thread(&bench, move |bench| bench.free(sender, sent));
        let ending = thread(&bench, move |bench| {
            bench.free(mortal, own);
            bench.detach(mortal);
        });
        bench.trim(Local(NonNull::from(LocalHeap::EMPTY)));
        let next = bench.attach();
        bench.trim(next);
        bench.detach(next);
        sending.join().unwrap();
        ending.join().unwrap();
        bench.detach(sender);
        bench.assert_whole();
    });
}

#[test]
fn adopted_by_the_next() {
    adopted(Search::Preemptions(2), None, false);
}

#[test]
fn given_back_by_another() {
    trimmed(Search::Preemptions(2), None);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn ended_before_the_last_free_planted() {
    adopted(Search::Planted(2), None, true);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn adopted_without_the_lock_planted() {
    adopted(Search::Planted(2), LOCK_NOT_TAKEN, false);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn bits_set_in_two_steps_planted() {
    let bug = Bug::InTwoSteps;
    let bug = planted("slab/remote.rs", Access::Or, Ordering::AcqRel, bug);
    adopted(Search::Planted(2), bug, false);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn queue_taken_without_acquire_planted() {
    let bug = Bug::Order(Ordering::Relaxed);
    let bug = planted("slab/remote.rs", Access::Swap, Ordering::Acquire, bug);
    trimmed(Search::Planted(2), bug);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn given_back_without_the_lock_planted() {
    trimmed(Search::Planted(2), LOCK_NOT_TAKEN);
}
