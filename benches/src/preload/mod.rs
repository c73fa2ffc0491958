//! The malloc family of C beside its peers, each preloaded into a process of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`workload`] | what is measured: the names and sizes of the rows |
//! | [`task`] | what the bench asks a driver process for, and its answer |
//! | [`family`] | `malloc`, `free` and their relatives as the dynamic loader binds them |
//! | [`own_memory`] | the driver's own memory |
//! | [`slots`] | arrays of blocks, outside of the heap that is measured |
//! | [`local`] | workloads whose threads free what they allocate themselves |
//! | [`handover`] | a thread allocates batches, another frees them |
//! | [`ring`] | a producer and a consumer around a bounded ring |
//! | [`driver`] | what a driver process does with its task |
//! | [`library`] | the shared libraries that are preloaded: ours and the peers' |
//! | [`sources`] | peers that are compiled from the sources in their crates |
//! | [`process`] | runs a driver process |
//! | [`results`] | ratios, means and the best peer of each row |
//! | [`plot`] | the ratios as a picture |

pub mod driver;
pub mod family;
pub mod handover;
pub mod library;
pub mod local;
pub mod own_memory;
pub mod plot;
pub mod process;
pub mod results;
pub mod ring;
pub mod slots;
pub mod sources;
pub mod task;
pub mod workload;
