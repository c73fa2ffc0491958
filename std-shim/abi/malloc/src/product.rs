//! What the libraries that are made of this crate differ in.
//!
//! A library names its [`Product`] by [`product!`](crate::product!). The first call may come from the dynamic
//! loader, before any code of the library has run, so the product is found by the linker.

use allotment::arena::ArenaError;
use allotment::config::Config;
use allotment::mapping::CopyPlace;

/// A library that is made of this crate.
#[derive(Debug)]
pub struct Product {
    /// Reads the environment, once. What makes no sense ends the process.
    pub configure: fn() -> Setup,
    /// Ends the process because there is no pool.
    pub refuse: fn(&Config, &ArenaError) -> !,
    /// `posix_memalign` takes every power of two, and stores null for other alignments.
    pub lax_posix_memalign: bool,
}

/// What the environment asks of this process.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The pool and the report at exit.
    pub config: Config,
    /// Whether all of the pool's space is allocated at once.
    pub commit_at_once: bool,
    /// What the child of a fork gets if the pool is in a file.
    pub fork: Fork,
    /// Whether threads allocate from local heaps, without the lock. Without them, all calls take the lock, which
    /// tells a signal handler what it has interrupted, whoever installed it.
    pub local_heaps: bool,
    /// The descriptor for the table at exit; standard error if there is none.
    pub report_to: Option<i32>,
}

impl Setup {
    /// An anonymous pool, no report.
    #[must_use]
    pub const fn new() -> Setup {
        Setup {
            config: Config::new(),
            commit_at_once: false,
            fork: Fork::Copy(CopyPlace::FileOrMemory),
            local_heaps: true,
            report_to: None,
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Setup::new()
    }
}

/// What the child of a fork gets if the pool is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The pool itself: if the child does more than `exec`, it damages the pool for both.
    Share,
    /// A copy of its own.
    Copy(CopyPlace),
}

unsafe extern "Rust" {
    /// Defined by [`product!`](crate::product!).
    #[link_name = "allotment_malloc_product"]
    safe static PRODUCT: &'static Product;
}

/// The product that this code is part of.
pub(crate) fn product() -> &'static Product {
    PRODUCT
}

/// Says which [`Product`](crate::product::Product) a library is: the path of a static.
#[macro_export]
macro_rules! product {
    ($product:path) => {
        // Not a `no_mangle` static: a shared library would export it.
        ::core::arch::global_asm!(
            ".pushsection .data.rel.ro.allotment_malloc_product,\"aw\"",
            ".hidden allotment_malloc_product",
            ".globl allotment_malloc_product",
            ".balign 8",
            "allotment_malloc_product:",
            ".quad {product}",
            ".popsection",
            product = sym $product,
        );
    };
}
