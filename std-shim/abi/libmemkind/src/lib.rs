//! `libmemkind.so.0`: the C library memkind, as C calls over `allotment::kind`.
//!
//! ```text
//! heap          memkind_malloc and its relatives
//! create        memkind_create_pmem, _fixed, _kind, and the end of a kind
//!   config        choices for a pmem kind
//!   environment   the variables MEMKIND_...
//! kind          struct memkind as programs know it, and the pool behind it
//!   statics       MEMKIND_DEFAULT and the others that are always there
//!     places        where the static kinds' memory is
//! inspect       capacity, availability, memkind_check_dax_path
//! statistics    memkind_get_stat, memkind_stats_print
//! code          what functions answer, and its text
//! background    memkind_set_bg_threads
//! memtier       several kinds as one
//! hbw           hbwmalloc.h: high bandwidth memory
//! ```
//!
//! The headers are `memkind.h` and those beside it, the list of symbols `libmemkind.map`.
#![cfg(target_os = "linux")]

pub mod background;
pub mod code;
pub mod config;
pub mod create;
mod environment;
pub mod hbw;
pub mod heap;
pub mod inspect;
pub mod kind;
pub mod memtier;
mod places;
pub mod statics;
pub mod statistics;
