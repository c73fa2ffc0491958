//! The last error of each thread, as text for C.
//!
//! The text lies in pages that a thread gets when it needs them: a library that is opened by `dlopen(3)` has no room
//! for it in its thread-local storage. Nor does it lie in memory of malloc's, which may be a pool of ours.

use core::cell::Cell;
use core::ffi::{c_char, c_void};
use core::fmt;
use core::ptr::{NonNull, null_mut};
use core::slice;

use allotment::os_error::KeepErrno;
use allotment::text_buffer::TextBuffer;
use allotment::thread::ExitKey;

/// Room for a text, with the null byte that ends it.
const CAPACITY: usize = 8192;

thread_local! {
    // Without a destructor, so that it lasts as long as the thread.
    static MESSAGE: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

static KEY: ExitKey = ExitKey::new(give_back);

/// Has the pages given back when a thread ends. At load.
pub(crate) fn initialize() {
    // Where there is no key, the next error asks again.
    let _ = KEY.make();
}

/// The end of a thread.
extern "C" fn give_back(pages: *mut c_void) {
    let _errno = KeepErrno::new();
    MESSAGE.set(null_mut());
    // SAFETY: they are this thread's, whose text has no reader any more.
    unsafe { libc::munmap(pages, CAPACITY) };
}

/// The calling thread's pages, `None` if the system has none.
fn pages() -> Option<NonNull<u8>> {
    NonNull::new(MESSAGE.get()).or_else(new_pages)
}

#[cold]
fn new_pages() -> Option<NonNull<u8>> {
    let _errno = KeepErrno::new();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
    let found = unsafe { libc::mmap(null_mut(), CAPACITY, access, flags, -1, 0) };
    if found == libc::MAP_FAILED {
        return None;
    }
    if let Some(first) = NonNull::new(MESSAGE.get()) {
        // A signal handler needed some meanwhile.
        // SAFETY: nobody else knows the new ones.
        unsafe { libc::munmap(found, CAPACITY) };
        return Some(first);
    }
    // First of all: what is called next may allocate, and fail.
    MESSAGE.set(found.cast());
    // If the thread's end cannot be noticed, the pages stay.
    // SAFETY: `give_back` may be called with this thread's pages.
    let _ = unsafe { KEY.set(found) };
    NonNull::new(found.cast())
}

/// The calling thread's text, ended by a null byte. It lasts as long as the thread, and changes with its
/// next error.
pub(crate) fn last() -> *const c_char {
    pages().map_or(c"".as_ptr(), |pages| pages.as_ptr().cast_const().cast())
}

/// Replaces the calling thread's text. What does not fit is cut off. Where the system has no memory for it, nothing
/// happens.
pub(crate) fn set(text: fmt::Arguments<'_>) {
    let mut buffer = TextBuffer::<{ CAPACITY - 1 }>::new();
    // A TextBuffer takes everything.
    let _ = fmt::Write::write_fmt(&mut buffer, text);
    let bytes = buffer.as_str().as_bytes();
    let Some(pages) = pages() else {
        return;
    };
    // SAFETY: only this thread has access, and nothing here calls itself.
    let message = unsafe { slice::from_raw_parts_mut(pages.as_ptr(), CAPACITY) };
    message[..bytes.len()].copy_from_slice(bytes);
    message[bytes.len()] = 0;
}
