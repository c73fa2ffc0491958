//! The variables `MEMKIND_...`, which a program with more rights than its user does not see.

use core::ffi::{CStr, c_char};

use allotment::kind::{Fork, Policy};

use crate::code::Code;

unsafe extern "C" {
    /// `secure_getenv(3)`, which the crate libc has not got.
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// A variable's value.
pub(crate) fn get(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name ends with a null byte; programs do not change their environment while they make kinds.
    unsafe {
        let value = secure_getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}

/// What the environment says of new kinds' policy, if it does: `MEMKIND_HOG_MEMORY=1` keeps all memory.
pub(crate) fn policy() -> Option<Policy> {
    (get(c"MEMKIND_HOG_MEMORY") == Some(c"1")).then_some(Policy::Never)
}

/// What children of a fork have of a kind: `MEMKIND_FORK`, which is `share`, `snapshot` or `unavailable`.
pub(crate) fn fork() -> Result<Fork, Code> {
    match get(c"MEMKIND_FORK").map(CStr::to_bytes) {
        None | Some(b"share") => Ok(Fork::Share),
        Some(b"snapshot") => Ok(Fork::Snapshot),
        Some(b"unavailable") => Ok(Fork::Unavailable),
        Some(_) => Err(Code::Environ),
    }
}

/// `MEMKIND_ARENA_NUM_PER_KIND` must be a number from 1 on. It has no meaning: each thread has a local heap.
pub(crate) fn check_arenas() -> Result<(), Code> {
    let Some(value) = get(c"MEMKIND_ARENA_NUM_PER_KIND") else {
        return Ok(());
    };
    // SAFETY: the value ends with a null byte.
    let number = unsafe { libc::strtoull(value.as_ptr(), core::ptr::null_mut(), 10) };
    let is_negative = value.to_bytes().contains(&b'-');
    if number == 0 || is_negative || number > u64::from(u32::MAX) {
        return Err(Code::Environ);
    }
    Ok(())
}
