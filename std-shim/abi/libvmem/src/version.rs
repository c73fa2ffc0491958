//! The version of the interface, and the last error's text.

use core::ffi::{c_char, c_uint};
use core::ptr::null;

use crate::{log, message};

pub(crate) const MAJOR: c_uint = 1;
pub(crate) const MINOR: c_uint = 1;

/// `vmem_check_version(3)`: null if a program that was built for this version can run; else a text
/// that says why not, which lasts until the thread's next error.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_check_version(
    major_required: c_uint,
    minor_required: c_uint,
) -> *const c_char {
    const FUNCTION: &str = "vmem_check_version";
    let (kind, need, found) = if major_required != MAJOR {
        ("major", major_required, MAJOR)
    } else if minor_required > MINOR {
        ("minor", minor_required, MINOR)
    } else {
        return null();
    };
    let text = format_args!("libvmem {kind} version mismatch (need {need}, found {found})");
    message::set(text);
    log::write(log::ERROR, FUNCTION, text);
    message::last()
}

/// `vmem_errormsg(3)`: the calling thread's last error, empty if there was none. It lasts until the
/// thread's next error.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_errormsg() -> *const c_char {
    message::last()
}
