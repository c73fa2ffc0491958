//! Signal handlers do not see the local heap of the code that they interrupt.
//!
//! The fast paths of malloc and free take no lock, so nothing tells them that a handler has
//! interrupted one in the same thread. Instead the thread's word is changed while a handler runs
//! (see [`allotment::thread`]), which costs them nothing. For that, the functions that install
//! handlers are ours: the kernel gets a trampoline in the place of each handler, and the program
//! gets its handler in the place of the trampoline when it asks.
//!
//! ```text
//! program:  sigaction(SIGUSR1, handler)         sigaction(SIGUSR1, NULL, &before)
//!                        |                                             ^
//!                        v     SLOTS[i] = handler, for good            |
//! kernel:          trampoline i  ----------------------------->  trampoline i
//! ```
//!
//! A trampoline belongs to a handler, not to a signal, and for ever. So the kernel alone knows
//! what is done with a signal, and changes it in one step; flags and masks are its and the C
//! library's business; and nothing has to be locked, undone or kept apart in a signal handler, in other
//! threads, and in the children of `fork(2)` and `vfork(2)`.
//!
//! Handlers that are installed otherwise, by system call or inside of the C library, are not guarded.

use core::ffi::{CStr, c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use allotment::os_error::{KeepErrno, OsError};
use allotment::thread::{self, HandlerStack};
use libc::{sighandler_t, siginfo_t};

use crate::foreign;

/// Different handlers that can be guarded. Those that a program has beyond that are installed as
/// they are: they must not allocate, which POSIX forbids them anyway.
const HANDLERS: usize = 256;

/// Each handler once, in the order in which they came; null where there is none yet. What is in
/// place stays.
static SLOTS: [AtomicPtr<c_void>; HANDLERS] = [const { AtomicPtr::new(null_mut()) }; HANDLERS];

/// A handler as the kernel calls it. One without `SA_SIGINFO` ignores what it does not expect.
type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The trampoline of each slot.
static TRAMPOLINES: [Handler; HANDLERS] = {
    macro_rules! trampolines {
        ($($row:literal)*) => {
            [$(
                trampoline::<{ $row + 0 }>, trampoline::<{ $row + 1 }>,
                trampoline::<{ $row + 2 }>, trampoline::<{ $row + 3 }>,
                trampoline::<{ $row + 4 }>, trampoline::<{ $row + 5 }>,
                trampoline::<{ $row + 6 }>, trampoline::<{ $row + 7 }>,
                trampoline::<{ $row + 8 }>, trampoline::<{ $row + 9 }>,
                trampoline::<{ $row + 10 }>, trampoline::<{ $row + 11 }>,
                trampoline::<{ $row + 12 }>, trampoline::<{ $row + 13 }>,
                trampoline::<{ $row + 14 }>, trampoline::<{ $row + 15 }>,
            )*]
        };
    }
    trampolines!(0 16 32 48 64 80 96 112 128 144 160 176 192 208 224 240)
};

extern "C" fn trampoline<const SLOT: usize>(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    deliver(signal, info, context, &SLOTS[SLOT]);
}

/// Calls a handler with the thread's local heap out of its reach.
///
/// Nothing in here needs to be cleaned up, so a handler may also end by `siglongjmp(3)`,
/// `pthread_exit(3)` or an exception.
#[inline(never)]
extern "C" fn deliver(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
    slot: &AtomicPtr<c_void>,
) {
    // SAFETY: the kernel called the slot's trampoline, which nobody knew before a handler was in the
    // slot; it is a function, and takes all of these arguments or some of the first.
    let handler = unsafe { transmute::<*mut c_void, Handler>(slot.load(Ordering::Acquire)) };
    let here = 0u8;
    // SAFETY: the kernel gave the context.
    let stack = unsafe { stack(context, (&raw const here).addr()) };
    let suspension = thread::suspend(stack);
    handler(signal, info, context);
    suspension.end();
}

/// Where the handler runs. `here` is an address in its caller's frame.
///
/// On x86-64 every handler gets the context, whatever its flags.
///
/// # Safety
/// `context` is what the kernel gave.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
unsafe fn stack(context: *mut c_void, here: usize) -> HandlerStack {
    // SAFETY: forwarded.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    HandlerStack {
        frame: here,
        interrupted: context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize,
        alternate_start: context.uc_stack.ss_sp.addr(),
        alternate_size: context.uc_stack.ss_size,
    }
}

/// Where the handler runs. `here` is an address in its caller's frame.
///
/// # Safety
/// None: the context, which not every handler gets here, is not looked at.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
unsafe fn stack(_context: *mut c_void, here: usize) -> HandlerStack {
    let mut alternate = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: there is room for the answer, of which all-zero bytes are a valid value.
    let alternate = unsafe {
        libc::sigaltstack(core::ptr::null(), alternate.as_mut_ptr());
        alternate.assume_init()
    };
    HandlerStack {
        frame: here,
        interrupted: here,
        alternate_start: alternate.ss_sp.addr(),
        alternate_size: alternate.ss_size,
    }
}

/// Whether it is a handler, and not what `<signal.h>` defines in the place of one: `SIG_DFL`,
/// `SIG_IGN`, `SIG_HOLD`, `SIG_ERR`.
fn is_handler(handler: sighandler_t) -> bool {
    const SIG_HOLD: sighandler_t = 2;
    handler > SIG_HOLD && handler != libc::SIG_ERR
}

/// What the kernel gets for what the program gave.
fn guarded(handler: sighandler_t) -> sighandler_t {
    if !is_handler(handler) || handler_of(handler).is_some() {
        return handler;
    }
    let pointer: *mut c_void = with_exposed_provenance_mut(handler);
    for (slot, trampoline) in SLOTS.iter().zip(&TRAMPOLINES) {
        let mut present = slot.load(Ordering::Acquire);
        if present.is_null() {
            // If another thread takes the slot first, it may be for the same handler.
            present = slot
                .compare_exchange(present, pointer, Ordering::AcqRel, Ordering::Acquire)
                .map_or_else(|other| other, |_| pointer);
        }
        if present == pointer {
            return *trampoline as sighandler_t;
        }
    }
    handler
}

/// The handler, if this is its trampoline.
fn handler_of(trampoline: sighandler_t) -> Option<sighandler_t> {
    let slot = TRAMPOLINES
        .iter()
        .position(|known| *known as sighandler_t == trampoline)?;
    let handler = SLOTS[slot].load(Ordering::Acquire);
    (!handler.is_null()).then(|| handler.expose_provenance())
}

/// What the program gets for what the kernel has.
fn unguarded(handler: sighandler_t) -> sighandler_t {
    handler_of(handler).unwrap_or(handler)
}

/// `sigaction(2)` as the program means it.
///
/// # Safety
/// As for the real one.
pub(crate) unsafe fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    before: *mut libc::sigaction,
) -> c_int {
    let mut ours = MaybeUninit::<libc::sigaction>::uninit();
    let mut theirs = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `action` is null or readable, `before` is null or writable (condition). What the real
    // one has filled in is read only if it says so.
    unsafe {
        let action = match action.is_null() {
            true => action,
            false => {
                let mut copy = action.read();
                copy.sa_sigaction = guarded(copy.sa_sigaction);
                ours.write(copy)
            }
        };
        let result = real_sigaction(signal, action, theirs.as_mut_ptr());
        if result == 0 && !before.is_null() {
            let mut answer = theirs.assume_init();
            answer.sa_sigaction = unguarded(answer.sa_sigaction);
            before.write(answer);
        }
        result
    }
}

/// A function of the family of `signal(2)` as the program means it: the handler of before, or
/// `SIG_ERR`.
///
/// # Safety
/// As for the real one.
pub(crate) unsafe fn signal(real: &Real, signal: c_int, handler: sighandler_t) -> sighandler_t {
    let Some(function) = real.get() else {
        OsError(libc::ENOSYS).set();
        return libc::SIG_ERR;
    };
    // SAFETY: a function of this family; the rest is the condition.
    unsafe {
        let function = transmute::<
            NonNull<c_void>,
            unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t,
        >(function);
        unguarded(function(signal, guarded(handler)))
    }
}

/// `sigaction(2)` itself: for handlers of our own, which do not allocate.
///
/// # Safety
/// As for `sigaction(2)`.
pub(crate) unsafe fn real_sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    before: *mut libc::sigaction,
) -> c_int {
    let Some(function) = SIGACTION.get() else {
        OsError(libc::ENOSYS).set();
        return -1;
    };
    // SAFETY: a function of this name; the rest is the condition.
    unsafe {
        let function = transmute::<
            NonNull<c_void>,
            unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int,
        >(function);
        function(signal, action, before)
    }
}

/// A function that ours hides: the C library's, or that of another library that does as we do.
pub(crate) struct Real {
    name: &'static CStr,
    /// Null before it was looked up.
    address: AtomicPtr<c_void>,
}

static SIGACTION: Real = Real::new(c"sigaction");
/// `signal(2)`, which has other names, too.
pub(crate) static SIGNAL: Real = Real::new(c"signal");
/// `sysv_signal(3)`, which is `signal` for programs that ask for no more than X/Open.
pub(crate) static SYSV_SIGNAL: Real = Real::new(c"sysv_signal");
/// `sigset(3)`.
pub(crate) static SIGSET: Real = Real::new(c"sigset");

impl Real {
    const fn new(name: &'static CStr) -> Real {
        Real {
            name,
            address: AtomicPtr::new(null_mut()),
        }
    }

    fn get(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.address.load(Ordering::Relaxed)).or_else(|| self.look_up())
    }

    /// What is found does not change, so it does not matter who is first.
    #[cold]
    fn look_up(&self) -> Option<NonNull<c_void>> {
        let _errno = KeepErrno::new();
        let found = foreign::next(self.name);
        if let Some(found) = found {
            self.address.store(found.as_ptr(), Ordering::Relaxed);
        }
        found
    }
}

/// Looks the real functions up: the dynamic loader, which does it, must not be interrupted by a
/// handler that needs them.
pub(crate) fn prepare() {
    for real in [&SIGACTION, &SIGNAL, &SYSV_SIGNAL, &SIGSET] {
        let _ = real.get();
    }
}
