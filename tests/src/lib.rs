//! Whole-system tests of Allotment: real programs, C programs and misuse under
//! `LD_PRELOAD`. What the tests share:
//!
//! ```text
//! preload      runs a program on a pool, beside a run without it
//!   backing    where the pool's pages come from
//!   library    builds liballotment_malloc.so
//!   process    runs a program to its end and never waits for ever
//! program      the machine's programs, and those that it does not have
//! c_source     compiles the C programs under c/
//! stand_in     holds a C library of ours beside the one that it stands in for
//!   differences  where they answer differently on purpose
//!   dist       the release with its libraries and headers
//! ```
//!
//! The tests themselves are in `tests/`: `programs` (real programs), `conformance` (the ABI of
//! malloc), `library` (what the preload library exports, says and refuses), `limits` (pools that
//! come to their end), `misuse` (what must end in an abort); `libpmem`, `libpmem2` and `libmemkind`
//! (programs on our libraries and on Debian's), `libvmem` (programs on ours alone), `libvmmalloc`
//! (real programs whose heap is a pool in a file).

pub mod backing;
pub mod c_source;
pub mod differences;
pub mod dist;
pub mod library;
pub mod preload;
pub mod process;
pub mod program;
pub mod stand_in;
