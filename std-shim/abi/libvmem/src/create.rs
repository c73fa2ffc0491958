//! Making and ending pools.

use core::ffi::{CStr, c_char, c_void};
use core::fmt;
use core::ptr::null_mut;

use allotment::os_error::{KeepErrno, OsError};

use crate::failure::{Failure, fail};
use crate::log;
use crate::memory::Memory;
use crate::pool::{Pool, Vmem};

/// A string of C's for the log.
struct Text<'a>(Option<&'a CStr>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => write!(f, "{}", text.to_bytes().escape_ascii()),
            None => f.write_str("(null)"),
        }
    }
}

/// `vmem_create(3)`: a pool of `size` bytes, rounded up to whole pages, in a temporary file in the
/// directory `dir`, whose space is allocated at once, or in the whole Device DAX `dir`. Answers its
/// handle; null on an error, with `errno` set.
///
/// # Safety
/// `dir` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_create(dir: *const c_char, size: usize) -> *mut Vmem {
    const FUNCTION: &str = "vmem_create";
    // SAFETY: the caller's promise.
    let dir = (!dir.is_null()).then(|| unsafe { CStr::from_ptr(dir) });
    log::write(
        log::CALLS,
        FUNCTION,
        format_args!("dir \"{}\" size {size}", Text(dir)),
    );
    let errno = KeepErrno::new();
    let made = Memory::of_path(dir, size).and_then(Pool::create);
    drop(errno);
    finish(FUNCTION, made)
}

/// `vmem_create_in_region(3)`: a pool in `size` bytes at `addr`, a multiple of the page size. Answers its
/// handle, which is `addr`; null on an error, with `errno` set.
///
/// # Safety
/// The region, as far as it is mapped, is so for reading and writing, and nobody else uses it until the
/// pool is deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_create_in_region(addr: *mut c_void, size: usize) -> *mut Vmem {
    const FUNCTION: &str = "vmem_create_in_region";
    log::write(
        log::CALLS,
        FUNCTION,
        format_args!("addr {addr:p} size {size}"),
    );
    let errno = KeepErrno::new();
    // SAFETY: forwarded.
    let made = unsafe { Memory::of_region(addr.cast(), size) }.and_then(Pool::create);
    drop(errno);
    finish(FUNCTION, made)
}

#[track_caller]
fn finish(function: &str, made: Result<*mut Vmem, Failure>) -> *mut Vmem {
    match made {
        Ok(handle) => {
            log::write(log::CALLS, function, format_args!("vmp {handle:p}"));
            handle
        }
        Err(failure) => {
            failure.report(function);
            null_mut()
        }
    }
}

/// `vmem_delete(3)`: ends a pool. A file's mapping goes, a region stays mapped. `errno` is kept, but
/// `EINVAL` for what is no live pool.
///
/// # Safety
/// Nobody uses the pool any more, or what was allocated from it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_delete(vmp: *mut Vmem) {
    const FUNCTION: &str = "vmem_delete";
    log::write(log::CALLS, FUNCTION, format_args!("vmp {vmp:p}"));
    let errno = KeepErrno::new();
    let deleted = Pool::delete(vmp);
    drop(errno);
    if !deleted {
        invalid_handle(FUNCTION, vmp);
    }
}

/// What is no live pool.
#[cold]
#[track_caller]
pub(crate) fn invalid_handle(function: &str, vmp: *mut Vmem) {
    let error = OsError(libc::EINVAL);
    let handle = vmp.addr();
    if Pool::is_parents(vmp) {
        return fail(
            function,
            error,
            format_args!("pool {handle:#x} is the parent's: there is no copy of it in this child"),
        );
    }
    fail(
        function,
        error,
        format_args!("invalid pool handle: {handle:#x}"),
    );
}
