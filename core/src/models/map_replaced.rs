//! The map is replaced by a larger one while others look up in either: whoever has an object finds
//! its slab, and whoever has a block of the heap finds none.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;

use super::{Search, explore};
use crate::slab::map::GranuleMap;
use crate::sync::{AtomicUsize, Ordering};

const GARBAGE: usize = 99;
const NONE: usize = 0;
/// Slabs. The first keeps granule 0. The second has granule 1 and is given back; a block of the
/// heap takes its place. The third has granule 2, for which the first map has no entry.
const KEPT: usize = 1;
const GIVEN_BACK: usize = 2;
const NEW: usize = 3;
/// Granules.
const OF_KEPT: usize = 0;
const OF_BLOCK: usize = 1;
const OF_NEW: usize = 2;

/// What a test can replace.
struct Plan {
    filled_first: bool,
    older_kept_up: bool,
}

const PLAN: Plan = Plan {
    filled_first: true,
    older_kept_up: true,
};

struct Table<const LEN: usize> {
    entries: [AtomicUsize; LEN],
    limit: AtomicUsize,
}

impl<const LEN: usize> Table<LEN> {
    fn new() -> Self {
        Self {
            entries: [(); LEN].map(|()| AtomicUsize::new(GARBAGE)),
            limit: AtomicUsize::new(0),
        }
    }

    fn map(&self) -> GranuleMap<'_> {
        // SAFETY: the limit starts at 0, and only the map writes to it.
        unsafe { GranuleMap::new(&self.entries, &self.limit) }
    }
}

struct Bench {
    plan: &'static Plan,
    lock: Mutex<()>,
    older: Table<2>,
    larger: Table<3>,
    /// Which of them is the newest: 0 or 1.
    newest: AtomicUsize,
    /// Of the slab that is given back.
    descriptor: UnsafeCell<()>,
    /// The granule of what was handed over, 0 before.
    handed_over: AtomicUsize,
}

impl Bench {
    fn replace(&self) {
        if !self.plan.filled_first {
            self.newest.store(1, Ordering::Release);
        }
        self.larger.map().reveal(2, NONE);
        for granule in 0..2 {
            let entry = self.older.map().look_up(granule).unwrap();
            self.larger.map().set(granule..granule + 1, entry);
        }
        if self.plan.filled_first {
            self.newest.store(1, Ordering::Release);
        }
    }

    fn newest(&self) -> GranuleMap<'_> {
        if self.newest.load(Ordering::Acquire) == 1 {
            self.larger.map()
        } else {
            self.older.map()
        }
    }

    fn write(&self) {
        let _locked = self.lock.lock().unwrap();
        self.replace();
        self.larger.map().set(OF_BLOCK..OF_BLOCK + 1, NONE);
        if self.plan.older_kept_up {
            self.older.map().set(OF_BLOCK..OF_BLOCK + 1, NONE);
        }
        self.descriptor.with_mut(|_| ());
        self.handed_over.swap(OF_BLOCK, Ordering::Release);
        self.larger.map().reveal(OF_NEW + 1, NONE);
        self.larger.map().set(OF_NEW..OF_NEW + 1, NEW);
        self.handed_over.swap(OF_NEW, Ordering::Release);
    }

    /// What the fast path does: it may have the older map.
    fn look_up(&self, map: GranuleMap<'_>, granule: usize) -> Option<usize> {
        let entry = map.look_up(granule);
        assert_ne!(entry, Some(GARBAGE), "an entry that was not initialised");
        if entry == Some(GIVEN_BACK) {
            self.descriptor.with(|_| ());
        }
        entry
    }
}

fn model(search: Search, plan: &'static Plan) {
    explore(search, move || {
        let bench = Arc::new(Bench {
            plan,
            lock: Mutex::new(()),
            older: Table::new(),
            larger: Table::new(),
            newest: AtomicUsize::new(0),
            descriptor: UnsafeCell::new(()),
            handed_over: AtomicUsize::new(0),
        });
        bench.older.map().reveal(2, NONE);
        bench.older.map().set(OF_KEPT..OF_KEPT + 1, KEPT);
        bench.older.map().set(OF_BLOCK..OF_BLOCK + 1, GIVEN_BACK);
        let writer = {
            let bench = bench.clone();
            thread::spawn(move || bench.write())
        };
        for map in [bench.older.map(), bench.newest()] {
            let kept = bench.look_up(map, OF_KEPT);
            assert_eq!(kept, Some(KEPT), "the free of an object finds no slab");
        }
        let granule = bench.handed_over.load(Ordering::Acquire);
        let newest = bench.look_up(bench.newest(), granule);
        let older = bench.look_up(bench.older.map(), granule);
        let (in_newest, in_older) = match granule {
            OF_BLOCK => (Some(NONE), Some(NONE)),
            OF_NEW => (Some(NEW), None),
            _ => (Some(KEPT), Some(KEPT)),
        };
        assert_eq!(newest, in_newest, "the newest map is wrong");
        assert_eq!(older, in_older, "the older map is wrong");
        writer.join().unwrap();
    });
}

#[test]
fn replaced() {
    model(Search::Preemptions(3), &PLAN);
}

#[test]
#[should_panic(expected = "the newest map is wrong")]
fn replaced_before_it_is_filled_planted() {
    const BUG: Plan = Plan {
        filled_first: false,
        ..PLAN
    };
    model(Search::Planted(3), &BUG);
}

#[test]
#[should_panic(expected = "the older map is wrong")]
fn older_map_forgotten_planted() {
    const BUG: Plan = Plan {
        older_kept_up: false,
        ..PLAN
    };
    model(Search::Planted(3), &BUG);
}
