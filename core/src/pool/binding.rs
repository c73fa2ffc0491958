//! Whose local heap an operation uses, when nobody hands one over: [`Binding`]; and what a kernel
//! says of its CPUs, its interrupts and its lock.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

use lock_api::{GuardNoSend, RawMutex};

use super::{Pool, no_unwinding, or_null};
use crate::heap::Options;
use crate::local::{Freed, LocalHeap};
use crate::region::CreateError;
use crate::slab::class::STEP;
use crate::sync::{AtomicUsize, Ordering};

/// Names the local heap of whoever is running: a thread's, a CPU's.
///
/// # Safety
/// [`with`](Binding::with) hands out [`LocalHeap::EMPTY`], or a local heap of that very pool that
/// nobody else is given until the call returns, be it another thread, another CPU or an interrupt
/// handler.
pub unsafe trait Binding {
    /// Calls `f` with the local heap that is the caller's as long as `f` runs. It may be attached
    /// here, when it is first needed.
    fn with<R: RawMutex, T>(&self, pool: &Pool<'_, R>, f: impl FnOnce(&LocalHeap) -> T) -> T;
}

/// Which CPU runs, and how to stay on it.
///
/// # Safety
/// While the function that is given to [`pinned`](CurrentCpu::pinned) runs, no other code runs on
/// this CPU that allocates from the same pool: it is not preempted, and interrupts whose handlers
/// allocate are off.
pub unsafe trait CurrentCpu {
    /// Calls `f` with the number of the CPU, staying on it. CPUs are numbered from 0.
    fn pinned<T>(&self, f: impl FnOnce(usize) -> T) -> T;
}

/// How the CPU that runs turns its interrupts off and on again.
///
/// # Safety
/// From a [`disable`](Interrupts::disable) to the next [`enable`](Interrupts::enable) on the same
/// CPU, no interrupt handler that allocates runs there.
pub unsafe trait Interrupts {
    /// Turns interrupts off, and answers whether they were on.
    fn disable() -> bool;

    /// Turns interrupts on.
    ///
    /// # Safety
    /// They were on before the [`disable`](Interrupts::disable) that this call ends.
    unsafe fn enable();
}

/// A lock that keeps interrupts off on the CPU that holds it, so that handlers may take it too: one
/// that interrupted the holder would wait for ever.
///
/// Whoever waits does so with interrupts as they were, by trying again. `R` is the lock between
/// CPUs; its own queue, if it has one, is not used.
pub struct InterruptLock<R, I> {
    raw: R,
    /// Whether the holder had interrupts on.
    was_on: Cell<bool>,
    interrupts: PhantomData<fn() -> I>,
}

// SAFETY: the cell is used by the holder of the lock alone.
unsafe impl<R: Sync, I> Sync for InterruptLock<R, I> {}

impl<R, I> fmt::Debug for InterruptLock<R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterruptLock").finish_non_exhaustive()
    }
}

// SAFETY: it is held exactly while `raw` is.
unsafe impl<R: RawMutex, I: Interrupts> RawMutex for InterruptLock<R, I> {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait's way to make a lock"
    )]
    const INIT: Self = InterruptLock {
        raw: R::INIT,
        was_on: Cell::new(false),
        interrupts: PhantomData,
    };

    /// It is the CPU that takes the lock which has its interrupts off.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        while !self.try_lock() {
            while self.raw.is_locked() {
                core::hint::spin_loop();
            }
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let was_on = I::disable();
        let locked = self.raw.try_lock();
        if locked {
            self.was_on.set(was_on);
        } else if was_on {
            // SAFETY: they were on.
            unsafe { I::enable() }
        }
        locked
    }

    #[inline]
    unsafe fn unlock(&self) {
        let was_on = self.was_on.get();
        // SAFETY: the caller holds the lock (condition); `lock` turned interrupts off.
        unsafe {
            self.raw.unlock();
            if was_on {
                I::enable();
            }
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }
}

/// A local heap for each of up to `N` CPUs. A CPU with a higher number uses the pool's lock.
pub struct PerCpu<C, const N: usize> {
    cpu: C,
    /// Addresses of local heaps, 0 where there is none yet.
    heaps: [AtomicUsize; N],
}

impl<C, const N: usize> PerCpu<C, N> {
    /// No CPU has a local heap yet; each gets one at its first allocation.
    #[must_use]
    pub const fn new(cpu: C) -> Self {
        PerCpu {
            cpu,
            heaps: [const { AtomicUsize::new(0) }; N],
        }
    }
}

impl<C, const N: usize> fmt::Debug for PerCpu<C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerCpu").finish_non_exhaustive()
    }
}

// SAFETY: a CPU's local heap is handed out on that CPU alone, and to one function at a time, since it
// is pinned. One that was attached to another pool is not handed out.
unsafe impl<C: CurrentCpu, const N: usize> Binding for PerCpu<C, N> {
    #[inline]
    fn with<R: RawMutex, T>(&self, pool: &Pool<'_, R>, f: impl FnOnce(&LocalHeap) -> T) -> T {
        self.cpu.pinned(|number| {
            let Some(place) = self.heaps.get(number) else {
                return f(LocalHeap::EMPTY);
            };
            let address = place.load(Ordering::Relaxed);
            let local = if address == 0 {
                attach(pool, place)
            } else {
                // SAFETY: it was attached before, and stays where it is.
                unsafe { &*core::ptr::with_exposed_provenance::<LocalHeap>(address) }
            };
            f(if pool.owns(local) {
                local
            } else {
                LocalHeap::EMPTY
            })
        })
    }
}

/// A pool as a [`GlobalAlloc`] whose operations use the local heap that a [`Binding`] names.
#[derive(Debug)]
pub struct BoundPool<P, B> {
    pool: P,
    binding: B,
}

impl<P, B> BoundPool<P, B> {
    /// `pool` is a [`PoolSource`]: a reference to a [`Pool`], or a [`OncePool`].
    #[must_use]
    pub const fn new(pool: P, binding: B) -> Self {
        BoundPool { pool, binding }
    }

    /// The pool.
    pub const fn pool(&self) -> &P {
        &self.pool
    }
}

/// A CPU's first local heap, noted at its place; the empty one if there is no memory for it.
#[cold]
#[inline(never)]
fn attach<'p, R: RawMutex>(pool: &'p Pool<'_, R>, place: &AtomicUsize) -> &'p LocalHeap {
    let Some(local) = pool.attach() else {
        return LocalHeap::EMPTY;
    };
    place.store(local.addr().get(), Ordering::Relaxed);
    // SAFETY: local heaps live as long as the pool.
    unsafe { local.as_ref() }
}

/// A pool that is made once, at run time: for a `static`, in a [`BoundPool`] that is a
/// `#[global_allocator]`. Until [`create`](OncePool::create) it has no memory to give.
pub struct OncePool<R: RawMutex> {
    /// [`VACANT`], [`IN_MAKING`] or [`MADE`].
    state: AtomicUsize,
    pool: UnsafeCell<MaybeUninit<Pool<'static, R>>>,
}

const VACANT: usize = 0;
const IN_MAKING: usize = 1;
const MADE: usize = 2;

// SAFETY: the pool is written by the one who took the state from vacant, and read only when that is
// done.
unsafe impl<R: RawMutex + Send + Sync> Sync for OncePool<R> {}

impl<R: RawMutex> fmt::Debug for OncePool<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OncePool")
            .field("pool", &self.get())
            .finish()
    }
}

impl<R: RawMutex> Default for OncePool<R> {
    fn default() -> Self {
        OncePool::empty()
    }
}

impl<R: RawMutex> OncePool<R> {
    /// No pool yet.
    #[must_use]
    pub const fn empty() -> Self {
        OncePool {
            state: AtomicUsize::new(VACANT),
            pool: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Makes the pool over `len` bytes at `start`: see [`Pool::create_in_raw`].
    ///
    /// # Errors
    /// See [`Pool::create_in_raw`]. There is no pool then, and another attempt may follow.
    ///
    /// # Panics
    /// If the pool is there already, or just being made.
    ///
    /// # Safety
    /// As for [`Pool::create_in_raw`], for as long as the program runs.
    pub unsafe fn create(
        &self,
        start: *mut u8,
        len: usize,
        options: Options,
    ) -> Result<&Pool<'static, R>, CreateError> {
        let taken =
            self.state
                .compare_exchange(VACANT, IN_MAKING, Ordering::Relaxed, Ordering::Relaxed);
        assert!(taken.is_ok(), "the pool is made once");
        // SAFETY: forwarded; the state keeps all others away.
        unsafe {
            match Pool::create_in_raw(start, len, options) {
                Ok(pool) => {
                    let pool = (*self.pool.get()).write(pool);
                    self.state.store(MADE, Ordering::Release);
                    Ok(pool)
                }
                Err(error) => {
                    self.state.store(VACANT, Ordering::Relaxed);
                    Err(error)
                }
            }
        }
    }

    /// The pool, if it was made.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&Pool<'static, R>> {
        let made = self.state.load(Ordering::Acquire) == MADE;
        // SAFETY: it was written before the state said so, and is never written again.
        made.then(|| unsafe { (*self.pool.get()).assume_init_ref() })
    }
}

/// Where a [`BoundPool`] has its pool from.
///
/// # Safety
/// It is the same pool each time, once there is one.
pub unsafe trait PoolSource {
    /// The pool's lock.
    type Lock: RawMutex;

    /// Calls `f` with the pool, if there is one yet.
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, Self::Lock>) -> T) -> Option<T>;
}

// SAFETY: it is one pool.
unsafe impl<R: RawMutex> PoolSource for &Pool<'_, R> {
    type Lock = R;

    #[inline(always)]
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, R>) -> T) -> Option<T> {
        Some(f(self))
    }
}

// SAFETY: its pool is made once.
unsafe impl<R: RawMutex + 'static> PoolSource for OncePool<R> {
    type Lock = R;

    #[inline(always)]
    fn with_pool<T>(&self, f: impl FnOnce(&Pool<'_, R>) -> T) -> Option<T> {
        self.get().map(f)
    }
}

// The common paths are written out, and all else is in one function, so that the common paths need
// not save registers for it.
impl<P: PoolSource, B: Binding> BoundPool<P, B> {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.pool.with_pool(|pool| {
            self.binding.with(pool, |local| {
                // SAFETY: the binding's promise.
                unsafe {
                    if layout.align() <= STEP
                        && let Some(object) = local.take(layout.size())
                    {
                        return Some(object);
                    }
                    allocate_slowly(pool, local, layout)
                }
            })
        })?
    }

    /// Gives all memory back that the caller's local heap and the idle ones do not need: see
    /// [`Pool::trim`]. A CPU's free slabs serve that CPU alone until it does this.
    ///
    /// Takes time proportional to the number of these local heaps' slabs.
    pub fn trim(&self) {
        self.pool.with_pool(|pool| {
            // SAFETY: the binding's promise.
            self.binding.with(pool, |local| unsafe { pool.trim(local) });
        });
    }
}

/// # Safety
/// As for [`Pool::allocate_in`].
#[cold]
#[inline(never)]
unsafe fn allocate_slowly<R: RawMutex>(
    pool: &Pool<'_, R>,
    local: &LocalHeap,
    layout: Layout,
) -> Option<NonNull<u8>> {
    // SAFETY: forwarded.
    unsafe {
        pool.allocate_in(local, layout)
            .or_else(|| pool.allocate_at_last(local, layout))
    }
}

// SAFETY: as for `Pool`: blocks come from the pool, which hands out each byte once.
unsafe impl<P: PoolSource, B: Binding> GlobalAlloc for BoundPool<P, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.allocate(layout)))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let Some(ptr) = NonNull::new(ptr) else { return };
        no_unwinding(|| {
            self.pool.with_pool(|pool| {
                self.binding.with(pool, |local| {
                    // SAFETY: `ptr` was allocated here with `layout` (the trait's condition); the
                    // binding's promise. Objects for stronger alignments may be of a larger class.
                    unsafe {
                        let freed = if layout.align() <= STEP {
                            local.give_sized(ptr.addr().get(), Some(layout.size()))
                        } else {
                            Freed::Refused
                        };
                        match freed {
                            Freed::Done => {}
                            Freed::Unsettled(slab) => pool.settle(local, slab),
                            Freed::Refused => pool.free_slowly(local, ptr, Some(layout)),
                        }
                    }
                });
            });
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = no_unwinding(|| or_null(self.allocate(layout)));
        if !block.is_null() {
            // SAFETY: the block was just allocated with this size. It is zeroed with nothing held.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(from) = NonNull::new(ptr) else {
            return null_mut();
        };
        if layout.size().min(new_size) > COPIED_PINNED {
            // SAFETY: forwarded.
            return no_unwinding(|| or_null(unsafe { self.resize_large(from, layout, new_size) }));
        }
        no_unwinding(|| {
            let moved = self.pool.with_pool(|pool| {
                // SAFETY: as in `dealloc`.
                self.binding.with(pool, |local| unsafe {
                    pool.reallocate_in(local, from, layout, new_size)
                })
            });
            or_null(moved.flatten())
        })
    }
}

/// Bytes that are copied while the caller is pinned. More would keep interrupts off for longer than all
/// else does.
const COPIED_PINNED: usize = 1024;

impl<P: PoolSource, B: Binding> BoundPool<P, B> {
    /// Changes the size of a block whose content is not to be copied while the caller is pinned.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn resize_large(
        &self,
        from: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        let new_layout = Layout::from_size_align(new_size, layout.align()).ok()?;
        let (to, is_new) = self.pool.with_pool(|pool| {
            self.binding.with(pool, |local| {
                // What is wrong with the pointer is reported here.
                pool.usable_size(from)?;
                // SAFETY: the block is the caller's (condition); the binding's promise.
                unsafe {
                    if pool.resize_in_place(from, new_size) {
                        return Some((from, false));
                    }
                    // What grows may grow again, and a block of its own can do so where it is.
                    let block = if new_size > layout.size() + layout.size() / 8 {
                        pool.allocate(new_layout)
                    } else {
                        None
                    };
                    if let Some(to) = block.or_else(|| pool.allocate_in(local, new_layout)) {
                        return Some((to, true));
                    }
                    // This one finds room that overlaps the block. It copies pinned.
                    let moved = pool.reallocate_in(local, from, layout, new_size)?;
                    Some((moved, false))
                }
            })
        })??;
        if is_new {
            // SAFETY: the new block is nobody else's; the old one is the caller's, who gives it up. Both
            // are at least as long as what is copied.
            unsafe {
                to.copy_from_nonoverlapping(from, layout.size().min(new_size));
                self.dealloc(from.as_ptr(), layout);
            }
        }
        Some(to)
    }
}
