//! The list of live pools. It lies in no pool.
//!
//! It is whole at every instruction, so the child of a fork finds it whole, too, wherever another thread of its
//! parent was.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use allotment::lock::FutexMutex;
use allotment_core::lock_api::RawMutex;

use crate::pool::Pool;

/// Held to change the list, and while somebody walks it.
static LOCK: FutexMutex = FutexMutex::new();

/// The latest pool, which leads to those before it.
static LATEST: AtomicPtr<Pool> = AtomicPtr::new(null_mut());

/// Where a pool's successor in the list is named.
pub(crate) type Link = AtomicPtr<Pool>;

/// Holds the lock, unless the caller is a signal handler or a fork inside of a holder's call: nothing changes
/// then either.
struct Held(bool);

impl Held {
    fn new() -> Held {
        let lock = !LOCK.is_owned();
        if lock {
            LOCK.lock();
        }
        Held(lock)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: locked by `new`.
            unsafe { LOCK.unlock() };
        }
    }
}

/// Calls `f` for each live pool, the latest first, until it answers something.
pub(crate) fn find_map<T>(mut f: impl FnMut(&'static Pool) -> Option<T>) -> Option<T> {
    let _held = Held::new();
    let mut at = LATEST.load(Ordering::Acquire);
    // SAFETY: a pool lives until it was taken off the list, with the lock held; it is the program's part not to
    // use one while it is deleted.
    while let Some(pool) = unsafe { at.as_ref() } {
        let found = f(pool);
        if found.is_some() {
            return found;
        }
        at = pool.link().load(Ordering::Acquire);
    }
    None
}

/// Calls `f` for each live pool. None comes or goes meanwhile.
pub(crate) fn for_each(mut f: impl FnMut(&'static Pool)) {
    let _: Option<()> = find_map(|pool| {
        f(pool);
        None
    });
}

/// Puts a pool on the list.
///
/// # Safety
/// It lives until it is taken off.
pub(crate) unsafe fn insert(pool: NonNull<Pool>) {
    let _held = Held::new();
    // SAFETY: it lives (condition).
    let link = unsafe { pool.as_ref() }.link();
    link.store(LATEST.load(Ordering::Relaxed), Ordering::Relaxed);
    LATEST.store(pool.as_ptr(), Ordering::Release);
}

/// Takes the latest pool with a handle off the list, after a call of `f` with it.
pub(crate) fn remove(handle: usize, f: impl FnOnce(&Pool)) -> Option<NonNull<Pool>> {
    let _held = Held::new();
    let mut link = &LATEST;
    loop {
        let found = NonNull::new(link.load(Ordering::Acquire))?;
        // SAFETY: as in `find_map`.
        let pool = unsafe { found.as_ref() };
        if pool.handle().addr() == handle {
            f(pool);
            link.store(pool.link().load(Ordering::Relaxed), Ordering::Release);
            return Some(found);
        }
        link = pool.link();
    }
}

/// Opens the list in the child of a fork, if another thread of the parent held it.
///
/// # Safety
/// The caller is the only thread.
pub(crate) unsafe fn open_after_fork() {
    if !LOCK.is_owned() {
        // SAFETY: the owner, if there is one, is not in this process.
        unsafe { LOCK.reset() };
    }
}
