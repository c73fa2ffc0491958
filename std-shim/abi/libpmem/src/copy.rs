//! Copying. The destination is the answer.

use core::ffi::{c_int, c_uint, c_void};

use allotment::persist::copy::{copy, set};
use allotment::persist::{CopyFlags, cache_flush};

/// `pmem_memmove(3)`.
///
/// # Safety
/// `dest` is valid for writes, `src` for reads, of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise.
    unsafe { copy(dest.cast(), src.cast(), len, flags, cache_flush()) };
    dest
}

/// `pmem_memmove_nodrain(3)`.
///
/// # Safety
/// As for [`pmem_memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_nodrain(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        copy(
            dest.cast(),
            src.cast(),
            len,
            CopyFlags::NO_DRAIN,
            cache_flush(),
        )
    };
    dest
}

/// `pmem_memmove_persist(3)`.
///
/// # Safety
/// As for [`pmem_memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_persist(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { copy(dest.cast(), src.cast(), len, CopyFlags::NONE, cache_flush()) };
    dest
}

/// `pmem_memcpy(3)`.
///
/// # Safety
/// As for [`pmem_memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { pmem_memmove(dest, src, len, flags) }
}

/// `pmem_memcpy_nodrain(3)`.
///
/// # Safety
/// As for [`pmem_memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_nodrain(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { pmem_memmove_nodrain(dest, src, len) }
}

/// `pmem_memcpy_persist(3)`.
///
/// # Safety
/// As for [`pmem_memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_persist(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { pmem_memmove_persist(dest, src, len) }
}

/// `pmem_memset(3)`.
///
/// # Safety
/// `dest` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset(
    dest: *mut c_void,
    c: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise. Like `memset`, it uses the value's low byte.
    unsafe { set(dest.cast(), c as u8, len, flags, cache_flush()) };
    dest
}

/// `pmem_memset_nodrain(3)`.
///
/// # Safety
/// As for [`pmem_memset`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_nodrain(
    dest: *mut c_void,
    c: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        set(
            dest.cast(),
            c as u8,
            len,
            CopyFlags::NO_DRAIN,
            cache_flush(),
        )
    };
    dest
}

/// `pmem_memset_persist(3)`.
///
/// # Safety
/// As for [`pmem_memset`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_persist(
    dest: *mut c_void,
    c: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { set(dest.cast(), c as u8, len, CopyFlags::NONE, cache_flush()) };
    dest
}
