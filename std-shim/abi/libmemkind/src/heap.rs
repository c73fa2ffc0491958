//! `memkind_malloc` and its relatives.

use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;

use allotment::kind::{self, Kind};
use allotment::os_error::{KeepErrno, OsError};

use crate::kind::{Memkind, Server};
use crate::statics;

const ALIGNMENT: usize = 16;

#[cold]
fn no_memory() -> *mut c_void {
    OsError(libc::ENOMEM).set();
    null_mut()
}

/// A request of C's. `None` if no block can be that large.
#[inline(always)]
fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.max(1), ALIGNMENT).ok()
}

/// Whether a request for nothing gets nothing.
#[inline(always)]
fn is_refused(kind: &Memkind, size: usize) -> bool {
    size == 0 && !kind.allow_zero_allocs.load(Ordering::Relaxed)
}

fn answer(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => no_memory(),
    }
}

/// `memkind_malloc`.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_malloc(kind: *mut Memkind, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    let kind = unsafe { &*kind };
    if is_refused(kind, size) {
        return null_mut();
    }
    if let Server::Pool(pool) = &kind.server {
        return answer(layout(size).and_then(|layout| pool.allocate(layout)));
    }
    malloc_slowly(kind, size)
}

#[inline(never)]
fn malloc_slowly(kind: &Memkind, size: usize) -> *mut c_void {
    match &kind.server {
        // SAFETY: any size will do.
        Server::System => unsafe { libc::malloc(size) },
        _ => answer(
            layout(size)
                .zip(kind.pool())
                .and_then(|(layout, pool)| pool.allocate(layout)),
        ),
    }
}

/// `memkind_calloc`: `ENOMEM` also if `num * size` overflows.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_calloc(
    kind: *mut Memkind,
    num: usize,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    let kind = unsafe { &*kind };
    let Some(bytes) = num.checked_mul(size) else {
        return no_memory();
    };
    if is_refused(kind, bytes) {
        return null_mut();
    }
    match &kind.server {
        // SAFETY: any sizes will do.
        Server::System => unsafe { libc::calloc(num, size) },
        _ => answer(
            layout(bytes)
                .zip(kind.pool())
                .and_then(|(layout, pool)| pool.allocate_zeroed(layout)),
        ),
    }
}

/// `memkind_posix_memalign`: 0, `EINVAL` or `ENOMEM`; then `*memptr` is null, but for
/// `MEMKIND_DEFAULT`, which leaves it alone. `errno` stays as it is.
///
/// # Safety
/// `kind` is a live kind, and `memptr` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_posix_memalign(
    kind: *mut Memkind,
    memptr: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    let _errno = KeepErrno::new();
    // SAFETY: the caller's promise.
    let kind = unsafe { &*kind };
    if let Server::System = kind.server {
        if alignment < size_of::<usize>() || !alignment.is_power_of_two() {
            return libc::EINVAL;
        }
        // SAFETY: the caller's promise.
        unsafe {
            if is_refused(kind, size) {
                memptr.write(null_mut());
                return 0;
            }
            return libc::posix_memalign(memptr, alignment, size);
        }
    }
    let (code, block) = align(kind, alignment, size);
    // SAFETY: the caller's promise.
    unsafe { memptr.write(block) };
    code
}

fn align(kind: &Memkind, alignment: usize, size: usize) -> (c_int, *mut c_void) {
    if alignment < size_of::<usize>() || !alignment.is_power_of_two() {
        return (libc::EINVAL, null_mut());
    }
    if is_refused(kind, size) {
        return (0, null_mut());
    }
    let block = Layout::from_size_align(size.max(1), alignment.max(ALIGNMENT))
        .ok()
        .zip(kind.pool())
        .and_then(|(layout, pool)| pool.allocate(layout));
    match block {
        Some(block) => (0, block.as_ptr().cast()),
        None => (libc::ENOMEM, null_mut()),
    }
}

/// The kind that a block lies in, null for the system's heap.
///
/// # Safety
/// If it lies in a kind, that lives during the call.
#[inline(always)]
unsafe fn kind_of(block: *const c_void) -> *mut Memkind {
    // SAFETY: the caller's promise.
    unsafe { kind::tag_of(block) }.unwrap_or(null_mut()).cast()
}

/// `memkind_detect_kind`: the kind of a block; `MEMKIND_DEFAULT` for all other pointers, and null for null.
///
/// # Safety
/// If it is a kind's block, the kind is not destroyed during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_detect_kind(ptr: *mut c_void) -> *mut Memkind {
    if ptr.is_null() {
        return null_mut();
    }
    // SAFETY: the caller's promise.
    let found = unsafe { kind_of(ptr) };
    if found.is_null() {
        statics::default_kind()
    } else {
        found
    }
}

/// `memkind_free`: the kind may be null, or another than the block's. What is in no kind is the system's.
///
/// # Safety
/// `ptr` is null or a block of the caller's to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_free(kind: *mut Memkind, ptr: *mut c_void) {
    let Some(block) = NonNull::new(ptr.cast::<u8>()) else {
        return;
    };
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(kind) = kind.as_ref()
            && let Server::Pool(pool) = &kind.server
            && pool.contains(block.addr().get())
        {
            pool.free(block);
        } else if !kind::free(block) {
            let _errno = KeepErrno::new();
            libc::free(ptr);
        }
    }
}

/// `memkind_malloc_usable_size`: the kind may be null. 0 for null.
///
/// # Safety
/// `ptr` is null or a block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_malloc_usable_size(
    _kind: *mut Memkind,
    ptr: *mut c_void,
) -> usize {
    let Some(block) = NonNull::new(ptr.cast::<u8>()) else {
        return 0;
    };
    // SAFETY: the caller's promise.
    unsafe {
        match kind_of(ptr).as_ref() {
            Some(kind) => kind
                .pool_in_use()
                .and_then(|pool| pool.usable_size(block))
                .unwrap_or(0),
            None => libc::malloc_usable_size(ptr),
        }
    }
}

/// `memkind_realloc`: the kind may be null if the block is not. A block of another kind moves to this one.
///
/// # Safety
/// `kind` is null or a live kind; `ptr` is null or a block, and is given up unless null is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_realloc(
    kind: *mut Memkind,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(block) = NonNull::new(ptr.cast::<u8>()) else {
            if kind.is_null() {
                OsError(libc::EINVAL).set();
                return null_mut();
            }
            return memkind_malloc(kind, size);
        };
        if size == 0 {
            memkind_free(kind, ptr);
            return null_mut();
        }
        let own = kind_of(ptr);
        let own = if own.is_null() {
            statics::default_kind()
        } else {
            own
        };
        if !kind.is_null() && !core::ptr::eq(kind, own) {
            return move_to(kind, own, ptr, size);
        }
        match &(*own).server {
            Server::System => libc::realloc(ptr, size),
            _ => answer(resize((*own).pool_in_use(), block, size)),
        }
    }
}

/// # Safety
/// As for [`Kind::resize`].
unsafe fn resize(pool: Option<&Kind>, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
    if isize::try_from(size).is_err() {
        return None;
    }
    // SAFETY: forwarded.
    unsafe { pool?.resize(block, size) }
}

/// Moves a block to another kind.
///
/// # Safety
/// Both kinds are alive; `ptr` is a block of `from`.
unsafe fn move_to(
    to: *mut Memkind,
    from: *mut Memkind,
    ptr: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: both blocks are as large as what is copied, and apart.
    unsafe {
        let moved = memkind_malloc(to, size);
        if !moved.is_null() {
            let old = memkind_malloc_usable_size(from, ptr);
            moved.copy_from_nonoverlapping(ptr, old.min(size));
            memkind_free(from, ptr);
        }
        moved
    }
}

/// `memkind_defrag_reallocate`: the kind may be null. The new place of a block that was moved, or null.
///
/// # Safety
/// `ptr` is null or a block, and is given up unless null is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_defrag_reallocate(
    _kind: *mut Memkind,
    ptr: *mut c_void,
) -> *mut c_void {
    let Some(block) = NonNull::new(ptr.cast::<u8>()) else {
        return null_mut();
    };
    // SAFETY: the caller's promise.
    unsafe {
        let Some(kind) = kind_of(ptr).as_ref() else {
            return null_mut();
        };
        kind.pool_in_use()
            .and_then(|pool| pool.defrag_reallocate(block))
            .map_or(null_mut(), |moved| moved.as_ptr().cast())
    }
}

/// `memkind_set_allow_zero_allocs`: whether a request for 0 bytes gets a block.
///
/// # Safety
/// `kind` is a live kind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_set_allow_zero_allocs(
    kind: *mut Memkind,
    allow_zero_allocs: bool,
) {
    // SAFETY: the caller's promise.
    let kind = unsafe { &*kind };
    kind.allow_zero_allocs
        .store(allow_zero_allocs, Ordering::Relaxed);
}
