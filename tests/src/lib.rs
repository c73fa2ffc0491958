//! Whole-system tests of Allotment: real programs, C programs and misuse under
//! `LD_PRELOAD`. What the tests share:
//!
//! ```text
//! preload      runs a program on a pool, beside a run without it
//!   backing    where the pool's pages come from
//!   library    builds liballotment_malloc.so
//!   process    runs a program to its end and never waits for ever
//! c_source     compiles the C programs under c/
//! ```
//!
//! The tests themselves are in `tests/`: `programs` (real programs), `conformance`
//! (the ABI of malloc and of the library), `misuse` (what must end in an abort).

pub mod backing;
pub mod c_source;
pub mod library;
pub mod preload;
pub mod process;
