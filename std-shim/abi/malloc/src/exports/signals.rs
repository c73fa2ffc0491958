//! The functions that install signal handlers, so that handlers cannot disturb an allocation that
//! they interrupt: see the module `signals`. They behave as the C library's in all other respects.

use core::ffi::c_int;

use libc::sighandler_t;

use crate::signals::{self, SIGNAL, SIGSET, SYSV_SIGNAL};

/// `sigaction(2)`.
///
/// # Safety
/// `action` is null or readable, `before` is null or writable. A handler can be called at any time
/// from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(
    signal: c_int,
    action: *const libc::sigaction,
    before: *mut libc::sigaction,
) -> c_int {
    // SAFETY: forwarded.
    unsafe { signals::sigaction(signal, action, before) }
}

/// `signal(2)`: the handler of before, or `SIG_ERR` and `errno`.
///
/// # Safety
/// A handler can be called at any time from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SIGNAL, signal, handler) }
}

/// `bsd_signal(3)`: [`signal`] by another name.
///
/// # Safety
/// As for [`signal`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bsd_signal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SIGNAL, signal, handler) }
}

/// `ssignal(3)`: [`signal`] by another name.
///
/// # Safety
/// As for [`signal`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ssignal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SIGNAL, signal, handler) }
}

/// `sysv_signal(3)`: the handler is called once, and may be interrupted by its own signal.
///
/// # Safety
/// As for [`signal`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sysv_signal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SYSV_SIGNAL, signal, handler) }
}

/// [`sysv_signal`] as `<signal.h>` names it in programs that ask for X/Open and no more.
///
/// # Safety
/// As for [`signal`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sysv_signal(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SYSV_SIGNAL, signal, handler) }
}

/// `sigset(3)`: the handler of before, `SIG_HOLD` if the signal was blocked, or `SIG_ERR` and `errno`.
///
/// # Safety
/// As for [`signal`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigset(signal: c_int, disposition: sighandler_t) -> sighandler_t {
    // SAFETY: forwarded.
    unsafe { signals::signal(&SIGSET, signal, disposition) }
}
