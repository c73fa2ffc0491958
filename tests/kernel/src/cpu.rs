//! Each CPU's own: its number, its tables, its interrupts.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use allotment_core::{CurrentCpu, Interrupts};

use crate::boot::CPUS;

/// Vector of the timer.
pub(crate) const TIMER: u8 = 32;

/// Vector of an interrupt that was taken back. It needs no answer.
pub(crate) const SPURIOUS: u8 = 63;

const SINGLE_STEP: u8 = 1;

/// Bytes of a stack for interrupts.
const STACK: usize = 16 << 10;

/// What a CPU has of its own. `gs` points to it.
#[repr(C, align(64))]
struct Area {
    number: AtomicUsize,
    /// Instructions that were single-stepped: see `count`.
    steps: AtomicU64,
    /// Interrupts of the timer.
    ticks: AtomicU64,
    /// Segments, with the task state at the end.
    segments: UnsafeCell<[u64; 5]>,
    task: UnsafeCell<[u32; 26]>,
    /// Interrupts have stacks of their own: below the stack of what they interrupt lie 128 bytes
    /// that compiled code may use (the red zone).
    stacks: UnsafeCell<[[u8; STACK]; 3]>,
}

#[repr(transparent)]
struct Areas([Area; CPUS]);

// SAFETY: segments and task are written by their CPU once, at its start.
unsafe impl Sync for Areas {}

static AREAS: Areas = Areas(
    [const {
        Area {
            number: AtomicUsize::new(0),
            steps: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            segments: UnsafeCell::new([0, 0x00AF_9A00_0000_FFFF, 0x00CF_9200_0000_FFFF, 0, 0]),
            task: UnsafeCell::new([0; 26]),
            stacks: UnsafeCell::new([[0; STACK]; 3]),
        }
    }; CPUS],
);

/// A pointer as `lgdt` and `lidt` take it.
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    address: u64,
}

/// Tables of vectors are read by the CPUs alone after they were written.
struct Vectors(UnsafeCell<[[u64; 2]; 64]>);

// SAFETY: written by the first CPU, before others start.
unsafe impl Sync for Vectors {}

static VECTORS: Vectors = Vectors(UnsafeCell::new([[0; 2]; 64]));

// Each exception pushes its vector and goes on to one function. The timer saves what compiled code
// may change. The single step counts, and gives the turn to the next CPU: QEMU does so at `pause`.
global_asm!(
    ".macro exception vector",
    "exception_\\vector: push \\vector",
    "  jmp exception_common",
    ".endm",
    ".irp vector, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19",
    "exception \\vector",
    ".endr",
    "exception_common:",
    "  mov rdi, rsp",
    "  and rsp, -16",
    "  call on_exception",
    "  ud2",
    ".global timer_entry, single_step_entry, spurious_entry, exception_table",
    "timer_entry:",
    "  push rax",
    "  push rcx",
    "  push rdx",
    "  push rsi",
    "  push rdi",
    "  push r8",
    "  push r9",
    "  push r10",
    "  push r11",
    "  push rbp",
    "  mov rbp, rsp",
    "  sub rsp, 512",
    "  and rsp, -16",
    "  fxsave [rsp]",
    "  cld",
    "  call on_timer",
    "  fxrstor [rsp]",
    "  mov rsp, rbp",
    "  pop rbp",
    "  pop r11",
    "  pop r10",
    "  pop r9",
    "  pop r8",
    "  pop rdi",
    "  pop rsi",
    "  pop rdx",
    "  pop rcx",
    "  pop rax",
    "  iretq",
    "single_step_entry:",
    "  inc qword ptr gs:[8]",
    "  pause",
    "spurious_entry:",
    "  iretq",
    ".section .rodata",
    ".align 8",
    "exception_table:",
    ".quad exception_0, 0, exception_2, exception_3, exception_4, exception_5, exception_6",
    ".quad exception_7, exception_8, exception_9, exception_10, exception_11, exception_12",
    ".quad exception_13, exception_14, exception_15, exception_16, exception_17, exception_18",
    ".quad exception_19",
    ".text",
);

unsafe extern "C" {
    static exception_table: [usize; 20];
    fn timer_entry();
    fn single_step_entry();
    fn spurious_entry();
}

/// The end of a kernel that did something it must not. `frame` is the vector and what the CPU
/// pushed.
#[unsafe(no_mangle)]
extern "C" fn on_exception(frame: &[u64; 6]) -> ! {
    let fault: u64;
    // SAFETY: it reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) fault, options(nomem, nostack)) }
    panic!(
        "exception {}, address {fault:#x}, pushed {frame:x?}",
        frame[0]
    );
}

/// Writes the vectors. By the first CPU, once, before the others start.
pub(crate) fn prepare_vectors() {
    let gate = |handler: usize, stack: u64| {
        let handler = handler as u64;
        [
            (handler & 0xFFFF)
                | 8 << 16
                | stack << 32
                | 0x8E00 << 32
                | (handler >> 16 & 0xFFFF) << 48,
            handler >> 32,
        ]
    };
    // SAFETY: nobody else uses the vectors yet.
    unsafe {
        let vectors = &mut *VECTORS.0.get();
        for (vector, &handler) in exception_table.iter().enumerate() {
            vectors[vector] = gate(handler, 1);
        }
        vectors[usize::from(SINGLE_STEP)] = gate(single_step_entry as *const () as usize, 2);
        vectors[usize::from(TIMER)] = gate(timer_entry as *const () as usize, 3);
        vectors[usize::from(SPURIOUS)] = gate(spurious_entry as *const () as usize, 1);
    }
}

/// Makes the caller CPU `number`: after this, [`Cpu`] works here.
///
/// # Safety
/// Once by each CPU, each with its own number, with interrupts off.
pub(crate) unsafe fn begin(number: usize) {
    let area = &AREAS.0[number];
    area.number.store(number, Ordering::Relaxed);
    // SAFETY: the area is this CPU's; the tables stay where they are.
    unsafe {
        let task = &mut *area.task.get();
        for (index, stack) in (*area.stacks.get()).iter().enumerate() {
            let end = stack.as_ptr_range().end.addr() as u64 & !15;
            // Seven slots of 8 bytes begin at byte 36.
            task[9 + 2 * index] = end as u32;
            task[10 + 2 * index] = (end >> 32) as u32;
        }
        let task = (&raw const *task).addr() as u64;
        let segments = &mut *area.segments.get();
        segments[3] = 103 | (task & 0xFF_FFFF) << 16 | 0x89 << 40 | (task >> 24 & 0xFF) << 56;
        segments[4] = task >> 32;
        let gdt = TablePointer {
            limit: 39,
            address: segments.as_ptr().addr() as u64,
        };
        let idt = TablePointer {
            limit: 64 * 16 - 1,
            address: VECTORS.0.get().addr() as u64,
        };
        let own = (&raw const *area).addr() as u64;
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "ltr {task:x}",
            "mov ecx, 0xC0000101", // the base of gs
            "wrmsr",
            gdt = in(reg) &gdt,
            idt = in(reg) &idt,
            task = in(reg) 24_u64,
            in("eax") own as u32,
            in("edx") (own >> 32) as u32,
            out("ecx") _,
        );
    }
}

/// The number of the CPU that runs.
#[inline(always)]
pub(crate) fn number() -> usize {
    let number;
    // SAFETY: `gs` points to the CPU's area.
    unsafe { asm!("mov {}, gs:[0]", out(reg) number, options(nostack, readonly, preserves_flags)) }
    number
}

fn area() -> &'static Area {
    &AREAS.0[number()]
}

/// Counts an interrupt of the timer, and answers how many there were before.
pub(crate) fn tick() -> u64 {
    area().ticks.fetch_add(1, Ordering::Relaxed)
}

/// Interrupts of the timer, on all CPUs.
pub(crate) fn ticks() -> u64 {
    AREAS
        .0
        .iter()
        .map(|area| area.ticks.load(Ordering::Relaxed))
        .sum()
}

/// Instructions that this CPU stepped through.
pub(crate) fn steps() -> u64 {
    area().steps.load(Ordering::Relaxed)
}

/// Halts until an interrupt comes, and leaves interrupts on.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: it only waits.
    unsafe { asm!("sti", "hlt", options(nomem, nostack)) }
}

// The three hooks that the allocator needs of a kernel: how interrupts are turned off, which CPU
// runs, and how to stay on it.

/// The CPU that runs.
#[derive(Clone, Copy)]
pub(crate) struct Cpu;

// SAFETY: without the interrupt flag no handler runs but those of exceptions, which do not allocate.
unsafe impl Interrupts for Cpu {
    #[inline(always)]
    fn disable() -> bool {
        let flags: u64;
        // SAFETY: flags are read, and interrupts turned off. What follows is not moved above this.
        unsafe { asm!("pushfq", "pop {}", "cli", out(reg) flags) }
        flags & 1 << 9 != 0
    }

    #[inline(always)]
    unsafe fn enable() {
        // SAFETY: they were on before (condition).
        unsafe { asm!("sti", options(nostack)) }
    }
}

// SAFETY: there is no scheduler, and interrupts are off while `f` runs.
unsafe impl CurrentCpu for Cpu {
    #[inline(always)]
    fn pinned<T>(&self, f: impl FnOnce(usize) -> T) -> T {
        let were_on = Cpu::disable();
        let result = f(number());
        if were_on {
            // SAFETY: they were on.
            unsafe { Cpu::enable() }
        }
        result
    }
}
