//! What a program needs to start and to stop on x86-64 Linux without any library.

use core::arch::{asm, global_asm};

// The memory functions that every Rust target must bring; written in Rust, the compiler
// would turn them into calls of themselves.
global_asm!(
    ".globl _start, memcpy, memmove, memset, memcmp, bcmp",
    "_start: xor %ebp, %ebp",
    "and $-16, %rsp",
    "call run",
    "memcpy: mov %rdi, %rax",
    "mov %rdx, %rcx",
    "rep movsb",
    "ret",
    "memmove: mov %rdi, %rax",
    "mov %rdx, %rcx",
    "cmp %rsi, %rdi",
    "jbe 2f",
    "lea -1(%rdi, %rdx), %rdi",
    "lea -1(%rsi, %rdx), %rsi",
    "std",
    "2: rep movsb",
    "cld",
    "ret",
    "memset: mov %rdi, %r8",
    "mov %esi, %eax",
    "mov %rdx, %rcx",
    "rep stosb",
    "mov %r8, %rax",
    "ret",
    "memcmp:",
    "bcmp: xor %eax, %eax",
    "mov %rdx, %rcx",
    "test %rcx, %rcx",
    "jz 3f",
    "repe cmpsb",
    "movzbl -1(%rdi), %eax",
    "movzbl -1(%rsi), %ecx",
    "sub %ecx, %eax",
    "3: ret",
    options(att_syntax)
);

/// Ends the process (`exit_group(2)`).
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: the system call takes no pointers and does not return.
    unsafe { asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(101)
}

/// Asked for by the prebuilt `core`, which was compiled to unwind. Nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(102)
}
