//! The local interrupt controller: its timer, and the messages that start other CPUs.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::boot::{TRAMPOLINE, trampoline, trampoline_end};
use crate::cpu;

const BASE: usize = 0xFEE0_0000;
const END_OF_INTERRUPT: usize = 0xB0;
const SPURIOUS_VECTOR: usize = 0xF0;
const COMMAND: usize = 0x300;
const TIMER_VECTOR: usize = 0x320;
const TIMER_START: usize = 0x380;
const TIMER_NOW: usize = 0x390;
const TIMER_DIVIDER: usize = 0x3E0;

const PERIODIC: u32 = 1 << 17;
const MASKED: u32 = 1 << 16;

fn write(register: usize, value: u32) {
    // SAFETY: the controller's registers are mapped there, each CPU's own.
    unsafe {
        core::ptr::with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value);
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: as in `write`.
    unsafe { core::ptr::with_exposed_provenance::<u32>(BASE + register).read_volatile() }
}

/// Turns this CPU's controller on.
pub(crate) fn begin() {
    const ENABLED: u32 = 1 << 8;
    write(SPURIOUS_VECTOR, ENABLED | u32::from(cpu::SPURIOUS));
}

/// Lets the timer interrupt this CPU every `period` ticks; with 0, no more.
pub(crate) fn set_timer(period: u32) {
    write(TIMER_DIVIDER, 0b1011);
    let mode = if period == 0 { MASKED } else { PERIODIC };
    write(TIMER_VECTOR, mode | u32::from(cpu::TIMER));
    write(TIMER_START, period);
}

/// The interrupt has been dealt with.
pub(crate) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Waits for some ticks of the timer, which must not be in use.
fn wait(ticks: u32) {
    write(TIMER_DIVIDER, 0b1011);
    write(TIMER_VECTOR, MASKED);
    write(TIMER_START, ticks);
    while read(TIMER_NOW) != 0 {
        core::hint::spin_loop();
    }
}

/// Starts all other CPUs, and waits until there are `cpus`.
pub(crate) fn start_others(cpus: usize, running: &AtomicU32) {
    let len = (&raw const trampoline_end).addr() - (&raw const trampoline).addr();
    // SAFETY: the page is nobody's, and lies below 1 MiB, which is mapped.
    unsafe {
        core::ptr::with_exposed_provenance_mut::<u8>(TRAMPOLINE)
            .copy_from_nonoverlapping(&raw const trampoline, len);
    }
    const ALL_OTHERS: u32 = 0b11 << 18;
    write(COMMAND, ALL_OTHERS | 0x4500); // initialise
    wait(1_000_000);
    write(COMMAND, ALL_OTHERS | 0x4600 | (TRAMPOLINE >> 12) as u32); // start there
    while running.load(Ordering::Acquire) as usize != cpus {
        core::hint::spin_loop();
    }
}
