//! One instruction each.

use core::arch::asm;
use core::mem::offset_of;

use crate::slab::descriptor::Descriptor;

#[inline(always)]
pub(super) fn count_down(slab: &Descriptor) -> bool {
    // SAFETY: the quota is a cell, which nobody else writes to.
    unsafe {
        asm!(
            "dec word ptr [{slab} + {quota}]",
            "jz {used_up}",
            slab = in(reg) &raw const *slab,
            quota = const offset_of!(Descriptor, quota),
            used_up = label { return true },
            options(nostack),
        );
    }
    false
}

/// # Safety
/// As for [`Descriptor::set_bit`].
#[inline(always)]
pub(super) unsafe fn set_bit(slab: &Descriptor, number: usize) -> bool {
    // SAFETY: the instruction addresses the bits as one string, in which the bit lies (condition).
    // They are cells, so they may be written.
    unsafe {
        asm!(
            "bts qword ptr [{slab} + {bits}], {number}",
            "jc {already}",
            slab = in(reg) &raw const *slab,
            bits = const offset_of!(Descriptor, bits),
            number = in(reg) number,
            already = label { return true },
            options(nostack),
        );
    }
    false
}

/// # Safety
/// As for [`Descriptor::set_bit`].
#[inline(always)]
pub(super) unsafe fn clear_bit(slab: &Descriptor, number: usize) {
    // SAFETY: as in `set_bit`.
    unsafe {
        asm!(
            "btr qword ptr [{slab} + {bits}], {number}",
            slab = in(reg) &raw const *slab,
            bits = const offset_of!(Descriptor, bits),
            number = in(reg) number,
            options(nostack),
        );
    }
}
