//! `pmem2_errormsg` and `pmem2_perror`: what went wrong, in words.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_int, c_void};

use crate::failure::message;

/// What went wrong last in this thread; the empty string if nothing did. `pmem2_errormsg(3)`.
///
/// The string is the library's; the next call that fails changes it.
#[unsafe(no_mangle)]
pub extern "C" fn pmem2_errormsg() -> *const c_char {
    message()
}

unsafe extern "C" {
    /// `vsnprintf(3)`. On all platforms that are supported here, a `va_list` is passed as a pointer.
    fn vsnprintf(
        text: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut c_void,
    ) -> c_int;
}

/// Writes a line to standard error: the formatted text, a colon, and what went wrong last in this thread.
/// `pmem2_perror(3)`.
///
/// # Safety
/// `format` is a string for `printf(3)`, and the other arguments are what it asks for.
// The declaration leaves the further arguments out: stable Rust has no functions with any number of them. This one
// looks where the calling convention puts them.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn pmem2_perror(format: *const c_char) {
    // 32 bytes of va_list, 176 of registers, 8 to align the stack.
    naked_asm!(
        ".cfi_startproc",
        "sub rsp, 216",
        ".cfi_adjust_cfa_offset 216",
        "mov [rsp + 32], rdi",
        "mov [rsp + 40], rsi",
        "mov [rsp + 48], rdx",
        "mov [rsp + 56], rcx",
        "mov [rsp + 64], r8",
        "mov [rsp + 72], r9",
        // al: whether there are any in vector registers.
        "test al, al",
        "je 2f",
        "movaps [rsp + 80], xmm0",
        "movaps [rsp + 96], xmm1",
        "movaps [rsp + 112], xmm2",
        "movaps [rsp + 128], xmm3",
        "movaps [rsp + 144], xmm4",
        "movaps [rsp + 160], xmm5",
        "movaps [rsp + 176], xmm6",
        "movaps [rsp + 192], xmm7",
        "2:",
        // The first argument is taken already.
        "mov dword ptr [rsp], 8",
        "mov dword ptr [rsp + 4], 48",
        "lea rax, [rsp + 224]",
        "mov [rsp + 8], rax",
        "lea rax, [rsp + 32]",
        "mov [rsp + 16], rax",
        "mov rsi, rsp",
        "call {print}",
        "add rsp, 216",
        ".cfi_adjust_cfa_offset -216",
        "ret",
        ".cfi_endproc",
        print = sym print,
    )
}

/// Writes a line to standard error: the formatted text, a colon, and what went wrong last in this thread.
/// `pmem2_perror(3)`.
///
/// # Safety
/// `format` is a string for `printf(3)`, and the other arguments are what it asks for.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn pmem2_perror(format: *const c_char) {
    // 16 bytes of frame, 32 of va_list, 64 of general registers, 128 of vector registers.
    naked_asm!(
        "stp x29, x30, [sp, #-256]!",
        "mov x29, sp",
        "stp x0, x1, [sp, #48]",
        "stp x2, x3, [sp, #64]",
        "stp x4, x5, [sp, #80]",
        "stp x6, x7, [sp, #96]",
        "stp q0, q1, [sp, #112]",
        "stp q2, q3, [sp, #144]",
        "stp q4, q5, [sp, #176]",
        "stp q6, q7, [sp, #208]",
        "add x9, sp, #256",
        "str x9, [sp, #16]",
        "add x9, sp, #112",
        "str x9, [sp, #24]",
        "add x9, sp, #240",
        "str x9, [sp, #32]",
        // The first argument is taken already.
        "mov w9, #-56",
        "str w9, [sp, #40]",
        "mov w9, #-128",
        "str w9, [sp, #44]",
        "add x1, sp, #16",
        "bl {print}",
        "ldp x29, x30, [sp], #256",
        "ret",
        print = sym print,
    )
}

/// # Safety
/// As `pmem2_perror`, whose arguments `arguments` has.
unsafe extern "C" fn print(format: *const c_char, arguments: *mut c_void) {
    let mut text = [0; 1024];
    // SAFETY: the format fits its arguments (the caller's promise); the message is this thread's.
    let (text, message) = unsafe {
        vsnprintf(text.as_mut_ptr(), text.len(), format, arguments);
        (CStr::from_ptr(text.as_ptr()), CStr::from_ptr(message()))
    };
    eprintln!("{}: {}", text.to_string_lossy(), message.to_string_lossy());
}
