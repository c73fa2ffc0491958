//! `pmem2_source_*`: what maps are made of.

use core::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use allotment::source::Source;

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::{Handle, Kind, Out, delete_at};

/// `struct pmem2_source`.
pub type Pmem2Source = Handle<Source<'static>>;

impl Kind for Source<'static> {
    const MARK: u64 = u64::from_ne_bytes(*b"pm2-sour");
    const NAME: &'static str = "source";
}

/// Makes a source of a file or a Device DAX. The descriptor stays the caller's, who closes it after the last
/// use of the source, and may do so while there are maps. `pmem2_source_from_fd(3)`.
///
/// Returns 0, `PMEM2_E_INVALID_FILE_HANDLE`, `PMEM2_E_INVALID_FILE_TYPE` or `-errno`; then `*src` is null.
///
/// # Safety
/// `src` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_from_fd(src: *mut *mut Pmem2Source, fd: c_int) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(src)? };
        if fd < 0 {
            return Err(Failure::new(
                code::INVALID_FILE_HANDLE,
                format_args!("{fd} is no file descriptor"),
            ));
        }
        // SAFETY: not -1. Whether it is open is found out at every use: the program may close it at any
        // time, and gets an error then.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        out.put(Handle::create(Source::from_fd(fd)?));
        Ok(())
    };
    number(make())
}

/// Makes a source of `size` bytes of anonymous memory. `pmem2_source_from_anon(3)`.
///
/// Returns 0.
///
/// # Safety
/// `src` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_from_anon(src: *mut *mut Pmem2Source, size: usize) -> c_int {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::new(src) };
    number(out.map(|out| out.put(Handle::create(Source::anonymous(size)))))
}

/// The source's size in bytes as it is now. `pmem2_source_size(3)`.
///
/// Returns 0, `PMEM2_E_INVALID_FILE_HANDLE`, `PMEM2_E_INVALID_SIZE_FORMAT` or `-errno`; then `*size` is as it was.
///
/// # Safety
/// `src` is a source, `size` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_size(src: *const Pmem2Source, size: *mut usize) -> c_int {
    // SAFETY: the caller's promise.
    let source = unsafe { Handle::get(src) };
    let found = source.and_then(|source| Ok(source.size()?));
    // SAFETY: the caller's promise.
    number(found.and_then(|found| unsafe { put(size, found) }))
}

/// What offsets and lengths of the source's maps are multiples of, in bytes. `pmem2_source_alignment(3)`.
///
/// Returns 0, `PMEM2_E_INVALID_ALIGNMENT_VALUE`, `PMEM2_E_INVALID_ALIGNMENT_FORMAT` or `-errno`; then `*alignment` is as
/// it was.
///
/// # Safety
/// `src` is a source, `alignment` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_alignment(
    src: *const Pmem2Source,
    alignment: *mut usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let source = unsafe { Handle::get(src) };
    let found = source.and_then(|source| Ok(source.alignment()?));
    // SAFETY: the caller's promise.
    number(found.and_then(|found| unsafe { put(alignment, found) }))
}

/// The source's file descriptor. `pmem2_source_get_fd(3)`.
///
/// Returns 0, or `PMEM2_E_FILE_DESCRIPTOR_NOT_SET` for anonymous memory; then `*fd` is as it was.
///
/// # Safety
/// `src` is a source, `fd` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_get_fd(src: *const Pmem2Source, fd: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    let source = unsafe { Handle::get(src) };
    let found = source.and_then(|source| match source.fd() {
        Some(fd) => Ok(fd.as_raw_fd()),
        None => Err(Failure::new(
            code::FILE_DESCRIPTOR_NOT_SET,
            "anonymous memory has no file descriptor",
        )),
    });
    // SAFETY: the caller's promise.
    number(found.and_then(|found| unsafe { put(fd, found) }))
}

/// Deletes a source, and makes `*src` null. Maps of it stay. `pmem2_source_delete(3)`.
///
/// Returns 0.
///
/// # Safety
/// `*src` is null or a source that nobody uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_delete(src: *mut *mut Pmem2Source) -> c_int {
    // SAFETY: the caller's promise.
    number(unsafe { delete_at(src) })
}

/// Puts a result where the caller wants it.
///
/// # Safety
/// `place` is null or valid for writes.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Outcome {
    if place.is_null() {
        return Err(Failure::new(
            -libc::EINVAL,
            "the pointer to where the result goes is null",
        ));
    }
    // SAFETY: not null, so valid (condition).
    unsafe { place.write(value) };
    Ok(())
}
