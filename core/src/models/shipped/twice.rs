//! An object is freed twice while its slab has another one in use: one of the frees is noticed.

use core::cell::Cell;
use core::sync::atomic::Ordering;
use std::thread_local;

use super::{Bench, Local, Memory, Object, ROOM, Search, model, planted, thread};
use crate::fault::{Fault, FaultKind};
use crate::sync::modelled::{Access, Bug, Plant};

thread_local! {
    /// Faults of this run. loom runs all threads of a model in one.
    static FAULTS: Cell<usize> = const { Cell::new(0) };
}

fn count(fault: &Fault) {
    assert_eq!(fault.kind, FaultKind::AlreadyFree, "{fault}");
    FAULTS.set(FAULTS.get() + 1);
}

/// A sender frees an object, and so does `other`, who may be its owner.
fn run(search: Search, bug: Option<Plant>, other: fn(&Bench, Local, Object)) {
    let memory = Memory {
        on_fault: count,
        ..ROOM
    };
    model(search, bug, memory, move |bench| {
        FAULTS.set(0);
        let (owner, sender) = (bench.attach(), bench.attach());
        let object = bench.allocate(owner).unwrap();
        let another = bench.allocate(owner).unwrap();
        bench.end(object);
        let sending = thread(&bench, move |bench| {
            bench.free_only(sender, object);
            bench.detach(sender);
        });
        other(&bench, owner, object);
        bench.trim(owner);
        sending.join().unwrap();
        bench.trim(owner);
        assert_eq!(FAULTS.get(), 1, "of two frees one is noticed");
        bench.free(owner, another);
        bench.detach(owner);
        bench.assert_whole();
        assert_eq!(FAULTS.get(), 1, "nothing else is wrong");
    });
}

fn by_another_sender(bench: &Bench, _: Local, object: Object) {
    let sender = bench.attach();
    bench.free_only(sender, object);
    bench.detach(sender);
}

fn by_its_owner(bench: &Bench, owner: Local, object: Object) {
    bench.free_only(owner, object);
}

#[test]
fn by_two_senders() {
    run(Search::Preemptions(3), None, by_another_sender);
}

#[test]
fn by_a_sender_and_the_owner() {
    run(Search::Preemptions(3), None, by_its_owner);
}

#[test]
#[should_panic(expected = "of two frees one is noticed")]
fn bit_set_in_two_steps_planted() {
    let bug = Bug::InTwoSteps;
    let bug = planted("slab/remote.rs", Access::Or, Ordering::AcqRel, bug);
    run(Search::Planted(2), bug, by_another_sender);
}
