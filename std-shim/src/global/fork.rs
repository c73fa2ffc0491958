//! Both processes of a fork go on allocating.
//!
//! Anonymous memory is copied by the kernel at one moment. All that can be amiss in the child are
//! the lock and the local heaps of threads that are not there: the arena is set right.
//!
//! A pool in a file is shared, so the child needs a copy of its own. It is made before the fork, by the
//! forking thread, with the pool locked; so nothing is held across the fork, and nobody waits for the
//! child. What other threads write to their blocks after the copy is not in it: the child finds
//! such a block as if its thread had been a little slower.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use allotment_core::LocalHeap;
use allotment_core::lock_api::RawMutex;

use super::process;
use crate::arena::Arena;
use crate::lock::ThreadPointer;
use crate::mapping::{MapError, Snapshot};
use crate::message;
use crate::os_error::KeepErrno;
use crate::thread;

/// Threads that can fork at the same time, if the pool is in a file.
const SLOTS: usize = 8;

/// A fork that is under way.
struct Slot {
    /// The forking thread, 0 if the slot is not used.
    thread: AtomicUsize,
    snapshot: UnsafeCell<Option<Result<Snapshot, MapError>>>,
}

// SAFETY: the snapshot is used by the thread that the slot names.
unsafe impl Sync for Slot {}

static FORKS: [Slot; SLOTS] = [const {
    Slot {
        thread: AtomicUsize::new(0),
        snapshot: UnsafeCell::new(None),
    }
}; SLOTS];

impl Slot {
    fn claim() -> Option<&'static Slot> {
        let me = ThreadPointer::current().get();
        FORKS.iter().find(|slot| {
            slot.thread
                .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        })
    }

    fn mine() -> Option<&'static Slot> {
        let me = ThreadPointer::current().get();
        FORKS
            .iter()
            .find(|slot| slot.thread.load(Ordering::Relaxed) == me)
    }

    /// Takes the snapshot out, and gives the slot up.
    ///
    /// # Safety
    /// The slot is the calling thread's.
    unsafe fn empty(&self) -> Option<Result<Snapshot, MapError>> {
        // SAFETY: this thread alone uses the snapshot (condition).
        let snapshot = unsafe { (*self.snapshot.get()).take() };
        self.thread.store(0, Ordering::Release);
        snapshot
    }
}

/// Has the handlers below called for every fork from now on.
pub(super) fn follow() {
    /// A child can come here again, if another thread of its parent was making the arena.
    static FOLLOWED: AtomicBool = AtomicBool::new(false);
    if FOLLOWED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handlers stay in memory as long as this library, whose arena is never dropped.
    let refused = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    if refused != 0 {
        message::abort(format_args!(
            "no global allocator: forks cannot be followed"
        ));
    }
}

/// The arena, if a child would share it.
fn shared_arena() -> Option<&'static Arena> {
    process::arena().filter(|arena| arena.mapping().file_kind().is_some())
}

extern "C" fn prepare() {
    let Some(arena) = shared_arena() else { return };
    let _errno = KeepErrno::new();
    let Some(slot) = Slot::claim() else { return };
    let lock = arena.pool().lock_raw();
    // A signal handler that forks may have interrupted an operation of its own thread.
    let interrupted = arena.is_interrupted();
    if !interrupted {
        lock.lock();
    }
    let mapping = arena.mapping();
    let snapshot = mapping.snapshot(mapping.committed()).transpose();
    // SAFETY: the slot is this thread's.
    unsafe { *slot.snapshot.get() = snapshot };
    if !interrupted {
        // SAFETY: locked above.
        unsafe { lock.unlock() };
    }
}

extern "C" fn in_parent() {
    if shared_arena().is_none() {
        return;
    }
    let _errno = KeepErrno::new();
    if let Some(slot) = Slot::mine() {
        // SAFETY: the slot is this thread's.
        drop(unsafe { slot.empty() });
    }
}

extern "C" fn in_child() {
    let _errno = KeepErrno::new();
    // SAFETY: a fork's child has one thread.
    unsafe { process::forget_other_threads() };
    let Some(arena) = process::arena() else {
        return;
    };
    if shared_arena().is_some() {
        // SAFETY: as above.
        unsafe { take_copy(arena) };
    }
    let local = match thread::binding() {
        // SAFETY: local heaps live as long as the arena, that is for ever.
        thread::Binding::Bound(local) => unsafe { local.as_ref() },
        _ => LocalHeap::EMPTY,
    };
    // SAFETY: a fork's child has one thread, bound to this local heap.
    if let Err(damage) = unsafe { arena.recover_after_fork(local, false) } {
        message::abort(format_args!("the heap is damaged: {damage}"));
    }
}

/// Puts the copy in the place of the parent's pool.
///
/// # Safety
/// The caller is the only thread of a fork's child.
unsafe fn take_copy(arena: &'static Arena) {
    let me = ThreadPointer::current().get();
    let interrupted = arena.is_interrupted();
    let mut mine = None;
    for slot in &FORKS {
        match slot.thread.load(Ordering::Relaxed) {
            0 => {}
            // SAFETY: the slot is this thread's.
            thread if thread == me => mine = unsafe { slot.empty() },
            _ => {
                // Another thread's may be half made, so it is forgotten as it is. Its file is closed
                // when the child ends or runs another program.
                // SAFETY: that thread is not in this process.
                unsafe { slot.snapshot.get().write(None) };
                slot.thread.store(0, Ordering::Release);
            }
        }
    }
    let put = match mine {
        // SAFETY: one thread; since the snapshot was made, it has done nothing but fork.
        Some(Ok(snapshot)) => unsafe { arena.put(snapshot) },
        Some(Err(error)) => Err(error),
        None => message::abort(format_args!(
            "more than {SLOTS} threads fork at once: no copy of the pool for the child"
        )),
    };
    if let Err(error) = put {
        message::abort(format_args!(
            "no copy of the pool for the child of a fork: {error}"
        ));
    }
    if !interrupted {
        // SAFETY: when the copy was made, this thread held the lock only to make it.
        unsafe { arena.pool().lock_raw().reset() };
    }
}
