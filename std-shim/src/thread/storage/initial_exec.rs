//! Initial-exec thread-local storage in assembly, for which Rust has no stable notation.

use core::arch::{asm, global_asm};

use super::super::local_heap::EMPTY;
use super::{COUNT, LocalHeap};

/// Different versions of this crate in one program have words of their own.
macro_rules! symbol {
    () => {
        concat!(
            "allotment_thread_words_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

global_asm!(
    ".pushsection .tdata,\"awT\",%progbits",
    ".p2align 3",
    concat!(".globl ", symbol!()),
    concat!(".hidden ", symbol!()),
    concat!(symbol!(), ":"),
    ".quad {empty}",
    ".zero 8 * ({count} - 1)",
    concat!(".size ", symbol!(), ", 8 * {count}"),
    ".popsection",
    empty = sym EMPTY,
    count = const COUNT,
);

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn read<const WORD: usize>() -> *mut LocalHeap {
    let value;
    // SAFETY: the symbol is that of COUNT words in every thread's initial block, and the
    // caller made sure that WORD is less. Only the output is written. Two reads with no write
    // between them answer the same (pure).
    unsafe {
        asm!(
            concat!("mov {value}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
            "mov {value}, qword ptr fs:[{value} + 8 * {word}]",
            value = out(reg) value,
            word = const WORD,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    value
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn write<const WORD: usize>(value: *mut LocalHeap) {
    // SAFETY: as for reading; the word that is written is this module's own.
    unsafe {
        asm!(
            concat!("mov {place}, qword ptr [rip + ", symbol!(), "@GOTTPOFF]"),
            "mov qword ptr fs:[{place} + 8 * {word}], {value}",
            place = out(reg) _,
            value = in(reg) value,
            word = const WORD,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn read<const WORD: usize>() -> *mut LocalHeap {
    let value;
    // SAFETY: the symbol is that of COUNT words in every thread's initial block, and the
    // caller made sure that WORD is less. Only the outputs are written. Two reads with no write
    // between them answer the same (pure).
    unsafe {
        asm!(
            concat!("adrp {value}, :gottprel:", symbol!()),
            concat!("ldr {value}, [{value}, :gottprel_lo12:", symbol!(), "]"),
            "mrs {thread}, tpidr_el0",
            "add {value}, {value}, {thread}",
            "ldr {value}, [{value}, #8 * {word}]",
            value = out(reg) value,
            thread = out(reg) _,
            word = const WORD,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    value
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn write<const WORD: usize>(value: *mut LocalHeap) {
    // SAFETY: as for reading; the word that is written is this module's own.
    unsafe {
        asm!(
            concat!("adrp {place}, :gottprel:", symbol!()),
            concat!("ldr {place}, [{place}, :gottprel_lo12:", symbol!(), "]"),
            "mrs {thread}, tpidr_el0",
            "add {place}, {place}, {thread}",
            "str {value}, [{place}, #8 * {word}]",
            place = out(reg) _,
            thread = out(reg) _,
            value = in(reg) value,
            word = const WORD,
            options(nostack, preserves_flags),
        );
    }
}
