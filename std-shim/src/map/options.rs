//! How a file is mapped.

use std::path::Path;

use super::request::Request;
use super::{FileMap, Flags, MapFileError};

/// How a file or a Device DAX is mapped, step by step like `std::fs::OpenOptions`.
///
/// ```
/// use allotment::map::MapOptions;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("pool");
/// let map = MapOptions::new().create(8 << 20).sparse(true).open(&path)?;
/// // SAFETY: the map is longer, and nobody else knows of the file.
/// unsafe { map.start().cast::<u64>().write(7) };
/// map.persist(0..8)?;
/// if let Some(reason) = map.why_not_pmem() {
///     println!("durable by msync: {reason}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "only `open` maps anything"]
pub struct MapOptions(Request);

impl Default for MapOptions {
    fn default() -> Self {
        MapOptions::new()
    }
}

impl MapOptions {
    /// Maps an existing file or Device DAX, all of it.
    pub const fn new() -> MapOptions {
        MapOptions(Request {
            len: 0,
            flags: Flags::NONE,
            mode: 0o666,
            truncate: false,
            offset: 0,
            part: None,
            address: None,
        })
    }

    /// Creates the file if it is missing, and makes it `len` bytes long, of which space is allocated for
    /// all. A file that is longer is an error: see [`MapOptions::truncate`]. For a Device DAX `len` must be its size.
    pub const fn create(mut self, len: usize) -> MapOptions {
        self.0.len = len;
        self.set(Flags::CREATE, true)
    }

    /// Allows [`MapOptions::create`] to make a file shorter.
    pub const fn truncate(mut self, truncate: bool) -> MapOptions {
        self.0.truncate = truncate;
        self
    }

    /// The file must not exist yet; it is removed again if mapping it fails.
    pub const fn exclusive(self, exclusive: bool) -> MapOptions {
        self.set(Flags::EXCLUSIVE, exclusive)
    }

    /// Allocates no space for a created file. If the disk is full later, a store is a `SIGBUS`.
    pub const fn sparse(self, sparse: bool) -> MapOptions {
        self.set(Flags::SPARSE, sparse)
    }

    /// Creates a file without a name, mode 0600, in the directory that the path names.
    pub const fn temporary(self, temporary: bool) -> MapOptions {
        self.set(Flags::TEMPORARY, temporary)
    }

    /// The permissions of a created file, less the process's umask; 0666 unless set.
    pub const fn mode(mut self, mode: u32) -> MapOptions {
        self.0.mode = mode;
        self
    }

    /// Where in the file the mapping begins, in bytes: a multiple of the page size, or of the alignment of a
    /// Device DAX.
    pub const fn offset(mut self, offset: usize) -> MapOptions {
        self.0.offset = offset;
        self
    }

    /// How many bytes are mapped; all from the offset to the end of the file unless set. On a Device
    /// DAX a multiple of its alignment.
    pub const fn part(mut self, len: usize) -> MapOptions {
        self.0.part = Some(len);
        self
    }

    /// The address to map at, exactly, such as the one that the file had before a restart. A multiple of
    /// the page size, or of the alignment of a Device DAX. It is an error if anything is mapped there.
    pub const fn address(mut self, address: usize) -> MapOptions {
        self.0.address = Some(address);
        self
    }

    /// Maps the file, shared, for reading and writing. Its descriptor is closed again.
    ///
    /// # Errors
    /// If the options contradict each other or the file, or the system refuses: `access(2)`,
    /// `open(2)`, `ftruncate(2)`, `posix_fallocate(3)`, `mmap(2)`. A file that was created by
    /// [`MapOptions::exclusive`] is removed then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileMap, MapFileError> {
        self.0.map(path.as_ref())
    }

    const fn set(mut self, flag: Flags, on: bool) -> MapOptions {
        let bits = self.0.flags.bits();
        self.0.flags = Flags::from_bits(if on {
            bits | flag.bits()
        } else {
            bits & !flag.bits()
        });
        self
    }
}

/// Maps a file as `pmem_map_file(3)` does, with its arguments, order of checks and error numbers:
/// [`Flags::CREATE`] makes an existing file longer or shorter. In Rust, [`MapOptions`] is safer.
///
/// # Errors
/// As for [`MapOptions::open`].
pub fn map_file(path: &Path, len: usize, flags: Flags, mode: u32) -> Result<FileMap, MapFileError> {
    Request {
        len,
        flags,
        mode,
        truncate: true,
        offset: 0,
        part: None,
        address: None,
    }
    .map(path)
}
