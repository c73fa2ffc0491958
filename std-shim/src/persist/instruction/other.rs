//! Architectures without a flush instruction for programs: pages are written by the kernel.

use super::{FlushInstruction, LINE};

/// Whether stores can go past the caches.
pub(crate) const CAN_STREAM: bool = false;

/// There is none.
pub(crate) fn detect(_clwb: bool, _clflush_opt: bool) -> FlushInstruction {
    FlushInstruction::Msync
}

/// Writes the pages of a range.
///
/// # Safety
/// The range is mapped.
pub(crate) unsafe fn flush(_instruction: FlushInstruction, address: *const u8, len: usize) {
    // A flush has no way to report.
    let _ = crate::persist::msync(address, len);
}

/// Nothing to wait for.
pub(crate) fn fence() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// A line's bytes in registers.
pub(crate) type Whole = [u64; LINE / 8];

/// Loads a line's bytes from any address.
///
/// # Safety
/// `src` is valid for reads of a line.
#[inline(always)]
pub(crate) unsafe fn load_line(src: *const u8) -> Whole {
    // SAFETY: the caller's promise.
    unsafe { src.cast::<Whole>().read_unaligned() }
}

/// Stores a whole line, in units of 8 bytes.
///
/// # Safety
/// `dest` is writable for a line, and aligned as one.
#[inline(always)]
pub(crate) unsafe fn store_line(dest: *mut u8, line: Whole) {
    let dest = dest.cast::<u64>();
    for (at, word) in line.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { dest.add(at).write_volatile(word) };
    }
}

/// Never called: see [`CAN_STREAM`].
///
/// # Safety
/// As for [`store_line`].
pub(crate) unsafe fn stream_line(dest: *mut u8, line: Whole) {
    // SAFETY: the caller's promise.
    unsafe { store_line(dest, line) };
}

/// Nothing: a word cannot be stored past the caches.
///
/// # Safety
/// None is needed.
pub(crate) unsafe fn stream_word(_dest: *mut u64, _word: u64) -> bool {
    false
}
