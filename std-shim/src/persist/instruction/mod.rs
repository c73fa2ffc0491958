//! Flush instructions and stores past the caches.

use core::fmt;

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[path = "x86.rs"]
mod arch;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "other.rs"]
mod arch;

pub(super) use arch::{
    CAN_STREAM, Whole, detect, fence, flush, load_line, store_line, stream_line, stream_word,
};

/// Bytes of a cache line, and the step of all copies.
pub(super) const LINE: usize = 64;

/// What writes a cache line back to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushInstruction {
    /// x86: writes back and may keep the line.
    Clwb,
    /// x86: writes back and evicts; several at once.
    ClflushOpt,
    /// x86: writes back and evicts, one after another.
    Clflush,
    /// aarch64: cleans the line to the point of coherency.
    DcCvac,
    /// No instruction: the pages are written by `msync(2)`.
    Msync,
}

impl FlushInstruction {
    /// Whether a fence has to wait for it.
    #[must_use]
    pub fn needs_fence(self) -> bool {
        !matches!(self, FlushInstruction::Clflush | FlushInstruction::Msync)
    }
}

impl fmt::Display for FlushInstruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlushInstruction::Clwb => "CLWB",
            FlushInstruction::ClflushOpt => "CLFLUSHOPT",
            FlushInstruction::Clflush => "CLFLUSH",
            FlushInstruction::DcCvac => "DC CVAC",
            FlushInstruction::Msync => "msync",
        })
    }
}

/// Calls `step` with the address of each line of a range.
#[inline(always)]
#[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))]
fn for_each_line(address: *const u8, len: usize, line: usize, mut step: impl FnMut(*const u8)) {
    if len == 0 {
        return;
    }
    let into_line = address.addr() & (line - 1);
    let mut at = address.wrapping_sub(into_line);
    let mut left = len.saturating_add(into_line);
    loop {
        step(at);
        if left <= line {
            break;
        }
        left -= line;
        at = at.wrapping_add(line);
    }
}
