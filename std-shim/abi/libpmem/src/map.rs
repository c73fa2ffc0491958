//! Mapping and unmapping.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use allotment::map::{self, FileMap, Flags, MapFileError};
use allotment::os_error::KeepErrno;

use crate::log;

/// `pmem_map_file(3)`. Answers the address; null on an error, with `errno` set and nothing written.
///
/// # Safety
/// `path` is null or a string; `mapped_lenp` and `is_pmemp` are null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_map_file(
    path: *const c_char,
    len: usize,
    flags: c_int,
    mode: libc::mode_t,
    mapped_lenp: *mut usize,
    is_pmemp: *mut c_int,
) -> *mut c_void {
    let errno = KeepErrno::new();
    let flags = Flags::from_bits(flags.cast_unsigned());
    // SAFETY: the caller's promise.
    match unsafe { open(path, len, flags, mode) } {
        Ok(map) => {
            let (address, len) = map.into_raw_parts();
            let address = address.as_ptr();
            // SAFETY: the caller's promise.
            unsafe {
                if !mapped_lenp.is_null() {
                    mapped_lenp.write(len);
                }
                if !is_pmemp.is_null() {
                    is_pmemp.write(is_pmem(c"pmem_map_file", address, len));
                }
            }
            address.cast()
        }
        Err(error) => {
            drop(errno);
            log::fail(c"pmem_map_file", error.os_error(), format_args!("{error}"));
            null_mut()
        }
    }
}

/// # Safety
/// `path` is null or a string.
unsafe fn open(
    path: *const c_char,
    len: usize,
    flags: Flags,
    mode: libc::mode_t,
) -> Result<FileMap, MapFileError> {
    if path.is_null() {
        return Err(MapFileError::no_path());
    }
    // SAFETY: it is a string.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    map::map_file(path, len, flags, mode)
}

/// `pmem_unmap(3)`. Answers 0; -1 on an error, with `errno` set and nothing changed.
///
/// # Safety
/// Nobody uses the range any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_unmap(addr: *mut c_void, len: usize) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { map::unmap(addr.cast(), len) } {
        Ok(()) => 0,
        Err(error) => {
            log::fail(
                c"pmem_unmap",
                error,
                format_args!("cannot unmap {len} bytes at {addr:p}: {error}"),
            );
            -1
        }
    }
}

/// `pmem_is_pmem(3)`. Answers 1 or 0.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_is_pmem(addr: *const c_void, len: usize) -> c_int {
    is_pmem(c"pmem_is_pmem", addr.cast(), len)
}

fn is_pmem(function: &CStr, address: *const u8, len: usize) -> c_int {
    match map::why_not_pmem(address, len) {
        None => 1,
        Some(reason) => {
            log::notice(
                function,
                format_args!("{len} bytes at {address:p} are not persistent memory: {reason}"),
            );
            0
        }
    }
}
