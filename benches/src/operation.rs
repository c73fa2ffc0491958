//! Allocate, free and reallocate as data.

/// One operation on a numbered slot. A slot is empty or holds one live block; an operation that finds its slot in the
/// wrong state (because an allocation before it failed) is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Fills an empty slot with a block of `size` bytes (at least 1), aligned to `1 << align_log2`.
    Allocate {
        /// The slot's number.
        slot: u32,
        /// The size in bytes.
        size: u32,
        /// The logarithm of the alignment.
        align_log2: u8,
    },
    /// Frees the block in the slot.
    Free {
        /// The slot's number.
        slot: u32,
    },
    /// Changes the size of the block in the slot to `size` bytes (at least 1).
    Reallocate {
        /// The slot's number.
        slot: u32,
        /// The new size in bytes.
        size: u32,
    },
}

impl Op {
    /// The slot that the operation works on.
    pub fn slot(self) -> u32 {
        match self {
            Self::Allocate { slot, .. } | Self::Free { slot } | Self::Reallocate { slot, .. } => {
                slot
            }
        }
    }

    /// How many slots a sequence of operations needs: the highest number and one.
    pub fn slots<'a>(ops: impl IntoIterator<Item = &'a Op>) -> usize {
        ops.into_iter()
            .map(|op| op.slot() as usize + 1)
            .max()
            .unwrap_or(0)
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The block; null when the slot is empty.
    pub ptr: *mut u8,
    /// The size that the block was asked for with, in bytes.
    pub size: u32,
    /// The logarithm of the alignment that it was asked for with.
    pub align_log2: u8,
}

impl Slot {
    /// A slot without a block.
    pub const EMPTY: Self = Self {
        ptr: std::ptr::null_mut(),
        size: 0,
        align_log2: 0,
    };
}
