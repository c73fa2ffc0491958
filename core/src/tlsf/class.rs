//! Which list a block size belongs to.
//!
//! ```text
//! bin_of(size):
//!     level = log2(size | LINEAR)            1. sizes below 2 * LINEAR share the first level
//!     step  = level - SL_LOG2
//!     bin   = (size >> step) + ((level - LINEAR_LOG2) << SL_LOG2)
//! ```
//!
//! 1. Or-ing `LINEAR` in makes the small sizes fall into the linear part without a branch: below
//!    `2 * LINEAR` (1024 bytes on 64-bit targets) each list holds blocks of exactly one size.
//! 2. The top bit of `size >> step` is always set above the linear part, so it carries into the
//!    level's number; numbers are consecutive and the lists need no two-dimensional table.
//! 3. Above, a power of two is cut into `1 << SL_LOG2` lists, so two blocks of one list differ by
//!    less than one part in `1 << SL_LOG2` of their size.
//!
//! The mapping is the one of M. Masmano, I. Ripoll, A. Crespo and J. Real, *TLSF: a new dynamic
//! memory allocator for real-time systems*, ECRTS 2004, with both levels numbered in one sequence.

use crate::region::GRANULE;

/// Binary logarithm of the number of lists that a power of two is cut into.
pub(crate) const SL_LOG2: usize = if usize::BITS == 64 { 5 } else { 4 };

const LINEAR_LOG2: usize = SL_LOG2 + GRANULE.ilog2() as usize;
const LINEAR: usize = 1 << LINEAR_LOG2;

/// The list that a free block of `size` bytes goes to. `size` is a multiple of [`GRANULE`].
#[cfg_attr(feature = "fast", inline(always))]
#[cfg_attr(not(feature = "fast"), inline(never))]
pub(crate) fn bin_of(size: usize) -> usize {
    let level = highest_bit(size | LINEAR);
    let step = level - SL_LOG2;
    list_number(size >> step, level << SL_LOG2)
}

/// [`bin_of`], for sizes that a region can have: on 64-bit targets less than `usize::MAX >> SL_LOG2`. Takes one register
/// less.
#[cfg(feature = "fast")]
#[inline(always)]
pub(crate) fn bin_of_near(size: usize) -> usize {
    if usize::BITS < 64 {
        return bin_of(size);
    }
    let level = highest_bit(size | LINEAR);
    list_number((size << SL_LOG2) >> level, level << SL_LOG2)
}

/// The smallest size that belongs to `bin`: the inverse of [`bin_of`].
#[cfg(any(feature = "fast", test))]
pub(crate) const fn floor_of(bin: usize) -> usize {
    let lists = 1 << SL_LOG2;
    if bin < 2 * lists {
        bin * GRANULE
    } else {
        let level = bin / lists - 1;
        (((bin % lists) + lists) * GRANULE) << level
    }
}

/// Keeps the compiler from taking a list's number apart and computing it anew in each place that
/// it is used in.
#[cfg(all(
    feature = "fast",
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
pub(crate) fn opaque(mut value: usize) -> usize {
    // SAFETY: there is no instruction.
    unsafe {
        core::arch::asm!("/* {} */", inout(reg) value,
            options(pure, nomem, nostack, preserves_flags));
    }
    value
}

#[cfg(all(
    feature = "fast",
    not(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(any(miri, without_assembly))
    ))
))]
#[inline(always)]
pub(crate) fn opaque(value: usize) -> usize {
    value
}

/// Keeps the compiler from loading what slow paths want of a heap before it is known that they are taken.
#[cfg(all(
    feature = "fast",
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "there is no instruction"
)]
pub(crate) fn opaque_ref<T>(reference: &mut T) -> &mut T {
    let mut pointer: *mut T = reference;
    // SAFETY: there is no instruction, so it is the same reference.
    unsafe {
        core::arch::asm!("/* {} */", inout(reg) pointer,
            options(nomem, nostack, preserves_flags));
        &mut *pointer
    }
}

#[cfg(all(
    feature = "fast",
    not(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(any(miri, without_assembly))
    ))
))]
#[inline(always)]
pub(crate) fn opaque_ref<T>(reference: &mut T) -> &mut T {
    reference
}

/// Sum of a list's number inside its level and that of the level's first list, the latter counted
/// from level 0.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
fn list_number(inside: usize, level: usize) -> usize {
    let number: usize;
    // The compiler would add in two steps, or in each use anew.
    // SAFETY: the instruction reads and writes registers only.
    unsafe {
        core::arch::asm!("lea {}, [{} + {} - {}]", lateout(reg) number, in(reg) inside, in(reg) level,
            const LINEAR_LOG2 << SL_LOG2, options(pure, nomem, nostack, preserves_flags));
    }
    number
}

/// See above.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
#[inline(always)]
fn list_number(inside: usize, level: usize) -> usize {
    inside + level - (LINEAR_LOG2 << SL_LOG2)
}

/// Number of the highest bit that is set in `value`, which is not 0.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
#[inline(always)]
fn highest_bit(value: usize) -> usize {
    let bit: usize;
    // The compiler would count leading zeros and turn the count round in every use: three more
    // instructions in each operation of a heap.
    // SAFETY: the instruction reads and writes registers only.
    unsafe {
        core::arch::asm!("bsr {}, {}", lateout(reg) bit, in(reg) value,
            options(pure, nomem, nostack));
    }
    bit
}

/// Number of the highest bit that is set in `value`, which is not 0.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
#[inline(always)]
fn highest_bit(value: usize) -> usize {
    value.ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_is_the_inverse() {
        for bin in 1..=bin_of(isize::MAX as usize & !(GRANULE - 1)) {
            let floor = floor_of(bin);
            assert_eq!(bin_of(floor), bin, "floor {floor:#x}");
            assert_eq!(bin_of(floor - GRANULE), bin - 1, "below {floor:#x}");
        }
    }

    #[cfg(feature = "fast")]
    #[test]
    fn both_ways_to_find_a_list_agree() {
        for bin in 2..=bin_of(1 << (usize::BITS - SL_LOG2 as u32 - 1)) {
            let floor = floor_of(bin);
            assert_eq!(bin_of_near(floor), bin, "floor {floor:#x}");
            let highest = floor_of(bin + 1) - GRANULE;
            assert_eq!(bin_of_near(highest), bin, "highest {highest:#x}");
        }
    }

    #[test]
    fn small_sizes_have_a_list_each() {
        for size in (GRANULE..2 * LINEAR).step_by(GRANULE) {
            assert_eq!(bin_of(size), size / GRANULE);
        }
    }

    #[test]
    fn lists_are_narrow() {
        for bin in 2..bin_of(isize::MAX as usize & !(GRANULE - 1)) {
            let width = floor_of(bin + 1) - floor_of(bin);
            assert!(width == GRANULE || width << SL_LOG2 <= floor_of(bin));
        }
    }
}
