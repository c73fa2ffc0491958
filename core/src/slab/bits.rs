//! Setting a bit of a bitmap that one thread writes and others may read.
//!
//! On x86-64 it is one instruction, which saves those that would compute a mask. Not a locked one:
//! there is one writer.

use super::descriptor::Descriptor;
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
use {super::remote::BITS, crate::sync::Ordering};

impl Descriptor {
    /// Sets the local bit with this number. Answers whether it was set already.
    ///
    /// # Safety
    /// The number is below the bits' number, and the caller is the bits' only writer.
    #[inline(always)]
    pub(crate) unsafe fn set_bit(&self, number: usize) -> bool {
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
        {
            // SAFETY: the instruction addresses the bits as one string, in which the bit lies
            // (condition). They are cells, so they may be written.
            unsafe {
                core::arch::asm!(
                    "bts qword ptr [{slab} + {bits}], {number}",
                    "jc {already}",
                    slab = in(reg) &raw const *self,
                    bits = const core::mem::offset_of!(Descriptor, bits),
                    number = in(reg) number,
                    already = label { return true },
                    options(nostack),
                );
            }
            false
        }
        #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
        {
            // SAFETY: the number is in range (condition).
            let word = unsafe { self.bits.0.get_unchecked(number / BITS) };
            let bits = word.load(Ordering::Relaxed);
            let bit = 1 << (number % BITS);
            word.store(bits | bit, Ordering::Relaxed);
            bits & bit != 0
        }
    }
}
