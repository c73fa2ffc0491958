//! What the dynamic loader runs when it has loaded us.

use core::ffi::{c_int, c_void};

use allotment::os_error::KeepErrno;

use crate::{exit_report, fork, message, runtime, signals};

unsafe extern "C" {
    /// `atexit(3)` for shared objects; a null object means: not before the process ends.
    fn __cxa_atexit(
        function: extern "C" fn(*mut c_void),
        argument: *mut c_void,
        object: *mut c_void,
    ) -> c_int;
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    let _errno = KeepErrno::new();
    // A configuration that makes no sense is refused even if the program never allocates.
    let _ = runtime::main_arena();
    signals::prepare();
    // A closure that captures nothing takes no memory. The standard hook would allocate.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location();
        let (file, line) = place.map_or(("?", 0), |place| (place.file(), place.line()));
        let payload = info.payload();
        let payload = match payload.downcast_ref::<&str>() {
            Some(text) => text,
            None => payload
                .downcast_ref::<String>()
                .map_or("no message", String::as_str),
        };
        message::abort(format_args!("internal error at {file}:{line}: {payload}"));
    }));
    // SAFETY: the functions stay in memory until the process is gone (linked with nodelete). Exit
    // handlers run in reverse order of their registration, and the loader's own, which runs the
    // destructors of all shared objects, is registered after us: ours comes last.
    unsafe {
        libc::pthread_atfork(Some(fork::prepare), Some(fork::parent), Some(fork::child));
        __cxa_atexit(
            exit_report::at_exit,
            core::ptr::null_mut(),
            core::ptr::null_mut(),
        );
    }
}
