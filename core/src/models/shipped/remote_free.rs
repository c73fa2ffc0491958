//! Objects are freed by other threads while their owner allocates, frees, and gives slabs back.

use core::sync::atomic::Ordering;
use std::vec::Vec;

use super::{
    LOCK_NOT_TAKEN, Memory, OBJECTS, Object, ROOM, Search, layout, model, planted, thread,
};
use crate::sync::modelled::{Access, Bug, Plant};

/// How many objects there are, and which of them each sender frees.
#[derive(Clone, Copy)]
struct Senders(usize, &'static [&'static [usize]]);

/// The owner's second slab has just one object in use.
const ONE_OBJECT: Senders = Senders(OBJECTS + 1, &[&[0]]);
const TWO_OBJECTS: Senders = Senders(OBJECTS + 1, &[&[0, 1]]);
const TWO_SENDERS: Senders = Senders(OBJECTS + 1, &[&[0], &[1]]);
const TWO_SLABS: Senders = Senders(OBJECTS + 1, &[&[0], &[OBJECTS]]);

/// The owner frees what the senders do not, and gives back what has no object in use.
fn trimmed(search: Search, bug: Option<Plant>, Senders(objects, senders): Senders) {
    model(search, bug, ROOM, move |bench| {
        let owner = bench.attach();
        let mut objects: Vec<_> = (0..objects).map(|_| bench.allocate(owner)).collect();
        let senders: Vec<_> = senders
            .iter()
            .map(|numbers| {
                let sender = bench.attach();
                let sent = numbers.iter().filter_map(|&number| objects[number].take());
                let sent: Vec<Object> = sent.collect();
                thread(&bench, move |bench| {
                    for object in sent {
                        bench.free(sender, object);
                    }
                    bench.detach(sender);
                })
            })
            .collect();
        for object in objects.into_iter().flatten() {
            bench.free(owner, object);
        }
        bench.trim(owner);
        bench.detach(owner);
        for sender in senders {
            sender.join().unwrap();
        }
        bench.assert_whole();
    });
}

/// The owner has two full slabs and a third one, of which he takes objects until he looks for what came
/// back. The second slab that is empty is given back.
fn settled(search: Search, bug: Option<Plant>) {
    model(search, bug, ROOM, |bench| {
        let (owner, sender) = (bench.attach(), bench.attach());
        let mut objects: Vec<_> = (0..=2 * OBJECTS)
            .map(|_| bench.allocate(owner).unwrap())
            .collect();
        let sent = [objects.remove(0), objects.remove(2)];
        let sender = thread(&bench, move |bench| {
            for object in sent {
                bench.free(sender, object);
            }
            bench.detach(sender);
        });
        let of_third = objects.pop().unwrap();
        for object in objects {
            bench.free(owner, object);
        }
        let again = [(); OBJECTS].map(|()| bench.allocate(owner).unwrap());
        for object in again.into_iter().chain([of_third]) {
            bench.free(owner, object);
        }
        bench.detach(owner);
        sender.join().unwrap();
        bench.assert_whole();
    });
}

/// The owner has two full slabs and a third one. An object of the first comes back from another; he keeps
/// the second, which is empty, until he needs a block.
fn given_up(search: Search, bug: Option<Plant>) {
    // For three slabs, and not yet for more.
    let memory = Memory {
        len: 40 << 10,
        capacity: 48 << 10,
        ..ROOM
    };
    model(search, bug, memory, |bench| {
        let (owner, sender) = (bench.attach(), bench.attach());
        let mut objects: Vec<_> = (0..=2 * OBJECTS)
            .map(|_| bench.allocate(owner).unwrap())
            .collect();
        let sent = objects.remove(0);
        let sender = thread(&bench, move |bench| {
            bench.free(sender, sent);
            bench.detach(sender);
        });
        for object in objects {
            bench.free(owner, object);
        }
        let block = bench.allocate_as(owner, layout(7600)).unwrap();
        bench.free(owner, block);
        bench.detach(owner);
        sender.join().unwrap();
        bench.assert_whole();
    });
}

#[test]
fn two_objects_of_a_slab_that_is_given_back() {
    trimmed(Search::Preemptions(3), None, TWO_OBJECTS);
}

#[test]
fn two_senders_to_a_slab_that_is_given_back() {
    trimmed(Search::Preemptions(2), None, TWO_SENDERS);
}

#[test]
fn two_slabs_that_are_given_back() {
    trimmed(Search::Preemptions(2), None, TWO_SLABS);
}

#[test]
fn slabs_that_are_settled() {
    settled(Search::Preemptions(2), None);
}

#[test]
fn slabs_that_are_given_up() {
    given_up(Search::Preemptions(3), None);
}

/// Runs a model with a bug in the protocol.
fn with(senders: Senders, access: Access, order: Ordering, bug: Bug) {
    let bug = planted("slab/remote.rs", access, order, bug);
    trimmed(Search::Planted(2), bug, senders);
}

const RELAXED: Bug = Bug::Order(Ordering::Relaxed);

#[test]
#[should_panic(expected = "Causality violation")]
fn bits_set_without_release_planted() {
    with(TWO_OBJECTS, Access::Or, Ordering::AcqRel, RELAXED);
}

#[test]
#[should_panic(expected = "an object was lost")]
fn bits_set_in_two_steps_planted() {
    with(TWO_OBJECTS, Access::Or, Ordering::AcqRel, Bug::InTwoSteps);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn bits_taken_without_acquire_planted() {
    with(TWO_OBJECTS, Access::Swap, Ordering::AcqRel, RELAXED);
}

#[test]
#[should_panic(expected = "a slab was lost")]
fn bits_taken_in_two_steps_planted() {
    with(TWO_OBJECTS, Access::Swap, Ordering::AcqRel, Bug::InTwoSteps);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn pushed_without_release_planted() {
    with(ONE_OBJECT, Access::Exchange, Ordering::Release, RELAXED);
}

#[test]
#[should_panic(expected = "a slab was lost")]
fn pushed_in_two_steps_planted() {
    with(
        TWO_SLABS,
        Access::Exchange,
        Ordering::Release,
        Bug::InTwoSteps,
    );
}

#[test]
#[should_panic(expected = "a slab was lost")]
fn pushed_without_a_link_planted() {
    with(TWO_SLABS, Access::Store, Ordering::Relaxed, Bug::LeftOut);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn queue_taken_without_acquire_planted() {
    with(ONE_OBJECT, Access::Swap, Ordering::Acquire, RELAXED);
}

#[test]
#[should_panic(expected = "use of a block that was given back")]
fn queue_taken_in_two_steps_planted() {
    with(TWO_SLABS, Access::Swap, Ordering::Acquire, Bug::InTwoSteps);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn given_back_without_the_lock_planted() {
    trimmed(Search::Planted(2), LOCK_NOT_TAKEN, ONE_OBJECT);
}
