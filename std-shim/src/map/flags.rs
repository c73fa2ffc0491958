//! libpmem's flags for mapping a file.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// How [`map_file`](super::map_file) opens its file: a set, with libpmem's values. Bits that mean
/// nothing are kept, since mapping with them is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// No flags: an existing file, all of it.
    pub const NONE: Flags = Flags(0);
    /// Creates the file if it is missing, and gives it the length, be it longer or shorter.
    pub const CREATE: Flags = Flags(1 << 0);
    /// With [`Flags::CREATE`]: the file must not exist yet.
    pub const EXCLUSIVE: Flags = Flags(1 << 1);
    /// With [`Flags::CREATE`]: allocates no space; a full disk is a `SIGBUS` later.
    pub const SPARSE: Flags = Flags(1 << 2);
    /// With [`Flags::CREATE`]: an unnamed file in the directory that the path names.
    pub const TEMPORARY: Flags = Flags(1 << 3);

    const NAMES: [(Flags, &'static str); 4] = [
        (Flags::CREATE, "PMEM_FILE_CREATE"),
        (Flags::EXCLUSIVE, "PMEM_FILE_EXCL"),
        (Flags::SPARSE, "PMEM_FILE_SPARSE"),
        (Flags::TEMPORARY, "PMEM_FILE_TMPFILE"),
    ];

    /// The flags with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Flags {
        Flags(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of these are set.
    #[must_use]
    pub const fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Those of the flags that are also among these.
    #[must_use]
    pub const fn intersection(self, flags: Flags) -> Flags {
        Flags(self.0 & flags.0)
    }

    /// The bits that mean nothing.
    #[must_use]
    pub fn unknown(self) -> Flags {
        Flags::NAMES
            .iter()
            .fold(self, |rest, (flag, _)| Flags(rest.0 & !flag.0))
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// As C writes it: `PMEM_FILE_CREATE|PMEM_FILE_EXCL`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (flag, name) in Flags::NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        match self.unknown().0 {
            0 if separator.is_empty() => f.write_str("0"),
            0 => Ok(()),
            rest => write!(f, "{separator}{rest:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_as_text() {
        for (flags, text) in [
            (Flags::NONE, "0"),
            (Flags::CREATE, "PMEM_FILE_CREATE"),
            (
                Flags::CREATE | Flags::TEMPORARY,
                "PMEM_FILE_CREATE|PMEM_FILE_TMPFILE",
            ),
            (Flags::from_bits(0x34), "PMEM_FILE_SPARSE|0x30"),
            (Flags::from_bits(0x80), "0x80"),
        ] {
            assert_eq!(flags.to_string(), text);
        }
    }
}
