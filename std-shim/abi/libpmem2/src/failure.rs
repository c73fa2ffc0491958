//! How a call fails: a number, and a text for `pmem2_errormsg`.

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::fmt;

use allotment::os_error::OsError;
use allotment::reservation::ReservationError;
use allotment::source::SourceError;

use crate::code;

/// Bytes of a message, with the null byte.
const SIZE: usize = 1024;

thread_local! {
    /// The last message of this thread. It has no destructor, so its address is good until the thread ends.
    static MESSAGE: UnsafeCell<[u8; SIZE]> = const { UnsafeCell::new([0; SIZE]) };
}

/// What a call returns, its message being written down.
#[derive(Debug)]
#[must_use]
pub(crate) struct Failure(c_int);

/// What most calls do.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The number, and the text for this thread's `pmem2_errormsg`.
    pub(crate) fn new(code: c_int, message: impl fmt::Display) -> Failure {
        write_message(format_args!("{message}"));
        Failure(code)
    }

    /// What the system said when something was attempted.
    pub(crate) fn system(step: &str, error: OsError) -> Failure {
        Failure::new(code::of_system(error), format_args!("{step}: {error}"))
    }

    /// A pointer that is null, or not what it should be.
    pub(crate) fn pointer(what: &str) -> Failure {
        Failure::new(
            -libc::EINVAL,
            format_args!("the pointer is not to a {what}: it is null, or that was deleted"),
        )
    }

    pub(crate) fn code(&self) -> c_int {
        self.0
    }
}

impl From<ReservationError> for Failure {
    fn from(error: ReservationError) -> Failure {
        Failure::new(code::of_reservation(&error), error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure::new(code::of_source(&error), error)
    }
}

/// The number of an outcome.
pub(crate) fn number(outcome: Outcome) -> c_int {
    match outcome {
        Ok(()) => 0,
        Err(failure) => failure.code(),
    }
}

/// This thread's last message.
pub(crate) fn message() -> *const c_char {
    MESSAGE.with(|message| message.get().cast_const().cast())
}

fn write_message(text: fmt::Arguments<'_>) {
    struct Rest {
        at: usize,
        bytes: [u8; SIZE],
    }
    impl fmt::Write for Rest {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // The last byte stays null.
            let room = SIZE - 1 - self.at;
            let taken = &text.as_bytes()[..text.len().min(room)];
            self.bytes[self.at..self.at + taken.len()].copy_from_slice(taken);
            self.at += taken.len();
            Ok(())
        }
    }
    let mut rest = Rest {
        at: 0,
        bytes: [0; SIZE],
    };
    // It takes everything.
    let _ = fmt::Write::write_fmt(&mut rest, text);
    MESSAGE.with(|message| {
        // SAFETY: only this thread has the buffer, and no reference to it is kept.
        unsafe { *message.get() = rest.bytes };
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    fn text() -> String {
        // SAFETY: a string of this thread's.
        let message = unsafe { CStr::from_ptr(message()) };
        message.to_str().unwrap().to_owned()
    }

    #[test]
    fn messages_are_each_threads_own() {
        let failure = Failure::system("cannot look", OsError(libc::EIO));
        assert_eq!(failure.code(), -libc::EIO);
        assert_eq!(text(), "cannot look: Input/output error");
        std::thread::spawn(|| assert_eq!(text(), ""))
            .join()
            .unwrap();
        assert_eq!(number(Err(Failure::new(-5, "x".repeat(5000)))), -5);
        assert_eq!(text(), "x".repeat(SIZE - 1));
        assert_eq!(number(Ok(())), 0);
    }
}
