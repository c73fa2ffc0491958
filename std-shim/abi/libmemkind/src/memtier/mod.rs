//! Several kinds as one.
//!
//! ```text
//! builder     a list of tiers and the policy's choices
//!   names       the names of choices
//! memory      which tier an allocation goes to
//!   threshold   limits of size that move until the ratio holds
//! heap        memtier_malloc and its relatives, with and without a list of tiers
//!   count       bytes of each kind
//! ```

pub mod builder;
pub(crate) mod count;
pub mod heap;
pub mod memory;
mod names;
mod threshold;
