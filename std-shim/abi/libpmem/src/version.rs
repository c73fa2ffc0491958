//! The version of the interface, and the last error's text.

use core::ffi::{c_char, c_uint};
use core::ptr::null;

use crate::message;

const MAJOR: c_uint = 1;
const MINOR: c_uint = 1;

/// `pmem_check_version(3)`: null if a program that was built for this version can run; else a text
/// that says why not, which lasts until the thread's next error.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_check_version(
    major_required: c_uint,
    minor_required: c_uint,
) -> *const c_char {
    if major_required != MAJOR {
        message::set(format_args!(
            "libpmem major version mismatch (need {major_required}, found {MAJOR})"
        ));
    } else if minor_required > MINOR {
        message::set(format_args!(
            "libpmem minor version mismatch (need {minor_required}, found {MINOR})"
        ));
    } else {
        return null();
    }
    message::last()
}

/// `pmem_errormsg(3)`: the calling thread's last error, empty if there was none. It lasts until the thread's
/// next error.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_errormsg() -> *const c_char {
    message::last()
}
