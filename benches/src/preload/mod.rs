//! The malloc family of C beside its peers, each preloaded into a process of its own.
//!
//! | module | what it holds |
//! |---|---|
//! | [`workload`] | what is measured: the names and sizes of the rows |
//! | [`task`] | what the bench asks a driver process for, and its answer |
//! | [`allocator`] | what the workloads need of an allocator |
//! | [`family`] | `malloc`, `free` and their relatives as the dynamic loader binds them |
//! | [`own_memory`] | the driver's own memory |
//! | [`selection`] | the part of the command line that chooses workloads |
//! | [`slots`] | arrays of blocks, outside of the heap that is measured |
//! | [`local`] | workloads whose threads free what they allocate themselves |
//! | [`handover`] | a thread allocates batches, another frees them |
//! | [`ring`] | a producer and a consumer around a bounded ring |
//! | [`classic`] | larson, xmalloc and others of old |
//! | [`driver`] | what a driver process does with its task |
//! | [`library`] | the shared libraries that are preloaded: ours and the peers' |
//! | [`sources`] | peers that are compiled from the sources in their crates |
//! | [`process`] | runs a driver process |
//! | [`rows`] | runs one for each row and library |

pub mod allocator;
pub mod classic;
pub mod driver;
pub mod family;
pub mod handover;
pub mod library;
pub mod local;
pub mod own_memory;
pub mod process;
pub mod ring;
pub mod rows;
pub mod selection;
pub mod slots;
pub mod sources;
pub mod task;
pub mod workload;
