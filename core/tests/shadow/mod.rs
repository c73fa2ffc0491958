//! A second bookkeeping of a heap, simple enough to be right, that a test holds against the real one.
//!
//! ```text
//! heap        a `Heap` and its shadow: operations that check everything they promise
//!   oracle    which bytes are live, by whom, with which content
//!     pattern what a block is filled with
//! memory      regions at odd addresses, full of dirt, with guarded margins
//! faults      what the heap reported to its handler on this thread
//! ```
#![allow(
    dead_code,
    reason = "every test program compiles this module and uses its own part of it"
)]

pub(crate) mod faults;
pub(crate) mod heap;
pub(crate) mod memory;
pub(crate) mod oracle;
pub(crate) mod pattern;
