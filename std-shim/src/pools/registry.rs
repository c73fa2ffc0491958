//! The live pools, by number, by id and by address.
//!
//! A number is an index that is used again when its pool is gone; an id is not. What is said of a
//! number lies in a place that is never given back, so it can be read without a lock: the id
//! is read before and after, and the answer counts if it is the same.

use core::cell::UnsafeCell;
use core::mem;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use std::collections::BTreeSet;

use allotment_core::Pool;
use allotment_core::lock_api::RawMutex;

use super::granules::{self, MOST_NUMBERS};
use super::{Owner, SharedPoolError};
use crate::arena::Arena;
use crate::lock::FutexMutex;

/// What becomes of a pool whose memory overlaps that of a live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is refused.
    Refuse,
    /// It is made. [`SharedPool::overlaps`](super::SharedPool::overlaps) tells of both.
    Allow,
}

/// A live pool's number and id.
#[derive(Debug)]
pub(super) struct Number {
    place: usize,
    id: usize,
}

impl Number {
    /// The number: small, and used again when the pool is gone.
    #[inline(always)]
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// The id: never 0, never used again.
    #[inline(always)]
    pub(super) fn id(&self) -> usize {
        self.id
    }
}

/// What is said of a number.
struct Place {
    /// The id of the pool, 0 if there is none.
    id: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    owner: Owner,
    /// The arena, null while it is made.
    arena: AtomicPtr<Arena>,
}

/// Places come in blocks of this many.
const BLOCK: usize = 256;

type Block = [Place; BLOCK];

static BLOCKS: [AtomicPtr<Block>; MOST_NUMBERS / BLOCK] =
    [const { AtomicPtr::new(null_mut()) }; MOST_NUMBERS / BLOCK];

/// What only the holder of the lock may use.
struct State {
    /// Start and number of each live pool.
    ranges: BTreeSet<(usize, usize)>,
    free: Vec<usize>,
    /// Numbers used so far.
    numbers: usize,
    ids: usize,
}

struct Locked {
    lock: FutexMutex,
    state: UnsafeCell<State>,
}

// SAFETY: the state is used by the lock's holder alone.
unsafe impl Sync for Locked {}

static REGISTRY: Locked = Locked {
    lock: FutexMutex::new(),
    state: UnsafeCell::new(State {
        ranges: BTreeSet::new(),
        free: Vec::new(),
        numbers: 0,
        ids: 0,
    }),
};

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    struct Unlock;
    impl Drop for Unlock {
        fn drop(&mut self) {
            // SAFETY: locked by `with`.
            unsafe { REGISTRY.lock.unlock() };
        }
    }
    REGISTRY.lock.lock();
    let _unlock = Unlock;
    // SAFETY: the lock is held, and `f` does not come back here.
    f(unsafe { &mut *REGISTRY.state.get() })
}

/// What is said of a number that was used before.
fn place<'a>(number: usize) -> Option<&'a Place> {
    let block = BLOCKS.get(number / BLOCK)?.load(Ordering::Acquire);
    // SAFETY: blocks are never given back.
    unsafe { block.as_ref() }.map(|block| &block[number % BLOCK])
}

impl Place {
    fn range(&self) -> Range<usize> {
        self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed)
    }
}

impl State {
    /// The live pools that have addresses in a range.
    fn in_range<'s>(&'s self, range: &'s Range<usize>) -> impl Iterator<Item = usize> + 's {
        let before = self.ranges.range(..(range.end, 0));
        // Ranges may overlap, so the ends are in no order.
        before
            .map(|&(_, number)| number)
            .filter(move |&number| place(number).is_some_and(|at| at.range().end > range.start))
    }

    fn new_number(&mut self) -> Result<usize, SharedPoolError> {
        if let Some(number) = self.free.pop() {
            return Ok(number);
        }
        let number = self.numbers;
        let block = BLOCKS.get(number / BLOCK).ok_or(SharedPoolError::TooMany)?;
        if number.is_multiple_of(BLOCK) {
            let places = Box::new(
                [const {
                    Place {
                        id: AtomicUsize::new(0),
                        start: AtomicUsize::new(0),
                        end: AtomicUsize::new(0),
                        owner: AtomicPtr::new(null_mut()),
                        arena: AtomicPtr::new(null_mut()),
                    }
                }; BLOCK],
            );
            block.store(Box::leak(places), Ordering::Release);
        }
        self.numbers += 1;
        Ok(number)
    }
}

/// A range that is kept for a pool that is being made. Given back when it is dropped.
pub(super) struct Claim(Option<Number>);

impl Claim {
    /// The pool is there.
    pub(super) fn keep(mut self, arena: &Arena) -> Number {
        let number = self.0.take().expect("a claim is kept once");
        if let Some(at) = place(number.place) {
            let arena = (&raw const *arena).cast_mut();
            at.arena.store(arena, Ordering::Release);
        }
        number
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(number) = &self.0 {
            release(number);
        }
    }
}

/// Keeps an address range for a pool.
pub(super) fn claim(
    start: usize,
    len: usize,
    owner: *mut (),
    overlap: Overlap,
) -> Result<Claim, SharedPoolError> {
    let range = start..start.saturating_add(len);
    with(|state| {
        if overlap == Overlap::Refuse && state.in_range(&range).next().is_some() {
            return Err(SharedPoolError::Overlaps);
        }
        let number = state.new_number()?;
        let Some(at) = place(number) else {
            return Err(SharedPoolError::TooMany);
        };
        state.ids += 1;
        let id = state.ids;
        at.start.store(range.start, Ordering::Relaxed);
        at.end.store(range.end, Ordering::Relaxed);
        at.owner.store(owner, Ordering::Relaxed);
        at.arena.store(null_mut(), Ordering::Relaxed);
        at.id.store(id, Ordering::Release);
        state.ranges.insert((range.start, number));
        granules::insert(&range, number);
        Ok(Claim(Some(Number { place: number, id })))
    })
}

/// The pool is gone: nobody uses it any more, nor will.
pub(super) fn release(number: &Number) {
    with(|state| {
        let Some(at) = place(number.place) else {
            return;
        };
        let range = at.range();
        at.id.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        at.arena.store(null_mut(), Ordering::Relaxed);
        state.ranges.remove(&(range.start, number.place));
        let around = granules::around(&range);
        let others: Vec<_> = state
            .in_range(&around)
            .filter_map(|other| Some((place(other)?.range(), other)))
            .collect();
        granules::remove(&range, number.place, &others);
        for (range, other) in others {
            granules::insert(&range, other);
        }
        state.free.push(number.place);
    });
}

pub(super) fn set_owner(number: &Number, owner: *mut ()) {
    if let Some(at) = place(number.place) {
        at.owner.store(owner, Ordering::Release);
    }
}

pub(super) fn overlaps(number: &Number) -> bool {
    with(|state| {
        place(number.place).is_some_and(|at| {
            let range = at.range();
            state.in_range(&range).any(|other| other != number.place)
        })
    })
}

/// Calls `f` with a pool that cannot go meanwhile, if it is alive.
pub(super) fn with_pool(number: usize, id: usize, f: impl FnOnce(&Pool<'static, FutexMutex>)) {
    with(|_| {
        let Some(at) = place(number) else {
            return;
        };
        let arena = at.arena.load(Ordering::Acquire);
        if at.id.load(Ordering::Relaxed) == id && !arena.is_null() {
            // SAFETY: the pool is released, under the lock, before its arena goes.
            f(unsafe { &*arena }.pool());
        }
    });
}

/// What a pool said to be its owner, for an address in its mapping; `None` if the address lies in no
/// live pool. Any pointer may be asked about. Lock-free and O(1), but for addresses within 2 MiB of two
/// pools at once, which are looked for under a lock.
///
/// If a pool ends at the same time, its addresses may belong to it or to none.
#[inline]
#[must_use]
pub fn owner_of(address: usize) -> Option<*mut ()> {
    let number = granules::number_at(address)?;
    match look(number, address) {
        None if granules::are_shared() => owner_of_slowly(address),
        found => found,
    }
}

/// The owner of the pool with a number, if it has the address.
#[inline]
fn look(number: usize, address: usize) -> Option<*mut ()> {
    let at = place(number)?;
    let id = at.id.load(Ordering::Acquire);
    let range = at.range();
    let owner = at.owner.load(Ordering::Acquire);
    fence(Ordering::Acquire);
    (id != 0 && range.contains(&address) && at.id.load(Ordering::Relaxed) == id).then_some(owner)
}

#[cold]
#[inline(never)]
fn owner_of_slowly(address: usize) -> Option<*mut ()> {
    if REGISTRY.lock.is_owned() {
        // A signal handler interrupted this thread there.
        return numbers().find_map(|number| look(number, address));
    }
    let range = address..address.checked_add(1)?;
    with(|state| {
        let found = state.in_range(&range).next()?;
        look(found, address)
    })
}

/// All numbers that may have been used.
fn numbers() -> impl Iterator<Item = usize> {
    let blocks = BLOCKS
        .iter()
        .take_while(|block| !block.load(Ordering::Acquire).is_null());
    0..blocks.count() * BLOCK
}

/// Opens the registry in the child of a fork if another thread held it, and makes its lists anew.
///
/// # Safety
/// The caller is the only thread.
pub(super) unsafe fn recover_after_fork() {
    if REGISTRY.lock.owner().is_none() || REGISTRY.lock.is_owned() {
        return;
    }
    // SAFETY: the owner is not in this process, and nobody else is.
    let state = unsafe {
        REGISTRY.lock.reset();
        &mut *REGISTRY.state.get()
    };
    // The lists may have been cut off in the middle of a change: they are neither read nor dropped.
    mem::forget(mem::take(&mut state.ranges));
    mem::forget(mem::take(&mut state.free));
    state.numbers = numbers().count();
    for number in numbers() {
        match place(number) {
            Some(at) if at.id.load(Ordering::Relaxed) != 0 => {
                state
                    .ranges
                    .insert((at.start.load(Ordering::Relaxed), number));
            }
            _ => state.free.push(number),
        }
    }
}
