//! The map grows while a thread that knows it as it was frees objects.

use core::alloc::Layout;
use core::sync::atomic::Ordering;

use super::{BLOCK, LOCK_NOT_TAKEN, Memory, OBJECTS, ROOM, Search, layout, model, planted, thread};
use crate::sync::modelled::{Access, Bug, Plant};

/// There is room for one slab, and half a granule, and for more when it is extended.
const MEMORY: Memory = Memory {
    len: 28 << 10,
    capacity: 64 << 10,
    ..ROOM
};

/// A block of its own, which takes that half.
const HALF: Layout = layout(3500);

/// A block of a granule.
const WHOLE: Layout = layout(7600);

/// One makes the pool larger, and hands an object over that lies there. The other has an old copy of the
/// map. He frees a block, so he looks into the map as it is then; an object that his copy knows; and what
/// he is given.
fn second_map(search: Search, bug: Option<Plant>) {
    model(search, bug, MEMORY, |bench| {
        let (first, second) = (bench.attach(), bench.attach());
        let mut objects = bench.allocate_all(first);
        // So that the next slab lies where the first map does not reach.
        let half = bench.allocate_as(second, HALF).unwrap();
        // From now on the other knows the map.
        bench.free(second, objects.pop().unwrap());
        let older = objects.pop().unwrap();
        let other = thread(&bench, move |bench| {
            bench.free(second, half);
            bench.free(second, older);
            if let Some(object) = bench.receive() {
                bench.free(second, object);
            }
            bench.detach(second);
        });
        bench.extend(MEMORY.capacity - MEMORY.len);
        // The slab at hand has up to two.
        let new = [(); 3].map(|()| bench.allocate(first).unwrap());
        bench.give(new[2]);
        for object in objects.into_iter().chain([new[0], new[1]]) {
            bench.free(first, object);
        }
        other.join().unwrap();
        if let Some(object) = bench.receive() {
            bench.free(first, object);
        }
        bench.detach(first);
        bench.assert_whole();
    });
}

/// One gets the first slab of all. The other frees a block, which the map does not know at first.
fn first_slab(search: Search, bug: Option<Plant>) {
    model(search, bug, MEMORY, |bench| {
        let (first, second) = (bench.attach(), bench.attach());
        let block = bench.allocate_as(second, BLOCK).unwrap();
        let other = thread(&bench, move |bench| {
            bench.free(second, block);
            bench.detach(second);
        });
        let object = bench.allocate(first).unwrap();
        bench.free(first, object);
        bench.detach(first);
        other.join().unwrap();
        bench.assert_whole();
    });
}

/// One gets a slab behind a block that the map does not know. The other frees an object, and takes the map
/// as it is then, and frees the block.
fn next_slab(search: Search, bug: Option<Plant>) {
    model(search, bug, ROOM, |bench| {
        let (first, second) = (bench.attach(), bench.attach());
        let mut objects = [(); OBJECTS]
            .map(|()| bench.allocate(first).unwrap())
            .into_iter();
        let block = bench.allocate_as(second, WHOLE).unwrap();
        let object = objects.next().unwrap();
        let other = thread(&bench, move |bench| {
            bench.free(second, object);
            bench.free(second, block);
            bench.detach(second);
        });
        let behind = bench.allocate(first).unwrap();
        for object in objects.chain([behind]) {
            bench.free(first, object);
        }
        bench.detach(first);
        other.join().unwrap();
        bench.assert_whole();
    });
}

#[test]
fn a_second_map() {
    second_map(Search::Preemptions(2), None);
}

#[test]
fn the_first_slab() {
    first_slab(Search::Preemptions(5), None);
}

#[test]
fn the_next_slab() {
    next_slab(Search::Preemptions(2), None);
}

const RELAXED: Bug = Bug::Order(Ordering::Relaxed);
const SEARCH: Search = Search::Planted(2);

#[test]
#[should_panic(expected = "Causality violation")]
fn map_published_without_release_planted() {
    let file = "pool/control.rs";
    second_map(
        SEARCH,
        planted(file, Access::Store, Ordering::Release, RELAXED),
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn map_found_without_acquire_planted() {
    let file = "pool/control.rs";
    second_map(
        SEARCH,
        planted(file, Access::Load, Ordering::Acquire, RELAXED),
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn extended_without_the_lock_planted() {
    second_map(SEARCH, LOCK_NOT_TAKEN);
}

#[test]
#[should_panic(expected = "memory is used that nobody has written")]
fn limit_without_release_planted() {
    let file = "slab/map.rs";
    first_slab(
        SEARCH,
        planted(file, Access::Store, Ordering::Release, RELAXED),
    );
}

#[test]
#[should_panic(expected = "memory is used that nobody has written")]
fn limit_without_acquire_planted() {
    let file = "slab/map.rs";
    first_slab(
        SEARCH,
        planted(file, Access::Load, Ordering::Acquire, RELAXED),
    );
}

#[test]
#[should_panic(expected = "memory is used that nobody has written")]
fn limit_taken_without_acquire_planted() {
    let file = "pool/control.rs";
    next_slab(
        SEARCH,
        planted(file, Access::Load, Ordering::Acquire, RELAXED),
    );
}
