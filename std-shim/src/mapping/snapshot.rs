//! A private copy of a shared mapping, for the child of a fork: made by the child, or by the parent
//! before it forks.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::anonymous::reserve;
use super::descriptor::Descriptor;
use super::device::BackingDevice;
use super::file::BackingFile;
use super::limits::{page_size, round_up_to_page};
use super::{ALIGNMENT, MapError};
use crate::meminfo;
use crate::os_error::OsError;

/// What is shared with children.
#[derive(Clone, Copy)]
pub(super) enum Shared<'a> {
    File(&'a BackingFile),
    Device(&'a BackingDevice),
}

impl<'a> Shared<'a> {
    pub(super) fn descriptor(self) -> &'a Descriptor {
        match self {
            Shared::File(file) => &file.descriptor,
            Shared::Device(device) => &device.descriptor,
        }
    }

    /// What addresses and lengths of mappings are multiples of.
    fn alignment(self) -> usize {
        match self {
            Shared::File(_) => page_size(),
            Shared::Device(device) => device.alignment,
        }
    }

    /// The descriptor of something whose holes are known.
    fn with_holes(self) -> Option<i32> {
        match self {
            Shared::File(file) => file.descriptor.number(),
            Shared::Device(_) => None,
        }
    }
}

/// Where the parent's bytes can be read.
struct Source<'a> {
    shared: Shared<'a>,
    start: usize,
    used: usize,
    /// The length of a mapping at `start` that was made for the copy; 0 if there is none.
    extra: usize,
}

impl Source<'_> {
    /// Maps what is the parent's at another place and reserves its own range, which is empty if it was
    /// withheld. If it is not at hand any more, the old mapping is the source.
    ///
    /// # Safety
    /// As [`replace`].
    unsafe fn open(
        shared: Shared<'_>,
        start: usize,
        capacity: usize,
        used: usize,
    ) -> Result<Source<'_>, MapError> {
        const STEP: &str = "cannot map what is the parent's";
        let failed = |error| MapError { step: STEP, error };
        if shared.descriptor().number().is_none() {
            return Ok(Source {
                shared,
                start,
                used,
                extra: 0,
            });
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: the range is the copy's; nobody uses the old mapping any more (condition).
        let reserved = unsafe {
            let place = with_exposed_provenance_mut(start);
            libc::mmap(place, capacity, libc::PROT_NONE, flags, -1, 0)
        };
        if reserved == libc::MAP_FAILED {
            return Err(MapError::last(STEP));
        }
        // A multiple of the alignment, since the capacity is one.
        let extra = used.next_multiple_of(shared.alignment());
        let alignment = shared.alignment().max(ALIGNMENT);
        let place = reserve(extra, libc::PROT_NONE, alignment)?;
        let source = Source {
            shared,
            start: place,
            used,
            extra,
        };
        // SAFETY: the place was reserved for this.
        unsafe {
            shared
                .descriptor()
                .map_over(place, extra, libc::PROT_READ)
                .map_err(failed)?;
        }
        Ok(source)
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        if self.extra > 0 {
            // SAFETY: mapped by `open` and used by nobody else.
            unsafe { libc::munmap(with_exposed_provenance_mut(self.start), self.extra) };
        }
    }
}

/// A copy of the used part of a file or device that waits to be put in the place of the mapping. Dropping it gives
/// it up.
#[derive(Debug)]
pub struct Snapshot {
    content: Content,
    capacity: usize,
    /// Bytes that are committed once it is in its place.
    committed: usize,
}

// A box for the file's path would need the heap.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Content {
    File(BackingFile),
    /// Mapped at this address, as long as the capacity; 0 once it has moved.
    Anonymous(usize),
}

/// Where the child of a fork gets its copy of the mapping of a file or device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPlace {
    /// An unlinked temporary file in the same directory. There is none for a device: it is refused.
    File,
    /// Anonymous memory.
    Memory,
    /// A file, or memory where no file can be had.
    FileOrMemory,
}

impl Snapshot {
    /// Copies the first `used` bytes of a mapping into a file of its own or, if that cannot be had, into
    /// anonymous memory.
    pub(super) fn take(
        shared: Shared<'_>,
        start: usize,
        capacity: usize,
        used: usize,
    ) -> Result<Snapshot, MapError> {
        let used = round_up_to_page(used).unwrap_or(capacity).min(capacity);
        let source = Source {
            shared,
            start,
            used,
            extra: 0,
        };
        Snapshot::of(&source, start, capacity, CopyPlace::FileOrMemory)
    }

    fn of(
        source: &Source<'_>,
        start: usize,
        capacity: usize,
        place: CopyPlace,
    ) -> Result<Snapshot, MapError> {
        let file = match place {
            CopyPlace::Memory => None,
            CopyPlace::File => Some(copy_to_file(source, start, capacity)?),
            CopyPlace::FileOrMemory => copy_to_file(source, start, capacity).ok(),
        };
        let content = match file {
            Some(file) => Content::File(file),
            None => Content::Anonymous(copy_to_memory(source, capacity)?),
        };
        Ok(Snapshot {
            content,
            capacity,
            // The pool ends where it did.
            committed: source.used,
        })
    }

    /// Puts the copy over the mapping at `start`. Answers its file, `None` for anonymous memory, and
    /// how many bytes are committed.
    ///
    /// # Safety
    /// Nobody uses the old mapping any more, and it is as long as that which was copied.
    pub(super) unsafe fn put(
        mut self,
        start: usize,
    ) -> Result<(Option<BackingFile>, usize), MapError> {
        let capacity = self.capacity;
        match core::mem::replace(&mut self.content, Content::Anonymous(0)) {
            Content::File(file) => {
                // SAFETY: the caller gives the old mapping up.
                unsafe { file.map_over(start, capacity) }.map_err(|error| MapError {
                    step: "cannot map the copy",
                    error,
                })?;
                Ok((Some(file), self.committed))
            }
            Content::Anonymous(copy) => {
                // SAFETY: moves the copy over the old mapping, which the caller gives up, in one
                // step.
                let moved = unsafe {
                    libc::mremap(
                        with_exposed_provenance_mut(copy),
                        capacity,
                        capacity,
                        libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                        with_exposed_provenance_mut::<libc::c_void>(start),
                    )
                };
                if moved == libc::MAP_FAILED {
                    return Err(MapError::last("cannot put the copy in its place"));
                }
                Ok((None, self.committed))
            }
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Content::Anonymous(copy @ 1..) = self.content {
            // SAFETY: mapped for the copy, which nobody else knows.
            unsafe { libc::munmap(with_exposed_provenance_mut(copy), self.capacity) };
        }
    }
}

/// Copies the first `used` bytes of the parent's mapping at `start` and puts the copy in its place.
/// Answers the copy's file, `None` for anonymous memory, and how many bytes are committed.
///
/// # Safety
/// As [`Mapping::detach_from_parent`](super::Mapping::detach_from_parent).
pub(super) unsafe fn replace(
    shared: Shared<'_>,
    start: usize,
    capacity: usize,
    used: usize,
    place: CopyPlace,
) -> Result<(Option<BackingFile>, usize), MapError> {
    let used = round_up_to_page(used).unwrap_or(capacity).min(capacity);
    // SAFETY: the conditions are the same.
    unsafe {
        let source = Source::open(shared, start, capacity, used)?;
        Snapshot::of(&source, start, capacity, place)?.put(start)
    }
}

fn copy_to_file(
    source: &Source<'_>,
    start: usize,
    capacity: usize,
) -> Result<BackingFile, MapError> {
    const STEP: &str = "cannot fill the copy's file";
    let file = match source.shared {
        Shared::File(file) => file.sibling()?,
        Shared::Device(_) => return Err(MapError::plain("a device has no room for a file")),
    };
    let failed = |error| MapError { step: STEP, error };
    file.set_len(capacity).map_err(failed)?;
    file.commit(start, 0, source.used).map_err(failed)?;
    let Some(descriptor) = file.descriptor() else {
        return Err(failed(OsError(libc::EBADF)));
    };
    for_each_extent(source, |offset, len| {
        write_all(descriptor, source.start + offset, offset, len)
    })
    .map_err(failed)?;
    Ok(file)
}

/// Answers the copy's address.
fn copy_to_memory(source: &Source<'_>, capacity: usize) -> Result<usize, MapError> {
    if let Shared::Device(_) = source.shared
        && let Some([available]) = meminfo::read(["MemAvailable"])
        && available < source.used
    {
        // The system would end some process before the copy is complete.
        return Err(MapError {
            step: "the copy has no room in memory",
            error: OsError(libc::ENOMEM),
        });
    }
    let copy = reserve(capacity, libc::PROT_READ | libc::PROT_WRITE, ALIGNMENT)?;
    let copied = for_each_extent(source, |offset, len| {
        // SAFETY: both ranges are mapped, as long as the used part, and apart.
        unsafe {
            let from: *const u8 = with_exposed_provenance(source.start + offset);
            let to: *mut u8 = with_exposed_provenance_mut(copy + offset);
            core::ptr::copy_nonoverlapping(from, to, len);
        }
        Ok(())
    });
    debug_assert!(copied.is_ok());
    Ok(copy)
}

/// Visits the used pages that are not zero, as offset and length of those that follow each other.
fn for_each_extent(
    source: &Source<'_>,
    mut visit: impl FnMut(usize, usize) -> Result<(), OsError>,
) -> Result<(), OsError> {
    let (start, used) = (source.start, source.used);
    let Some(descriptor) = source.shared.with_holes() else {
        return for_each_dirty_run(start, 0, used, visit);
    };
    let page = page_size();
    let mut at = 0;
    while at < used {
        // SAFETY: moves only the descriptor's position, which nobody uses.
        let data = unsafe { libc::lseek(descriptor, at as libc::off_t, libc::SEEK_DATA) };
        if data < 0 {
            return match OsError::last() {
                // No data from here on.
                OsError(libc::ENXIO) => Ok(()),
                _ => for_each_dirty_run(start, at, used, visit),
            };
        }
        // SAFETY: as above.
        let hole = unsafe { libc::lseek(descriptor, data, libc::SEEK_HOLE) };
        // A file system may count in less than pages.
        let data = data as usize & !(page - 1);
        let end = if hole < 0 {
            used
        } else {
            (hole as usize).next_multiple_of(page).min(used)
        };
        if data >= end {
            return Ok(());
        }
        // Space that is allocated and not written to may count as data.
        for_each_dirty_run(start, data, end, &mut visit)?;
        at = end;
    }
    Ok(())
}

/// The same by looking at all pages between two offsets.
fn for_each_dirty_run(
    start: usize,
    from: usize,
    to: usize,
    mut visit: impl FnMut(usize, usize) -> Result<(), OsError>,
) -> Result<(), OsError> {
    let page = page_size();
    let mut run = None;
    for offset in (from..to).step_by(page) {
        let words: *const u64 = with_exposed_provenance(start + offset);
        // SAFETY: the page is mapped and committed. It may be written to meanwhile.
        let is_dirty = |number| unsafe { words.add(number).read_volatile() != 0 };
        if (0..page / size_of::<u64>()).any(is_dirty) {
            run.get_or_insert(offset);
        } else if let Some(first) = run.take() {
            visit(first, offset - first)?;
        }
    }
    match run {
        Some(first) => visit(first, to - first),
        None => Ok(()),
    }
}

fn write_all(descriptor: i32, address: usize, offset: usize, len: usize) -> Result<(), OsError> {
    let mut done = 0;
    while done < len {
        let from = with_exposed_provenance(address + done);
        // SAFETY: the bytes are mapped and committed.
        let written =
            unsafe { libc::pwrite(descriptor, from, len - done, (offset + done) as libc::off_t) };
        match usize::try_from(written) {
            Ok(0) => return Err(OsError(libc::ENOSPC)),
            Ok(written) => done += written,
            Err(_) => match OsError::last() {
                OsError(libc::EINTR) => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}
