//! How CPUs get into 64-bit mode: the first from the machine (PVH), the others from the first.

use core::arch::global_asm;

/// Where the code that the other CPUs begin with is copied to: a page below 1 MiB.
pub(crate) const TRAMPOLINE: usize = 0x8000;

/// The CPUs that are started: four, or as many as `ALLOT_KERNEL_CPUS` says where this is compiled.
pub(crate) const CPUS: usize = match option_env!("ALLOT_KERNEL_CPUS") {
    None => 4,
    Some(number) => match usize::from_str_radix(number, 10) {
        Ok(number @ 4..=64) => number,
        _ => panic!("ALLOT_KERNEL_CPUS is not a number from 4 to 64"),
    },
};

// The first 4 GiB are mapped one to one, with pages of 2 MiB. The second entry of the top table is
// for the heap: see `memory`.
global_asm!(
    ".section .note.pvh, \"a\", @note",
    ".align 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long _start",
    ".section .boot, \"ax\"",
    ".code32",
    ".global _start",
    "_start:",
    "  cli",
    "  mov edi, ebx", // the start information
    "  xor eax, eax",
    "  mov ecx, 0x200 * 4",
    "2: mov edx, eax",
    "  or edx, 0x83",
    "  mov ebx, eax",
    "  shr ebx, 18",
    "  mov [low_directories + ebx], edx",
    "  mov dword ptr [low_directories + ebx + 4], 0",
    "  add eax, 0x200000",
    "  dec ecx",
    "  jnz 2b",
    "  lea eax, [low_directories + 3]",
    "  mov [low_table], eax",
    "  add eax, 0x1000",
    "  mov [low_table + 8], eax",
    "  add eax, 0x1000",
    "  mov [low_table + 16], eax",
    "  add eax, 0x1000",
    "  mov [low_table + 24], eax",
    "  lea eax, [low_table + 3]",
    "  mov [TOP_TABLE], eax",
    "  lea eax, [HEAP_TABLE + 3]",
    "  mov [TOP_TABLE + 8], eax",
    "  lea esi, [first_in_64]",
    "into_64:", // esi says where to go on
    "  lea eax, [TOP_TABLE]",
    "  mov cr3, eax",
    "  mov eax, cr4",
    "  or eax, 0x620", // PAE, FXSAVE, SSE exceptions
    "  mov cr4, eax",
    "  mov ecx, 0xC0000080",
    "  rdmsr",
    "  or eax, 0x100", // long mode
    "  wrmsr",
    "  mov eax, cr0",
    "  and eax, 0xFFFFFFFB",
    "  or eax, 0x80000003", // paging, no emulation of the FPU, protected mode
    "  mov cr0, eax",
    "  lgdt [boot_gdt_pointer]",
    "  .byte 0xEA", // a far jump to the 64-bit segment
    "  .long 3f",
    "  .word 8",
    ".code64",
    "3: mov ax, 16",
    "  mov ds, ax",
    "  mov es, ax",
    "  mov ss, ax",
    "  mov esi, esi",
    "  jmp rsi",
    "first_in_64:",
    "  mov ebx, edi",
    "  xor edi, edi",
    "  lea rsp, [rip + stacks + {stack}]",
    "  mov esi, ebx",
    "  call start",
    "  ud2",
    "other_in_64:",
    "  mov edi, 1",
    "  lock xadd [started], edi", // this CPU's number
    "  lea eax, [rdi + 1]",
    "  imul rax, rax, {stack}",
    "  lea rsp, [rax + stacks]",
    "  call start_other",
    "  ud2",
    ".code32",
    "other_in_32:",
    "  mov ax, 16",
    "  mov ds, ax",
    "  mov es, ax",
    "  mov ss, ax",
    "  lea esi, [other_in_64]",
    "  jmp into_64",
    // In real mode, at TRAMPOLINE.
    ".code16",
    ".global trampoline, trampoline_end",
    "trampoline:",
    "  cli",
    "  mov ax, cs",
    "  mov ds, ax",
    "  .byte 0x66, 0x0f, 0x01, 0x16", // lgdt with a base of 32 bits
    "  .word trampoline_gdt_pointer - trampoline",
    "  mov eax, cr0",
    "  or al, 1",
    "  mov cr0, eax",
    "  .byte 0x66, 0xEA", // a far jump to the 32-bit segment
    "  .long other_in_32",
    "  .word 24",
    "trampoline_gdt_pointer:",
    "  .word 31",
    "  .long boot_gdt",
    "trampoline_end:",
    ".code64",
    ".align 8",
    "boot_gdt: .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF, 0x00CF9A000000FFFF",
    "boot_gdt_pointer: .word 31",
    "  .long boot_gdt",
    ".section .data",
    ".global started",
    "started: .long 1", // numbers given to CPUs
    ".section .bss",
    ".align 4096",
    "low_table: .skip 4096",
    "low_directories: .skip 4096 * 4",
    ".align 16",
    "stacks: .skip {stack} * {cpus}",
    ".text",
    stack = const STACK,
    cpus = const CPUS,
);

/// Bytes of each CPU's stack.
const STACK: usize = 128 << 10;

unsafe extern "C" {
    /// The first and the last byte of the code for [`TRAMPOLINE`].
    pub(crate) static trampoline: u8;
    pub(crate) static trampoline_end: u8;
}

/// What the machine says to a kernel that it starts by PVH.
#[repr(C)]
pub(crate) struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// A range of the memory map.
#[repr(C)]
pub(crate) struct MemoryMapEntry {
    pub(crate) start: u64,
    pub(crate) len: u64,
    kind: u32,
    reserved: u32,
}

impl MemoryMapEntry {
    /// Whether it is memory that nobody uses.
    pub(crate) fn is_ram(&self) -> bool {
        self.kind == 1
    }
}

impl StartInfo {
    /// The memory map.
    pub(crate) fn memory_map(&self) -> &[MemoryMapEntry] {
        assert_eq!(self.magic, 0x336e_c578, "not started by PVH");
        // SAFETY: the machine put as many entries there, below 4 GiB, and they are not written.
        unsafe {
            core::slice::from_raw_parts(
                core::ptr::with_exposed_provenance(self.memory_map as usize),
                self.memory_map_entries as usize,
            )
        }
    }

    /// The command line.
    pub(crate) fn command_line(&self) -> &str {
        if self.command_line == 0 {
            return "";
        }
        // SAFETY: the machine put a string there that ends with a zero.
        let line = unsafe {
            core::ffi::CStr::from_ptr(core::ptr::with_exposed_provenance(
                self.command_line as usize,
            ))
        };
        line.to_str().expect("the command line is UTF-8")
    }
}
