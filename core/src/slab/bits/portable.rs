//! In the language alone: for other processors, and for those who run it step by step.

use crate::slab::descriptor::Descriptor;
use crate::slab::remote::BITS;
use crate::sync::Ordering;

#[inline(always)]
pub(super) fn count_down(slab: &Descriptor) -> bool {
    let quota = slab.quota.get().wrapping_sub(1);
    slab.quota.set(quota);
    quota == 0
}

/// # Safety
/// As for [`Descriptor::set_bit`].
#[inline(always)]
pub(super) unsafe fn set_bit(slab: &Descriptor, number: usize) -> bool {
    // SAFETY: the number is in range (condition).
    let word = unsafe { slab.bits.get_unchecked(number / BITS) };
    let bits = word.load(Ordering::Relaxed);
    let bit = 1 << (number % BITS);
    word.store(bits | bit, Ordering::Relaxed);
    bits & bit != 0
}

/// # Safety
/// As for [`Descriptor::set_bit`].
#[inline(always)]
pub(super) unsafe fn clear_bit(slab: &Descriptor, number: usize) {
    // SAFETY: the number is in range (condition).
    let word = unsafe { slab.bits.get_unchecked(number / BITS) };
    let bits = word.load(Ordering::Relaxed);
    word.store(bits & !(1 << (number % BITS)), Ordering::Relaxed);
}
