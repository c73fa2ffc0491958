//! Sizes as people write them: `4096`, `512K`, `64M`, `1G`, `2T`.

use core::fmt::{self, Write};

use crate::text_buffer::TextBuffer;

/// How many bytes of an unknown suffix an error keeps.
const SHOWN: usize = 12;

/// Why a size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeError {
    /// There is no text.
    Empty,
    /// It does not begin with a digit.
    NotANumber,
    /// What follows the digits is none of the suffixes.
    UnknownSuffix(Suffix),
    /// It is more than a size can hold.
    Overflow,
    /// It is zero.
    Zero,
}

/// The beginning of a suffix that was not understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Suffix {
    bytes: [u8; SHOWN],
    len: usize,
}

impl Suffix {
    fn new(text: &[u8]) -> Suffix {
        let len = text.len().min(SHOWN);
        let mut bytes = [0; SHOWN];
        bytes[..len].copy_from_slice(&text[..len]);
        Suffix { bytes, len }
    }

    /// Its bytes, at most the first twelve.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::Empty => f.write_str("no size given"),
            SizeError::NotANumber => f.write_str("not a size (write a number, then K, M, G or T)"),
            SizeError::UnknownSuffix(suffix) => {
                write!(f, "unknown suffix {suffix:?} (use K, M, G or T)")
            }
            SizeError::Overflow => f.write_str("too large for this machine"),
            SizeError::Zero => f.write_str("a size of zero"),
        }
    }
}

impl core::error::Error for SizeError {}

/// Reads a size in bytes: decimal digits, then nothing or one of `K`, `M`, `G`, `T` (powers of
/// 1024, either case), which `B` or `iB` may follow.
///
/// # Errors
/// See [`SizeError`]. Signs, spaces and fractions are not understood.
///
/// ```
/// use allotment::size::{parse, SizeError};
/// assert_eq!(parse(b"64M"), Ok(64 << 20));
/// assert_eq!(parse(b"512KiB"), Ok(512 << 10));
/// assert_eq!(parse(b"-1"), Err(SizeError::NotANumber));
/// ```
pub fn parse(text: &[u8]) -> Result<usize, SizeError> {
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return Err(SizeError::NotANumber);
    }
    let (number, suffix) = text.split_at(digits);
    let unit: usize = 1usize
        .checked_shl(
            unit_log2(suffix).ok_or_else(|| SizeError::UnknownSuffix(Suffix::new(suffix)))?,
        )
        .ok_or(SizeError::Overflow)?;
    let mut value = 0usize;
    for digit in number {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(usize::from(digit - b'0')))
            .ok_or(SizeError::Overflow)?;
    }
    match value.checked_mul(unit) {
        Some(0) => Err(SizeError::Zero),
        Some(bytes) => Ok(bytes),
        None => Err(SizeError::Overflow),
    }
}

fn unit_log2(suffix: &[u8]) -> Option<u32> {
    let Some((letter, rest)) = suffix.split_first() else {
        return Some(0);
    };
    let log2 = match letter.to_ascii_uppercase() {
        b'B' if rest.is_empty() => return Some(0),
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return None,
    };
    (rest.is_empty() || rest.eq_ignore_ascii_case(b"B") || rest.eq_ignore_ascii_case(b"iB"))
        .then_some(log2)
}

/// A number of bytes, shown for people: `512 B`, `1.5 MiB`, `64 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(
    /// Bytes.
    pub usize,
);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let bytes = self.0 as u64;
        let mut text = TextBuffer::<16>::new();
        if bytes < 1024 {
            write!(text, "{bytes} B")?;
            return f.pad(text.as_str());
        }
        let tenths_in = |unit: usize| {
            let log2 = 10 * (unit as u32 + 1);
            (u128::from(bytes) * 10 + (1 << (log2 - 1))) >> log2
        };
        let mut unit = (bytes.ilog2() / 10 - 1) as usize;
        if tenths_in(unit) >= 10240 && unit + 1 < UNITS.len() {
            unit += 1;
        }
        let tenths = tenths_in(unit);
        write!(text, "{}", tenths / 10)?;
        if tenths % 10 != 0 {
            write!(text, ".{}", tenths % 10)?;
        }
        write!(text, " {}", UNITS[unit])?;
        f.pad(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_suffixes() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("4096B", 4096),
            ("0512K", 512 << 10),
            ("512k", 512 << 10),
            ("64M", 64 << 20),
            ("64MB", 64 << 20),
            ("64mib", 64 << 20),
            ("1G", 1 << 30),
            ("18446744073709551615", usize::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(bytes), "{text}");
        }
        #[cfg(target_pointer_width = "64")]
        assert_eq!(parse(b"2T"), Ok(2 << 40));
    }

    #[test]
    fn nonsense() {
        assert_eq!(parse(b""), Err(SizeError::Empty));
        for text in [
            "M",
            "-1",
            "+1",
            " 1",
            "x",
            "0x10".trim_start_matches('0'),
            ".5G",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(SizeError::NotANumber), "{text}");
        }
        for text in [
            "12Q", "1 M", "1Mi", "1MM", "1.5G", "1Bi", "1iB", "0x10", "1M ",
        ] {
            assert!(
                matches!(parse(text.as_bytes()), Err(SizeError::UnknownSuffix(_))),
                "{text}"
            );
        }
        for text in [
            "18446744073709551616",
            "99999999999999T",
            "18446744073709551615K",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(SizeError::Overflow), "{text}");
        }
        assert_eq!(parse(b"0"), Err(SizeError::Zero));
        assert_eq!(parse(b"0G"), Err(SizeError::Zero));
    }

    #[test]
    fn errors_say_what_was_meant() {
        let text = parse(b"12Q").unwrap_err().to_string();
        assert_eq!(text, "unknown suffix \"Q\" (use K, M, G or T)");
        let text = parse(b"1\x1b\xffabcdefghijklmnop").unwrap_err().to_string();
        assert_eq!(
            text,
            "unknown suffix \"\\x1b\\xffabcdefghij\" (use K, M, G or T)"
        );
    }

    #[test]
    fn for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (64 << 20, "64 MiB"),
            ((1 << 30) + (1 << 29), "1.5 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
        #[cfg(target_pointer_width = "64")]
        assert_eq!(Size(usize::MAX).to_string(), "16 EiB");
    }
}
