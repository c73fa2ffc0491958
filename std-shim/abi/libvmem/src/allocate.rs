//! The malloc family over a pool.

use core::alloc::Layout;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::{NonNull, null_mut};

use allotment::os_error::OsError;
use allotment_core::GRANULE;

use crate::create::invalid_handle;
use crate::failure::fail;
use crate::log;
use crate::pool::{Pool, Vmem};
use crate::valgrind::{self, GUARD, Quiet};

/// Logs a call. Nothing is put together for it unless calls are logged.
macro_rules! trace {
    ($function:expr, $($text:tt)*) => {
        if log::is_on(log::CALLS) {
            log::write(log::CALLS, $function, format_args!($($text)*));
        }
    };
}

/// The function whose blocks are zero.
const CALLOC: &str = "vmem_calloc";

/// `wchar_t` of the C libraries that this is for.
type WideCharacter = c_int;

/// Allocates, or answers null with `errno` set and a text. Objects of no bytes need an address of their
/// own, so they take one.
#[track_caller]
#[inline(always)]
fn allocate(
    function: &str,
    vmp: *mut Vmem,
    size: usize,
    align: usize,
    attempt: impl FnOnce(&Pool, Layout) -> Option<NonNull<u8>>,
) -> *mut c_void {
    let Some(pool) = Pool::find(vmp) else {
        invalid_handle(function, vmp);
        return null_mut();
    };
    let layout = Layout::from_size_align(size.max(1), align.max(GRANULE)).ok();
    let found = layout.filter(|_| pool.has_record());
    let block = found.and_then(|layout| {
        if valgrind::runs() {
            guarded(pool, layout, size, function == CALLOC, attempt)
        } else {
            attempt(pool, layout)
        }
    });
    match block {
        Some(block) => block.as_ptr().cast(),
        None => {
            pool.refuse(function, layout, size, align.max(GRANULE));
            null_mut()
        }
    }
}

/// As `attempt`, with a guard behind the block, which valgrind is told of.
#[cold]
#[inline(never)]
fn guarded(
    pool: &Pool,
    layout: Layout,
    size: usize,
    zeroed: bool,
    attempt: impl FnOnce(&Pool, Layout) -> Option<NonNull<u8>>,
) -> Option<NonNull<u8>> {
    let _quiet = Quiet::new();
    let with_guard = layout.size().checked_add(GUARD)?;
    let block = attempt(
        pool,
        Layout::from_size_align(with_guard, layout.align()).ok()?,
    )?;
    let usable = pool.shared().usable_size(block)?;
    valgrind::allocated(pool.handle().addr(), block, size, usable, zeroed);
    Some(block)
}

/// Frees a block.
///
/// # Safety
/// As for [`vmem_free`].
#[inline(always)]
unsafe fn release(pool: &Pool, block: NonNull<u8>) {
    if valgrind::runs() {
        valgrind::freed(pool.handle().addr(), block);
        let _quiet = Quiet::new();
        // SAFETY: forwarded.
        unsafe { pool.shared().free(block) };
    } else {
        // SAFETY: forwarded.
        unsafe { pool.shared().free(block) };
    }
}

/// The bytes that a block can hold.
fn usable_size(pool: &Pool, block: NonNull<u8>) -> usize {
    let _quiet = Quiet::new();
    let usable = pool.shared().usable_size(block).unwrap_or(0);
    if valgrind::runs() && usable > 0 {
        valgrind::size_of(block, usable)
    } else {
        usable
    }
}

/// `vmem_malloc(3)`: `size` bytes at a multiple of 16, or null and `ENOMEM`. A size of 0 gives an
/// address of its own.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_malloc(vmp: *mut Vmem, size: usize) -> *mut c_void {
    const FUNCTION: &str = "vmem_malloc";
    trace!(FUNCTION, "vmp {vmp:p} size {size}");
    allocate(FUNCTION, vmp, size, 1, |pool, layout| {
        let block = pool.shared().allocate(layout)?;
        if size.is_power_of_two()
            && size <= NATURAL
            && !valgrind::runs()
            && !block.addr().get().is_multiple_of(size)
        {
            return Some(aligned_instead(pool, block, size));
        }
        Some(block)
    })
}

/// Powers of two up to here are aligned to themselves, as long as there is room for that.
const NATURAL: usize = 4096;

/// Gives a block up for one that is aligned to its size, if there is any. Those of slabs are, so this is
/// seldom needed.
#[cold]
#[inline(never)]
fn aligned_instead(pool: &Pool, block: NonNull<u8>, size: usize) -> NonNull<u8> {
    let aligned = Layout::from_size_align(size, size)
        .ok()
        .and_then(|layout| pool.shared().allocate(layout));
    match aligned {
        Some(aligned) => {
            // SAFETY: nobody has seen the block.
            unsafe { pool.shared().free(block) };
            aligned
        }
        None => block,
    }
}

/// `vmem_calloc(3)`: `nmemb` objects of `size` bytes, all zero, or null and `ENOMEM`.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_calloc(vmp: *mut Vmem, nmemb: usize, size: usize) -> *mut c_void {
    const FUNCTION: &str = CALLOC;
    trace!(FUNCTION, "vmp {vmp:p} nmemb {nmemb} size {size}");
    let Some(total) = nmemb.checked_mul(size) else {
        fail(
            FUNCTION,
            OsError(libc::ENOMEM),
            format_args!(
                "cannot allocate {nmemb} objects of {size} bytes: more than a size can say"
            ),
        );
        return null_mut();
    };
    allocate(FUNCTION, vmp, total, 1, |pool, layout| {
        pool.shared().allocate_zeroed(layout)
    })
}

/// `vmem_aligned_alloc(3)`: `size` bytes at a multiple of `alignment`. Null and `EINVAL` unless that is
/// a power of two; null and `ENOMEM` where there is no room.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_aligned_alloc(vmp: *mut Vmem, alignment: usize, size: usize) -> *mut c_void {
    const FUNCTION: &str = "vmem_aligned_alloc";
    trace!(FUNCTION, "vmp {vmp:p} alignment {alignment} size {size}");
    if !alignment.is_power_of_two() {
        fail(
            FUNCTION,
            OsError(libc::EINVAL),
            format_args!("alignment {alignment} is not a power of two"),
        );
        return null_mut();
    }
    allocate(FUNCTION, vmp, size, alignment, |pool, layout| {
        pool.shared().allocate(layout)
    })
}

/// `vmem_free(3)`. Null is allowed. `errno` is kept. What is no block of a live pool, or is free already,
/// ends the process. Nothing happens to a block of a pool that the child of a fork left to its parent.
///
/// # Safety
/// The block is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_free(vmp: *mut Vmem, ptr: *mut c_void) {
    trace!("vmem_free", "vmp {vmp:p} ptr {ptr:p}");
    if let Some(block) = NonNull::new(ptr.cast())
        && let Some(pool) = Pool::of_block(vmp, block)
    {
        // SAFETY: forwarded.
        unsafe { release(pool, block) };
    }
}

/// `vmem_realloc(3)`. Null and `ENOMEM` leave the block as it was; a size of 0 frees it and gives null. A
/// smaller size is never refused.
///
/// # Safety
/// The block is not used afterwards if another one, or null for a size of 0, is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_realloc(
    vmp: *mut Vmem,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    const FUNCTION: &str = "vmem_realloc";
    trace!(FUNCTION, "vmp {vmp:p} ptr {ptr:p} size {size}");
    let Some(block) = NonNull::new(ptr.cast::<u8>()) else {
        return allocate(FUNCTION, vmp, size, 1, |pool, layout| {
            pool.shared().allocate(layout)
        });
    };
    let Some(pool) = Pool::of_block(vmp, block) else {
        invalid_handle(FUNCTION, vmp);
        return null_mut();
    };
    if size == 0 {
        // SAFETY: forwarded.
        unsafe { release(pool, block) };
        return null_mut();
    }
    if valgrind::runs() {
        // SAFETY: forwarded.
        return unsafe { moved(pool, block, size) };
    }
    let layout = Layout::from_size_align(size, GRANULE).ok();
    // SAFETY: forwarded.
    match layout.and_then(|layout| unsafe { pool.shared().resize(block, layout.size()) }) {
        Some(block) => block.as_ptr().cast(),
        None => {
            pool.refuse(FUNCTION, layout, size, GRANULE);
            null_mut()
        }
    }
}

/// Changes a block's size by moving it, so that valgrind sees the old one freed.
///
/// # Safety
/// As for [`vmem_realloc`].
#[cold]
#[track_caller]
unsafe fn moved(pool: &Pool, block: NonNull<u8>, size: usize) -> *mut c_void {
    let new = allocate("vmem_realloc", pool.handle(), size, 1, |pool, layout| {
        pool.shared().allocate(layout)
    });
    if !new.is_null() {
        let kept = size.min(usable_size(pool, block));
        // SAFETY: both blocks have so many bytes, and are apart; the rest is forwarded.
        unsafe {
            new.cast::<u8>()
                .copy_from_nonoverlapping(block.as_ptr(), kept);
            release(pool, block);
        }
    }
    new
}

/// `vmem_strdup(3)`: a copy of a string, or null and `ENOMEM`.
///
/// # Safety
/// `s` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_strdup(vmp: *mut Vmem, s: *const c_char) -> *mut c_char {
    trace!("vmem_strdup", "vmp {vmp:p} s {s:p}");
    // SAFETY: forwarded; the string has so many bytes with the one that ends it.
    unsafe { copy("vmem_strdup", vmp, s, libc::strlen(s) + 1) }
}

/// `vmem_wcsdup(3)`: a copy of a string of wide characters, or null and `ENOMEM`.
///
/// # Safety
/// `s` is such a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_wcsdup(
    vmp: *mut Vmem,
    s: *const WideCharacter,
) -> *mut WideCharacter {
    trace!("vmem_wcsdup", "vmp {vmp:p} s {s:p}");
    // SAFETY: forwarded; the string has so many characters with the one that ends it.
    unsafe { copy("vmem_wcsdup", vmp, s, libc::wcslen(s) + 1) }
}

/// # Safety
/// `len` of them can be read.
#[track_caller]
unsafe fn copy<T: Copy>(function: &str, vmp: *mut Vmem, from: *const T, len: usize) -> *mut T {
    // They are in memory, so their bytes can be counted.
    let size = len * size_of::<T>();
    let block = allocate(function, vmp, size, 1, |pool, layout| {
        pool.shared().allocate(layout)
    });
    let block = block.cast::<T>();
    if !block.is_null() {
        // SAFETY: the block is new, and large and aligned enough; the rest is forwarded.
        unsafe { block.copy_from_nonoverlapping(from, len) };
    }
    block
}

/// `vmem_malloc_usable_size(3)`: the bytes that a block can hold, 0 for null. What is no block of a live
/// pool ends the process.
///
/// # Safety
/// The block is not freed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_malloc_usable_size(vmp: *mut Vmem, ptr: *mut c_void) -> usize {
    trace!("vmem_malloc_usable_size", "vmp {vmp:p} ptr {ptr:p}");
    NonNull::new(ptr.cast()).map_or(0, |block| {
        Pool::of_block(vmp, block).map_or(0, |pool| usable_size(pool, block))
    })
}
