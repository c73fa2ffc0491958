//! Misuse and damage: what was found, and who is told.

use core::fmt;

/// What is wrong with a pointer or with the memory behind it.
// A word long, so that a refusal takes two registers that need not be taken apart.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The pointer is in none of the allocator's regions.
    OutsideRegion,
    /// The pointer is not aligned as every allocation is.
    Misaligned,
    /// The pointer is inside a region but not at the start of a block, or the word before it was
    /// written over.
    NotABlock,
    /// The block is free already.
    AlreadyFree,
    /// The size given on deallocation is not one that the block was allocated for.
    SizeMismatch,
    /// A header, footer or link of a free block was written over. It was not followed.
    Corrupt,
}

/// A misuse or a damage that was found, with the place.
///
/// Its [`Display`](fmt::Display) form is one line and needs no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The address that was passed in, or for [`FaultKind::Corrupt`] that of the damaged block.
    pub address: usize,
    /// For [`FaultKind::SizeMismatch`] the size that was given, else 0.
    pub detail: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.kind {
            FaultKind::OutsideRegion => {
                write!(
                    f,
                    "invalid pointer {address:#x}: not in any region of this heap"
                )
            }
            FaultKind::Misaligned => write!(f, "invalid pointer {address:#x}: misaligned"),
            FaultKind::NotABlock => {
                write!(
                    f,
                    "invalid pointer {address:#x}: not the start of a block, or its header was overwritten"
                )
            }
            FaultKind::AlreadyFree => write!(f, "double free of {address:#x}"),
            FaultKind::SizeMismatch => {
                let size = self.detail;
                write!(
                    f,
                    "size mismatch: {address:#x} was not allocated with {size} bytes"
                )
            }
            FaultKind::Corrupt => write!(f, "corrupt free block at {address:#x}"),
        }
    }
}

impl core::error::Error for Fault {}

/// Is told of each [`Fault`].
///
/// If it returns, the operation that found the fault is refused: it changed nothing, and an
/// allocation or a reallocation answers `None`. No lock of ours is held while it runs.
pub type FaultHandler = fn(&Fault);

/// The default [`FaultHandler`].
///
/// # Panics
/// Always, with the fault as the message.
#[cold]
pub fn panic_on_fault(fault: &Fault) {
    panic!("allotment: {fault}");
}
