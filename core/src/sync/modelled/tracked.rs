//! What loom knows of memory, by address.
//!
//! A word is known from its first access on. It might not be made then: loom would take that for
//! something that the accessing thread did, and report others. So words and cells are taken from a stock
//! that is made when a model begins, before there are threads. A word's value is counted from that
//! which it had then, since those of the stock are 0.
//!
//! loom 0.7 goes back only to the last access of a word to try another order. A load hides an earlier
//! load by another thread from the store that follows it: of `a: load`, `b: load`, `b: store`, it
//! never tries the order in which `a` sees what `b` stored. All our protocols load a word before they
//! change it; so here each access also changes a word of its own, for which the last access is always
//! the one that matters. Relaxed, it puts nothing into an order that was in none.

use core::mem::ManuallyDrop;
use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::thread_local;
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicUsize;
use loom::sync::{Mutex, MutexGuard};

use super::planted::{Access, Made, Plant, made, plant};

/// How many words and cells a model can have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare {
    pub(crate) words: usize,
    pub(crate) cells: usize,
}

/// A block of the pool's own. Whoever uses what is in it reads the cell; allocating it and giving it
/// back are writes.
struct Block {
    len: usize,
    given_back: core::cell::Cell<bool>,
    uses: UnsafeCell<()>,
}

impl Block {
    #[track_caller]
    fn begin_use(block: &Option<Rc<Block>>) {
        if let Some(block) = block {
            assert!(
                !block.given_back.get(),
                "use of a block that was given back"
            );
            block.uses.with(|_| ());
        }
    }
}

struct Atomics {
    value: AtomicUsize,
    accesses: AtomicUsize,
}

/// A word, in one of its blocks' lives.
#[derive(Clone)]
pub(super) struct Word {
    atomics: Rc<Atomics>,
    /// What 0 stands for.
    zero: usize,
    block: Option<Rc<Block>>,
}

impl Word {
    #[track_caller]
    fn access(&self) -> &AtomicUsize {
        Block::begin_use(&self.block);
        self.atomics.accesses.fetch_add(1, Ordering::Relaxed);
        &self.atomics.value
    }

    fn encode(&self, value: usize) -> usize {
        value.wrapping_sub(self.zero)
    }

    fn decode(&self, value: usize) -> usize {
        value.wrapping_add(self.zero)
    }

    #[track_caller]
    pub(super) fn load(&self, order: Ordering) -> usize {
        self.decode(self.access().load(order))
    }

    #[track_caller]
    pub(super) fn store(&self, value: usize, order: Ordering) {
        self.access().store(self.encode(value), order);
    }

    #[track_caller]
    pub(super) fn swap(&self, value: usize, order: Ordering) -> usize {
        self.decode(self.access().swap(self.encode(value), order))
    }

    #[track_caller]
    pub(super) fn fetch_or(&self, bits: usize, order: Ordering) -> usize {
        assert_eq!(self.zero, 0, "bits are set in a word that began as numbers");
        self.access().fetch_or(bits, order)
    }

    #[track_caller]
    pub(super) fn fetch_add(&self, summand: usize, order: Ordering) -> usize {
        self.decode(self.access().fetch_add(summand, order))
    }

    #[track_caller]
    pub(super) fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        let (current, new) = (self.encode(current), self.encode(new));
        self.access()
            .compare_exchange(current, new, success, failure)
            .map(|value| self.decode(value))
            .map_err(|value| self.decode(value))
    }

    #[track_caller]
    pub(super) fn unordered(&self) -> usize {
        Block::begin_use(&self.block);
        // SAFETY: loom checks what the caller has to answer for.
        self.decode(unsafe { self.atomics.value.unsync_load() })
    }
}

/// A mutex of loom's, and what holds it.
struct Lock {
    mutex: Mutex<()>,
    /// Without a lifetime, since the lock outlives its holders. Not dropped with the table, when there
    /// is no model any more.
    guard: RefCell<Option<ManuallyDrop<MutexGuard<'static, ()>>>>,
    /// Stands for all that the lock guards.
    guarded: UnsafeCell<()>,
}

/// A cell of the pool's.
#[derive(Clone)]
struct Tracked {
    uses: Rc<UnsafeCell<()>>,
    block: Option<Rc<Block>>,
}

#[derive(Default)]
struct Table {
    spare_words: Vec<Atomics>,
    spare_cells: Vec<UnsafeCell<()>>,
    words: HashMap<usize, Word>,
    cells: HashMap<usize, Tracked>,
    blocks: BTreeMap<usize, Rc<Block>>,
    pieces: HashMap<usize, Rc<UnsafeCell<()>>>,
    locks: HashMap<usize, Rc<Lock>>,
}

impl Table {
    fn block(&self, address: usize) -> Option<Rc<Block>> {
        let (start, block) = self.blocks.range(..=address).next_back()?;
        (address - start < block.len).then(|| block.clone())
    }

    /// Forgets what lay in these bytes: answers the blocks.
    fn forget(&mut self, bytes: Range<usize>) -> Vec<Rc<Block>> {
        self.words.retain(|address, _| !bytes.contains(address));
        self.cells.retain(|address, _| !bytes.contains(address));
        let mut forgotten = Vec::new();
        self.blocks.retain(|&start, block| {
            let is_apart = start >= bytes.end || start + block.len <= bytes.start;
            if !is_apart {
                forgotten.push(block.clone());
            }
            is_apart
        });
        forgotten
    }
}

thread_local! {
    /// loom runs all threads of a model in one. Not borrowed while one of them may give way to another.
    static TABLE: RefCell<Table> = RefCell::default();
}

fn table<A>(work: impl FnOnce(&mut Table) -> A) -> A {
    TABLE.with_borrow_mut(work)
}

static NOWHERE: [usize; 512] = [1; 512];

/// What memory can be filled with that nobody has written: the address of memory that may be read, in
/// which no model has words or cells.
pub(crate) fn nowhere() -> usize {
    (&raw const NOWHERE).expose_provenance()
}

fn assert_written(address: usize) {
    assert!(
        address.wrapping_sub(nowhere()) >= size_of_val(&NOWHERE),
        "memory is used that nobody has written"
    );
}

/// Begins a run of a model.
pub(crate) fn begin(spare: Spare, bug: Option<Plant>) {
    plant(bug);
    let new = Table {
        spare_words: (0..spare.words)
            .map(|_| Atomics {
                value: AtomicUsize::new(0),
                accesses: AtomicUsize::new(0),
            })
            .collect(),
        spare_cells: (0..spare.cells).map(|_| UnsafeCell::new(())).collect(),
        ..Table::default()
    };
    table(|table| *table = new);
}

/// The word at an address, which has this value if it is new.
pub(super) fn word(address: usize, value: usize) -> Word {
    assert_written(address);
    table(|table| {
        if let Some(word) = table.words.get(&address) {
            return word.clone();
        }
        let atomics = table.spare_words.pop();
        let word = Word {
            atomics: Rc::new(atomics.expect("a model with more words in spare")),
            zero: value,
            block: table.block(address),
        };
        table.words.insert(address, word.clone());
        word
    })
}

fn cell(address: usize) -> Tracked {
    assert_written(address);
    table(|table| {
        if let Some(cell) = table.cells.get(&address) {
            return cell.clone();
        }
        let uses = table.spare_cells.pop();
        let cell = Tracked {
            uses: Rc::new(uses.expect("a model with more cells in spare")),
            block: table.block(address),
        };
        table.cells.insert(address, cell.clone());
        cell
    })
}

/// A cell is read.
#[track_caller]
pub(super) fn read(address: usize) {
    let cell = cell(address);
    Block::begin_use(&cell.block);
    cell.uses.with(|_| ());
}

/// A cell is written.
#[track_caller]
pub(super) fn written(address: usize) {
    let cell = cell(address);
    Block::begin_use(&cell.block);
    cell.uses.with_mut(|_| ());
}

/// A block begins to live.
#[track_caller]
pub(super) fn allocated(start: usize, len: usize) {
    let block = Rc::new(Block {
        len,
        given_back: core::cell::Cell::new(false),
        uses: UnsafeCell::new(()),
    });
    let before = table(|table| {
        let before = table.forget(start..start + len);
        table.blocks.insert(start, block);
        before
    });
    for block in before {
        block.uses.with_mut(|_| ());
    }
    write(start..start + len);
}

/// The block that begins there ceases to live.
#[track_caller]
pub(super) fn given_back(start: usize) {
    let block = table(|table| table.blocks.get(&start).cloned());
    let block = block.expect("a block that is given back was allocated");
    Block::begin_use(&Some(block.clone()));
    block.uses.with_mut(|_| ());
    block.given_back.set(true);
    write(start..start + block.len);
}

/// Memory that the pool handed out is followed in pieces of so many bytes.
const PIECE: usize = 512;

/// Whoever has these bytes of the pool writes to them: to all pieces that are wholly his.
#[track_caller]
pub(crate) fn write(bytes: Range<usize>) {
    for piece in bytes.start.div_ceil(PIECE)..bytes.end / PIECE {
        let piece = table(|table| {
            let new = || Rc::new(UnsafeCell::new(()));
            table.pieces.entry(piece).or_insert_with(new).clone()
        });
        piece.with_mut(|_| ());
    }
}

fn lock_at(address: usize) -> Rc<Lock> {
    table(|table| {
        let new = || {
            Rc::new(Lock {
                mutex: Mutex::new(()),
                guard: RefCell::new(None),
                guarded: UnsafeCell::new(()),
            })
        };
        table.locks.entry(address).or_insert_with(new).clone()
    })
}

/// Takes the lock that is at an address, for whoever is about to change what it guards.
#[track_caller]
pub(crate) fn lock(address: usize) {
    let lock = lock_at(address);
    let made = made(Access::Lock, Ordering::Acquire, Location::caller());
    if !matches!(made, Made::Never) {
        let guard = lock.mutex.lock().expect("nobody panics");
        // SAFETY: the lock lives as long as the table, and the guard is taken out by `unlock` before.
        let guard: MutexGuard<'static, ()> = unsafe { core::mem::transmute(guard) };
        let before = lock.guard.replace(Some(ManuallyDrop::new(guard)));
        assert!(before.is_none());
    }
    lock.guarded.with_mut(|_| ());
}

/// Opens it.
pub(crate) fn unlock(address: usize) {
    let guard = lock_at(address).guard.take();
    drop(guard.map(ManuallyDrop::into_inner));
}
