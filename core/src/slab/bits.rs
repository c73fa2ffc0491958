//! What a free changes: a bit of a bitmap that one thread writes and others may read, and the quota.
//!
//! On x86-64 it is one instruction, which saves those that would compute a mask. Not a locked one:
//! there is one writer.

use super::descriptor::Descriptor;

#[cfg_attr(
    all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(any(miri, loom, without_assembly))
    ),
    path = "bits/x86_64.rs"
)]
#[cfg_attr(
    not(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(any(miri, loom, without_assembly))
    )),
    path = "bits/portable.rs"
)]
mod target;

/// How many bits of a word are set.
///
/// All but the oldest x86-64 processors have an instruction for it, which compilers may not rely on.
#[inline(always)]
pub(crate) fn count_ones(word: usize) -> usize {
    #[cfg(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        not(any(miri, without_assembly))
    ))]
    if processor::COUNTS_BITS.load(core::sync::atomic::Ordering::Relaxed) {
        let count: usize;
        // SAFETY: the processor has the instruction, which reads and writes registers only.
        unsafe {
            core::arch::asm!("popcnt {}, {}", lateout(reg) count, in(reg) word,
                options(pure, nomem, nostack));
        }
        return count;
    }
    word.count_ones() as usize
}

/// What the processor can do, if somebody has looked.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
))]
pub(crate) mod processor {
    use core::arch::x86_64::__cpuid;
    use core::sync::atomic::{AtomicBool, Ordering};

    pub(super) static COUNTS_BITS: AtomicBool = AtomicBool::new(false);

    /// Looks what it can do, unless that is known.
    pub(crate) fn look() {
        /// In `ecx` of leaf 1.
        const POPCNT: u32 = 1 << 23;
        if COUNTS_BITS.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: every x86-64 processor has the instruction and this leaf.
        #[allow(unused_unsafe, reason = "older toolchains want it")]
        let features = unsafe { __cpuid(1) };
        COUNTS_BITS.store(features.ecx & POPCNT != 0, Ordering::Relaxed);
    }
}

/// Elsewhere there is nothing to know.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    not(any(miri, without_assembly))
)))]
pub(crate) mod processor {
    pub(crate) fn look() {}
}

impl Descriptor {
    /// Counts the quota down, and answers whether it is used up. Only the owner may.
    #[inline(always)]
    pub(crate) fn count_down(&self) -> bool {
        target::count_down(self)
    }

    /// Sets the local bit with this number. Answers whether it was set already.
    ///
    /// # Safety
    /// The number is below the bits' number, and the caller is the bits' only writer.
    #[inline(always)]
    pub(crate) unsafe fn set_bit(&self, number: usize) -> bool {
        // SAFETY: forwarded.
        unsafe { target::set_bit(self, number) }
    }

    /// Clears the local bit with this number.
    ///
    /// # Safety
    /// As for [`Descriptor::set_bit`].
    #[inline(always)]
    pub(crate) unsafe fn clear_bit(&self, number: usize) {
        // SAFETY: forwarded.
        unsafe { target::clear_bit(self, number) }
    }
}
