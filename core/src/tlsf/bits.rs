//! Single bits of memory, numbered from an address in both directions.
//!
//! On x86-64 each of these is one instruction, which finds the word by itself: the bitmaps are
//! changed in the longest paths of both allocate and free, up to three times.

/// Sets the bit `bit`, counted from `AT` bytes behind `base`.
///
/// # Safety
/// `base` and `AT` are multiples of a word, and the word that holds the bit may be read and written.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
pub(super) unsafe fn set<const AT: usize>(base: *mut u8, bit: isize) {
    // SAFETY: the instruction changes only the word that holds the bit (condition).
    unsafe {
        core::arch::asm!("bts qword ptr [{} + {}], {}", in(reg) base, const AT, in(reg) bit,
            options(nostack));
    }
}

/// Clears the bit `bit`, counted from `AT` bytes behind `base`.
///
/// # Safety
/// As for [`set`].
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
pub(super) unsafe fn clear<const AT: usize>(base: *mut u8, bit: isize) {
    // SAFETY: the instruction changes only the word that holds the bit (condition).
    unsafe {
        core::arch::asm!("btr qword ptr [{} + {}], {}", in(reg) base, const AT, in(reg) bit,
            options(nostack));
    }
}

/// Sets the bit `bit`, counted from `AT` bytes behind `base`.
///
/// # Safety
/// `base` and `AT` are multiples of a word, and the word that holds the bit may be read and written.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
#[inline(always)]
pub(super) unsafe fn set<const AT: usize>(base: *mut u8, bit: isize) {
    // SAFETY: forwarded.
    unsafe {
        let word = word_of(base.wrapping_add(AT), bit);
        word.write(word.read() | mask(bit));
    }
}

/// Clears the bit `bit`, counted from `AT` bytes behind `base`.
///
/// # Safety
/// As for [`set`].
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
#[inline(always)]
pub(super) unsafe fn clear<const AT: usize>(base: *mut u8, bit: isize) {
    // SAFETY: forwarded.
    unsafe {
        let word = word_of(base.wrapping_add(AT), bit);
        word.write(word.read() & !mask(bit));
    }
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
fn word_of(base: *mut u8, bit: isize) -> *mut usize {
    base.cast::<usize>()
        .wrapping_offset(bit >> usize::BITS.ilog2())
}

#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
const fn mask(bit: isize) -> usize {
    1 << (bit as usize % usize::BITS as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::region::WORD;

    const BITS: usize = usize::BITS as usize;

    #[test]
    fn each_bit_is_its_own() {
        let mut words = [0_usize; 6];
        let base = words.as_mut_ptr().wrapping_add(3).cast::<u8>();
        for bit in -3 * BITS as isize..3 * BITS as isize {
            // SAFETY: three words lie on either side of `base`.
            unsafe { set::<0>(base, bit) };
            let at = (bit + 3 * BITS as isize) as usize;
            for (number, word) in words.iter().enumerate() {
                let expected = if number == at / BITS {
                    1 << (at % BITS)
                } else {
                    0
                };
                assert_eq!(*word, expected, "bit {bit}, word {number}");
            }
            // SAFETY: as above.
            unsafe { clear::<WORD>(base.wrapping_sub(WORD), bit) };
        }
        assert_eq!(words, [0; 6]);
    }
}
