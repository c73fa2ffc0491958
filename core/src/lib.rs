//! A malloc that lives inside the memory you give it.
//!
//! ```text
//! pool, locked     what many threads share: a lock in front of a heap
//!   heap           one owner; checks pointers, reports misuse, moves content on reallocation
//!     tlsf         blocks: two-level segregated fit, every operation bounded
//!       region     addresses, words at offsets, trimming
//! check, blocks, stats    read-only views of all of the above
//! fault            what was found to be wrong, and who is told
//! ```
//!
//! Give a byte range to [`Heap::new`] and allocate from it with `&mut`; or to
//! [`Pool::create_in_region`] and share it among threads. No other memory is used: header, index,
//! lists and locks lie in the range, and links in it are offsets, so that its bytes mean the same
//! wherever they are mapped.
//!
//! # Features
//! - `fast` (default): each operation a second time, for the common case. Takes fewer instructions and more code;
//!   nothing else depends on it.
//! - `lock`: [`Pool`] and [`LockedHeap`], which implement
//!   [`GlobalAlloc`](core::alloc::GlobalAlloc) behind any [`lock_api::RawMutex`].
//! - `spin` (default): a spin lock as their default lock.
//! - `allocator-api2`: `&Pool` and `&LockedHeap` implement `allocator_api2::alloc::Allocator`.
//!
//! Without any of them the crate is [`Heap`] alone, as small as it can be, and needs no atomic operations.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(test, loom))]
extern crate std;
#[cfg(all(test, loom, not(feature = "lock")))]
compile_error!("the models are of the pool, which needs the feature `lock`");

#[cfg(feature = "allocator-api2")]
mod allocator;
#[cfg(feature = "lock")]
mod backing;
mod blocks;
mod check;
mod fault;
mod heap;
#[cfg(feature = "lock")]
mod local;
#[cfg(feature = "lock")]
mod locked;
#[cfg(all(test, loom))]
mod models;
#[cfg(feature = "lock")]
mod pool;
mod region;
#[cfg(feature = "lock")]
mod slab;
mod stats;
#[cfg(feature = "lock")]
mod sync;
mod tlsf;

#[cfg(feature = "lock")]
pub use backing::{Backing, PurgePolicy};
pub use blocks::{BlockInfo, Blocks};
pub use check::{CheckReport, Damage, Invariant};
pub use fault::{Fault, FaultHandler, FaultKind, panic_on_fault};
pub use heap::{AddRegionError, ExtendError, Heap, Options, RemoveRegionError};
#[cfg(feature = "lock")]
pub use local::{First, Freed, LocalHeap, Sent, Unsettled};
#[cfg(feature = "lock")]
pub use lock_api;
#[cfg(feature = "lock")]
pub use locked::LockedHeap;
#[cfg(feature = "lock")]
pub use pool::Pool;
#[cfg(feature = "lock")]
pub use pool::backed::BackedPool;
#[cfg(feature = "lock")]
pub use pool::binding::{Binding, CurrentCpu, PerCpu};
#[cfg(feature = "lock")]
pub use pool::bound::BoundPool;
#[cfg(feature = "lock")]
pub use pool::class_stats::ClassStats;
#[cfg(feature = "lock")]
pub use pool::control::granule_map_bytes;
#[cfg(feature = "lock")]
pub use pool::handle::Handle;
#[cfg(feature = "lock")]
pub use pool::interrupt_lock::{InterruptLock, Interrupts};
#[cfg(feature = "lock")]
pub use pool::least_free::LeastFree;
#[cfg(feature = "lock")]
pub use pool::once::{OncePool, PoolSource};
pub use region::{CreateError, GRANULE, MIN_REGION};
pub use stats::Stats;
pub use tlsf::regions::MAX_REGIONS;
