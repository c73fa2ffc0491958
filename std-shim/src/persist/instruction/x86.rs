//! x86 of both widths.

use core::arch::asm;
#[cfg(target_arch = "x86")]
use core::arch::x86 as intrinsics;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64 as intrinsics;

use intrinsics::{
    __cpuid, __cpuid_count, __m128i, _mm_clflush, _mm_loadu_si128, _mm_sfence, _mm_store_si128,
    _mm_stream_si128,
};

use super::{FlushInstruction, LINE, for_each_line};

/// Whether stores can go past the caches.
pub(crate) const CAN_STREAM: bool = true;

/// The best instruction that the CPU has and the caller allows.
pub(crate) fn detect(clwb: bool, clflush_opt: bool) -> FlushInstruction {
    const CLFLUSH_OPT: u32 = 1 << 23;
    const CLWB: u32 = 1 << 24;
    // SAFETY: only asks; every CPU with SSE2 has it.
    #[allow(unused_unsafe, reason = "unsafe up to Rust 1.93")]
    let has = unsafe {
        if __cpuid(0).eax >= 7 {
            __cpuid_count(7, 0).ebx
        } else {
            0
        }
    };
    if clwb && has & CLWB != 0 {
        FlushInstruction::Clwb
    } else if clflush_opt && has & CLFLUSH_OPT != 0 {
        FlushInstruction::ClflushOpt
    } else {
        FlushInstruction::Clflush
    }
}

/// Flushes the lines of a range.
///
/// # Safety
/// The range is mapped, and `detect` chose the instruction.
pub(crate) unsafe fn flush(instruction: FlushInstruction, address: *const u8, len: usize) {
    match instruction {
        // SAFETY: the caller's promise; the instruction changes no memory.
        FlushInstruction::Clwb => for_each_line(address, len, LINE, |line| unsafe {
            asm!("clwb [{}]", in(reg) line, options(nostack, preserves_flags));
        }),
        // SAFETY: as above.
        FlushInstruction::ClflushOpt => for_each_line(address, len, LINE, |line| unsafe {
            asm!("clflushopt [{}]", in(reg) line, options(nostack, preserves_flags));
        }),
        // SAFETY: as above.
        _ => for_each_line(address, len, LINE, |line| unsafe { _mm_clflush(line) }),
    }
}

/// Waits for flushes and for stores past the caches.
pub(crate) fn fence() {
    // SAFETY: only waits; this library is for CPUs with SSE2.
    unsafe { _mm_sfence() };
}

/// A line's bytes in registers.
pub(crate) type Whole = [__m128i; LINE / 16];

/// Loads a line's bytes from any address.
///
/// # Safety
/// `src` is valid for reads of a line.
#[inline(always)]
pub(crate) unsafe fn load_line(src: *const u8) -> Whole {
    let src = src.cast::<__m128i>();
    // SAFETY: the caller's promise.
    unsafe { [0, 1, 2, 3].map(|part| _mm_loadu_si128(src.add(part))) }
}

/// Stores a whole line, in units of 16 bytes.
///
/// # Safety
/// `dest` is writable for a line, and aligned as one.
#[inline(always)]
pub(crate) unsafe fn store_line(dest: *mut u8, line: Whole) {
    let dest = dest.cast::<__m128i>();
    for (at, part) in line.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm_store_si128(dest.add(at), part) };
    }
}

/// As [`store_line`], past the caches.
///
/// # Safety
/// As for [`store_line`]; a fence has to follow before another thread is told.
#[inline(always)]
pub(crate) unsafe fn stream_line(dest: *mut u8, line: Whole) {
    let dest = dest.cast::<__m128i>();
    for (at, part) in line.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm_stream_si128(dest.add(at), part) };
    }
}

/// Stores a word past the caches, if that can be done. Answers whether it was.
///
/// # Safety
/// `dest` is writable and aligned; a fence has to follow before another thread is told.
#[inline(always)]
pub(crate) unsafe fn stream_word(dest: *mut u64, word: u64) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise.
    unsafe {
        intrinsics::_mm_stream_si64(dest.cast(), word.cast_signed());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (dest, word);
    cfg!(target_arch = "x86_64")
}
