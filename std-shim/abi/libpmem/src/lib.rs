//! `libpmem.so.1`: the C library libpmem, as a thin layer of C calls over `allotment::map` and
//! `allotment::persist`.
//!
//! ```text
//! map         pmem_map_file, pmem_unmap, pmem_is_pmem
//! flush       pmem_persist and its parts, pmem_msync, the deep ones
//! copy        pmem_memcpy and its relatives
//! version     pmem_check_version
//! log         the log function and its thresholds
//!   message     each thread's last error
//! load        what happens when the library is loaded
//! ```
//!
//! The header is `libpmem.h`, the list of symbols and their version `libpmem.map`.
#![cfg(target_os = "linux")]

pub mod copy;
pub mod flush;
mod load;
pub mod log;
pub mod map;
mod message;
pub mod version;
