//! Pointers that no arena of ours holds.
//!
//! Two kinds of code hand them in: a library that bypasses us (`RTLD_DEEPBIND`) and shares blocks of
//! the C library's malloc with the program, and a program with a bug. The first is rare and can be
//! told apart: as long as the C library's malloc has handed nothing out, the pointer is a bug.
//! After that, only what looks like a chunk of glibc's is handed on; the look touches no memory
//! that is not readable.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::{NonNull, with_exposed_provenance};
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment::os_error::{KeepErrno, OsError};
use allotment_core::GRANULE;

use crate::message;

unsafe extern "C" {
    fn __libc_free(block: *mut c_void);
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
}

/// Frees a block of the C library's.
///
/// # Safety
/// The block is the caller's to free. If it does not look like a block, the process ends.
pub(crate) unsafe fn free(block: NonNull<u8>) {
    expect_libc(block);
    // SAFETY: as far as can be told, it is a block of the C library's (and condition).
    unsafe { __libc_free(block.as_ptr().cast()) }
}

/// Changes the size of a block of the C library's, which stays one.
///
/// # Safety
/// The block is the caller's. If it does not look like a block, the process ends.
pub(crate) unsafe fn resize(block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
    expect_libc(block);
    // SAFETY: as far as can be told, it is a block of the C library's (and condition).
    NonNull::new(unsafe { __libc_realloc(block.as_ptr().cast(), size) }.cast())
}

/// The bytes that a block of the C library's can hold.
///
/// # Safety
/// If it does not look like a block, the process ends.
pub(crate) unsafe fn usable_size(block: NonNull<u8>) -> usize {
    expect_libc(block);
    let Some(function) = next(c"malloc_usable_size") else {
        return 0;
    };
    // SAFETY: this is the C library's function of that name.
    unsafe {
        let function = core::mem::transmute::<
            NonNull<c_void>,
            unsafe extern "C" fn(*mut c_void) -> usize,
        >(function);
        function(block.as_ptr().cast())
    }
}

/// Ends the process if the pointer is not a block of the C library's malloc.
fn expect_libc(block: NonNull<u8>) {
    let _errno = KeepErrno::new();
    if !libc_malloc_is_used() || !looks_like_chunk(block.addr().get()) {
        message::abort(format_args!(
            "invalid pointer {block:p}: not allocated by malloc"
        ));
    }
}

fn libc_malloc_is_used() -> bool {
    let Some(function) = next(c"mallinfo2") else {
        return true;
    };
    // SAFETY: this is the C library's function of that name.
    let info = unsafe {
        let function = core::mem::transmute::<
            NonNull<c_void>,
            unsafe extern "C" fn() -> libc::mallinfo2,
        >(function);
        function()
    };
    info.arena != 0 || info.hblkhd != 0
}

/// The definition that ours hides.
pub(crate) fn next(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: the name ends with a null byte.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr().cast::<c_char>()) })
}

/// Where the heap that grows by `brk(2)` began when we were set up.
static BREAK: AtomicUsize = AtomicUsize::new(0);

/// Notes where the C library's heap will begin.
pub(crate) fn note_break() {
    BREAK.store(current_break(), Ordering::Relaxed);
}

fn current_break() -> usize {
    // SAFETY: an increment of 0 only asks.
    unsafe { libc::sbrk(0) }.addr()
}

/// No mapping begins below this (`mmap_min_addr`, at least a page).
const LOWEST: usize = 4096;

/// The lower bits of a chunk's size word.
const IS_MMAPPED: usize = 2;
const NON_MAIN_ARENA: usize = 4;
const FLAGS: usize = 7;

/// Whether there is a size word before the address that glibc's malloc could have written.
fn looks_like_chunk(address: usize) -> bool {
    let header = 2 * size_of::<usize>();
    if !address.is_multiple_of(GRANULE) || address < header || !is_readable(address - header) {
        return false;
    }
    let word = |at: usize| {
        let word: *const usize = with_exposed_provenance(at);
        // SAFETY: aligned, and found readable.
        unsafe { word.read_volatile() }
    };
    let chunk = address - header;
    let (before, size) = (word(chunk), word(chunk + size_of::<usize>()));
    let flags = size & FLAGS;
    let size = size & !FLAGS;
    if size < 2 * header || !size.is_multiple_of(GRANULE) {
        return false;
    }
    let Some(end) = chunk.checked_add(size) else {
        return false;
    };
    if flags & IS_MMAPPED != 0 {
        // SAFETY: only asks.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        return before <= chunk
            && (chunk - before).is_multiple_of(page)
            && (before + size).is_multiple_of(page);
    }
    let in_main_heap = BREAK.load(Ordering::Relaxed) <= chunk && end < current_break();
    // A chunk in use says so in the next chunk's size word.
    (in_main_heap || flags & NON_MAIN_ARENA != 0)
        && is_readable(end)
        && is_readable(end + size_of::<usize>())
        && word(end + size_of::<usize>()) & 1 != 0
}

/// Whether the word at the address can be read. The kernel is made to read it, as part of a call
/// that is invalid otherwise.
fn is_readable(address: usize) -> bool {
    // For the kernel, null would mean that there is nothing to read.
    if address < LOWEST {
        return false;
    }
    const NO_SUCH_ACTION: i32 = i32::MAX;
    // SAFETY: with an invalid action nothing is changed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_ACTION,
            with_exposed_provenance::<c_void>(address),
            core::ptr::null_mut::<c_void>(),
            size_of::<u64>(),
        )
    };
    answer == 0 || OsError::last() != OsError(libc::EFAULT)
}
