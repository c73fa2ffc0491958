//! What the environment asks for.

use core::ffi::{CStr, c_char};

use allotment::reservation::Granularity;

/// `PMEM2_FORCE_GRANULARITY`: what to take shared maps of files for. It is looked at for every map; a program with
/// more rights than its caller does not listen (`secure_getenv(3)`).
pub(crate) fn forced_granularity() -> Option<Granularity> {
    // SAFETY: the name ends with a null byte.
    let value = unsafe { secure_getenv(c"PMEM2_FORCE_GRANULARITY".as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: the environment's strings end with a null byte; it is not kept.
    named(unsafe { CStr::from_ptr(value) }.to_bytes())
}

unsafe extern "C" {
    /// `secure_getenv(3)`.
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

fn named(name: &[u8]) -> Option<Granularity> {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"BYTE") {
        Some(Granularity::Byte)
    } else if is(b"CACHE_LINE") || is(b"CACHELINE") {
        Some(Granularity::CacheLine)
    } else if is(b"PAGE") {
        Some(Granularity::Page)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(named(b"byte"), Some(Granularity::Byte));
        assert_eq!(named(b"Cache_Line"), Some(Granularity::CacheLine));
        assert_eq!(named(b"CACHELINE"), Some(Granularity::CacheLine));
        assert_eq!(named(b"PAGE"), Some(Granularity::Page));
        assert_eq!(named(b""), None);
        assert_eq!(named(b"pages"), None);
    }
}
