//! There is memory for one slab. Whoever gives it back makes room for the other.

use std::vec::Vec;

use super::{BLOCK, Bench, LAYOUT, LOCK_NOT_TAKEN, Local, OBJECTS, Search, TIGHT, model, thread};
use crate::sync::modelled::Plant;

/// What goes wrong.
#[derive(Clone, Copy)]
struct Wrong {
    bug: Option<Plant>,
    /// One writes to an object that he has freed.
    late: bool,
}

const NOTHING: Wrong = Wrong {
    bug: None,
    late: false,
};

/// One has all there is, and gives the slab back. The other tries to get something meanwhile.
fn run(search: Search, wrong: Wrong, other: impl Fn(&Bench, Local) + Copy + Send + Sync + 'static) {
    model(search, wrong.bug, TIGHT, move |bench| {
        let (first, second) = (bench.attach(), bench.attach());
        let mut all = bench.allocate_all(first);
        let rest: Vec<_> = all.drain(OBJECTS..).collect();
        let other = thread(&bench, move |bench| {
            other(bench, second);
            bench.detach(second);
        });
        let freed = all[0];
        for object in all {
            bench.free(first, object);
        }
        bench.trim(first);
        if wrong.late {
            bench.write(freed, LAYOUT);
        }
        if let Some(object) = bench.allocate(first) {
            bench.free(first, object);
        }
        other.join().unwrap();
        for object in rest {
            bench.free(first, object);
        }
        bench.detach(first);
        bench.assert_whole();
    });
}

/// The other makes it a slab of its own.
fn slab(search: Search, wrong: Wrong) {
    run(search, wrong, |bench, local| {
        if let Some(object) = bench.allocate(local) {
            bench.free(local, object);
            bench.trim(local);
        }
    });
}

/// The other makes it a block, of which the map must know nothing.
fn block(search: Search, wrong: Wrong) {
    run(search, wrong, |bench, local| {
        if let Some(block) = bench.allocate_as(local, BLOCK) {
            bench.free(local, block);
        }
    });
}

#[test]
fn to_another_slab() {
    slab(Search::Preemptions(5), NOTHING);
}

#[test]
fn to_a_block() {
    block(Search::Preemptions(5), NOTHING);
}

const UNLOCKED: Wrong = Wrong {
    bug: LOCK_NOT_TAKEN,
    ..NOTHING
};
const LATE: Wrong = Wrong {
    late: true,
    ..NOTHING
};

#[test]
#[should_panic(expected = "Causality violation")]
fn to_another_slab_without_the_lock_planted() {
    slab(Search::Planted(2), UNLOCKED);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn to_a_block_without_the_lock_planted() {
    block(Search::Planted(2), UNLOCKED);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn object_written_after_its_free_planted() {
    slab(Search::Planted(2), LATE);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn block_written_after_its_free_planted() {
    block(Search::Planted(2), LATE);
}
