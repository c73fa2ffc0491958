//! Counting instructions, on as many CPUs at once as there are.
//!
//! Emulated CPUs take turns, and their clock says nothing about waiting for one another. Here each
//! of them single-steps: after every instruction, it counts one and gives the turn to the next. So
//! the CPUs run side by side, one instruction each at a time, and whoever spins for a lock pays for
//! each of its turns. A count is the time on a machine where every instruction takes one cycle and
//! caches cost nothing.

use core::arch::asm;

use crate::cpu;

/// Runs `f`, and answers the instructions that this CPU took for it. Interrupts are off meanwhile.
///
/// QEMU counts each step of a repeated string instruction.
pub(crate) fn instructions(f: impl FnOnce()) -> u64 {
    let before = cpu::steps();
    // SAFETY: the trap flag makes the CPU call `single_step_entry` after each instruction, which
    // changes nothing but the count. Interrupts were off.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") }
    f();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], ~0x100", "popfq") }
    cpu::steps() - before
}
