//! Environment variables, as `secure_getenv(3)` finds them: a program with more rights than its
//! caller does not listen to the caller's.

use std::ffi::CStr;

/// The variable's value now.
pub(crate) fn variable(name: &CStr) -> Option<String> {
    // SAFETY: the name ends with a null byte; what is found is a string, and copied at once.
    unsafe {
        let value = secure_getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

/// Whether the variable's value is exactly this.
pub(crate) fn is(name: &CStr, value: &str) -> bool {
    variable(name).is_some_and(|found| found == value)
}

/// `atoi(3)`: the number that the text begins with, 0 if with none.
pub(crate) fn leading_number(text: &str) -> i64 {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'))
        });
    if negative { -magnitude } else { magnitude }
}

unsafe extern "C" {
    /// `secure_getenv(3)`.
    fn secure_getenv(name: *const core::ffi::c_char) -> *mut core::ffi::c_char;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_atoi_sees_them() {
        for (text, number) in [
            ("", 0),
            ("1", 1),
            (" \t12x", 12),
            ("-7", -7),
            ("+7", 7),
            ("x1", 0),
            ("é", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(leading_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn missing_variables() {
        assert_eq!(variable(c"ALLOT_NO_SUCH_VARIABLE"), None);
        assert!(variable(c"PATH").is_some());
    }
}
