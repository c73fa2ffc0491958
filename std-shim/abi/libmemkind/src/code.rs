//! What functions answer, and its text.

use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};

use allotment::text_buffer::TextBuffer;

/// What a function that returns `int` answers when all went well.
pub const SUCCESS: c_int = 0;

/// A code as C sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// The machine has no such memory.
    Unavailable = -1,
    /// `mbind(2)` failed.
    Mbind = -2,
    /// `mmap(2)` failed.
    Mmap = -3,
    /// There is no memory for what the library needs itself.
    Malloc = -6,
    /// A variable of the environment makes no sense.
    Environ = -12,
    /// An argument makes no sense, or the system refused it.
    Invalid = -13,
    /// There are as many kinds as there may be.
    TooMany = -15,
    /// Never answered.
    BadOps = -17,
    /// There are no huge pages.
    HugeTlb = -18,
    /// There is no memory of that type.
    MemtypeNotAvailable = -20,
    /// Something failed.
    OperationFailed = -21,
    /// Never answered.
    ArenasCreate = -22,
    /// The system refused something that should work.
    Runtime = -255,
}

impl Code {
    const ALL: [Code; 13] = [
        Code::Unavailable,
        Code::Mbind,
        Code::Mmap,
        Code::Malloc,
        Code::Environ,
        Code::Invalid,
        Code::TooMany,
        Code::BadOps,
        Code::HugeTlb,
        Code::MemtypeNotAvailable,
        Code::OperationFailed,
        Code::ArenasCreate,
        Code::Runtime,
    ];

    /// The number.
    #[must_use]
    pub const fn number(self) -> c_int {
        self as c_int
    }

    const fn text(self) -> &'static str {
        match self {
            Code::Unavailable => "Requested memory kind is not available",
            Code::Mbind => "Call to mbind() failed",
            Code::Mmap => "Call to mmap() failed",
            Code::Malloc => "Call to malloc() failed",
            Code::Environ => "Error parsing environment variable (MEMKIND_*)",
            Code::Invalid => "Invalid input arguments to memkind routine",
            Code::TooMany => "Attempted to initialize more than maximum (512) number of kinds",
            Code::BadOps => {
                "memkind_ops structure is poorly formed (missing or incorrect functions)"
            }
            Code::HugeTlb => "unable to allocate huge pages",
            Code::MemtypeNotAvailable => "Requested memory type is not available",
            Code::OperationFailed => "Operation failed",
            Code::ArenasCreate => "Call to jemalloc's arenas.create () failed",
            Code::Runtime => "Unspecified run-time error",
        }
    }
}

/// What a number means, in words.
struct Meaning(c_int);

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<memkind> ")?;
        if let Some(code) = Code::ALL.iter().find(|code| code.number() == self.0) {
            return f.write_str(code.text());
        }
        match self.0 {
            libc::EINVAL => {
                f.write_str("Alignment must be a power of two and larger than sizeof(void *)")
            }
            libc::ENOMEM => f.write_str("Call to jemk_mallocx() failed"),
            other => write!(f, "Undefined error number: {other}"),
        }
    }
}

/// `memkind_error_message`: writes a text for a number into a buffer of `size` bytes, cut off to fit, ended
/// by a null byte. Nothing is written if there is no buffer.
///
/// # Safety
/// `msg` is null, or `size` bytes can be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_error_message(err: c_int, msg: *mut c_char, size: usize) {
    if msg.is_null() || size == 0 {
        return;
    }
    let mut text = TextBuffer::<128>::new();
    // A TextBuffer takes everything.
    let _ = write!(text, "{}", Meaning(err));
    let bytes = text.as_str().as_bytes();
    let len = bytes.len().min(size - 1);
    // SAFETY: the caller's promise.
    unsafe {
        msg.copy_from_nonoverlapping(bytes.as_ptr().cast(), len);
        msg.add(len).write(0);
    }
}

/// `memkind_get_version`: the release whose interface this is, 1.14.0.
#[unsafe(no_mangle)]
pub extern "C" fn memkind_get_version() -> c_int {
    1_014_000
}
