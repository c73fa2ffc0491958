//! `libvmem.so.1`: the C library libvmem, as a thin layer of C calls over `allotment::pools`.
//!
//! ```text
//! create      vmem_create, vmem_create_in_region, vmem_delete
//!   memory      what a pool lies in: a temporary file, a Device DAX, the caller's region
//!     place       free addresses, PMEM_MMAP_HINT
//! allocate    vmem_malloc and its relatives
//! check       vmem_check
//! statistics  vmem_stats_print
//!   pool        a live pool, found by its handle or by an address in it
//!     live        the list of them
//!     header      what its memory begins with
//! functions   vmem_set_funcs
//! version     vmem_check_version, vmem_errormsg
//!   message     each thread's last error
//! log         VMEM_LOG_LEVEL, VMEM_LOG_FILE, and the program's print function
//! fork        pools in the child of a fork
//!   copy        a copy of what parent and child would share
//! valgrind    what memcheck is told of blocks
//! load        what happens when the library is loaded
//! ```
//!
//! The header is `libvmem.h`, the list of symbols and their version `libvmem.map`.
#![cfg(target_os = "linux")]

pub mod allocate;
pub mod check;
mod copy;
pub mod create;
mod failure;
mod fork;
pub mod functions;
mod header;
mod live;
mod load;
mod log;
mod memory;
mod message;
mod place;
mod pool;
pub mod statistics;
mod valgrind;
pub mod version;
