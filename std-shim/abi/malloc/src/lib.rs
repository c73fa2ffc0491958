//! The malloc family over one pool, for libraries that replace malloc: `liballotment_malloc.so` and
//! `libvmmalloc.so.1`, which differ in their [`mod@product`].
//!
//! ```text
//! exports       the C functions, one family a file
//!   heap        which arena serves a call, and what happens when none can
//!     arena       a mapping, the pool in it, growth
//!     nested      small arenas for calls that interrupt another call in the same thread
//!     deferred    frees that have to wait
//!     foreign     pointers that are not ours
//! signals       handlers do not see the local heap of what they interrupt
//! runtime       the one-time set-up from the environment, and what the hot path must notice
//!   product       what the libraries differ in
//!   environment   its variables
//! fork          both processes of a fork go on allocating
//!   withheld      the child must not touch the parent's file before it has a copy
//! exit_report   the figures at exit
//! message       lines on standard error
//! ```
//!
//! Everything here runs below `malloc`: nothing may allocate from Rust's global allocator, or hold
//! one of our locks while code that might allocate runs.
#![cfg(target_os = "linux")]

mod arena;
mod deferred;
pub mod environment;
mod exit_report;
pub mod exports;
mod foreign;
mod fork;
mod heap;
mod lifecycle;
pub mod message;
mod nested;
pub mod product;
mod runtime;
mod signals;
mod withheld;
