//! Allotment's core heap beside its peers: allocators that, like it, manage a region of memory that the caller gives.
//!
//! | module | what it holds |
//! |---|---|
//! | [`peer`] | the trait that each allocator is measured through |
//! | [`peers`] | the allocators, one file each |
//! | [`calls`] | the three calls that both benches measure, never inlined |
//! | [`operation`] | allocate, free and reallocate as data |
//! | [`workload`] | random workloads, for time |
//! | [`trace`] | adversarial traces, for instructions |
//! | [`player`] | plays operations on a peer |
//! | [`stepper`] | counts the instructions of each operation by single-stepping |
//! | [`source_lines`] | the source lines behind instruction addresses |
//! | [`budget`] | the limits that our own heap keeps, and the aims |
//! | [`comparison`] | what the benches that compare row by row share: the command line, turns, ratios, tables, pictures |
//! | [`preload`] | the malloc family of C, beside allocators that are preloaded |
//! | [`global`] | global allocators of Rust programs |
//! | [`in_region`] | allocators that share a region among all threads |
//! | [`programs`] | whole programs with an allocator preloaded |
//! | [`region`], [`random`], [`cpu_time`], [`statistics`] | memory, random numbers, the clock, and what remains of samples |
//! | [`table`], [`report`] | the two forms of output |

pub mod budget;
pub mod calls;
pub mod comparison;
pub mod cpu_time;
#[cfg(target_os = "linux")]
pub mod global;
#[cfg(target_os = "linux")]
pub mod in_region;
pub mod operation;
pub mod peer;
pub mod peers;
pub mod player;
#[cfg(target_os = "linux")]
pub mod preload;
#[cfg(target_os = "linux")]
pub mod programs;
pub mod random;
pub mod region;
pub mod report;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod source_lines;
pub mod statistics;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod stepper;
pub mod table;
pub mod trace;
pub mod workload;
