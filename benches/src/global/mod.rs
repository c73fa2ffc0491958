//! Global allocators of Rust programs, each in a program of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`adapter`] | the program's own global allocator, for the workloads |
//! | [`driver`] | what each of the programs does |
//! | [`peers`] | which there are, and how they are built |

pub mod adapter;
pub mod driver;
pub mod peers;
