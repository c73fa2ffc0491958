//! `memtier_malloc` and its relatives.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use super::count;
use super::memory::Memory;
use crate::heap;
use crate::kind::Memkind;

/// Counts a block that was allocated.
///
/// # Safety
/// `block` is null or a block of the kind.
unsafe fn counted(kind: *mut Memkind, block: *mut c_void) -> *mut c_void {
    if !block.is_null() {
        // SAFETY: the caller's promise.
        unsafe {
            count::add(&*kind, heap::memkind_malloc_usable_size(kind, block));
        }
    }
    block
}

/// `memtier_kind_malloc`.
///
/// # Safety
/// As for [`heap::memkind_malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_malloc(kind: *mut Memkind, size: usize) -> *mut c_void {
    // SAFETY: forwarded.
    unsafe { counted(kind, heap::memkind_malloc(kind, size)) }
}

/// `memtier_kind_calloc`.
///
/// # Safety
/// As for [`heap::memkind_calloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_calloc(
    kind: *mut Memkind,
    num: usize,
    size: usize,
) -> *mut c_void {
    // SAFETY: forwarded.
    unsafe { counted(kind, heap::memkind_calloc(kind, num, size)) }
}

/// `memtier_kind_realloc`.
///
/// # Safety
/// As for [`heap::memkind_realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_realloc(
    kind: *mut Memkind,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: forwarded.
    unsafe {
        if ptr.is_null() {
            return memtier_kind_malloc(kind, size);
        }
        if size == 0 {
            memtier_kind_free(kind, ptr);
            return null_mut();
        }
        let before = heap::memkind_detect_kind(ptr);
        let bytes = heap::memkind_malloc_usable_size(before, ptr);
        let resized = heap::memkind_realloc(kind, ptr, size);
        if !resized.is_null() {
            count::subtract(&*before, bytes);
            counted(heap::memkind_detect_kind(resized), resized);
        }
        resized
    }
}

/// `memtier_kind_posix_memalign`.
///
/// # Safety
/// As for [`heap::memkind_posix_memalign`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_posix_memalign(
    kind: *mut Memkind,
    memptr: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    // SAFETY: forwarded.
    unsafe {
        let code = heap::memkind_posix_memalign(kind, memptr, alignment, size);
        if code == 0 {
            counted(kind, memptr.read());
        }
        code
    }
}

/// `memtier_kind_free`: the kind may be null.
///
/// # Safety
/// As for [`heap::memkind_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_free(kind: *mut Memkind, ptr: *mut c_void) {
    if ptr.is_null() {
        return;
    }
    // SAFETY: forwarded.
    unsafe {
        let own = heap::memkind_detect_kind(ptr);
        count::subtract(&*own, heap::memkind_malloc_usable_size(own, ptr));
        heap::memkind_free(kind, ptr);
    }
}

/// `memtier_usable_size`.
///
/// # Safety
/// As for [`heap::memkind_malloc_usable_size`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_usable_size(ptr: *mut c_void) -> usize {
    // SAFETY: forwarded.
    unsafe { heap::memkind_malloc_usable_size(null_mut(), ptr) }
}

/// `memtier_kind_allocated_size`.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_kind_allocated_size(kind: *mut Memkind) -> usize {
    // SAFETY: the caller's promise.
    count::of(unsafe { &*kind })
}

/// `memtier_malloc`.
///
/// # Safety
/// `memory` was built and is alive, with its kinds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_malloc(memory: *mut Memory, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memtier_kind_malloc((*memory).choose(size), size) }
}

/// `memtier_calloc`.
///
/// # Safety
/// As for [`memtier_malloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_calloc(
    memory: *mut Memory,
    num: usize,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memtier_kind_calloc((*memory).choose(num.saturating_mul(size)), num, size) }
}

/// `memtier_realloc`: a block stays in its kind.
///
/// # Safety
/// As for [`memtier_malloc`] and [`heap::memkind_realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_realloc(
    memory: *mut Memory,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        let kind = if ptr.is_null() {
            (*memory).choose(size)
        } else {
            heap::memkind_detect_kind(ptr)
        };
        memtier_kind_realloc(kind, ptr, size)
    }
}

/// `memtier_posix_memalign`.
///
/// # Safety
/// As for [`memtier_malloc`] and [`heap::memkind_posix_memalign`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memtier_posix_memalign(
    memory: *mut Memory,
    memptr: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { memtier_kind_posix_memalign((*memory).choose(size), memptr, alignment, size) }
}
