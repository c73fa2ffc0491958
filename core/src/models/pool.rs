//! The protocols together: a pool of two slabs with three objects each. Threads begin and end, get
//! slabs and give them back under the lock, allocate, and free their own and each other's objects.

use std::sync::Arc;
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;

use super::slab::{SHIPPED, Slab, Steps, collect, free};
use super::{Search, explore, planted};
use crate::slab::map::GranuleMap;
use crate::slab::remote::RemoteQueue;
use crate::sync::{AtomicUsize, Ordering};

const SLABS: usize = 2;
const NONE: usize = 0;

/// A slab's name is its place, counted from 1, and so is a local heap's. Each slab is one granule.
type Name = usize;

/// An object: its slab and its number.
type Object = (Name, usize);

/// What a test can replace.
struct Plan {
    steps: &'static Steps,
    /// A slab is out of the map before others can get it.
    unmapped_first: bool,
    /// A local heap that is adopted keeps its slabs and its queue.
    adopted_whole: bool,
}

const PLAN: Plan = Plan {
    steps: &SHIPPED,
    unmapped_first: true,
    adopted_whole: true,
};

struct LocalHeap {
    queue: RemoteQueue,
    /// The owner's.
    slabs: UnsafeCell<Vec<Name>>,
}

/// What the lock guards.
struct Guarded {
    free_slabs: Vec<Name>,
    idle: Vec<Name>,
    /// Local heaps that were never used.
    unused: Vec<Name>,
}

struct Pool {
    plan: &'static Plan,
    guarded: Mutex<Guarded>,
    heaps: [LocalHeap; 3],
    slabs: [Slab; SLABS],
    owners: [AtomicUsize; SLABS],
    entries: [AtomicUsize; SLABS],
    limit: AtomicUsize,
    /// An object on its way from one thread to another: 0, or 256 * its slab + its number.
    handed_over: AtomicUsize,
}

impl Pool {
    fn new(plan: &'static Plan) -> Self {
        Self {
            plan,
            guarded: Mutex::new(Guarded {
                free_slabs: (1..=SLABS).rev().collect(),
                idle: Vec::new(),
                unused: (1..=3).rev().collect(),
            }),
            heaps: [(); 3].map(|()| LocalHeap {
                queue: RemoteQueue(AtomicUsize::new(0)),
                slabs: UnsafeCell::new(Vec::new()),
            }),
            slabs: [(); SLABS].map(|()| Slab::new(plan.steps, &[])),
            owners: [(); SLABS].map(|()| AtomicUsize::new(0)),
            // Whatever the region's bytes hold.
            entries: [(); SLABS].map(|()| AtomicUsize::new(usize::MAX)),
            limit: AtomicUsize::new(0),
            handed_over: AtomicUsize::new(0),
        }
    }

    fn map(&self) -> GranuleMap<'_> {
        // SAFETY: the limit starts at 0, and only the map writes to it.
        unsafe { GranuleMap::new(&self.entries, &self.limit) }
    }

    /// The slabs of a local heap. Only for its owner.
    fn slabs_of<A>(&self, me: Name, work: impl FnOnce(&mut Vec<Name>) -> A) -> A {
        self.heaps[me - 1].slabs.with_mut(|slabs| {
            // SAFETY: loom has checked that nobody else has access.
            work(unsafe { &mut *slabs })
        })
    }

    fn attach(&self) -> Name {
        let mut guarded = self.guarded.lock().unwrap();
        if let Some(name) = guarded.idle.pop() {
            if !self.plan.adopted_whole {
                self.slabs_of(name, Vec::clear);
            }
            return name;
        }
        guarded.unused.pop().unwrap()
    }

    fn detach(&self, me: Name) {
        self.guarded.lock().unwrap().idle.push(me);
    }

    fn allocate(&self, me: Name) -> Option<Object> {
        self.at_hand(me)
            .or_else(|| {
                self.collect(me);
                self.at_hand(me)
            })
            .or_else(|| {
                self.acquire(me)?;
                self.at_hand(me)
            })
    }

    fn at_hand(&self, me: Name) -> Option<Object> {
        self.slabs_of(me, |slabs| {
            slabs
                .iter()
                .find_map(|&slab| Some((slab, self.slabs[slab - 1].allocate()?)))
        })
    }

    fn acquire(&self, me: Name) -> Option<()> {
        let mut guarded = self.guarded.lock().unwrap();
        let slab = guarded.free_slabs.pop()?;
        // As it was when it was given back: this sets it up.
        self.slabs[slab - 1].give_back();
        self.map().reveal(slab, NONE);
        self.owners[slab - 1].store(me, Ordering::Relaxed);
        self.map().set(slab - 1..slab, slab);
        drop(guarded);
        self.slabs_of(me, |slabs| slabs.push(slab));
        Some(())
    }

    fn free(&self, me: Name, (slab, number): Object) {
        let found = self.map().look_up(slab - 1);
        assert_eq!(found, Some(slab), "the free of an object finds no slab");
        let owner = self.owners[slab - 1].load(Ordering::Relaxed);
        assert_ne!(owner, 0, "the slab of an object has no owner");
        if owner == me {
            self.slabs[slab - 1].free_own(number);
            self.give_back_empty(me);
        } else {
            free(&self.slabs, slab, number, &self.heaps[owner - 1].queue);
        }
    }

    fn collect(&self, me: Name) {
        let queue = &self.heaps[me - 1].queue;
        let doubles = if self.plan.steps.from_queue {
            collect(self.plan.steps, &self.slabs, queue)
        } else {
            // Looks at its own slabs only.
            let mine = self.slabs_of(me, |slabs| slabs.clone());
            let mut doubles = 0;
            for slab in mine {
                let slab = &self.slabs[slab - 1];
                (self.plan.steps.take)(slab.remote(), &mut |word, bits| {
                    doubles += slab.join(word, bits);
                });
            }
            doubles + collect(&SHIPPED, &self.slabs, queue)
        };
        assert_eq!(doubles, 0, "an object came back twice");
        self.give_back_empty(me);
    }

    /// Gives all slabs back that have no object in use.
    fn give_back_empty(&self, me: Name) {
        let empty = |slab: &Name| self.slabs[slab - 1].is_empty();
        let given = self.slabs_of(me, |slabs| {
            slabs.extract_if(.., |slab| empty(slab)).collect()
        });
        let given: Vec<Name> = given;
        for slab in given {
            self.release(slab);
        }
    }

    fn release(&self, slab: Name) {
        let unmap = || {
            self.map().set(slab - 1..slab, NONE);
            self.owners[slab - 1].store(0, Ordering::Relaxed);
        };
        let mut guarded = self.guarded.lock().unwrap();
        self.slabs[slab - 1].give_back();
        if self.plan.unmapped_first {
            unmap();
        }
        guarded.free_slabs.push(slab);
        drop(guarded);
        if !self.plan.unmapped_first {
            unmap();
        }
    }

    fn hand_over(&self, (slab, number): Object) {
        let before = self.handed_over.swap(256 * slab + number, Ordering::AcqRel);
        assert_eq!(before, 0);
    }

    fn receive(&self) -> Option<Object> {
        let object = self.handed_over.swap(0, Ordering::AcqRel);
        (object != 0).then_some((object / 256, object % 256))
    }
}

/// What a thread does, one after the other.
#[derive(Clone, Copy)]
enum Deed {
    Allocate,
    /// Hands its last object over.
    HandOver,
    /// Frees what was handed over, if anything was.
    Receive,
    Free,
    /// Takes back what others have freed, and gives empty slabs back.
    Collect,
    /// The thread ends, and a new one begins.
    Restart,
}

use Deed::{Allocate, Collect, Free, HandOver, Receive, Restart};

fn run(pool: &Pool, deeds: &[Deed]) {
    let mut me = pool.attach();
    let mut objects = Vec::new();
    for deed in deeds {
        match deed {
            Allocate => objects.extend(pool.allocate(me)),
            HandOver => {
                if let Some(object) = objects.pop() {
                    pool.hand_over(object);
                }
            }
            Receive => {
                if let Some(object) = pool.receive() {
                    pool.free(me, object);
                }
            }
            Free => {
                if let Some(object) = objects.pop() {
                    pool.free(me, object);
                }
            }
            Collect => pool.collect(me),
            Restart => {
                pool.detach(me);
                me = pool.attach();
            }
        }
    }
    for object in objects {
        pool.free(me, object);
    }
    pool.detach(me);
}

fn model(search: Search, plan: &'static Plan, first: &'static [Deed], second: &'static [Deed]) {
    explore(search, move || {
        let pool = Arc::new(Pool::new(plan));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || run(&pool, second))
        };
        run(&pool, first);
        other.join().unwrap();
        // What was never received, and what nobody has collected.
        run(&pool, &[Receive]);
        let idle = core::mem::take(&mut pool.guarded.lock().unwrap().idle);
        for me in idle {
            pool.collect(me);
        }
        let guarded = pool.guarded.lock().unwrap();
        assert_eq!(guarded.free_slabs.len(), SLABS, "a slab was lost");
        for slab in 1..=SLABS {
            pool.slabs[slab - 1].assert_quiet();
            assert!(matches!(pool.map().look_up(slab - 1), None | Some(NONE)));
        }
    });
}

/// Hands an object over, and takes its slab back as soon as it can.
const GIVER: &[Deed] = &[Allocate, HandOver, Collect, Allocate, Free, Collect];
/// Has a slab of its own, or not, and frees what it gets.
const TAKER: &[Deed] = &[Allocate, Receive, Free];
/// Ends before its object is freed. The next thread may get its local heap, or the other's.
const MORTAL: &[Deed] = &[Allocate, HandOver, Restart, Collect, Allocate, Free];
/// Uses both slabs, so that the other gets one only when it is given back.
const GREEDY: &[Deed] = &[
    Allocate, Allocate, Allocate, HandOver, Allocate, Free, Collect,
];

#[test]
fn one_frees_for_the_other() {
    model(Search::Preemptions(5), &PLAN, GIVER, TAKER);
}

#[test]
fn a_thread_ends_before_its_objects_are_freed() {
    model(Search::Preemptions(5), &PLAN, MORTAL, TAKER);
}

#[test]
fn the_slabs_change_hands() {
    model(Search::Preemptions(5), &PLAN, GREEDY, TAKER);
}

#[test]
#[should_panic(expected = "a slab with remote frees is given back")]
fn given_back_before_the_announcement_planted() {
    const POLLS: Steps = Steps {
        take: planted::take_every_word,
        from_queue: false,
        ..SHIPPED
    };
    const BUG: Plan = Plan {
        steps: &POLLS,
        ..PLAN
    };
    model(Search::Planted(2), &BUG, GIVER, TAKER);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses")]
fn pushed_without_release_planted() {
    const RELAXED: Steps = Steps {
        push: planted::push_relaxed,
        ..SHIPPED
    };
    const BUG: Plan = Plan {
        steps: &RELAXED,
        ..PLAN
    };
    model(Search::Planted(2), &BUG, GIVER, TAKER);
}

#[test]
#[should_panic(expected = "the free of an object finds no slab")]
fn unmapped_after_the_lock_planted() {
    const BUG: Plan = Plan {
        unmapped_first: false,
        ..PLAN
    };
    model(Search::Planted(2), &BUG, GREEDY, TAKER);
}

#[test]
#[should_panic(expected = "a slab was lost")]
fn adopted_without_its_slabs_planted() {
    const BUG: Plan = Plan {
        adopted_whole: false,
        ..PLAN
    };
    model(Search::Planted(2), &BUG, MORTAL, TAKER);
}
