//! Why an operation of this layer was refused.

use crate::fault::FaultKind;

/// Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No free block is large enough.
    NoMemory,
    /// A misuse or a damage at an offset.
    Fault(FaultKind, usize),
}

impl Refusal {
    #[cold]
    pub(crate) fn corrupt(block: usize) -> Refusal {
        Refusal::Fault(FaultKind::Corrupt, block)
    }
}
