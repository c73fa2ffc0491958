//! A pool's address range and the memory behind it.
//!
//! The whole range is mapped once, at a start that is a multiple of 2 MiB (and of a device's own alignment)
//! unless it is the caller's own, so that it never moves. How much of it can be used
//! ([`Mapping::committed`]) differs:
//!
//! * **Anonymous**: all of it; the kernel commits each page when it is first touched. Where the
//!   kernel does not overcommit, the range is reserved without access and committed step by step.
//! * **A file**: file space is allocated before it is used, step by step, so that a full disk is an
//!   error from [`Mapping::commit`] and never a `SIGBUS`.
//! * **A Device DAX**: what was asked for, step by step, though all of it is there from the first:
//!   so that the child of a fork gets a copy of no more than was used. What it held before is still in it.
//! * **The caller's own region**: all of it. It is used as it is, and never unmapped or given back.

mod anonymous;
mod descriptor;
mod device;
mod file;
mod limits;
mod snapshot;

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment_core::granule_map_bytes;
use device::BackingDevice;
use file::BackingFile;
pub use file::FileKind;
use snapshot::Shared;
pub use snapshot::{CopyPlace, Snapshot};

use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;

/// The start of every mapping made here is a multiple of this: the size of a huge page.
pub const ALIGNMENT: usize = 2 << 20;

/// What is neither created nor taken for a pool to lie in.
const NEITHER: &str = "neither a regular file nor a Device DAX";

/// What tells a pool, or nothing at all, from what somebody may miss.
const FIRST_PART: usize = 4096;

/// Whether a file or device that begins with these bytes may be taken for a pool: it is one, or it is
/// zero.
fn is_pool_or_blank(first: &[u8]) -> bool {
    const MAGIC: &[u8] = b"ALLOT";
    first.starts_with(MAGIC) || first.iter().all(|&byte| byte == 0)
}

/// So much at the start of a mapping stays in small pages when huge ones are asked for. Some pages
/// that are used in part become huge ones that are resident whole: some MiB, which is little for a
/// program with more data than this.
const WITHOUT_HUGE_PAGES: usize = 16 * ALIGNMENT;

/// Why there is no mapping: the step that failed and the system's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapError {
    /// What was attempted, such as `cannot reserve addresses`.
    pub step: &'static str,
    /// The system's answer; 0 if the step says it all.
    pub error: OsError,
}

impl MapError {
    fn last(step: &'static str) -> MapError {
        MapError {
            step,
            error: OsError::last(),
        }
    }

    fn plain(step: &'static str) -> MapError {
        MapError {
            step,
            error: OsError(0),
        }
    }

    /// Whether there is no mapping because another process has the Device DAX.
    #[must_use]
    pub fn is_device_in_use(&self) -> bool {
        self.step == device::IN_USE
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step)?;
        if self.error.0 != 0 {
            write!(f, ": {}", self.error)?;
        }
        Ok(())
    }
}

impl core::error::Error for MapError {}

/// A mapped address range. Dropping it unmaps the range and closes its file or device, unless the range
/// is the caller's own.
#[derive(Debug)]
pub struct Mapping {
    start: usize,
    capacity: usize,
    committed: AtomicUsize,
    is_zeroed: bool,
    backing: Backing,
}

// A box for the file's path would need the heap.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Backing {
    Anonymous,
    File(BackingFile),
    Device(BackingDevice),
    /// The caller's.
    Region,
}

impl Mapping {
    /// Maps anonymous, private memory that reads as zero.
    ///
    /// `size` is in bytes and rounded up to whole pages. Without a size the range is generous: at
    /// least 64 GiB on 64-bit machines, more if the machine has more memory, less if the process
    /// is limited (`RLIMIT_AS`).
    ///
    /// # Errors
    /// If the system refuses, see `mmap(2)`. An explicit size is never made smaller.
    pub fn anonymous(size: Option<usize>) -> Result<Mapping, MapError> {
        anonymous::map(size)
    }

    /// Maps an unlinked temporary file in a directory: its space returns when the last process
    /// that uses it ends. Mode 0600. `size` as for [`Mapping::anonymous`].
    ///
    /// # Errors
    /// If the file cannot be made there, see `open(2)`, or cannot be mapped.
    pub fn temporary_file(dir: &PathBuffer, size: Option<usize>) -> Result<Mapping, MapError> {
        file::map(BackingFile::temporary(dir)?, size)
    }

    /// Maps a file, which is created with mode 0600 if it is missing, and emptied; or a Device DAX
    /// (`/dev/daxX.Y`).
    ///
    /// Of a device, `size` is rounded up to its alignment, and is all of it if nothing is said.
    ///
    /// The file or device is locked (`flock(2)`) as long as it is mapped. If another process holds the
    /// lock, such as the parent that handed its environment down, a temporary file in the same
    /// directory takes a file's place. There is no room beside a device, so that is refused:
    /// [`MapError::is_device_in_use`].
    ///
    /// # Errors
    /// If it is something else, or holds something other than a pool or zeros in its first 4096 bytes
    /// (so that no one loses a file or a device's content by a slip), or cannot be made, or cannot be
    /// mapped; if a device is smaller than `size`, or than 1 MiB. What is refused stays as it was.
    pub fn file(path: &PathBuffer, size: Option<usize>) -> Result<Mapping, MapError> {
        if let Ok(status) = descriptor::status_of(path.as_c_str()) {
            match status.st_mode & libc::S_IFMT {
                libc::S_IFCHR => return device::map(path, status.st_rdev, size),
                libc::S_IFREG | libc::S_IFDIR => {}
                // Merely to be opened may mean something to it.
                _ => return Err(MapError::plain(NEITHER)),
            }
        }
        file::map(BackingFile::named(path)?, size)
    }

    /// Takes a region of the caller's, of any length and alignment and with any content, for ever. It
    /// cannot grow.
    #[must_use]
    pub fn region(region: &'static mut [MaybeUninit<u8>]) -> Mapping {
        Mapping {
            start: region.as_mut_ptr().expose_provenance(),
            capacity: region.len(),
            committed: AtomicUsize::new(region.len()),
            is_zeroed: false,
            backing: Backing::Region,
        }
    }

    /// The range's first byte.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        let start = core::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: `mmap` never answers null, and no slice begins there; the range is exposed when it
        // is made.
        unsafe { NonNull::new_unchecked(start) }
    }

    /// Bytes of the range: the most that can be committed.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes from the start that can be read and written.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.committed.load(Ordering::Acquire)
    }

    /// Whether bytes read as zero when they are committed. Nothing is known about what a device or a
    /// caller's region holds.
    #[must_use]
    pub fn is_zeroed(&self) -> bool {
        self.is_zeroed
    }

    /// Whether the address is in the range.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.capacity
    }

    /// The file or device behind the range and how it came to be there, if there is one.
    #[must_use]
    pub fn file_kind(&self) -> Option<FileKind> {
        match &self.backing {
            Backing::Anonymous | Backing::Region => None,
            Backing::File(file) => Some(file.kind()),
            Backing::Device(_) => Some(FileKind::Device),
        }
    }

    /// Whether it is anonymous memory.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.backing, Backing::Anonymous)
    }

    /// What is shared with the children of forks.
    fn shared(&self) -> Option<Shared<'_>> {
        match &self.backing {
            Backing::Anonymous | Backing::Region => None,
            Backing::File(file) => Some(Shared::File(file)),
            Backing::Device(device) => Some(Shared::Device(device)),
        }
    }

    /// Makes the first `len` bytes usable; the new ones read as zero if [`Mapping::is_zeroed`] says so.
    /// Calls must not overlap.
    ///
    /// # Errors
    /// `ENOMEM` beyond the capacity; what `mprotect(2)` or `posix_fallocate(3)` say: `ENOSPC` for a
    /// full disk. Nothing has changed then. `errno` may have.
    pub fn commit(&self, len: usize) -> Result<(), OsError> {
        let committed = self.committed();
        if len <= committed {
            return Ok(());
        }
        let len = limits::round_up_to_page(len)
            .filter(|&len| len <= self.capacity)
            .ok_or(OsError(libc::ENOMEM))?;
        match &self.backing {
            Backing::Anonymous => anonymous::commit(self.start + committed, len - committed)?,
            Backing::File(file) => file.commit(self.start, committed, len)?,
            Backing::Device(_) => {}
            // All of it is committed from the first.
            Backing::Region => return Err(OsError(libc::ENOMEM)),
        }
        self.committed.store(len, Ordering::Release);
        Ok(())
    }

    /// Gives the memory of a part back to the system; it reads as zero afterwards. Only whole pages
    /// inside the part are given back. Answers how many bytes that was; if none, nothing has changed.
    ///
    /// The space of a file stays allocated, since it is promised to be there without `SIGBUS`: the
    /// page cache gives up its copy, where the file system can do that (`fallocate(2)`,
    /// `FALLOC_FL_ZERO_RANGE`); else nothing happens. Nor is anything of a device or of a caller's
    /// region given back.
    ///
    /// # Safety
    /// Nobody uses the part's bytes during the call, or needs what is in them.
    pub unsafe fn release(&self, address: usize, len: usize) -> usize {
        let Some((first, len)) = limits::whole_pages(address, len) else {
            return 0;
        };
        if first < self.start || first + len > self.start + self.committed() {
            return 0;
        }
        let released = match &self.backing {
            Backing::Anonymous => anonymous::release(first, len),
            Backing::File(file) => file.release(first - self.start, len),
            Backing::Device(_) | Backing::Region => false,
        };
        if released { len } else { 0 }
    }

    /// Asks the kernel for transparent huge pages (`madvise(2)`, `MADV_HUGEPAGE`) in anonymous memory
    /// beyond the first 32 MiB that a pool over all of it hands out: fewer page faults and fewer
    /// misses of the processor's translation cache, for some MiB of memory more. Answers whether the
    /// kernel took the advice; it follows it as it can.
    #[must_use]
    pub fn prefer_huge_pages(&self) -> bool {
        let map = granule_map_bytes(self.capacity).next_multiple_of(ALIGNMENT);
        let without = map.saturating_add(WITHOUT_HUGE_PAGES);
        // The last block's end is written to at the beginning.
        let end = self.capacity.saturating_sub(ALIGNMENT);
        self.is_anonymous()
            && end > without
            && anonymous::prefer_huge_pages(self.start + without, end - without)
    }

    /// Keeps the children of a `fork(2)` from getting the range (`madvise(2)`, `MADV_DONTFORK`), or
    /// no longer: they find nothing at its addresses until [`Mapping::detach_from_parent`]. Answers
    /// whether that was done; for a file or device that is not at hand any more, and for what is
    /// neither, it is not.
    #[must_use]
    pub fn withhold_from_children(&self, withhold: bool) -> bool {
        let Some(shared) = self.shared() else {
            return false;
        };
        if withhold && shared.descriptor().number().is_none() {
            return false;
        }
        let advice = if withhold {
            libc::MADV_DONTFORK
        } else {
            libc::MADV_DOFORK
        };
        let start = core::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the range is ours; the advice changes nothing in this process.
        unsafe { libc::madvise(start, self.capacity, advice) == 0 }
    }

    /// In the child of a `fork(2)`: puts a copy of the first `used` bytes at the same addresses, in
    /// the place of memory that is shared with the parent, or withheld.
    ///
    /// `place` says where the copy goes. Holes of a file, and pages of zeros, are not copied. An anonymous mapping is
    /// private already, so nothing happens; nor does it to a caller's region, of which nothing is
    /// known. Does not use the heap. `errno` may change.
    ///
    /// # Errors
    /// If the copy cannot be made there; that of a device goes to memory alone, and only if `used` bytes are
    /// available (`MemAvailable`, `proc_meminfo(5)`). The range must not be used then.
    ///
    /// # Safety
    /// The caller is the only thread, no part of the range changes during the call, and its own
    /// stack is not inside the range.
    pub unsafe fn detach_from_parent(
        &mut self,
        used: usize,
        place: CopyPlace,
    ) -> Result<(), MapError> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        // SAFETY: this function's conditions are the same.
        let copy = unsafe { snapshot::replace(shared, self.start, self.capacity, used, place)? };
        self.take_over(copy);
        Ok(())
    }

    /// Before a `fork(2)`: copies the first `used` bytes, for the child to
    /// [put in their place](Mapping::put). The copy goes to [`CopyPlace::FileOrMemory`]. `None` if
    /// nothing is shared with a child. Bytes that are written meanwhile are copied in either state.
    /// Does not use the heap. `errno` may change.
    ///
    /// # Errors
    /// If neither copy can be made.
    pub fn snapshot(&self, used: usize) -> Result<Option<Snapshot>, MapError> {
        self.shared()
            .map(|shared| Snapshot::take(shared, self.start, self.capacity, used))
            .transpose()
    }

    /// In the child of a `fork(2)`: puts a snapshot of this mapping in its place.
    ///
    /// # Errors
    /// If the system refuses. The range must not be used then.
    ///
    /// # Safety
    /// The caller is the only thread, the snapshot is of this mapping, all that the caller
    /// needs of it was there when the snapshot was made, and the caller's own stack is not inside the
    /// range.
    pub unsafe fn put(&mut self, snapshot: Snapshot) -> Result<(), MapError> {
        // SAFETY: nobody needs the old mapping, of which it is a copy (condition).
        let copy = unsafe { snapshot.put(self.start)? };
        self.take_over(copy);
        Ok(())
    }

    /// The copy is in its place. What was copied need not be zero where the pool has not been yet, so
    /// what was said about that holds on.
    fn take_over(&mut self, (file, committed): (Option<BackingFile>, usize)) {
        self.backing = match file {
            Some(file) => Backing::File(file),
            None => Backing::Anonymous,
        };
        *self.committed.get_mut() = committed;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if matches!(self.backing, Backing::Region) {
            return;
        }
        // SAFETY: the range was mapped by `mmap` and is this value's own.
        unsafe {
            libc::munmap(
                core::ptr::with_exposed_provenance_mut(self.start),
                self.capacity,
            )
        };
    }
}

#[cfg(test)]
mod tests;
