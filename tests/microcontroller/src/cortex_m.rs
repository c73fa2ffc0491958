//! A Cortex-M in QEMU: semihosting for words and the end, SysTick for interrupts.

use core::arch::asm;
use core::fmt;

/// One call of the debugger.
///
/// # Safety
/// The operation takes this argument.
unsafe fn semihosting(operation: usize, argument: usize) {
    // SAFETY: forwarded.
    unsafe {
        asm!(
            "bkpt 0xAB",
            inout("r0") operation => _,
            in("r1") argument,
            options(nostack),
        );
    }
}

/// Where words go.
#[derive(Debug)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const WRITE_ONE: usize = 3;
        for byte in text.bytes() {
            // SAFETY: the argument is the address of one byte.
            unsafe { semihosting(WRITE_ONE, (&raw const byte).addr()) }
        }
        Ok(())
    }
}

/// Ends the machine, with code 0 or 1.
pub fn exit(succeeded: bool) -> ! {
    const EXIT: usize = 0x18;
    let reason = if succeeded { 0x20026 } else { 0x20023 };
    // SAFETY: the argument is a reason to end.
    unsafe { semihosting(EXIT, reason) }
    loop {
        core::hint::spin_loop();
    }
}

/// Turns interrupts off, and answers whether they were on.
#[inline(always)]
pub fn disable_interrupts() -> bool {
    let masked: u32;
    // SAFETY: reads and sets the mask. What follows is not moved above this.
    unsafe { asm!("mrs {}, PRIMASK", "cpsid i", out(reg) masked) }
    masked & 1 == 0
}

/// Turns interrupts on.
///
/// # Safety
/// They were on before [`disable_interrupts`].
#[inline(always)]
pub unsafe fn enable_interrupts() {
    // SAFETY: forwarded.
    unsafe { asm!("cpsie i") }
}

/// Calls the handler `SysTick` every `cycles` cycles; with 0, no more.
pub fn set_timer(cycles: u32) {
    const CONTROL: usize = 0xE000_E010;
    const RELOAD: usize = 0xE000_E014;
    const CURRENT: usize = 0xE000_E018;
    let write = |register, value| {
        // SAFETY: these are the timer's registers.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(register).write_volatile(value) }
    };
    write(RELOAD, cycles);
    write(CURRENT, 0);
    write(CONTROL, if cycles == 0 { 0 } else { 0b111 });
}
