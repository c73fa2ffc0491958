//! What the library has to say while it runs: `VMEM_LOG_LEVEL` says how much, `VMEM_LOG_FILE` where,
//! unless the program has a function for it. Without either it goes to standard error.

use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::panic::Location;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use allotment::message::write_all;
use allotment::os_error::{KeepErrno, OsError};
use allotment::text_buffer::TextBuffer;

use crate::failure::Described;
use crate::version::{MAJOR, MINOR};

/// Errors and what goes with them.
pub(crate) const ERROR: i32 = 1;
/// Calls of functions.
pub(crate) const CALLS: i32 = 3;

/// Lines are cut off here.
const LONGEST: usize = 8192;

/// How much is logged.
static LEVEL: AtomicI32 = AtomicI32::new(0);

/// Where to.
static FILE: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// The width of what comes before a message: `PMDK_LOG_ALIGN`.
static ALIGNMENT: AtomicUsize = AtomicUsize::new(0);

/// The program's function, or null.
static PRINT: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// A function of the program's that takes text.
pub(crate) type PrintFunction = unsafe extern "C" fn(text: *const c_char);

/// Sets the program's function.
pub(crate) fn set_print(function: Option<PrintFunction>) {
    let function = function.map_or(null_mut(), |function| function as *mut ());
    PRINT.store(function, Ordering::Release);
}

/// The variable, unless the program has more rights than its caller.
pub(crate) fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: only asks.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    // SAFETY: the name is a string.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: it is null or a string; it is read while the library is loaded, when nobody changes the
    // environment.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// The number that a text begins with, as `atoi(3)` reads it: 0 if there is none.
fn leading_number(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&text[..digits])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Reads the environment. A file that cannot be opened ends the process.
pub(crate) fn initialize() {
    let number = |name| variable(name).map_or(0, leading_number);
    ALIGNMENT.store(
        usize::try_from(number(c"PMDK_LOG_ALIGN")).unwrap_or(0),
        Ordering::Relaxed,
    );
    LEVEL.store(number(c"VMEM_LOG_LEVEL"), Ordering::Relaxed);
    if let Some(path) = variable(c"VMEM_LOG_FILE").filter(|path| !path.is_empty()) {
        FILE.store(open(path), Ordering::Relaxed);
    }
    const FUNCTION: &str = "out_init";
    if is_on(ERROR) {
        let program = std::env::args_os().next().unwrap_or_default();
        let pid = std::process::id();
        let program = program.as_bytes().escape_ascii();
        write(
            ERROR,
            FUNCTION,
            format_args!("pid {pid}: program: {program}"),
        );
        write(
            ERROR,
            FUNCTION,
            format_args!("libvmem version {MAJOR}.{MINOR}"),
        );
        let release = env!("CARGO_PKG_VERSION");
        write(
            ERROR,
            FUNCTION,
            format_args!("src version: Allotment {release}"),
        );
    }
}

/// Opens the log's file. A trailing `-` stands for `-` and the process's number.
fn open(path: &[u8]) -> i32 {
    let mut full = path.to_vec();
    if path.ends_with(b"-") {
        full.extend_from_slice(std::process::id().to_string().as_bytes());
    }
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_CLOEXEC;
    let opened = match CString::new(full) {
        // SAFETY: the path is a string.
        Ok(full) => unsafe { libc::open(full.as_ptr(), flags, 0o666 as libc::c_uint) },
        Err(_) => -1,
    };
    if opened < 0 {
        let error = Described(OsError::last());
        let path = OsStr::from_bytes(path).to_string_lossy();
        refuse_to_load(format_args!("VMEM_LOG_FILE={path}: {error}"));
    }
    opened
}

/// Says on standard error what is wrong with the environment, and ends the process as `abort` does.
#[cold]
pub(crate) fn refuse_to_load(text: fmt::Arguments<'_>) -> ! {
    write_all(
        libc::STDERR_FILENO,
        format!("Error (libvmem): {text}\n").as_bytes(),
    );
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

/// Whether lines of this level are written.
#[inline]
pub(crate) fn is_on(level: i32) -> bool {
    level <= LEVEL.load(Ordering::Relaxed)
}

/// Writes a line, if its level is asked for. `errno` is kept.
#[track_caller]
#[inline]
pub(crate) fn write(level: i32, function: &str, text: fmt::Arguments<'_>) {
    if is_on(level) {
        write_line(level, function, text, Location::caller());
    }
}

#[cold]
#[inline(never)]
fn write_line(level: i32, function: &str, text: fmt::Arguments<'_>, place: &Location<'_>) {
    let _errno = KeepErrno::new();
    let mut line = TextBuffer::<LONGEST>::new();
    let file = place.file().rsplit('/').next().unwrap_or_default();
    // A TextBuffer takes everything.
    let _ = write!(
        line,
        "<libvmem>: <{level}> [{file}:{} {function}] ",
        place.line()
    );
    let width = ALIGNMENT.load(Ordering::Relaxed).min(LONGEST / 2);
    for _ in line.as_str().len()..width {
        let _ = line.write_char(' ');
    }
    let _ = line.write_fmt(text);
    let mut ended = TextBuffer::<{ LONGEST + 1 }>::from_text(line.as_str());
    let _ = ended.write_char('\n');
    print(ended.as_str());
}

/// Hands text to the program's function, or else writes it. `errno` is kept.
pub(crate) fn print(text: &str) {
    let _errno = KeepErrno::new();
    let taker = PRINT.load(Ordering::Acquire);
    if taker.is_null() {
        write_all(FILE.load(Ordering::Relaxed), text.as_bytes());
        return;
    }
    // SAFETY: only such functions are ever put there.
    let taker = unsafe { core::mem::transmute::<*mut (), PrintFunction>(taker) };
    // Text of ours has no null bytes in it.
    if let Ok(text) = CString::new(text) {
        // SAFETY: the program vouched for it; the text outlasts the call.
        unsafe { taker(text.as_ptr()) };
    }
}
