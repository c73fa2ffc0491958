//! What the environment asks for and the CPU offers, found out once.

use std::sync::OnceLock;

use super::environment::{is, leading_number, variable};
use super::instruction::{self, FlushInstruction};
use super::{CacheFlush, auto_flush};

/// Copies of at least so many bytes go past the caches.
const STREAM_FROM: usize = 256;

/// How flushing and copying work in this process.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) instruction: FlushInstruction,
    pub(super) cache_flush: CacheFlush,
    /// Copies of at least so many bytes go past the caches; none if the CPU or the user says so.
    pub(super) stream_from: Option<usize>,
    /// Copies are the C library's own.
    pub(super) plain_copies: bool,
}

/// The settings of the process.
pub(super) fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    SETTINGS.get_or_init(Settings::find_out)
}

impl Settings {
    fn find_out() -> Settings {
        let instruction =
            instruction::detect(!is(c"PMEM_NO_CLWB", "1"), !is(c"PMEM_NO_CLFLUSHOPT", "1"));
        let cache_flush = match variable(c"PMEM_NO_FLUSH").as_deref() {
            Some("1") => CacheFlush::Unneeded,
            Some("0") => CacheFlush::Needed,
            _ if matches!(auto_flush::detect(), Ok(true)) => CacheFlush::Unneeded,
            _ => CacheFlush::Needed,
        };
        let no_stream = is(c"PMEM_NO_MOVNT", "1");
        let threshold = variable(c"PMEM_MOVNT_THRESHOLD")
            .and_then(|text| usize::try_from(leading_number(&text)).ok())
            .unwrap_or(STREAM_FROM);
        Settings {
            instruction,
            cache_flush,
            stream_from: (instruction::CAN_STREAM && !no_stream).then_some(threshold),
            plain_copies: no_stream && is(c"PMEM_NO_GENERIC_MEMCPY", "1"),
        }
    }
}
