//! `pmem2_get_*_fn`: the functions that make stores to a map persistent, one set for each granularity.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr::with_exposed_provenance;

use allotment::persist::{self, CacheFlush, CopyFlags};
use allotment::reservation::Granularity;

use crate::map::{Pmem2Map, granularity};
use crate::registry;

/// `pmem2_persist_fn` and `pmem2_flush_fn`.
pub type RangeFn = unsafe extern "C" fn(*const c_void, usize);
/// `pmem2_drain_fn`.
pub type DrainFn = extern "C" fn();
/// `pmem2_memmove_fn` and `pmem2_memcpy_fn`.
pub type CopyFn = unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_uint) -> *mut c_void;
/// `pmem2_memset_fn`.
pub type SetFn = unsafe extern "C" fn(*mut c_void, c_int, usize, c_uint) -> *mut c_void;

/// What makes stores to the map persistent. `pmem2_get_persist_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_persist_fn(map: *mut Pmem2Map) -> RangeFn {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte => persist_bytes,
        Granularity::CacheLine => persist_lines,
        Granularity::Page => persist_pages,
    }
}

/// The first half of persisting: it is done when the drain function returns. `pmem2_get_flush_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_flush_fn(map: *mut Pmem2Map) -> RangeFn {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte => flush_bytes,
        Granularity::CacheLine => flush_lines,
        Granularity::Page => persist_pages,
    }
}

/// The second half of persisting. `pmem2_get_drain_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_drain_fn(map: *mut Pmem2Map) -> DrainFn {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte | Granularity::CacheLine => drain,
        Granularity::Page => drain_pages,
    }
}

/// What copies to the map, and persists; the ranges may overlap. `pmem2_get_memmove_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_memmove_fn(map: *mut Pmem2Map) -> CopyFn {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte => copy_bytes,
        Granularity::CacheLine => copy_lines,
        Granularity::Page => copy_pages,
    }
}

/// What copies to the map, and persists. `pmem2_get_memcpy_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_memcpy_fn(map: *mut Pmem2Map) -> CopyFn {
    // SAFETY: the caller's promise.
    unsafe { pmem2_get_memmove_fn(map) }
}

/// What sets bytes of the map, and persists. `pmem2_get_memset_fn(3)`. Never null.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_get_memset_fn(map: *mut Pmem2Map) -> SetFn {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte => set_bytes,
        Granularity::CacheLine => set_lines,
        Granularity::Page => set_pages,
    }
}

// The caches are in the domain of persistence, or nobody else sees the memory.

unsafe extern "C" fn persist_bytes(_: *const c_void, _: usize) {
    persist::drain();
}

unsafe extern "C" fn flush_bytes(_: *const c_void, _: usize) {}

unsafe extern "C" fn copy_bytes(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise.
    unsafe { persist::copy::copy(dest.cast(), src.cast(), len, flags, CacheFlush::Unneeded) };
    dest
}

unsafe extern "C" fn set_bytes(
    dest: *mut c_void,
    byte: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise.
    unsafe { persist::copy::set(dest.cast(), byte as u8, len, flags, CacheFlush::Unneeded) };
    dest
}

// The caches are not in the domain of persistence, whatever PMEM_NO_FLUSH says, which is for libpmem alone.

unsafe extern "C" fn persist_lines(start: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { persist::deep_flush(start.cast(), len) };
    persist::drain();
}

unsafe extern "C" fn flush_lines(start: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { persist::deep_flush(start.cast(), len) };
}

extern "C" fn drain() {
    persist::drain();
}

unsafe extern "C" fn copy_lines(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise.
    unsafe { persist::copy::copy(dest.cast(), src.cast(), len, flags, CacheFlush::Needed) };
    dest
}

unsafe extern "C" fn set_lines(
    dest: *mut c_void,
    byte: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    let flags = CopyFlags::from_bits(flags);
    // SAFETY: the caller's promise.
    unsafe { persist::copy::set(dest.cast(), byte as u8, len, flags, CacheFlush::Needed) };
    dest
}

// The memory is the page cache's.

/// Writes back what of the range is in maps. There is no way to return an error, and going on would lose data
/// silently: so an error ends the process.
unsafe extern "C" fn persist_pages(start: *const c_void, len: usize) {
    for (start, len) in registry::registered_parts(start.addr(), len) {
        if let Err(error) = persist::msync(with_exposed_provenance(start), len) {
            eprintln!(
                "libpmem2: cannot write {len} bytes at {start:#x} back to their file: {error}"
            );
            std::process::abort();
        }
    }
}

/// There is nothing to wait for: `msync` has done that.
extern "C" fn drain_pages() {}

unsafe extern "C" fn copy_pages(
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::copy(src.cast::<u8>(), dest.cast(), len);
        persist_unless(dest, len, flags);
    }
    dest
}

unsafe extern "C" fn set_pages(
    dest: *mut c_void,
    byte: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        dest.cast::<u8>().write_bytes(byte as u8, len);
        persist_unless(dest, len, flags);
    }
    dest
}

unsafe fn persist_unless(dest: *mut c_void, len: usize, flags: c_uint) {
    // Without a drain it has to be flushed all the same, and flushing pages waits.
    if !CopyFlags::from_bits(flags).intersects(CopyFlags::NO_FLUSH) {
        // SAFETY: the caller's promise.
        unsafe { persist_pages(dest, len) };
    }
}
