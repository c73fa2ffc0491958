//! What Allotment needs from the operating system: memory to put a pool in, a lock that threads
//! can sleep on, and the configuration and the report of a run.
//!
//! Nothing here allocates, except where a type says so: these modules run below `malloc`. Those of
//! persistent memory, the last four, do not, and do allocate.
//!
//! ```text
//! config    what the environment asks for          report    what a run did, as table or JSON
//!   size      "64M" and back                         size
//! mapping   a pool's address range and its memory: anonymous, a file that grows, a Device DAX
//!   os_error  errno and its text                     path_buffer  a path without the heap   text_buffer  text likewise
//! meminfo   what memory the system has left
//! lock      a mutex for lock_api that knows its owner
//! thread    the local heap of the calling thread
//! arena     a mapping, the pool in it, growth, and each thread's local heap in it
//!   message   lines on standard error
//! global    a Rust program's global allocator
//! kind      pools with a policy: over the caller's memory, in a directory, on a device
//! pools     arenas of which there may be many, a local heap of each thread's in each
//! map       files and Device DAX mapped as persistent memory
//! persist   flushing, draining and copying to persistent memory
//! reservation  addresses without memory, into which sources are mapped
//! source    what persistent mappings are made of: a file, a Device DAX, anonymous memory
//! ```
#![cfg(target_os = "linux")]

pub mod arena;
pub mod config;
mod global;
pub mod kind;
pub mod lock;
pub mod map;
pub mod mapping;
pub mod meminfo;
pub mod message;
pub mod os_error;
pub mod path_buffer;
pub mod persist;
pub mod pools;
pub mod report;
pub mod reservation;
pub mod size;
pub mod source;
pub mod text_buffer;
pub mod thread;

pub use global::Allotment;

/// Compiles and runs the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
