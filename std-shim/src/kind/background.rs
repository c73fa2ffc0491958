//! The thread that gives memory back, while there are kinds with such a policy.

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::registry;

/// How many times a second free memory is looked at.
pub(super) const PER_SECOND: usize = 4;

/// Whether the thread is there.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether the program wants it.
static WANTED: AtomicBool = AtomicBool::new(true);

/// Whether memory of kinds goes back to the system or the file by itself, as their [`Policy`](super::Policy)
/// says. It does at first. Without it, [`Kind::purge`](super::Kind::purge) gives memory back.
pub fn set_background(wanted: bool) {
    WANTED.store(wanted, Ordering::Release);
    if wanted {
        start();
    }
}

/// Starts the thread, unless it is there. It ends when there is nothing left for it to do. Without it,
/// memory is given back by [`Kind::purge`](super::Kind::purge) only.
pub(super) fn start() {
    if !WANTED.load(Ordering::Acquire) || RUNNING.swap(true, Ordering::AcqRel) {
        return;
    }
    keep_library();
    // Signals are for the program's own threads.
    let mask = block_signals();
    let builder = thread::Builder::new().name("allotment-kinds".into());
    if builder.stack_size(128 << 10).spawn(run).is_err() {
        RUNNING.store(false, Ordering::Release);
    }
    restore_signals(&mask);
}

fn run() {
    const PAUSE: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
    loop {
        thread::sleep(PAUSE);
        let mut idle = true;
        if WANTED.load(Ordering::Acquire) {
            registry::for_each(|body| {
                if body.decays() {
                    idle = false;
                    body.look();
                }
            });
        }
        if idle {
            RUNNING.store(false, Ordering::Release);
            // A kind that came just now may have seen that the thread was there.
            let mut needed = false;
            if WANTED.load(Ordering::Acquire) {
                registry::for_each(|body| needed |= body.decays());
            }
            if !needed || RUNNING.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

/// In the child of a fork, which has not got the thread.
pub(super) fn after_fork() {
    RUNNING.store(false, Ordering::Release);
}

/// The thread's code must stay where it is, also if it is part of a library that is closed.
fn keep_library() {
    let mut found = core::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the result is writable; the name is the loader's own, and the library is only kept.
    unsafe {
        let code = run as fn() as *const libc::c_void;
        if libc::dladdr(code, found.as_mut_ptr()) != 0 {
            let name = found.assume_init().dli_fname;
            let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            // A program itself is not found by its name, and need not be.
            libc::dlopen(name, flags);
        }
    }
}

fn block_signals() -> libc::sigset_t {
    let mut before = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    let mut all = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both sets are writable.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn restore_signals(mask: &libc::sigset_t) {
    // SAFETY: the set is what `block_signals` found.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, core::ptr::null_mut()) };
}
