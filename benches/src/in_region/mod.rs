//! Allocators that share one given region among all threads, beside each other.
//!
//! | module | what it holds |
//! |---|---|
//! | [`task`] | what the bench asks a process of its own for, and its answer |
//! | [`peers`] | the allocators: how each is told to live in a region |
//! | [`fill`] | how much of a region can be used, and used again |
//! | [`driver`] | what that process does |

pub mod driver;
pub mod fill;
pub mod peers;
pub mod task;
