//! `PMEM_MMAP_HINT`: the address from which on files are mapped, for debugging.

use std::fs;
use std::sync::OnceLock;

use crate::persist::environment::variable;

const MAPS: &str = "/proc/self/maps";

/// Programs may map nothing below.
const LOWEST: usize = 1 << 16;

/// The address, if the environment has one and `/proc` tells what is mapped. Read once.
pub(super) fn hint() -> Option<usize> {
    static HINT: OnceLock<Option<usize>> = OnceLock::new();
    *HINT.get_or_init(|| {
        let hint = parse(&variable(c"PMEM_MMAP_HINT")?)?;
        fs::metadata(MAPS).is_ok().then_some(hint)
    })
}

/// The hexadecimal number that the text begins with, as `strtoull(3)` finds it: behind white space, a
/// sign and `0x`.
fn parse(text: &str) -> Option<usize> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    // Without a digit behind it, the number is the prefix's zero.
    let text = match text.as_bytes() {
        [b'0', b'x' | b'X', digit, ..] if is_digit(digit) => &text[2..],
        _ => text,
    };
    let digits = text.bytes().take_while(|digit| is_digit(digit)).count();
    let number = usize::from_str_radix(&text[..digits], 16).ok()?;
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// The first free addresses from `hint` on, `None` if `/proc` cannot be read.
pub(super) fn first_gap(hint: usize, len: usize, alignment: usize) -> Option<usize> {
    let maps = fs::read(MAPS).ok()?;
    gap_between(mappings(&maps), hint, len, alignment)
}

/// The lines of `/proc/self/maps` as start and end.
fn mappings(maps: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    maps.split(|&byte| byte == b'\n').filter_map(|line| {
        let range = line.split(|&byte| byte == b' ').next()?;
        let (start, end) = core::str::from_utf8(range).ok()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some((address(start)?, address(end)?))
    })
}

fn gap_between(
    mappings: impl Iterator<Item = (usize, usize)>,
    hint: usize,
    len: usize,
    alignment: usize,
) -> Option<usize> {
    let mut place = hint.max(LOWEST).checked_next_multiple_of(alignment)?;
    for (start, end) in mappings {
        if place.checked_add(len)? <= start {
            break;
        }
        if end > place {
            place = end.checked_next_multiple_of(alignment)?;
        }
    }
    place.checked_add(len).map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_with_and_without_prefix() {
        for (text, number) in [
            ("10000000", 0x1000_0000),
            ("0x1F", 0x1f),
            ("  +0X1g", 1),
            ("0", 0),
            ("0x", 0),
            ("-1", usize::MAX),
        ] {
            assert_eq!(parse(text), Some(number), "{text:?}");
        }
        for bad in ["", "x", "zz", "- 1", "é", "11112222333344445"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_first_gap_that_is_long_enough() {
        let maps = b"00200000-00400000 r-xp 00000000 08:01 1 /bin/x\n\
            00600000-00601000 rw-p 00000000 00:00 0 \n\
            7fff0000-7fff1000 rw-p 00000000 00:00 0 [stack]\n";
        let gap = |hint, len, align| gap_between(mappings(maps), hint, len, align);
        assert_eq!(gap(0, 0x1000, 0x1000), Some(LOWEST));
        assert_eq!(gap(0x200000, 0x1000, 0x1000), Some(0x400000));
        assert_eq!(gap(0x200000, 0x200001, 0x1000), Some(0x601000));
        assert_eq!(gap(0x200000, 0x1000, 0x200000), Some(0x400000));
        assert_eq!(gap(0x400001, 0x1000, 0x200000), Some(0x800000));
        assert_eq!(gap(0x7fff0000, 0x1000, 0x1000), Some(0x7fff1000));
        assert_eq!(gap(usize::MAX, 1, 0x1000), None);
        assert_eq!(gap(0x90000000, usize::MAX, 0x1000), None);
    }
}
