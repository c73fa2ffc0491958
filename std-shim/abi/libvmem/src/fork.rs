//! Pools in the child of a `fork(2)`.
//!
//! ```text
//! forking thread    prepare: copy pools that lie in shared memory | fork | parent: give the copies up
//! child                                                           '----- | put the copies in the pools' place,
//!                                                                          set all pools right
//! ```
//!
//! Private memory was copied by the kernel. Whatever memory it is, other threads may have been inside
//! operations: the child sets locks, lists and their local heaps right.
//!
//! Each copy is made with the pool's lock held. It is not of one moment: threads that need no lock go on
//! allocating and writing meanwhile, and what they do may be missing in it. No lock of a pool is held across the
//! fork, since those who wait for it may hold what the C library's fork waits for. A pool without a copy is left
//! alone: it is the parent's.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use allotment::lock::FutexMutex;
use allotment::os_error::KeepErrno;
use allotment::pools;
use allotment_core::lock_api::RawMutex;

use crate::live;
use crate::log::{refuse_to_load, variable};

/// Held by a thread from just before its fork until it is over: copies are made for one thread's fork at a time.
static FORKING: FutexMutex = FutexMutex::new();

/// Whether children get no copies: `VMEM_FORK=0`.
static SHARES: AtomicBool = AtomicBool::new(false);

/// Forks of the thread that holds `FORKING` that are under way inside its first one: handlers of the program's that
/// run between ours and the fork, or after it, may fork. The copies serve all of them: in a child whose pools are not
/// set right yet, no others can be made.
static INNER: AtomicUsize = AtomicUsize::new(0);

struct Mask(UnsafeCell<MaybeUninit<libc::sigset_t>>);

// SAFETY: used by the thread that holds `FORKING`.
unsafe impl Sync for Mask {}

/// The forking thread's signals before the fork.
static MASK: Mask = Mask(UnsafeCell::new(MaybeUninit::uninit()));

/// Reads the environment, and has every fork from now on followed. At load: handlers of the program's come
/// before [`prepare`], so that the copy has what they do.
pub(crate) fn initialize() {
    match variable(c"VMEM_FORK") {
        None | Some(b"1") => {}
        Some(b"0") => SHARES.store(true, Ordering::Relaxed),
        Some(other) => refuse_to_load(format_args!(
            "incorrect VMEM_FORK value ({})",
            other.escape_ascii()
        )),
    }
    // SAFETY: the handlers stay in memory as long as the library, with which they go.
    let refused = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    if refused != 0 {
        refuse_to_load(format_args!("forks cannot be followed"));
    }
}

/// Signal handlers wait until the fork is over: what they allocate is in both processes, or in one.
extern "C" fn prepare() {
    let _errno = KeepErrno::new();
    if FORKING.is_owned() {
        INNER.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let mut before = MaybeUninit::zeroed();
    // SAFETY: all-zero bytes are a valid set of signals; both are writable.
    unsafe {
        let mut all = MaybeUninit::zeroed().assume_init();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, before.as_mut_ptr());
    }
    FORKING.lock();
    // SAFETY: locked.
    unsafe { *MASK.0.get() = before };
    if !SHARES.load(Ordering::Relaxed) {
        // SAFETY: locked.
        live::for_each(|pool| unsafe { pool.copy_for_child() });
    }
}

/// Also after a fork that failed.
extern "C" fn in_parent() {
    if !FORKING.is_owned() {
        // The library was loaded by another thread meanwhile.
        return;
    }
    let _errno = KeepErrno::new();
    if INNER.load(Ordering::Relaxed) == 0 {
        // SAFETY: locked by `prepare`.
        live::for_each(|pool| drop(unsafe { pool.take_copy() }));
    }
    end();
}

extern "C" fn in_child() {
    let _errno = KeepErrno::new();
    // SAFETY: this is the only thread.
    unsafe {
        pools::recover_after_fork();
        live::open_after_fork();
        live::for_each(|pool| pool.settle_in_child());
    }
    if FORKING.is_owned() {
        end();
    } else {
        // SAFETY: as above; the owner, if there is one, is not in this process.
        unsafe { FORKING.reset() };
        INNER.store(0, Ordering::Relaxed);
    }
}

/// The fork is over.
fn end() {
    let inner = INNER.load(Ordering::Relaxed);
    if inner > 0 {
        INNER.store(inner - 1, Ordering::Relaxed);
        return;
    }
    // SAFETY: locked by `prepare` in this thread, which alone has used the mask since.
    unsafe {
        let mask = *MASK.0.get();
        FORKING.unlock();
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), null_mut());
    }
}
