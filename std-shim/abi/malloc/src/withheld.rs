//! Keeps the pool's file out of a fork's child until the child has a copy.
//!
//! Before any handler of `pthread_atfork(3)` runs in the child, the C library writes to blocks that
//! it allocated itself, such as the locks of streams: into the parent's pool, if the child had it.
//! So it gets nothing at these addresses. Its first access is a `SIGSEGV`, whose handler makes the
//! copy; then the access is made again.
//!
//! The handler is in place only while a thread forks. What it is not meant for goes to the one that
//! was there before.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};

use allotment::lock::FutexMutex;
use allotment_core::lock_api::RawMutex;

use crate::arena::Arena;
use crate::signals::real_sigaction;
use crate::{fork, runtime};

struct Window {
    /// How many threads fork.
    forks: usize,
    /// What was done with `SIGSEGV` before.
    before: MaybeUninit<libc::sigaction>,
}

/// Held for a few system calls.
static LOCK: FutexMutex = FutexMutex::new();

struct Shared(UnsafeCell<Window>);

// SAFETY: used with the lock held, but for `before`, which is written when no fork is under way and
// read by the handler during one.
unsafe impl Sync for Shared {}

static WINDOW: Shared = Shared(UnsafeCell::new(Window {
    forks: 0,
    before: MaybeUninit::uninit(),
}));

fn with_window<T>(f: impl FnOnce(&mut Window) -> T) -> T {
    LOCK.lock();
    // SAFETY: the lock is held.
    let result = f(unsafe { &mut *WINDOW.0.get() });
    // SAFETY: locked above.
    unsafe { LOCK.unlock() };
    result
}

/// What [`begin`] did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Begun {
    /// The pool is withheld.
    pub(crate) withheld: bool,
    /// `SIGSEGV` was blocked in the forking thread, and is not now.
    pub(crate) unblocked: bool,
}

/// Before a fork: withholds the pool from the child.
pub(crate) fn begin(arena: &Arena) -> Begun {
    let here = 0u8;
    if LOCK.is_owned() || arena.contains((&raw const here).addr()) {
        // A handler forks inside this very code; or the stack lies in the pool, and the child
        // could not even begin.
        return Begun::default();
    }
    let withheld = with_window(|window| {
        if window.forks == 0 {
            if !arena.mapping().withhold_from_children(true) {
                return false;
            }
            let mut action = empty_action();
            action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            // SAFETY: both actions are valid places; the handler stays in memory.
            unsafe { real_sigaction(libc::SIGSEGV, &raw const action, window.before.as_mut_ptr()) };
        }
        window.forks += 1;
        true
    });
    Begun {
        withheld,
        unblocked: withheld && set_blocked(false),
    }
}

/// After the fork, in the parent.
pub(crate) fn end(arena: &Arena, begun: Begun) {
    if !begun.withheld {
        return;
    }
    with_window(|window| {
        // It is zero already in the child of a handler that interrupted a fork.
        if window.forks == 1 {
            put_back(window);
            let _ = arena.mapping().withhold_from_children(false);
        }
        window.forks = window.forks.saturating_sub(1);
    });
    if begun.unblocked {
        block_again();
    }
}

/// In the child, once it has its copy: no fork is under way here.
pub(crate) fn end_in_child() {
    // SAFETY: a fork's child has one thread; who held the lock is not there, or is the caller.
    unsafe {
        LOCK.reset();
        let window = &mut *WINDOW.0.get();
        if window.forks > 0 {
            put_back(window);
        }
        window.forks = 0;
    }
}

/// Blocks `SIGSEGV` in the forking thread as it was before. Without effect in a signal handler, whose
/// end sets the mask.
pub(crate) fn block_again() {
    set_blocked(true);
}

/// Gives `SIGSEGV` back, unless the program has taken it meanwhile.
fn put_back(window: &Window) {
    let mut present = empty_action();
    // SAFETY: `before` was written when the first fork began.
    unsafe {
        real_sigaction(libc::SIGSEGV, null(), &raw mut present);
        if present.sa_sigaction == on_fault as extern "C" fn(_, _, _) as usize {
            real_sigaction(libc::SIGSEGV, window.before.as_ptr(), null_mut());
        }
    }
}

fn empty_action() -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid action: the default one.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Blocks or unblocks `SIGSEGV` in the calling thread. Answers whether it was blocked.
fn set_blocked(block: bool) -> bool {
    let how = if block {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: both sets are valid places; all-zero bytes are a valid set.
    unsafe {
        let mut set: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        let mut before: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGSEGV);
        libc::pthread_sigmask(how, &raw const set, &raw mut before);
        libc::sigismember(&raw const before, libc::SIGSEGV) == 1
    }
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives the handler a valid record of a fault.
    let address = unsafe { (*info).si_addr() }.addr();
    let ours = runtime::existing_main_arena().is_some_and(|arena| arena.contains(address));
    if ours && fork::settle_child_early() {
        return;
    }
    // SAFETY: `before` was written before this handler was in place.
    let before = unsafe { (*WINDOW.0.get()).before.assume_init_ref() };
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The fault happens again when this returns.
            // SAFETY: the action is valid.
            unsafe { real_sigaction(signal, before, null_mut()) };
        }
        // SAFETY: the program gave a function of the kind that the flag says.
        handler => unsafe {
            if before.sa_flags & libc::SA_SIGINFO != 0 {
                let handler = core::mem::transmute::<
                    usize,
                    extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void),
                >(handler);
                handler(signal, info, context);
            } else {
                let handler = core::mem::transmute::<usize, extern "C" fn(i32)>(handler);
                handler(signal);
            }
        },
    }
}
