//! Lines on standard error, without allocating.

use core::fmt::{self, Write};

use crate::os_error::OsError;
use crate::text_buffer::TextBuffer;

/// Longer messages are cut off.
const LONGEST: usize = 512;

/// Writes `allotment: `, the message and a line's end with one `write(2)`. A message of more than
/// 501 bytes is cut off. `errno` may change.
#[cold]
pub fn line(message: fmt::Arguments<'_>) {
    let mut text = TextBuffer::<LONGEST>::new();
    // A TextBuffer takes everything.
    let _ = write!(text, "allotment: {message}");
    let mut text = TextBuffer::<{ LONGEST + 1 }>::from_text(text.as_str());
    let _ = text.write_char('\n');
    write_all(libc::STDERR_FILENO, text.as_str().as_bytes());
}

/// Writes all bytes to a descriptor; a reader that is gone is no reason to do anything else.
/// `errno` may change.
pub fn write_all(descriptor: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are readable.
        let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(_) if OsError::last() == OsError(libc::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Reports a misuse or a broken state in a [`line()`], and ends the process by `SIGABRT`
/// (`abort(3)`).
#[cold]
pub fn abort(message: fmt::Arguments<'_>) -> ! {
    line(message);
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}
