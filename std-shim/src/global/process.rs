//! The one arena that a process's global allocator has: how it is made, what threads mean to it, and
//! what it refuses.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use allotment_core::lock_api::RawMutex;
use allotment_core::{Fault, GRANULE, LocalHeap};

use super::{Allotment, fork};
use crate::arena::{Arena, default_purge_policy};
use crate::lock::FutexMutex;
use crate::message;
use crate::os_error::KeepErrno;
use crate::thread;

struct Place(UnsafeCell<MaybeUninit<Arena>>);

// SAFETY: written once, by the thread that holds MAKING, and read only once MADE is set.
unsafe impl Sync for Place {}

static PLACE: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));

/// Whether the arena is there.
static MADE: AtomicBool = AtomicBool::new(false);

/// Held while the arena is made.
static MAKING: FutexMutex = FutexMutex::new();

/// The arena, if it was made.
#[inline(always)]
pub(super) fn arena() -> Option<&'static Arena> {
    // SAFETY: the arena was written before MADE was set.
    MADE.load(Ordering::Acquire)
        .then(|| unsafe { (*PLACE.0.get()).assume_init_ref() })
}

/// Makes the arena as `allotment` wants it, unless another thread has done that meanwhile. The process
/// ends if it cannot be made, or was made for another.
#[cold]
#[inline(never)]
pub(super) fn make(allotment: &Allotment) -> &'static Arena {
    if MAKING.is_owned() {
        message::abort(format_args!(
            "allocation by the function that finds the global allocator's region, or by a signal \
             handler that interrupted the first allocation"
        ));
    }
    let _errno = KeepErrno::new();
    MAKING.lock();
    if !MADE.load(Ordering::Acquire) {
        fork::follow();
        // SAFETY: MAKING is held and there was no arena: this is the first time.
        unsafe { (*PLACE.0.get()).write(new_arena(allotment)) };
        MADE.store(true, Ordering::Release);
        allotment.quick_align.store(GRANULE, Ordering::Relaxed);
    }
    // SAFETY: locked above.
    unsafe { MAKING.unlock() };
    match arena() {
        Some(arena) if allotment.quick_align.load(Ordering::Relaxed) != 0 => arena,
        _ => message::abort(format_args!(
            "a second Allotment is used: a process has one; make a Pool for more"
        )),
    }
}

/// # Safety
/// It is done once.
unsafe fn new_arena(allotment: &Allotment) -> Arena {
    let source = &allotment.source;
    // SAFETY: forwarded.
    let mapping = match unsafe { source.map(allotment.size) } {
        Ok(mapping) => mapping,
        Err(error) => message::abort(format_args!("no global allocator in {source}: {error}")),
    };
    let policy = allotment
        .purge
        .unwrap_or_else(|| default_purge_policy(&mapping));
    match Arena::new(mapping, allotment.on_fault) {
        Ok(arena) => {
            arena.set_purge_policy(policy);
            arena
        }
        Err(error) => message::abort(format_args!("no global allocator in {source}: {error}")),
    }
}

/// What the thread's word names.
#[inline(always)]
pub(super) fn current() -> &'static LocalHeap {
    // SAFETY: it is never null, and local heaps live as long as the arena, that is for ever.
    unsafe { &*thread::current() }
}

/// The calling thread's local heap; the empty one if it cannot have one, or does not any more.
pub(super) fn local_heap(arena: &'static Arena) -> &'static LocalHeap {
    // SAFETY: the arena is the process's only one for this, and is never dropped.
    unsafe { arena.local_heap(detach) }
}

/// Gives a thread's local heap up at its end.
///
/// # Safety
/// It came from the arena, and the thread does not use it any more.
unsafe fn detach(local: NonNull<LocalHeap>) {
    if let Some(arena) = arena() {
        // SAFETY: forwarded.
        unsafe { arena.pool().detach(local) };
    }
}

/// Ends the process if the calling thread would wait for itself.
#[inline(always)]
pub(super) fn expect_no_interruption(arena: &Arena) {
    if arena.is_interrupted() {
        message::abort(format_args!(
            "allocation in a signal handler that interrupted an allocation"
        ));
    }
}

/// The fault handler when no other was given.
pub(super) fn abort_on_fault(fault: &Fault) {
    message::abort(format_args!("{fault}"));
}

/// Ends the process when it is dropped, which only unwinding does.
pub(super) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    #[cold]
    fn drop(&mut self) {
        message::abort(format_args!("a fault handler must not unwind"));
    }
}

/// In the child of a fork: another thread that was making the arena will not end that.
///
/// # Safety
/// The caller is the only thread.
pub(super) unsafe fn forget_other_threads() {
    if MAKING.owner().is_some() && !MAKING.is_owned() {
        // SAFETY: the owner is not in this process.
        unsafe { MAKING.reset() };
    }
}
