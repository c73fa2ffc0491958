//! A RISC-V in QEMU: the serial line, the device that ends the machine, the machine's timer.

use core::arch::{asm, global_asm};
use core::fmt;

unsafe extern "Rust" {
    /// The example's own.
    safe fn main() -> !;
    /// The example's handler of the timer's interrupt.
    #[allow(non_snake_case, reason = "the name that it has on a Cortex-M")]
    safe fn SysTick();
}

// The start, and the one handler for all traps, which saves what compiled code may change.
global_asm!(
    ".section .init, \"ax\"",
    ".global _start",
    "_start:",
    "  la sp, stack_end",
    "  la t0, on_trap",
    "  csrw mtvec, t0",
    "  call run_main",
    ".align 4",
    "on_trap:",
    "  addi sp, sp, -64",
    "  sw ra, 0(sp)",
    "  sw t0, 4(sp)",
    "  sw t1, 8(sp)",
    "  sw t2, 12(sp)",
    "  sw t3, 16(sp)",
    "  sw t4, 20(sp)",
    "  sw t5, 24(sp)",
    "  sw t6, 28(sp)",
    "  sw a0, 32(sp)",
    "  sw a1, 36(sp)",
    "  sw a2, 40(sp)",
    "  sw a3, 44(sp)",
    "  sw a4, 48(sp)",
    "  sw a5, 52(sp)",
    "  sw a6, 56(sp)",
    "  sw a7, 60(sp)",
    "  csrr a0, mcause",
    "  call trap",
    "  lw ra, 0(sp)",
    "  lw t0, 4(sp)",
    "  lw t1, 8(sp)",
    "  lw t2, 12(sp)",
    "  lw t3, 16(sp)",
    "  lw t4, 20(sp)",
    "  lw t5, 24(sp)",
    "  lw t6, 28(sp)",
    "  lw a0, 32(sp)",
    "  lw a1, 36(sp)",
    "  lw a2, 40(sp)",
    "  lw a3, 44(sp)",
    "  lw a4, 48(sp)",
    "  lw a5, 52(sp)",
    "  lw a6, 56(sp)",
    "  lw a7, 60(sp)",
    "  addi sp, sp, 64",
    "  mret",
    ".text",
);

#[unsafe(no_mangle)]
extern "C" fn run_main() -> ! {
    main()
}

#[unsafe(no_mangle)]
extern "C" fn trap(cause: u32) {
    const TIMER: u32 = 1 << 31 | 7;
    assert_eq!(cause, TIMER, "a trap that nobody expects");
    arm_timer();
    SysTick();
}

/// Where words go.
#[derive(Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the serial line's register.
            unsafe {
                core::ptr::with_exposed_provenance_mut::<u8>(0x1000_0000).write_volatile(byte);
            }
        }
        Ok(())
    }
}

/// Ends the machine, with code 0 or 1.
pub fn exit(succeeded: bool) -> ! {
    let code = if succeeded { 0x5555 } else { 0x1_3333 };
    // SAFETY: the register of the device that ends the machine.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(0x10_0000).write_volatile(code) }
    loop {
        core::hint::spin_loop();
    }
}

/// Turns interrupts off, and answers whether they were on.
#[inline(always)]
pub fn disable_interrupts() -> bool {
    let status: u32;
    // SAFETY: reads and clears the flag. What follows is not moved above this.
    unsafe { asm!("csrrci {}, mstatus, 8", out(reg) status) }
    status & 8 != 0
}

/// Turns interrupts on.
///
/// # Safety
/// They were on before [`disable_interrupts`].
#[inline(always)]
pub unsafe fn enable_interrupts() {
    // SAFETY: forwarded.
    unsafe { asm!("csrsi mstatus, 8") }
}

/// Ticks of 100 ns between two interrupts.
static PERIOD: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

fn arm_timer() {
    let period = PERIOD.load(core::sync::atomic::Ordering::Relaxed);
    // SAFETY: these are the timer's registers. The upper half is first made so large that no
    // interrupt comes in between.
    unsafe {
        let now = core::ptr::with_exposed_provenance::<u32>(0x0200_BFF8);
        let next = core::ptr::with_exposed_provenance_mut::<u32>(0x0200_4000);
        let (low, high) = (now.read_volatile(), now.add(1).read_volatile());
        let at = (u64::from(high) << 32 | u64::from(low)) + u64::from(period);
        next.add(1).write_volatile(u32::MAX);
        next.write_volatile(at as u32);
        next.add(1).write_volatile((at >> 32) as u32);
    }
}

/// Calls the handler `SysTick` every `cycles` cycles of 10 ns; with 0, no more.
pub fn set_timer(cycles: u32) {
    PERIOD.store(cycles / 10, core::sync::atomic::Ordering::Relaxed);
    const TIMER: u32 = 1 << 7;
    // SAFETY: turns the timer's interrupt on or off, and interrupts as such on.
    unsafe {
        if cycles == 0 {
            asm!("csrc mie, {}", in(reg) TIMER);
        } else {
            arm_timer();
            asm!("csrs mie, {}", "csrsi mstatus, 8", in(reg) TIMER);
        }
    }
}
