//! The last error of each thread, as text for C.

use core::cell::UnsafeCell;
use core::ffi::c_char;
use core::fmt;

use allotment::text_buffer::TextBuffer;

/// Room for a text, with the null byte that ends it.
const CAPACITY: usize = 8192;

thread_local! {
    // Without a destructor, so that it lasts as long as the thread.
    static MESSAGE: UnsafeCell<[u8; CAPACITY]> = const { UnsafeCell::new([0; CAPACITY]) };
}

/// The calling thread's text, ended by a null byte. It lasts as long as the thread, and changes with its
/// next error.
pub(crate) fn last() -> *const c_char {
    MESSAGE.with(|message| message.get().cast_const().cast())
}

/// Replaces the calling thread's text. What does not fit is cut off.
pub(crate) fn set(text: fmt::Arguments<'_>) {
    let mut buffer = TextBuffer::<{ CAPACITY - 1 }>::new();
    // A TextBuffer takes everything.
    let _ = fmt::Write::write_fmt(&mut buffer, text);
    let bytes = buffer.as_str().as_bytes();
    MESSAGE.with(|message| {
        // SAFETY: only this thread has access, and nothing here calls itself.
        let message = unsafe { &mut *message.get() };
        message[..bytes.len()].copy_from_slice(bytes);
        message[bytes.len()] = 0;
    });
}
