//! `hbwmalloc.h`: high bandwidth memory, which is the nodes that `MEMKIND_HBW_NODES` lists. Without them the
//! preferred policy, which is the first one, takes ordinary memory.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::code::SUCCESS;
use crate::heap;
use crate::inspect::memkind_check_available;
use crate::kind::Memkind;
use crate::statics;

const BIND: c_int = 1;
const PREFERRED: c_int = 2;
const INTERLEAVE: c_int = 3;
const BIND_ALL: c_int = 4;

/// The policy, 0 until it is set or used.
static POLICY: AtomicI32 = AtomicI32::new(0);

fn policy() -> c_int {
    // From its first use on it stays.
    match POLICY.compare_exchange(0, PREFERRED, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => PREFERRED,
        Err(policy) => policy,
    }
}

fn kind() -> *mut Memkind {
    match policy() {
        BIND => statics::kind(1),
        INTERLEAVE => statics::kind(9),
        BIND_ALL => statics::kind(12),
        _ if hbw_check_available() == 0 => statics::kind(3),
        _ => statics::default_kind(),
    }
}

/// `hbw_get_policy`.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_get_policy() -> c_int {
    match POLICY.load(Ordering::Relaxed) {
        0 => PREFERRED,
        policy => policy,
    }
}

/// `hbw_set_policy`: 0, `EINVAL`, or `EPERM` if one is set or was used.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_set_policy(mode: c_int) -> c_int {
    if !(BIND..=BIND_ALL).contains(&mode) {
        return libc::EINVAL;
    }
    match POLICY.compare_exchange(0, mode, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => 0,
        Err(_) => libc::EPERM,
    }
}

/// `hbw_check_available`: 0 or `ENODEV`.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_check_available() -> c_int {
    // SAFETY: a static kind.
    match unsafe { memkind_check_available(statics::kind(1)) } {
        SUCCESS => 0,
        _ => libc::ENODEV,
    }
}

/// `hbw_malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_malloc(size: usize) -> *mut c_void {
    // SAFETY: a static kind.
    unsafe { heap::memkind_malloc(kind(), size) }
}

/// `hbw_calloc`.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_calloc(num: usize, size: usize) -> *mut c_void {
    // SAFETY: a static kind.
    unsafe { heap::memkind_calloc(kind(), num, size) }
}

/// `hbw_realloc`.
///
/// # Safety
/// As for [`heap::memkind_realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hbw_realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: forwarded, with a static kind.
    unsafe { heap::memkind_realloc(kind(), ptr, size) }
}

/// `hbw_free`.
///
/// # Safety
/// As for [`heap::memkind_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hbw_free(ptr: *mut c_void) {
    // SAFETY: forwarded.
    unsafe { heap::memkind_free(null_mut(), ptr) }
}

/// `hbw_malloc_usable_size`.
///
/// # Safety
/// As for [`heap::memkind_malloc_usable_size`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hbw_malloc_usable_size(ptr: *mut c_void) -> usize {
    // SAFETY: forwarded.
    unsafe { heap::memkind_malloc_usable_size(null_mut(), ptr) }
}

/// `hbw_posix_memalign`.
///
/// # Safety
/// `memptr` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hbw_posix_memalign(
    memptr: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    // SAFETY: forwarded, with a static kind.
    unsafe { heap::memkind_posix_memalign(kind(), memptr, alignment, size) }
}

/// `hbw_posix_memalign_psize`: pages of 4 KiB only; `ENOMEM` for the others, of which there are none,
/// `EINVAL` for what is no page size.
///
/// # Safety
/// `memptr` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hbw_posix_memalign_psize(
    memptr: *mut *mut c_void,
    alignment: usize,
    size: usize,
    pagesize: c_int,
) -> c_int {
    match pagesize {
        // SAFETY: forwarded.
        1 => unsafe { hbw_posix_memalign(memptr, alignment, size) },
        2..=4 => libc::ENOMEM,
        _ => libc::EINVAL,
    }
}

/// `hbw_verify_memory_region`: -1, since what is looked for cannot be told; `EINVAL` for no region, or unknown
/// flags.
#[unsafe(no_mangle)]
pub extern "C" fn hbw_verify_memory_region(addr: *mut c_void, size: usize, flags: c_int) -> c_int {
    const TOUCH_PAGES: c_int = 1;
    if addr.is_null() || size == 0 || flags & !TOUCH_PAGES != 0 {
        return libc::EINVAL;
    }
    -1
}
