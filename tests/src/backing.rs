//! Where the pages of a preloaded pool come from.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use tempfile::TempDir;

/// The backings that every program is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Lazily committed anonymous memory, the library's default.
    Anonymous,
    /// An unlinked file in a temporary directory.
    File,
    /// An unlinked file in `/dev/shm`.
    SharedMemory,
}

impl Backing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Anonymous, Self::File, Self::SharedMemory];

    /// A place for one run, with a directory of its own where the backing needs one.
    ///
    /// # Panics
    ///
    /// When the directory cannot be made.
    #[must_use]
    pub fn place(self) -> Place {
        let directory = match self {
            Self::Anonymous => None,
            Self::File => Some(tempfile::tempdir()),
            Self::SharedMemory => Some(tempfile::tempdir_in("/dev/shm")),
        };
        let directory =
            directory.map(|made| made.unwrap_or_else(|e| panic!("no directory for {self}: {e}")));
        Place { directory }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous memory",
            Self::File => "a file in a temporary directory",
            Self::SharedMemory => "a file in /dev/shm",
        })
    }
}

/// Where the pools of one run live. The directory goes when this is dropped.
#[derive(Debug)]
pub struct Place {
    directory: Option<TempDir>,
}

impl Place {
    /// The environment that tells the library to use this place.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, OsString)> + '_ {
        self.directory
            .iter()
            .map(|directory| ("ALLOT_DIR", directory.path().as_os_str().to_owned()))
    }

    /// The names of the files that are left: none, when the pools' files are unlinked.
    ///
    /// # Panics
    ///
    /// When the directory cannot be read.
    #[must_use]
    pub fn left_over(&self) -> Vec<OsString> {
        self.directory
            .as_ref()
            .map_or_else(Vec::new, |directory| names_in(directory.path()))
    }
}

fn names_in(directory: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("cannot read {}: {e}", directory.display()));
    entries
        .map(|entry| entry.expect("a directory entry").file_name())
        .collect()
}
