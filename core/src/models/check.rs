//! A checker reads a local heap that others work with: which invariants hold at every moment?
//!
//! While the owner works (the checker holds the pool's lock, so no slab changes hands):
//! - a bit beyond the number of objects is set in the own word and clear in the remote word;
//! - the summary names no word that does not exist;
//! - the queue and the links from it name slabs of this local heap only, as many steps as there are
//!   slabs.
//!
//! While nobody owns the local heap, which the lock sees to (or for the owner itself), also:
//! - no object is free in more than one of: own word, remote word, bin;
//! - a word that the summary names, read after the summary, is not 0;
//! - a slab in the queue has a summary; no slab is in the queue twice.
//!
//! Not even then: that a remote word with bits is named by the summary, and that a slab with a summary
//! is in the queue. A sender may be on its way.

use std::sync::Arc;
use std::vec::Vec;

use loom::sync::Mutex;
use loom::thread;

use super::{Search, explore};
use crate::slab::remote::{Posted, RemoteFrees, RemoteQueue};
use crate::sync::{AtomicUsize, Ordering};

/// Bits of the objects.
const OBJECTS: usize = 0b11;
const TAIL: usize = !OBJECTS;
const SLABS: usize = 2;

/// A slab with two objects. Every word is read by the checker, so every word is an atomic.
struct Slab {
    owned: AtomicUsize,
    own: AtomicUsize,
    remote: [AtomicUsize; 1],
    summary: AtomicUsize,
    link: AtomicUsize,
}

impl Slab {
    fn remote(&self) -> RemoteFrees<'_> {
        RemoteFrees {
            words: &self.remote,
            summary: &self.summary,
        }
    }
}

struct Bench {
    slabs: [Slab; SLABS],
    /// The bits of the first slab that are checked out.
    bin: AtomicUsize,
    queue: RemoteQueue,
    lock: Mutex<()>,
}

/// What does not hold.
type Verdict = Result<(), &'static str>;

fn holds(condition: bool, invariant: &'static str) -> Verdict {
    condition.then_some(()).ok_or(invariant)
}

impl Bench {
    fn new(own: [usize; SLABS]) -> Arc<Self> {
        Arc::new(Self {
            slabs: own.map(|own| Slab {
                owned: AtomicUsize::new(1),
                own: AtomicUsize::new(own | TAIL),
                remote: [AtomicUsize::new(0)],
                summary: AtomicUsize::new(0),
                link: AtomicUsize::new(0),
            }),
            bin: AtomicUsize::new(0),
            queue: RemoteQueue(AtomicUsize::new(0)),
            lock: Mutex::new(()),
        })
    }

    fn send(&self, name: usize, object: usize) {
        let slab = &self.slabs[name - 1];
        if slab.remote().post(object) == Posted::Announce {
            self.queue.push(name, &slab.link);
        }
    }

    /// Checks the first slab's word out, hands an object out and takes it back.
    fn allocate_and_free(&self) {
        let slab = &self.slabs[0];
        let own = slab.own.load(Ordering::Relaxed);
        let free = own & OBJECTS;
        let bit = free & free.wrapping_neg();
        slab.own.store(own & !free, Ordering::Relaxed);
        self.bin.store(free, Ordering::Relaxed);
        self.bin.store(free & !bit, Ordering::Relaxed);
        slab.own.store(own & !free | bit, Ordering::Relaxed);
    }

    fn collect(&self) {
        let mut name = self.queue.take();
        while name != 0 {
            let slab = &self.slabs[name - 1];
            name = slab.link.load(Ordering::Relaxed);
            slab.remote().take(|_, bits| {
                let own = slab.own.load(Ordering::Relaxed);
                slab.own.store(own | bits, Ordering::Relaxed);
            });
        }
    }

    /// Gives the second slab back if all of its objects are free.
    fn give_back(&self) {
        let slab = &self.slabs[1];
        if slab.own.load(Ordering::Relaxed) == usize::MAX {
            let _locked = self.lock.lock().unwrap();
            slab.owned.store(0, Ordering::Relaxed);
        }
    }

    /// What holds of a slab's words while the owner works.
    fn check_words(slab: &Slab) -> Verdict {
        if slab.owned.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let own = slab.own.load(Ordering::Relaxed);
        holds(own & TAIL == TAIL, "own bit beyond the objects")?;
        let remote = slab.remote[0].load(Ordering::Relaxed);
        holds(remote & TAIL == 0, "remote bit beyond the objects")?;
        let summary = slab.summary.load(Ordering::Relaxed);
        holds(summary & !1 == 0, "the summary names no word")
    }

    /// What holds of the queue while the owner works.
    fn check_queue(&self) -> Verdict {
        let mut name = self.queue.0.load(Ordering::Acquire);
        for _ in 0..SLABS {
            if name == 0 {
                break;
            }
            holds(name <= SLABS, "the queue leads nowhere")?;
            let slab = &self.slabs[name - 1];
            let owned = slab.owned.load(Ordering::Relaxed);
            holds(owned == 1, "the queue leads to a slab of nobody")?;
            name = slab.link.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// What holds besides while nobody owns the local heap.
    fn check_idle(&self, summary_first: bool) -> Verdict {
        let mut seen = [false; SLABS];
        let mut name = self.queue.0.load(Ordering::Acquire);
        while name != 0 {
            let slab = &self.slabs[name - 1];
            holds(!seen[name - 1], "a slab is in the queue twice")?;
            seen[name - 1] = true;
            let summary = slab.summary.load(Ordering::Relaxed);
            holds(summary != 0, "a slab in the queue has no summary")?;
            name = slab.link.load(Ordering::Relaxed);
        }
        for (number, slab) in self.slabs.iter().enumerate() {
            let word = || slab.remote[0].load(Ordering::Acquire);
            let named = || slab.summary.load(Ordering::Acquire);
            let (summary, remote) = if summary_first {
                (named(), word())
            } else {
                let word = word();
                (named(), word)
            };
            holds(
                summary == 0 || remote != 0,
                "the summary names a word that is empty",
            )?;
            let own = slab.own.load(Ordering::Relaxed);
            let bin = if number == 0 {
                self.bin.load(Ordering::Relaxed)
            } else {
                0
            };
            holds(own & remote == 0, "an object is free in both words")?;
            holds(own & bin == 0, "an object is free in a bin and a word")?;
            holds(remote & bin == 0, "an object is in a bin and was freed")?;
        }
        Ok(())
    }
}

/// The owner and a sender go on while `check` runs.
fn model(search: Search, check: impl Fn(&Bench) -> Verdict + Send + Sync + 'static) {
    explore(search, move || {
        // Of each slab one object is in use, and somebody else has it.
        let bench = Bench::new([0b01, 0b01]);
        let sender = {
            let bench = bench.clone();
            thread::spawn(move || {
                bench.send(1, 1);
                bench.send(2, 1);
            })
        };
        let owner = {
            let bench = bench.clone();
            thread::spawn(move || {
                bench.allocate_and_free();
                bench.collect();
                bench.give_back();
            })
        };
        if let Err(invariant) = check(&bench) {
            panic!("a false alarm: {invariant}");
        }
        for thread in [sender, owner] {
            thread.join().unwrap();
        }
    });
}

fn locked(bench: &Bench, check: impl Fn(&Bench) -> Verdict) -> Verdict {
    let _locked = bench.lock.lock().unwrap();
    check(bench)
}

#[test]
fn words_of_the_current_slab_while_the_owner_works() {
    model(Search::Preemptions(3), |bench| {
        locked(bench, |bench| Bench::check_words(&bench.slabs[0]))
    });
}

#[test]
fn words_of_a_slab_that_is_given_back() {
    model(Search::Preemptions(3), |bench| {
        locked(bench, |bench| Bench::check_words(&bench.slabs[1]))
    });
}

#[test]
fn queue_while_the_owner_works() {
    model(Search::Preemptions(3), |bench| {
        locked(bench, Bench::check_queue)
    });
}

/// The owner may give a slab back that the checker has just found in the queue.
#[test]
#[should_panic(expected = "a false alarm: the queue leads to a slab of nobody")]
fn queue_without_the_lock_planted() {
    model(Search::Planted(3), Bench::check_queue);
}

/// An object may be taken back, and freed again by another thread, between two reads.
#[test]
#[should_panic(expected = "a false alarm: an object is free in both words")]
fn both_words_while_the_owner_works_planted() {
    model(Search::Planted(3), |bench| {
        let _locked = bench.lock.lock().unwrap();
        let slab = &bench.slabs[0];
        let remote = slab.remote[0].load(Ordering::Acquire);
        let own = slab.own.load(Ordering::Acquire);
        holds(own & remote == 0, "an object is free in both words")
    });
}

#[test]
#[should_panic(expected = "a false alarm: an object is free in a bin and a word")]
fn bin_while_the_owner_works_planted() {
    model(Search::Planted(3), |bench| {
        let _locked = bench.lock.lock().unwrap();
        let own = bench.slabs[0].own.load(Ordering::Acquire);
        let bin = bench.bin.load(Ordering::Acquire);
        holds(own & bin == 0, "an object is free in a bin and a word")
    });
}

#[test]
#[should_panic(expected = "a false alarm: the summary names a word that is empty")]
fn summary_while_the_owner_works_planted() {
    model(Search::Planted(3), |bench| {
        let _locked = bench.lock.lock().unwrap();
        let slab = &bench.slabs[0];
        let summary = slab.summary.load(Ordering::Acquire);
        let remote = slab.remote[0].load(Ordering::Acquire);
        holds(
            summary == 0 || remote != 0,
            "the summary names a word that is empty",
        )
    });
}

/// Senders free these objects (slab and number) while the local heap is idle; a new thread may adopt
/// it, under the lock.
fn model_idle(
    search: Search,
    senders: &'static [&'static [(usize, usize)]],
    adopted: bool,
    check: impl Fn(&Bench) -> Verdict + Send + Sync + 'static,
) {
    explore(search, move || {
        let bench = Bench::new([0b00, 0b10]);
        let mut threads: Vec<_> = senders
            .iter()
            .map(|objects| {
                let bench = bench.clone();
                thread::spawn(move || {
                    for &(slab, object) in *objects {
                        bench.send(slab, object);
                    }
                })
            })
            .collect();
        if adopted {
            let bench = bench.clone();
            threads.push(thread::spawn(move || {
                let _locked = bench.lock.lock().unwrap();
                bench.collect();
            }));
        }
        if let Err(invariant) = check(&bench) {
            panic!("a false alarm: {invariant}");
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

const ONE_SLAB: &[&[(usize, usize)]] = &[&[(1, 0), (1, 1)]];
const TWO_SLABS: &[&[(usize, usize)]] = &[&[(1, 0)], &[(2, 0)]];

fn idle(bench: &Bench) -> Verdict {
    locked(bench, |bench| bench.check_idle(true))
}

#[test]
fn of_an_idle_heap() {
    model_idle(Search::Preemptions(3), TWO_SLABS, false, idle);
}

#[test]
fn of_an_idle_heap_that_is_adopted() {
    model_idle(Search::Preemptions(3), ONE_SLAB, true, idle);
}

#[test]
#[should_panic(expected = "a false alarm: the summary names a word that is empty")]
fn word_read_before_the_summary_planted() {
    model_idle(Search::Planted(2), ONE_SLAB, false, |bench| {
        locked(bench, |bench| bench.check_idle(false))
    });
}

#[test]
#[should_panic(expected = "a false alarm: an object is free in both words")]
fn of_an_idle_heap_without_the_lock_planted() {
    model_idle(Search::Planted(2), ONE_SLAB, true, |bench| {
        bench.check_idle(true)
    });
}

/// A sender may have set the bit and nothing else.
#[test]
#[should_panic(expected = "a false alarm: a word with bits is not named")]
fn word_without_summary_planted() {
    model_idle(Search::Planted(2), ONE_SLAB, false, |bench| {
        let _locked = bench.lock.lock().unwrap();
        let slab = &bench.slabs[0];
        let remote = slab.remote[0].load(Ordering::Acquire);
        let summary = slab.summary.load(Ordering::Acquire);
        holds(remote == 0 || summary != 0, "a word with bits is not named")
    });
}
