//! After Lever and Boreham's malloc test, as it is in xmalloc-test: half of the threads allocate batches and put them
//! on a shared list, the other half take them from there and free them.

use std::sync::{Condvar, Mutex};
use std::thread;

use super::Episodes;
use super::sizes::Sizes;
use crate::preload::family::Family;
use crate::preload::slots::Slots;
use crate::random::Random;

/// How many blocks a batch has.
const BATCH: usize = 120;
/// How many batches there are for each pair of threads.
const ROOM: usize = 32;
/// How many batches each allocating thread makes in an episode.
const BATCHES: usize = 300;

pub(super) struct Xmalloc {
    family: Family,
    sizes: Sizes,
    pairs: usize,
    random: Random,
    batches: Batches,
}

/// The two lists, and what waits for them.
struct Batches {
    lists: Mutex<Lists>,
    has_full: Condvar,
    has_empty: Condvar,
}

struct Lists {
    full: Vec<Slots>,
    empty: Vec<Slots>,
}

impl Batches {
    /// A batch of one of the lists, as soon as there is one.
    fn take(&self, has_one: &Condvar, list: impl Fn(&mut Lists) -> &mut Vec<Slots>) -> Slots {
        let lists = self.lists.lock().expect("no thread panics");
        let mut lists = has_one
            .wait_while(lists, |lists| list(lists).is_empty())
            .expect("no thread panics");
        list(&mut lists).pop().expect("waited for it")
    }

    fn put(&self, has_one: &Condvar, list: impl Fn(&mut Lists) -> &mut Vec<Slots>, batch: Slots) {
        list(&mut self.lists.lock().expect("no thread panics")).push(batch);
        has_one.notify_one();
    }
}

impl Xmalloc {
    pub(super) fn new(family: Family, threads: usize, seed: u64) -> Self {
        let pairs = threads / 2;
        let room = pairs * ROOM;
        let mut empty = Vec::with_capacity(room);
        empty.extend((0..room).map(|_| Slots::new(BATCH)));
        Self {
            family,
            sizes: Sizes::log_between(8, 1024, seed),
            pairs,
            random: Random::new(seed),
            batches: Batches {
                lists: Mutex::new(Lists {
                    full: Vec::with_capacity(room),
                    empty,
                }),
                has_full: Condvar::new(),
                has_empty: Condvar::new(),
            },
        }
    }
}

impl Episodes for Xmalloc {
    fn run(&mut self) -> u64 {
        let (family, sizes, batches) = (self.family, &self.sizes, &self.batches);
        thread::scope(|scope| {
            for _ in 0..self.pairs {
                let mut random = Random::new(self.random.next_u64());
                scope.spawn(move || allocate(family, sizes, batches, &mut random));
                scope.spawn(move || free(family, batches));
            }
        });
        (self.pairs * BATCHES * BATCH) as u64
    }
}

fn allocate(family: Family, sizes: &Sizes, batches: &Batches, random: &mut Random) {
    for _ in 0..BATCHES {
        let mut batch = batches.take(&batches.has_empty, |lists| &mut lists.empty);
        for block in batch.blocks() {
            *block = family.malloc(sizes.choose(random.next_u64()));
        }
        batches.put(&batches.has_full, |lists| &mut lists.full, batch);
    }
}

fn free(family: Family, batches: &Batches) {
    for _ in 0..BATCHES {
        let mut batch = batches.take(&batches.has_full, |lists| &mut lists.full);
        for &mut block in batch.blocks() {
            // SAFETY: the thread that filled the batch has given it away; its slots are filled anew before they are
            // read again.
            unsafe { family.free(block) };
        }
        batches.put(&batches.has_empty, |lists| &mut lists.empty, batch);
    }
}
