//! Ours: a pool in the region, and a local heap for each thread.

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use allotment_core::{LocalHeap, Options, Pool};

use crate::preload::family::{Family, Functions};

/// What C promises of malloc.
const ALIGNMENT: usize = 16;

static POOL: AtomicPtr<Pool<'static>> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// The thread's local heap. It is never given up: the threads of a driver end with it.
    static LOCAL: Cell<Option<NonNull<LocalHeap>>> = const { Cell::new(None) };
}

#[inline(always)]
fn pool() -> &'static Pool<'static> {
    // SAFETY: `open` has put a pool there that is never dropped, before it gave these functions away.
    unsafe { &*POOL.load(Ordering::Relaxed) }
}

#[inline(always)]
fn local() -> &'static LocalHeap {
    let local = LOCAL.get().unwrap_or_else(attach);
    // SAFETY: local heaps live as long as the pool: for ever.
    unsafe { local.as_ref() }
}

#[cold]
fn attach() -> NonNull<LocalHeap> {
    match pool().attach() {
        Some(local) => {
            LOCAL.set(Some(local));
            local
        }
        None => NonNull::from(LocalHeap::EMPTY),
    }
}

#[inline(always)]
fn allocate(size: usize, alignment: usize) -> *mut c_void {
    let Ok(layout) = Layout::from_size_align(size, alignment) else {
        return ptr::null_mut();
    };
    // SAFETY: the local heap is this thread's alone, or the empty one, and no signal handler allocates.
    let block = unsafe {
        pool()
            .allocate_in(local(), layout)
            .or_else(|| pool().allocate_at_last(local(), layout))
    };
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, ALIGNMENT)
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let layout = count
        .checked_mul(size)
        .and_then(|size| Layout::from_size_align(size, ALIGNMENT).ok());
    // SAFETY: as in `allocate`.
    let block = layout.and_then(|layout| unsafe { pool().allocate_zeroed_in(local(), layout) });
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let Some(block) = NonNull::new(block.cast::<u8>()) else {
        return allocate(size, ALIGNMENT);
    };
    // SAFETY: the caller promises a live block; the rest as in `allocate`.
    let block = unsafe { pool().resize_in(local(), block, size) };
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    let block = allocate(size, alignment);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller promises a place.
    unsafe { place.write(block) };
    0
}

unsafe extern "C" fn free(block: *mut c_void) {
    if let Some(block) = NonNull::new(block.cast()) {
        // SAFETY: the caller promises a live block; the rest as in `allocate`.
        unsafe { pool().free_in(local(), block) }
    }
}

/// Makes the pool.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open(start: *mut u8, len: usize, _: Option<&Path>) -> Result<Family, String> {
    static OWN: OnceLock<Pool<'static>> = OnceLock::new();
    // SAFETY: the region is ours from now on, for the rest of the process.
    let pool = unsafe { Pool::create_in_raw(start, len, Options::default()) }
        .map_err(|error| error.to_string())?;
    OWN.set(pool).map_err(|_| "there is a region already")?;
    let pool = OWN.get().ok_or("there is no pool")?;
    POOL.store(ptr::from_ref(pool).cast_mut(), Ordering::Release);
    Ok(Family::new(
        Functions {
            malloc,
            calloc,
            realloc,
            posix_memalign,
            free,
        },
        c"allotment",
    ))
}
