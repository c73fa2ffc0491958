//! Kinds in the child of a `fork(2)`.
//!
//! Private memory was copied by the kernel at one moment: the pool is set right, and goes on. Shared memory
//! is the parent's: the child leaves the pool alone, or gets a copy, for which the parent waits. So are huge
//! pages, whose copies may find no page.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::body::{Body, Source};
use super::once::OnceAcrossForks;
use super::options::Fork;
use super::{background, registry};
use crate::mapping::CopyPlace;
use crate::pools;
use crate::source::page;

/// Live kinds of which children get a copy.
static SNAPSHOTS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Both ends of the pipe by which the parent learns that the child has its copies.
    static PIPE: Cell<Option<[i32; 2]>> = const { Cell::new(None) };
}

/// Whether children of a fork get a copy that is made by us.
fn is_copied(body: &Body) -> bool {
    body.fork == Fork::Snapshot && body.source() == Source::File
}

/// A kind is about to come.
pub(super) fn prepare_for(body: &Body) {
    static HANDLERS: OnceAcrossForks = OnceAcrossForks::new();
    HANDLERS.call(|| {
        // SAFETY: the handlers are of the right type, and stay.
        unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    });
    if is_copied(body) {
        SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
    }
}

/// A kind is gone.
pub(super) fn forget(body: &Body) {
    if is_copied(body) {
        SNAPSHOTS.fetch_sub(1, Ordering::Relaxed);
    }
}

unsafe extern "C" fn prepare() {
    if SNAPSHOTS.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut ends = [0; 2];
    // SAFETY: the result is writable.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == 0 {
        PIPE.set(Some(ends));
    }
}

unsafe extern "C" fn in_parent() {
    let Some([read, write]) = PIPE.take() else {
        return;
    };
    let mut byte = 0u8;
    // SAFETY: both ends are ours; the byte is writable. The other end goes with the child, or before.
    unsafe {
        libc::close(write);
        while libc::read(read, (&raw mut byte).cast(), 1) < 0
            && crate::os_error::OsError::last().0 == libc::EINTR
        {}
        libc::close(read);
    }
}

unsafe extern "C" fn in_child() {
    background::after_fork();
    // SAFETY: only this thread is in the child.
    unsafe {
        pools::recover_after_fork();
        registry::for_each_after_fork(|body| {
            body.open_after_fork();
            keep_or_leave(body);
        });
    }
    if let Some([read, write]) = PIPE.take() {
        // SAFETY: both ends are ours.
        unsafe {
            libc::close(read);
            libc::close(write);
        }
    }
}

/// # Safety
/// The caller is the only thread of the child.
unsafe fn keep_or_leave(body: &Body) {
    let Some(pool) = body.pool() else {
        // A file without a pool: what the parent makes of it is the parent's.
        if body.source() == Source::File {
            // SAFETY: only this thread is there.
            unsafe { body.freeze() };
        }
        return;
    };
    let is_own = match body.source() {
        Source::Anonymous => true,
        Source::Region { copied } => {
            let range = body.range();
            copied && page::is_mapped(range.start, range.len())
        }
        // SAFETY: only this thread is there, and it is no operation's that uses the mapping.
        Source::File if body.fork == Fork::Snapshot => unsafe {
            let used = pool.arena().mapping().committed();
            pool.arena()
                .detach_from_parent(used, CopyPlace::FileOrMemory)
                .is_ok()
        },
        Source::File => false,
    };
    // SAFETY: only this thread is there; the memory is the child's own.
    let goes_on = is_own && unsafe { pool.recover_after_fork() }.is_ok();
    if !goes_on {
        // SAFETY: only this thread is there.
        unsafe { body.freeze() };
    }
}
