//! The allocators: how each is told to live in a region.
//!
//! Each becomes a [`Family`] whose functions find the region's heap (and, where the allocator wants that, the thread's
//! own) in static variables: what any program would do that had one region.

mod allotment;
mod loaded;
mod memkind;
mod mimalloc;
mod umf;

use std::path::{Path, PathBuf};

use crate::preload::family::Family;
use crate::preload::library::{installed, released};
use crate::preload::sources;

/// An allocator that takes a region.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The name in tables.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    library: Library,
    /// Makes a heap in `len` bytes at `start`.
    ///
    /// # Safety
    /// The region is the callee's for the rest of the process, and is aligned to its own length.
    pub open: unsafe fn(*mut u8, usize, Option<&Path>) -> Result<Family, String>,
}

#[derive(Clone, Copy, Debug)]
enum Library {
    /// In this program.
    Inside,
    /// Compiled from a crate, by this name.
    Compiled(&'static str),
    /// In the system's folders: the file, and how to get it.
    Installed(&'static str, &'static str),
    /// In the release of this workspace.
    Released(&'static str),
}

/// All of them, ours first.
pub const PEERS: [Peer; 6] = [
    Peer {
        name: "allotment",
        what: "allotment_core::Pool, a local heap for each thread",
        library: Library::Inside,
        open: allotment::open,
    },
    Peer {
        name: "mimalloc2",
        what: "mi_manage_os_memory_ex, exclusive; a heap in that arena for each thread",
        library: Library::Compiled("mimalloc2"),
        open: mimalloc::open_2,
    },
    Peer {
        name: "mimalloc3",
        what: "the same of mimalloc 3",
        library: Library::Compiled("mimalloc3"),
        open: mimalloc::open_3,
    },
    Peer {
        name: "memkind",
        what: "memkind_create_fixed",
        library: MEMKIND,
        open: memkind::open_fixed,
    },
    Peer {
        name: "umf-scalable",
        what: "the fixed memory provider of UMF under its scalable pool (tbbmalloc)",
        library: Library::Installed("libumf.so.1", umf::PACKAGE),
        open: umf::open_scalable,
    },
    Peer {
        name: "umf-disjoint",
        what: "the fixed memory provider of UMF under its disjoint pool",
        library: Library::Installed("libumf.so.1", umf::PACKAGE),
        open: umf::open_disjoint,
    },
];

const MEMKIND: Library = Library::Installed("libmemkind.so.0", "apt-get install libmemkind0");

const fn kind(
    name: &'static str,
    what: &'static str,
    library: Library,
    open: unsafe fn(*mut u8, usize, Option<&Path>) -> Result<Family, String>,
) -> Peer {
    Peer {
        name,
        what,
        library,
        open,
    }
}

/// Kinds of libmemkind, ours and the original's, through the same functions; ours first.
pub const KINDS: [Peer; 4] = [
    kind(
        "ours-pmem",
        "memkind_create_pmem in /dev/shm, of our libmemkind",
        Library::Released("libmemkind.so.0"),
        memkind::open_pmem,
    ),
    kind(
        "memkind-pmem",
        "memkind_create_pmem in /dev/shm, of libmemkind0",
        MEMKIND,
        memkind::open_pmem,
    ),
    kind(
        "ours-fixed",
        "memkind_create_fixed, of our libmemkind",
        Library::Released("libmemkind.so.0"),
        memkind::open_fixed,
    ),
    kind(
        "memkind-fixed",
        "memkind_create_fixed, of libmemkind0",
        MEMKIND,
        memkind::open_fixed,
    ),
];

impl Peer {
    /// The peer's library, if it has one.
    ///
    /// # Errors
    /// When it is missing: what to do about it.
    pub fn library(&self) -> Result<Option<PathBuf>, String> {
        match self.library {
            Library::Inside => Ok(None),
            Library::Compiled(name) => {
                let source = sources::SOURCES.iter().find(|source| source.name == name);
                let source = source.ok_or_else(|| format!("no source is called {name}"))?;
                Ok(sources::build(source)?.path)
            }
            Library::Released(file) => released(file).map(Some),
            Library::Installed(file, how) => installed(file)
                .map(Some)
                .ok_or_else(|| format!("{file} is not installed; to have it: {how}")),
        }
    }
}

/// The peer of this name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static Peer, String> {
    PEERS
        .iter()
        .chain(&KINDS)
        .find(|peer| peer.name == name)
        .ok_or_else(|| format!("no peer is called {name:?}"))
}
