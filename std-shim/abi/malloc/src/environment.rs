//! The environment, readable from the first call in the dynamic loader on.

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    /// The C library's list of `NAME=value` strings. Null until its start-up code has run.
    static environ: *const *const c_char;
}

/// Calls `visit` with each entry, of the form `NAME=value`. Does not allocate.
pub fn for_each_entry(mut visit: impl FnMut(&[u8])) {
    // SAFETY: while this runs, which is once and before the program, nobody changes the list, whose
    // strings end with null bytes and whose last element is null.
    unsafe {
        let mut at = environ;
        if at.is_null() {
            return for_each_initial_entry(visit);
        }
        while !(*at).is_null() {
            visit(CStr::from_ptr(*at).to_bytes());
            at = at.add(1);
        }
    }
}

/// The entries that the process was started with, from `/proc`, read in pieces.
fn for_each_initial_entry(mut visit: impl FnMut(&[u8])) {
    // The longest entry that matters is a path with its name.
    let mut entry = [0u8; libc::PATH_MAX as usize + 64];
    let mut len = 0;
    let mut piece = [0u8; 1024];
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path ends with a null byte.
    let descriptor = unsafe { libc::open(c"/proc/self/environ".as_ptr(), flags) };
    if descriptor < 0 {
        return;
    }
    loop {
        // SAFETY: the buffer is writable for its length.
        let read = unsafe { libc::read(descriptor, piece.as_mut_ptr().cast(), piece.len()) };
        let Ok(read @ 1..) = usize::try_from(read) else {
            break;
        };
        for &byte in &piece[..read] {
            if byte == 0 {
                visit(&entry[..len]);
                len = 0;
            } else if len < entry.len() {
                entry[len] = byte;
                len += 1;
            }
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(descriptor) };
}
