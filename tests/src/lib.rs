//! Whole-system tests of Allotment: real programs, C programs and misuse under
//! `LD_PRELOAD`. What the tests share:
//!
//! ```text
//! preload      runs a program on a pool, beside a run without it
//!   backing    where the pool's pages come from
//!   library    builds liballotment_malloc.so
//!   process    runs a program to its end and never waits for ever
//! c_source     compiles the C programs under c/
//! stand_in     holds a C library of ours beside the one that it stands in for
//!   differences  where they answer differently on purpose
//!   dist       the release with its libraries and headers
//! ```
//!
//! The tests themselves are in `tests/`: `programs` (real programs), `conformance`
//! (the ABI of malloc and of the library), `misuse` (what must end in an abort), `libpmem` and
//! `libpmem2` (programs on our libraries and on Debian's).

pub mod backing;
pub mod c_source;
pub mod differences;
pub mod dist;
pub mod library;
pub mod preload;
pub mod process;
pub mod stand_in;
