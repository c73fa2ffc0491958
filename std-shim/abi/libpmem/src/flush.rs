//! Flushing and draining.

use core::ffi::{CStr, c_int, c_void};

use allotment::os_error::{KeepErrno, OsError};
use allotment::{map, persist};

use crate::log;

/// `pmem_flush(3)`.
///
/// # Safety
/// The range is mapped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_flush(addr: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { persist::flush(addr.cast(), len) };
}

/// `pmem_deep_flush(3)`.
///
/// # Safety
/// The range is mapped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_flush(addr: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { persist::deep_flush(addr.cast(), len) };
}

/// `pmem_drain(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_drain() {
    persist::drain();
}

/// `pmem_persist(3)`.
///
/// # Safety
/// The range is mapped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_persist(addr: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { persist::persist(addr.cast(), len) };
}

/// `pmem_msync(3)`. Answers 0; -1 on an error, with `errno` set.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_msync(addr: *const c_void, len: usize) -> c_int {
    answer(c"pmem_msync", addr, len, persist::msync(addr.cast(), len))
}

/// `pmem_deep_drain(3)`. Answers 0; -1 on an error, with `errno` set.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_drain(addr: *const c_void, len: usize) -> c_int {
    let errno = KeepErrno::new();
    let drained = map::deep_drain(addr.cast(), len);
    drop(errno);
    answer(c"pmem_deep_drain", addr, len, drained)
}

/// `pmem_deep_persist(3)`. Answers 0; -1 on an error, with `errno` set.
///
/// # Safety
/// The range is mapped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_persist(addr: *const c_void, len: usize) -> c_int {
    let errno = KeepErrno::new();
    // SAFETY: the caller's promise.
    let done = unsafe { map::deep_persist(addr.cast(), len) };
    drop(errno);
    answer(c"pmem_deep_persist", addr, len, done)
}

/// `pmem_has_auto_flush(3)`. Answers 1 or 0; -1 on an error, with `errno` set.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_has_auto_flush() -> c_int {
    let errno = KeepErrno::new();
    let found = persist::auto_flush::detect();
    drop(errno);
    match found {
        Ok(has) => c_int::from(has),
        Err(error) => {
            log::fail(
                c"pmem_has_auto_flush",
                error,
                format_args!(
                    "cannot read the domain of persistence in /sys/bus/nd/devices: {error}"
                ),
            );
            -1
        }
    }
}

/// `pmem_has_hw_drain(3)`: 0, there is no such platform.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_has_hw_drain() -> c_int {
    0
}

fn answer(function: &CStr, addr: *const c_void, len: usize, result: Result<(), OsError>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => {
            log::fail(
                function,
                error,
                format_args!("cannot write back {len} bytes at {addr:p}: {error}"),
            );
            -1
        }
    }
}
