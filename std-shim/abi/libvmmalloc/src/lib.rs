//! `libvmmalloc.so.1`: a program's heap in a pool in a file. Its functions are those of
//! [`allotment_malloc_family`]; here is what sets it apart.
//!
//! ```text
//! setup     VMMALLOC_POOL_DIR, VMMALLOC_POOL_SIZE, VMMALLOC_FORK, VMMALLOC_SIGNALS, and the refusal to start
//!   log       VMMALLOC_LOG_LEVEL, VMMALLOC_LOG_FILE
//! hooks     what old versions of the C library looked for
//! ```
//!
//! The header is `libvmmalloc.h`, the list of symbols `libvmmalloc.map`.
#![cfg(target_os = "linux")]

pub mod hooks;
mod log;
mod setup;

pub use allotment_malloc_family::exports;
use allotment_malloc_family::product;
use allotment_malloc_family::product::Product;

product!(PRODUCT);

static PRODUCT: Product = Product {
    configure: setup::configure,
    refuse: setup::refuse,
    lax_posix_memalign: true,
};
