//! Lines on standard error, without allocating.

use core::fmt::{self, Write};

use allotment::os_error::OsError;
use allotment::text_buffer::TextBuffer;

/// Longer messages are cut off.
const LONGEST: usize = 512;

/// Writes `allotment: `, the message and a line's end with one `write(2)`.
#[cold]
pub(crate) fn line(message: fmt::Arguments<'_>) {
    let mut text = TextBuffer::<LONGEST>::new();
    // A TextBuffer takes everything.
    let _ = write!(text, "allotment: {message}");
    let mut text = TextBuffer::<{ LONGEST + 1 }>::from_text(text.as_str());
    let _ = text.write_char('\n');
    write_all(libc::STDERR_FILENO, text.as_str().as_bytes());
}

/// Writes all bytes; a reader that is gone is no reason to do anything else.
pub(crate) fn write_all(descriptor: i32, mut bytes: &[u8]) {
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

/// Reports a misuse or a broken state, and ends the process by `SIGABRT`.
#[cold]
pub(crate) fn abort(message: fmt::Arguments<'_>) -> ! {
    line(message);
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

/// Reports why the program cannot be started on a pool as asked, and ends the process with exit
/// status 2. Nothing of the program has run yet, so there is nothing to clean up.
#[cold]
pub(crate) fn refuse_to_start(message: fmt::Arguments<'_>) -> ! {
    line(message);
    // SAFETY: always allowed.
    unsafe { libc::_exit(2) }
}
