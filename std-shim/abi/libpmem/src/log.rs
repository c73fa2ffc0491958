//! What the library has to say while it runs, and the program's function that takes it.
//!
//! Messages whose level is at or below the main threshold go to the program's function. Without one,
//! those at or below the auxiliary threshold go to standard error: with the thresholds as they
//! are at the start, none do.

use core::ffi::{CStr, c_char, c_int, c_uint};
use core::fmt;
use core::mem;
use core::panic::Location;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::ffi::CString;

use allotment::os_error::{KeepErrno, OsError};

use crate::message;

/// Nothing but what the library is.
const HARK: u32 = 0;
/// An operation failed.
const ERROR: u32 = 2;
/// Something unexpected.
const WARNING: u32 = 3;
/// The outcome of operations.
const NOTICE: u32 = 4;
/// The highest level.
const DEBUG: u32 = 6;

/// The main threshold and the auxiliary one.
static THRESHOLDS: [AtomicU32; 2] = [AtomicU32::new(WARNING), AtomicU32::new(HARK)];

/// The program's function, or null.
static FUNCTION: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// `pmem_log_function`.
pub type LogFunction = unsafe extern "C" fn(
    level: c_uint,
    file_name: *const c_char,
    line: c_uint,
    function_name: *const c_char,
    message: *const c_char,
);

/// Makes an error the calling thread's last one and its `errno`, and logs it.
#[track_caller]
pub(crate) fn fail(function: &CStr, error: OsError, text: fmt::Arguments<'_>) {
    message::set(text);
    log(ERROR, function, text);
    error.set();
}

/// Logs the outcome of an operation.
#[track_caller]
pub(crate) fn notice(function: &CStr, text: fmt::Arguments<'_>) {
    log(NOTICE, function, text);
}

#[track_caller]
fn log(level: u32, function: &CStr, text: fmt::Arguments<'_>) {
    let [main, auxiliary] = THRESHOLDS
        .each_ref()
        .map(|threshold| threshold.load(Ordering::Relaxed));
    if level > main {
        return;
    }
    let place = Location::caller();
    let _errno = KeepErrno::new();
    let taker = FUNCTION.load(Ordering::Acquire);
    if !taker.is_null() {
        let (file, text) = (c_string(place.file()), c_string(&text.to_string()));
        // SAFETY: only such functions are ever put there.
        let taker = unsafe { mem::transmute::<*mut (), LogFunction>(taker) };
        let (file, line) = (file.as_ptr(), place.line());
        // SAFETY: the program vouched for it; the texts are strings that outlast the call.
        unsafe { taker(level, file, line, function.as_ptr(), text.as_ptr()) };
    } else if level != HARK && level <= auxiliary {
        eprintln!("libpmem: {}: {text}", function.to_string_lossy());
    }
}

fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// `pmem_log_set_function(3)`: sets the function that takes messages; null brings the library's own back. It
/// gets one message at once, with the library's name and version. Answers 0.
///
/// # Safety
/// The function may be called by any thread that calls this library, at any time from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_log_set_function(function: Option<LogFunction>) -> c_int {
    let function = function.map_or(null_mut(), |function| function as *mut ());
    FUNCTION.store(function, Ordering::Release);
    let version = env!("CARGO_PKG_VERSION");
    log(
        HARK,
        c"pmem_log_set_function",
        format_args!("libpmem of Allotment {version}"),
    );
    0
}

/// `pmem_log_set_threshold(3)`. Answers 0; 1 and `EINVAL` if there is no such threshold (0: main, 1:
/// auxiliary) or level (0 to 6).
#[unsafe(no_mangle)]
pub extern "C" fn pmem_log_set_threshold(threshold: c_uint, level: c_uint) -> c_int {
    match THRESHOLDS.get(threshold as usize) {
        Some(threshold) if level <= DEBUG => {
            threshold.store(level, Ordering::Relaxed);
            0
        }
        _ => invalid(c"pmem_log_set_threshold", "no such threshold or level"),
    }
}

/// `pmem_log_get_threshold(3)`. Answers 0; 1 and `EINVAL` if there is no such threshold or `level` is
/// null.
///
/// # Safety
/// `level` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_log_get_threshold(threshold: c_uint, level: *mut c_uint) -> c_int {
    match THRESHOLDS.get(threshold as usize) {
        Some(threshold) if !level.is_null() => {
            // SAFETY: the caller's promise.
            unsafe { level.write(threshold.load(Ordering::Relaxed)) };
            0
        }
        _ => invalid(
            c"pmem_log_get_threshold",
            "no such threshold, or no place for the level",
        ),
    }
}

fn invalid(function: &CStr, text: &str) -> c_int {
    fail(function, OsError(libc::EINVAL), format_args!("{text}"));
    1
}
