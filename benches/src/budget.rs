//! The bound that our own heap must keep, in instructions on x86-64.
//!
//! The numbers are the best of the bounded peers: rlsf's worst allocation and talc's worst free.

/// The most that any allocation may take.
pub const ALLOCATE_MAX: u32 = 118;

/// The most that any free may take.
pub const FREE_MAX: u32 = 76;

/// The most that an allocation and a free may take together, on average over a trace of mixed operations.
pub const PAIR_MEAN: f64 = 120.0;

/// The traces that no average is demanded of: every operation in them is meant to be near the worst.
pub const WORST_ONLY: &[char] = &['F'];
