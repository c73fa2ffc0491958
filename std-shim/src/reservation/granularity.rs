//! In what pieces stores become persistent.

use core::fmt;
use std::sync::OnceLock;

use crate::persist::auto_flush;
use crate::source::{Source, SourceKind};

/// In what pieces stores to a map become persistent (`libpmem2(7)`). The order is from the finest to the
/// coarsest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// A store is persistent when it is visible: nothing needs to be flushed. Memory that nobody else
    /// ever sees is of this kind, too.
    Byte,
    /// The CPU's cache lines have to be flushed.
    CacheLine,
    /// Pages have to be written back with `msync(2)`.
    Page,
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Granularity::Byte => "byte",
            Granularity::CacheLine => "cache line",
            Granularity::Page => "page",
        })
    }
}

/// What a source's shared map has; `synced` if it is made with `MAP_SYNC`.
pub(super) fn of_shared(source: &Source<'_>, synced: bool) -> Granularity {
    match source.kind() {
        SourceKind::Anonymous => Granularity::Byte,
        SourceKind::File if !synced => Granularity::Page,
        // A Device DAX has no page cache, whether or not it was asked for MAP_SYNC.
        SourceKind::File | SourceKind::DeviceDax => of_cpu(),
    }
}

/// What persistent memory has that this CPU's stores go to directly.
fn of_cpu() -> Granularity {
    static AUTO_FLUSH: OnceLock<bool> = OnceLock::new();
    match AUTO_FLUSH.get_or_init(|| auto_flush::detect().unwrap_or(false)) {
        true => Granularity::Byte,
        false => Granularity::CacheLine,
    }
}
