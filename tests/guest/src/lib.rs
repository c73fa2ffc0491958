//! Tests on real Device DAX and on file systems with and without DAX. `tests/guest/check` runs
//! them in a guest that has these; elsewhere they are ignored. What they share:
//!
//! ```text
//! place          what the guest's session says about the device or the file system
//! bytes          the memory of a mapping
//! child          a child process that does one thing
//! address_space  what the kernel says about this process's mappings
//! pool_workload  threads on a pool over any memory
//! kind_workload  what every kind must do
//! bystanders     threads that map and unmap memory of their own beside a test
//! ```
#![cfg(target_os = "linux")]

pub mod address_space;
pub mod bystanders;
pub mod bytes;
pub mod child;
pub mod kind_workload;
pub mod place;
pub mod pool_workload;
