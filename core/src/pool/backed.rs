//! [`BackedPool`]: a pool that grows, and gives back what it does not need.
//!
//! ```text
//! allocate: the pool ─> the backing commits more, the pool extends ─> the pool's last resort
//! purge:    everything that is free, now
//! decay:    at each look the least that was free in the last ten looks: so much of the largest free
//!           blocks goes back, from their ends                                         1. 2. 3.
//! ```
//!
//! 1. Good fit takes the smallest block that serves, and the start of a block before its end. So the
//!    end of the largest block is what will be needed last, if ever.
//! 2. What the backing has committed, and nobody has used so far, does not count as free here.
//! 3. What went back stays free memory of the pool, and is not marked. It goes back again at the next
//!    look, which costs little where nobody has touched it.
//!
//! What is about to go back is taken out of the pool, as if it was allocated, so that the pool's lock is not held
//! meanwhile. Whoever finds no memory waits for the backing's lock, and looks again.

use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::compiler_fence;

use lock_api::RawMutex;

use super::least_free::LeastFree;
use super::{Guard, Pool};
use crate::backing::{Backing, PurgePolicy};
use crate::check::Damage;
use crate::fault::FaultHandler;
use crate::heap::Options;
use crate::local::{LocalHeap, Unsettled};
use crate::region::CreateError;
use crate::sync::{AtomicUsize, Ordering};

/// A growing pool doubles, but not by more than this at once.
const LARGEST_STEP: usize = if usize::BITS < 64 { 1 << 20 } else { 256 << 20 };

/// What a request needs beyond its size and alignment, generously: header, rounding, list width.
const SLACK: usize = 64 << 10;

/// The bytes of a free block that the pool needs, at each end: header and two links, or two words.
const KEPT: usize = 3 * size_of::<usize>();

/// Looks in the time of a decay.
const LOOKS: usize = 10;

/// The least free block that goes back, but for a purge.
const LEAST: usize = 64 << 10;

/// How many blocks a look takes out, at most.
const MOST_BLOCKS: usize = 128;

/// How many bytes go back in an operation, at most: it is held up for some milliseconds.
const MOST_BYTES: usize = 64 << 20;

/// What is left goes back by so many parts of the time to the next look.
const PARTS: usize = 16;

/// Milliseconds from one look to the next under [`PurgePolicy::AtOnce`], for what is not one large block
/// that is freed.
const SOON: usize = 10;

/// Operations off the fast path from one question for the time to the next.
const OPERATIONS: usize = 8;

/// [`PurgePolicy`], as a number of milliseconds from one look to the next.
const AT_ONCE: usize = 0;
const NEVER: usize = usize::MAX;

/// A [`Pool`] in the memory of a [`Backing`]: it takes more of it when it has no room left, and
/// gives back what it does not need, as its [`PurgePolicy`] says.
///
/// Dropping it drops the backing. Blocks are not to be used any more then.
///
/// # Examples
/// A range of which the first megabyte is usable at first:
/// ```
/// use core::alloc::Layout;
/// use core::cell::Cell;
/// use core::ptr::NonNull;
/// use allotment_core::{Backing, BackedPool, LocalHeap, panic_on_fault};
///
/// struct Range {
///     memory: Box<[core::mem::MaybeUninit<u8>]>,
///     usable: Cell<usize>,
/// }
///
/// // SAFETY: the memory is the box's, which is never replaced; all of it can be used at any time.
/// unsafe impl Backing for Range {
///     type Lock = spin::Mutex<()>;
///
///     fn start(&self) -> NonNull<u8> {
///         let start = self.memory.as_ptr().expose_provenance();
///         NonNull::new(core::ptr::with_exposed_provenance_mut(start)).unwrap()
///     }
///     fn capacity(&self) -> usize {
///         self.memory.len()
///     }
///     fn committed(&self) -> usize {
///         self.usable.get()
///     }
///     fn is_zeroed(&self) -> bool {
///         false
///     }
///     fn commit(&self, len: usize) -> bool {
///         self.usable.set(self.usable.get().max(len));
///         len <= self.memory.len()
///     }
///     unsafe fn decommit(&self, _start: NonNull<u8>, _len: usize) -> usize {
///         0
///     }
/// }
///
/// let memory = Box::new_uninit_slice(16 << 20);
/// let range = Range { memory, usable: Cell::new(1 << 20) };
/// let pool: BackedPool<spin::Mutex<()>, Range> = BackedPool::new(range, panic_on_fault)?;
/// let layout = Layout::new::<[u8; 4 << 20]>();
/// // SAFETY: the empty local heap is anybody's.
/// let block = unsafe { pool.allocate_in(LocalHeap::EMPTY, layout) }.expect("16 MiB suffice");
/// assert!(pool.backing().usable.get() > 4 << 20);
/// # Ok::<(), allotment_core::CreateError>(())
/// ```
pub struct BackedPool<R: RawMutex + 'static, B: Backing> {
    // Before the backing, which goes after it.
    pool: Pool<'static, R>,
    backing: B,
    /// Held while the backing is asked. The pool's own lock is taken inside it, never the other way.
    lock: UnsafeCell<B::Lock>,
    looking: UnsafeCell<Looking>,
    /// Milliseconds from one look to the next.
    interval: AtomicUsize,
    /// When the next one is due, in milliseconds of the backing's time.
    due: AtomicUsize,
    /// The period in which idle local heaps have given up what they have.
    period: AtomicUsize,
    /// How often the pool has grown, or got back what was out.
    changes: AtomicUsize,
    /// Operations until the time is asked for. Counts that get lost when two threads count at once do
    /// not matter.
    countdown: AtomicUsize,
}

/// Guarded by the backing's lock.
struct Looking {
    least_free: LeastFree<LOOKS>,
    /// What was to go back at the last look, and how much of it has if that was not all.
    idle: usize,
    done: usize,
    /// Blocks that are out of the pool.
    out: [Cell<Option<NonNull<u8>>>; MOST_BLOCKS],
}

// SAFETY: the pool and the backing may be shared; the rest is guarded by the lock, or atomic.
unsafe impl<R: RawMutex + Sync, B: Backing + Sync> Sync for BackedPool<R, B> where B::Lock: Sync {}
// SAFETY: it owns nothing of any thread's.
unsafe impl<R: RawMutex + Send, B: Backing + Send> Send for BackedPool<R, B> {}

impl<R: RawMutex, B: Backing + fmt::Debug> fmt::Debug for BackedPool<R, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackedPool")
            .field("pool", &self.pool)
            .field("backing", &self.backing)
            .finish_non_exhaustive()
    }
}

impl<R: RawMutex, B: Backing> BackedPool<R, B> {
    /// Makes a pool in what the backing has committed. `on_fault` is told of misuse and damage, with
    /// none of the locks held. Nothing goes back by itself at first.
    ///
    /// # Errors
    /// If what is committed cannot hold a pool: see [`Pool::create_in_raw`].
    pub fn new(backing: B, on_fault: FaultHandler) -> Result<Self, CreateError> {
        let options = Options {
            zeroed: backing.is_zeroed(),
            capacity: backing.capacity(),
            on_fault,
        };
        // SAFETY: the committed part is usable, zero if the backing says so, and the pool's alone as
        // long as the backing lives (promise of the backing).
        let pool =
            unsafe { Pool::create_in_raw(backing.start().as_ptr(), backing.committed(), options)? };
        Ok(BackedPool {
            pool,
            backing,
            lock: UnsafeCell::new(B::Lock::INIT),
            looking: UnsafeCell::new(Looking {
                least_free: LeastFree::new(),
                idle: 0,
                done: 0,
                out: [const { Cell::new(None) }; MOST_BLOCKS],
            }),
            interval: AtomicUsize::new(NEVER),
            due: AtomicUsize::new(0),
            period: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            countdown: AtomicUsize::new(OPERATIONS),
        })
    }

    /// The pool.
    #[inline(always)]
    #[must_use]
    pub fn pool(&self) -> &Pool<'static, R> {
        &self.pool
    }

    /// What the pool lies in.
    #[inline(always)]
    #[must_use]
    pub fn backing(&self) -> &B {
        &self.backing
    }

    /// Says when memory goes back from now on. A decay is told apart to a tenth of its time, and to a
    /// millisecond.
    pub fn set_purge_policy(&self, policy: PurgePolicy) {
        let interval = match policy {
            PurgePolicy::AtOnce => AT_ONCE,
            PurgePolicy::Never => NEVER,
            PurgePolicy::Decay(time) => usize::try_from(time.as_millis() / LOOKS as u128)
                .unwrap_or(usize::MAX / 4)
                .clamp(1, usize::MAX / 4),
        };
        self.due
            .store(self.now().wrapping_add(interval), Ordering::Relaxed);
        self.interval.store(interval, Ordering::Relaxed);
    }

    /// Allocates a block, for whoever is bound to `local`. `None` if there is no memory for it,
    /// and none that the pool could grow by.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn allocate_in(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        unsafe {
            match super::attached::take_unaligned(local, layout) {
                None => self.allocate_slowly(local, layout),
                object => object,
            }
        }
    }

    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[cold]
    #[inline(never)]
    unsafe fn allocate_slowly(&self, local: &LocalHeap, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: forwarded.
        let block = unsafe {
            let attempt = || self.pool.allocate_ordinarily(local, layout);
            attempt()
                .or_else(|| self.grow_until(layout, attempt))
                .or_else(|| self.pool.allocate_at_last(local, layout))
        };
        // SAFETY: forwarded.
        unsafe { self.count_operation(local) };
        block
    }

    /// Allocates a block of zeros, for whoever is bound to `local`. See [`BackedPool::allocate_in`].
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    #[inline(always)]
    pub unsafe fn allocate_zeroed_in(
        &self,
        local: &LocalHeap,
        layout: Layout,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; what is zeroed was just allocated with this size.
        unsafe {
            match self.pool.allocate_zeroed_in(local, layout) {
                None => self
                    .grow_until(layout, || self.pool.allocate_zeroed_in(local, layout))
                    .or_else(|| {
                        let block = self.pool.allocate_at_last(local, layout)?;
                        block.write_bytes(0, layout.size());
                        Some(block)
                    }),
                some => some,
            }
        }
    }

    /// Changes the size of a block, for whoever is bound to `local`. `None` if there is no memory
    /// for it; the block is as it was then.
    ///
    /// # Safety
    /// As for [`Pool::resize_in`].
    #[inline(always)]
    pub unsafe fn resize_in(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; a refused attempt leaves the block as it was.
        match unsafe { self.pool.resize_in(local, block, size) } {
            None => {
                let layout = Layout::from_size_align(size, 1).ok()?;
                // What was refused for another reason, which the fault handler was told, would be refused in
                // a larger pool, too.
                if !self.pool.is_in_use(local, block, None) {
                    return None;
                }
                // SAFETY: as above.
                let attempt = || unsafe { self.pool.resize_in(local, block, size) };
                self.grow_until(layout, attempt).or_else(|| {
                    // SAFETY: forwarded.
                    unsafe { self.pool.give_up_empty(local) };
                    attempt()
                })
            }
            some => some,
        }
    }

    /// As [`BackedPool::resize_in`], for a block whose layout is known.
    ///
    /// # Safety
    /// As for [`Pool::reallocate_in`].
    pub unsafe fn reallocate_in(
        &self,
        local: &LocalHeap,
        block: NonNull<u8>,
        layout: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: forwarded; a refused attempt leaves the block as it was, so that it can be moved
        // by hand in the end: both blocks hold what is copied, and are apart.
        unsafe {
            if let Some(resized) = self.pool.reallocate_in(local, block, layout, size) {
                return Some(resized);
            }
            let wanted = Layout::from_size_align(size, layout.align()).ok()?;
            if !self.pool.is_in_use(local, block, Some(layout)) {
                return None;
            }
            let attempt = || self.pool.reallocate_in(local, block, layout, size);
            self.grow_until(wanted, attempt).or_else(|| {
                let moved = self.pool.allocate_at_last(local, wanted)?;
                moved.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.pool.deallocate_in(local, block, layout);
                Some(moved)
            })
        }
    }

    /// Frees a block, for whoever is bound to `local`; with its layout if that is known.
    ///
    /// # Safety
    /// As for [`Pool::free_in`], or [`Pool::deallocate_in`] with a layout.
    #[inline]
    pub unsafe fn free_in(&self, local: &LocalHeap, block: NonNull<u8>, layout: Option<Layout>) {
        if self.interval.load(Ordering::Relaxed) == AT_ONCE {
            let Some(size) = self.pool.usable_size_as(block, layout) else {
                return;
            };
            if size >= LEAST {
                // If another thread asks the backing, it will go with the next look.
                // SAFETY: it is a block, and the caller gives it up.
                self.try_locked(|| unsafe { self.backing.decommit(block, size) });
            }
        }
        // SAFETY: forwarded.
        unsafe {
            self.pool.free_as(local, block, layout);
            self.count_operation(local);
        }
    }

    /// As [`Pool::settle`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn settle(&self, local: &LocalHeap, unsettled: Unsettled) {
        // SAFETY: forwarded.
        unsafe {
            self.pool.settle(local, unsettled);
            self.count_operation(local);
        }
    }

    /// Gives all whole free pages back: those of free blocks, and of free objects in slabs of `local`
    /// and of idle local heaps. Answers the number of bytes.
    ///
    /// Takes time proportional to the number of blocks and slabs, with the pool locked.
    ///
    /// # Safety
    /// As for [`Pool::allocate_in`].
    pub unsafe fn purge(&self, local: &LocalHeap) -> usize {
        let mut bytes = 0;
        // SAFETY: forwarded.
        unsafe { self.pool.trim(local) };
        // SAFETY: forwarded; objects and blocks that are free hold nothing that anybody needs, but for
        // the words that are left out; the pool is locked.
        self.locked(|| unsafe {
            self.put_back();
            let mut give_back = |address, len| {
                let start = core::ptr::with_exposed_provenance_mut(address);
                if let Some(start) = NonNull::new(start) {
                    bytes += self.backing.decommit(start, len);
                }
            };
            self.pool.for_each_free_run(local, &mut give_back);
            self.pool.for_each_block(|block| {
                if !block.used && block.size > 2 * KEPT {
                    give_back(block.address + KEPT, block.size - 2 * KEPT);
                }
            });
        });
        bytes
    }

    /// Takes a look at what is free and was in use before, as is done ten times in the time of a decay, and
    /// gives back what nobody has needed since the tenth look before; under [`PurgePolicy::AtOnce`], all
    /// that is free. This is for whoever has no clock, but a timer or a thread of its own. Answers the number
    /// of bytes, among which may be some that were given back before.
    ///
    /// At most `most` bytes go back; if there are more, the next call goes on with them, without a look.
    /// They come from the 128 largest free blocks, if these have 64 KiB at least.
    pub fn give_back_idle(&self, most: usize) -> usize {
        self.locked(|| self.give_back_locked(most)).unwrap_or(0)
    }

    /// With the backing's lock held.
    fn give_back_locked(&self, most: usize) -> usize {
        self.put_back();
        // SAFETY: the lock is held.
        let looking = unsafe { &mut *self.looking.get() };
        let free = self.pool.with(|heap| heap.used_before());
        if looking.done == 0 {
            looking.idle = if self.interval.load(Ordering::Relaxed) == AT_ONCE {
                free
            } else {
                looking.least_free.look(free)
            };
        }
        let given = self.give_back_parts(looking, looking.idle.min(free), most);
        self.put_back();
        given
    }

    /// Gives back up to `most` of the `idle` bytes that are to be needed last, but for those that were
    /// given back by the calls before.
    fn give_back_parts(&self, looking: &mut Looking, idle: usize, most: usize) -> usize {
        let (mut idle, mut most, mut given) = (idle, most, 0);
        let mut before = core::mem::take(&mut looking.done);
        let mut done = before;
        for out in &looking.out {
            if idle < LEAST {
                break;
            }
            let Some((block, size)) = self.take_out(out) else {
                break;
            };
            let part = size.min(idle);
            idle -= part;
            let passed = before.min(part);
            before -= passed;
            let len = (part - passed).min(most);
            most -= len;
            done += len;
            // What the pool will need of the block when it is free is left out: in pages that come
            // back at once, nothing would be won.
            let end = (size - passed).min(size.saturating_sub(KEPT));
            let start = (size - passed - len).max(KEPT);
            if start < end {
                // SAFETY: the block was allocated, and nobody knows of it.
                given += unsafe { self.backing.decommit(block.byte_add(start), end - start) };
            }
            if most == 0 {
                looking.done = done;
                break;
            }
        }
        given
    }

    /// Takes the largest free block out of the pool. It is noted before, and both with the pool's lock held: see
    /// [`BackedPool::recover_after_fork`].
    fn take_out(&self, out: &Cell<Option<NonNull<u8>>>) -> Option<(NonNull<u8>, usize)> {
        self.pool.with(|heap| {
            let control = self.pool.control();
            let taken = control.take_out(heap, LEAST, |block| out.set(Some(block)));
            if taken.is_none() {
                out.set(None);
            }
            taken
        })
    }

    /// Puts back what was taken out, be it by one who did not come so far before a fork. With the
    /// backing's lock held.
    fn put_back(&self) {
        // SAFETY: the lock is held.
        let looking = unsafe { &*self.looking.get() };
        // Last one first, so that those of a size come in the same order the next time.
        for out in looking.out.iter().rev() {
            if let Some(block) = out.get() {
                self.pool.with(|heap| {
                    self.pool.control().put_back(heap, block);
                    compiler_fence(Ordering::Release);
                    out.set(None);
                });
                self.count_change();
            }
        }
    }

    fn count_change(&self) {
        let changes = self.changes.load(Ordering::Relaxed);
        self.changes
            .store(changes.wrapping_add(1), Ordering::Release);
    }

    /// Counts an operation off the fast path, and sees to what is due.
    ///
    /// # Safety
    /// The caller is bound to the local heap, or it is the empty one.
    #[inline]
    unsafe fn count_operation(&self, local: &LocalHeap) {
        let interval = self.interval.load(Ordering::Relaxed);
        if interval == NEVER {
            return;
        }
        let countdown = self.countdown.load(Ordering::Relaxed);
        if countdown > 0 {
            self.countdown.store(countdown - 1, Ordering::Relaxed);
            return;
        }
        self.countdown.store(OPERATIONS, Ordering::Relaxed);
        // SAFETY: forwarded.
        unsafe { self.see_to_what_is_due(local, interval) }
    }

    /// # Safety
    /// As for [`BackedPool::count_operation`].
    #[cold]
    #[inline(never)]
    unsafe fn see_to_what_is_due(&self, local: &LocalHeap, interval: usize) {
        let at_once = interval == AT_ONCE;
        let interval = if at_once { SOON } else { interval };
        let now = self.now();
        let period = now
            / if at_once {
                SOON
            } else {
                interval.saturating_mul(LOOKS)
            };
        if !local.is_empty_heap() && local.period.replace(period) != period {
            // SAFETY: forwarded.
            unsafe { self.pool.give_up_unneeded(local, at_once) }
        }
        if self.period.load(Ordering::Relaxed) != period {
            self.period.store(period, Ordering::Relaxed);
            // SAFETY: the empty local heap is anybody's.
            unsafe { self.pool.trim(LocalHeap::EMPTY) }
        }
        // Due times are less than half of all numbers away.
        if (now.wrapping_sub(self.due.load(Ordering::Relaxed)) as isize) < 0 {
            return;
        }
        // Nobody else looks meanwhile.
        self.due
            .store(now.wrapping_add(interval), Ordering::Relaxed);
        // Who finds another at it need not wait, nor look once more.
        let given = self.try_locked(|| self.give_back_locked(MOST_BYTES));
        if given.unwrap_or(0) >= MOST_BYTES / 2 {
            let next = now.wrapping_add(interval.div_ceil(PARTS));
            self.due.store(next, Ordering::Relaxed);
        }
    }

    /// Milliseconds of the backing's time. They wrap.
    fn now(&self) -> usize {
        self.backing.now().as_millis() as usize
    }

    /// Runs `work` with the backing's lock held, unless it was interrupted by the caller.
    fn locked<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        if self.is_interrupted() {
            return None;
        }
        // SAFETY: the lock is replaced only where there is no other thread.
        let lock = unsafe { &*self.lock.get() };
        lock.lock();
        let _guard = Guard(lock);
        Some(work())
    }

    /// As [`BackedPool::locked`], unless the lock is held by anybody.
    fn try_locked<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        // SAFETY: as in `locked`.
        let lock = unsafe { &*self.lock.get() };
        if !lock.try_lock() {
            return None;
        }
        let _guard = Guard(lock);
        Some(work())
    }

    /// Whether the caller, an interrupt or signal handler, has interrupted somebody who asks the
    /// backing.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        // SAFETY: as in `locked`.
        B::is_held_here(unsafe { &*self.lock.get() })
    }

    /// Grows the pool until `attempt` succeeds or it can grow no more.
    #[cold]
    #[inline(never)]
    fn grow_until(
        &self,
        layout: Layout,
        mut attempt: impl FnMut() -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        loop {
            let changes = self.changes.load(Ordering::Acquire);
            if let Some(block) = attempt() {
                return Some(block);
            }
            // The attempt is not made with the lock held, since it may call the fault handler.
            let is_worth_another = self.locked(|| {
                self.put_back();
                // Another thread may have made the pool grow meanwhile, or have put back what it had out.
                self.changes.load(Ordering::Relaxed) != changes || self.grow(layout)
            })?;
            if !is_worth_another {
                return None;
            }
        }
    }

    /// Takes more of the backing into the pool, enough for the request if that is possible. Answers
    /// whether the pool has grown.
    fn grow(&self, layout: Layout) -> bool {
        let backing = &self.backing;
        let committed = backing.committed();
        let left = backing.capacity() - committed;
        let Some(need) = layout
            .size()
            .checked_add(layout.align())
            .and_then(|n| n.checked_add(SLACK))
        else {
            return false;
        };
        // The last free block counts, too, since it will be joined with what comes.
        if left == 0 || need - SLACK > left.saturating_add(self.pool.stats().largest_free) {
            return false;
        }
        let mut step = committed.min(LARGEST_STEP).max(need).min(left);
        let mut done = backing.commit(committed + step);
        // Where there is not so much, as of a nearly full disk, what is left.
        while !done && step > need {
            step = (step / 2).max(need);
            done = backing.commit(committed + step);
        }
        // SAFETY: the bytes right behind the region were committed just now, and are zero if the
        // backing says so.
        let grown = done && unsafe { self.pool.extend(backing.committed() - committed) }.is_ok();
        if grown {
            self.count_change();
        }
        grown
    }

    /// As [`Pool::recover_after_fork`]. The backing's lock is opened, too, and what was out of the pool is
    /// put back, unless the caller has interrupted the one who asks the backing.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there; no other thread exists.
    pub unsafe fn recover_after_fork(
        &self,
        local: &LocalHeap,
        interrupted: bool,
    ) -> Result<(), Damage> {
        // SAFETY: forwarded; nobody else is there to use the lock (condition).
        unsafe {
            self.open_after_fork();
            self.pool.recover_after_fork(local, interrupted)?;
        }
        // Nobody has allocated since: what was cut off when it was not yet out, or free again, is free, and
        // that is seen.
        self.locked(|| self.put_back());
        Ok(())
    }

    /// Opens the backing's lock in the child of a fork, unless the caller has interrupted its holder.
    /// The pool is for [`Pool::recover_after_fork`] to set right.
    ///
    /// # Safety
    /// No other thread exists.
    pub unsafe fn open_after_fork(&self) {
        if !self.is_interrupted() {
            // SAFETY: nobody else is there to use the lock (condition).
            unsafe { self.lock.get().write(B::Lock::INIT) }
        }
    }
}
