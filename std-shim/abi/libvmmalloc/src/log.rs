//! Where messages go that nobody has to see: `VMMALLOC_LOG_LEVEL` says how much of them, and
//! `VMMALLOC_LOG_FILE` where to.
//!
//! Level 1 has the start of each process. Calls of malloc are not logged: it would take longer than
//! they do.

use core::fmt::{self, Write};

use allotment::message::write_all;
use allotment::os_error::OsError;
use allotment::path_buffer::PathBuffer;
use allotment::text_buffer::TextBuffer;

use crate::setup::refuse_to_start;

/// The most of a line.
const LONGEST: usize = 1024;

/// An open log.
pub(crate) struct Log {
    level: u32,
    descriptor: i32,
}

impl Log {
    /// Opens what the environment says. A file that cannot be opened ends the process.
    pub(crate) fn open(level: &[u8], file: &[u8]) -> Log {
        let digits = level.iter().take_while(|byte| byte.is_ascii_digit());
        let level = digits.fold(0u32, |level, digit| {
            level
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        });
        let descriptor = if file.is_empty() {
            libc::STDERR_FILENO
        } else {
            open(file)
        };
        Log { level, descriptor }
    }

    /// The file that it goes to, if it does not go to standard error.
    pub(crate) fn file(&self) -> Option<i32> {
        (self.descriptor != libc::STDERR_FILENO).then_some(self.descriptor)
    }

    /// Writes a line of level 1.
    pub(crate) fn line(&self, function: &str, text: fmt::Arguments<'_>) {
        if self.level < 1 {
            return;
        }
        let mut line = TextBuffer::<LONGEST>::new();
        // A TextBuffer takes everything.
        let _ = writeln!(line, "<libvmmalloc>: <1> [log.rs {function}] {text}");
        write_all(self.descriptor, line.as_str().as_bytes());
    }
}

/// Opens a file for writing. A trailing `-` stands for `-` and the process's number.
fn open(path: &[u8]) -> i32 {
    let refuse = |error: OsError| -> ! {
        let shown = path.escape_ascii();
        refuse_to_start(format_args!("VMMALLOC_LOG_FILE={shown}: {error}"))
    };
    let Ok(mut full) = PathBuffer::from_bytes(path) else {
        refuse(OsError(libc::ENAMETOOLONG))
    };
    if path.ends_with(b"-") {
        let mut number = TextBuffer::<16>::new();
        // SAFETY: only asks.
        let pid = unsafe { libc::getpid() };
        // A TextBuffer takes everything.
        let _ = write!(number, "{pid}");
        if full.push(number.as_str().as_bytes()).is_err() {
            refuse(OsError(libc::ENAMETOOLONG));
        }
    }
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_CLOEXEC;
    // SAFETY: the path is a string.
    let descriptor = unsafe { libc::open(full.as_c_str().as_ptr(), flags, 0o666 as libc::c_uint) };
    if descriptor < 0 {
        refuse(OsError::last());
    }
    // Out of the way of numbers that programs choose.
    // SAFETY: the descriptor is open and ours; its copy takes its place.
    unsafe {
        let high = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 900);
        if high < 0 {
            return descriptor;
        }
        libc::close(descriptor);
        high
    }
}
