//! `libpmem2.so.1`: the calls of libpmem2 over [`allotment::reservation`], [`allotment::source`] and
//! [`allotment::persist`].
//!
//! Each call turns its arguments into Rust's, and what comes back into a number: 0, `PMEM2_E_*`, or an error number of the
//! system, negated. Every call that fails leaves a text for the thread's `pmem2_errormsg`. A pointer that is null, or
//! to something else, or, as far as that can be seen, to what was deleted, is refused (`-EINVAL`).
//!
//! ```text
//! source      pmem2_source_*            handle      what programs' pointers point to
//! config      pmem2_config_*            registry    all maps by address
//!   environment PMEM2_FORCE_GRANULARITY failure     numbers and texts of errors
//! map         pmem2_map_*                 code        PMEM2_E_*
//! vm_reservation pmem2_vm_reservation_* error_text  pmem2_errormsg, pmem2_perror
//! functions   pmem2_get_*_fn            versions    the symbols under their older version
//! deep_flush  pmem2_deep_flush
//! device      pmem2_source_device_id, _usc, _numa_node
//!   nvdimm      regions and modules in sysfs
//! bad_blocks  pmem2_badblock_*
//! safe_copy   pmem2_source_pread_mcsafe, _pwrite_mcsafe
//! ```
//!
//! A static library: the linker makes the shared one of it, with `libpmem2.map` for the symbols' versions.
#![cfg(target_os = "linux")]

pub mod bad_blocks;
mod code;
pub mod config;
pub mod deep_flush;
pub mod device;
mod environment;
pub mod error_text;
mod failure;
pub mod functions;
mod handle;
pub mod map;
mod nvdimm;
mod registry;
pub mod safe_copy;
pub mod source;
mod versions;
pub mod vm_reservation;
