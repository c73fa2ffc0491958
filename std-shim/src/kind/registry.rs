//! The live kinds: a list that the child of a fork can walk whatever other threads were doing.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use allotment_core::lock_api::{Mutex, MutexGuard};

use super::KindError;
use super::body::Body;
use crate::lock::FutexMutex;

/// The first kind. Each one leads to the next; a kind comes and goes by one store.
static FIRST: AtomicPtr<Body> = AtomicPtr::new(null_mut());

/// Held while the list is changed, and while somebody else than the owner uses a kind in it.
static LOCK: Mutex<FutexMutex, ()> = Mutex::new(());

/// Enters a kind, if its memory is apart from that of all others.
pub(super) fn insert(body: &mut Body) -> Result<(), KindError> {
    let _lock = LOCK.lock();
    let range = body.range();
    let overlaps = iter().any(|other| {
        let other = other.range();
        range.start == other.start || range.start < other.end && other.start < range.end
    });
    if overlaps {
        return Err(KindError::Overlaps);
    }
    *body.next.get_mut() = FIRST.load(Ordering::Relaxed);
    FIRST.store(&raw mut *body, Ordering::Release);
    Ok(())
}

/// Takes a kind out. Nobody else uses it from then on.
pub(super) fn remove(body: &Body) {
    let lock = LOCK.lock();
    let mut link = &FIRST;
    loop {
        let here = link.load(Ordering::Relaxed);
        if core::ptr::eq(here, body) {
            link.store(body.next.load(Ordering::Relaxed), Ordering::Release);
            break;
        }
        // SAFETY: kinds in the list are alive, since the lock is held.
        let Some(found) = (unsafe { here.as_ref() }) else {
            break;
        };
        link = &found.next;
    }
    drop(lock);
}

/// Calls `f` for each live kind, none of which goes meanwhile.
pub(super) fn for_each(mut f: impl FnMut(&Body)) {
    let guard: MutexGuard<'_, FutexMutex, ()> = LOCK.lock();
    iter().for_each(&mut f);
    drop(guard);
}

/// Calls `f` while no [`for_each`] is under way.
pub(super) fn exclusively(f: impl FnOnce()) {
    let guard = LOCK.lock();
    f();
    drop(guard);
}

/// In the child of a fork: the same, whoever held the lock.
///
/// # Safety
/// The caller is the only thread.
pub(super) unsafe fn for_each_after_fork(f: impl FnMut(&Body)) {
    // SAFETY: only one is there, and what the lock's owner was doing is done, or not begun.
    unsafe {
        let lock = LOCK.raw();
        if lock.owner().is_some() && !lock.is_owned() {
            lock.reset();
        }
    }
    iter().for_each(f);
}

/// For who holds the lock, or is alone.
fn iter() -> impl Iterator<Item = &'static Body> {
    let body = |link: &AtomicPtr<Body>| {
        // SAFETY: kinds in the list are alive, and the caller keeps it as it is.
        unsafe { link.load(Ordering::Acquire).as_ref() }
    };
    core::iter::successors(body(&FIRST), move |at| body(&at.next))
}
