//! How a call fails: a text for the thread, a line in the log, and `errno`.

use core::fmt;

use allotment::os_error::OsError;

use crate::{log, message};

/// Why a call failed.
pub(crate) struct Failure {
    pub(crate) error: OsError,
    /// What `vmem_errormsg` says; none if it keeps an earlier text.
    pub(crate) text: Option<String>,
}

impl Failure {
    pub(crate) fn new(error: i32, text: fmt::Arguments<'_>) -> Failure {
        Failure {
            error: OsError(error),
            text: Some(text.to_string()),
        }
    }

    /// A system call failed: its name, and what the C library says of its error.
    pub(crate) fn of_call(call: &str, error: OsError) -> Failure {
        Failure::new(error.0, format_args!("{call}: {}", Described(error)))
    }

    /// Makes it the calling thread's last one.
    #[track_caller]
    pub(crate) fn report(&self, function: &str) {
        if let Some(text) = &self.text {
            fail(function, self.error, format_args!("{text}"));
        }
        self.error.set();
    }
}

/// Makes an error the calling thread's last one and its `errno`, and logs it.
#[track_caller]
pub(crate) fn fail(function: &str, error: OsError, text: fmt::Arguments<'_>) {
    message::set(text);
    log::write(log::ERROR, function, text);
    error.set();
}

/// An error in the C library's words.
pub(crate) struct Described(pub(crate) OsError);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: the buffer is writable for its length.
        let failed =
            unsafe { libc::strerror_r(self.0.0, text.as_mut_ptr().cast(), text.len()) } != 0;
        let end = text.iter().position(|&byte| byte == 0);
        match core::str::from_utf8(&text[..end.unwrap_or(0)]) {
            Ok(text) if !failed => f.write_str(text),
            _ => write!(f, "error number {}", self.0.0),
        }
    }
}
