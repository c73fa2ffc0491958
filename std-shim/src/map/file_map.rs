//! A mapped file that unmaps itself.

use core::mem;
use core::ops::Range;
use core::ptr::{NonNull, with_exposed_provenance_mut};

use rangemap::RangeSet;

use super::{WhyNotPmem, deep_persist, unmap, why_not_pmem};
use crate::os_error::OsError;
use crate::persist;
use crate::source::page;

/// A file or a Device DAX, mapped shared for reading and writing. No descriptor is held. Dropping it
/// unmaps what is still mapped.
///
/// Its bytes are read and written by pointer: other processes may map the same file and change
/// them at any time, and if the file is made shorter, an access behind its new end is a `SIGBUS`.
///
/// Ranges are in bytes from its start.
#[derive(Debug)]
pub struct FileMap {
    start: usize,
    len: usize,
    /// The pages that are still mapped, by address.
    mapped: RangeSet<usize>,
}

impl FileMap {
    /// Takes over a mapping; `len` is not 0.
    pub(super) fn new(start: usize, len: usize) -> FileMap {
        let pages = page::round_up(len).unwrap_or(len);
        let mapped = core::iter::once(start..start + pages).collect();
        FileMap { start, len, mapped }
    }

    /// Its first byte: a multiple of 2 MiB, of 1 GiB from a length of 2 GiB on, unless another
    /// address was asked for.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        let start = with_exposed_provenance_mut(self.start);
        // SAFETY: nothing is ever mapped at null here; the mapping's address was exposed.
        unsafe { NonNull::new_unchecked(start) }
    }

    /// Its length in bytes: the file's or the part's, which need not be whole pages.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "nothing empty can be mapped")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all of it is persistent memory, so that flushing CPU caches makes stores durable.
    #[must_use]
    pub fn is_pmem(&self) -> bool {
        self.why_not_pmem().is_none()
    }

    /// Why it is no persistent memory; `None` if it is.
    #[must_use]
    pub fn why_not_pmem(&self) -> Option<WhyNotPmem> {
        why_not_pmem(self.start().as_ptr(), self.len)
    }

    /// Makes the range's bytes durable, the cheapest way that does it: flushing CPU caches where it
    /// is persistent memory, else `msync(2)`.
    ///
    /// # Errors
    /// `EINVAL` if the range is not inside the map, `ENOMEM` if a part was unmapped; as `msync(2)`.
    pub fn persist(&self, range: Range<usize>) -> Result<(), OsError> {
        let (address, len) = self.mapped_part(&range)?;
        if len == 0 || why_not_pmem(address, len).is_none() {
            // SAFETY: it is mapped.
            unsafe { persist::persist(address, len) };
            Ok(())
        } else {
            persist::msync(address, len)
        }
    }

    /// Starts flushing the range from the CPU's caches: enough to be durable after
    /// [`persist::drain`] if this is persistent memory, else nothing useful.
    ///
    /// # Errors
    /// `EINVAL` if the range is not inside the map, `ENOMEM` if a part was unmapped.
    pub fn flush(&self, range: Range<usize>) -> Result<(), OsError> {
        let (address, len) = self.mapped_part(&range)?;
        // SAFETY: it is mapped.
        unsafe { persist::flush(address, len) };
        Ok(())
    }

    /// Writes the range's pages to the file and waits (`msync(2)`).
    ///
    /// # Errors
    /// `EINVAL` if the range is not inside the map or this is a Device DAX, `ENOMEM` if a part was
    /// unmapped; as `msync(2)`.
    pub fn msync(&self, range: Range<usize>) -> Result<(), OsError> {
        let (address, len) = self.mapped_part(&range)?;
        persist::msync(address, len)
    }

    /// Makes the range's bytes durable even if the platform fails to empty its write buffers when
    /// power fails: see [`deep_drain`](super::deep_drain).
    ///
    /// # Errors
    /// `EINVAL` if the range is not inside the map, `ENOMEM` if a part was unmapped; as `msync(2)`.
    pub fn deep_persist(&self, range: Range<usize>) -> Result<(), OsError> {
        let (address, len) = self.mapped_part(&range)?;
        // SAFETY: it is mapped.
        unsafe { deep_persist(address, len) }
    }

    /// Unmaps a part: the range must begin at a page, and its end is rounded up to one. What was
    /// unmapped before may be part of it.
    ///
    /// # Errors
    /// `EINVAL` if the range is empty, not inside the map or does not begin at a page, or, on a Device DAX,
    /// is not whole units of its alignment. Nothing has changed then.
    ///
    /// # Safety
    /// Nobody uses the part any more.
    pub unsafe fn unmap_range(&mut self, range: Range<usize>) -> Result<(), OsError> {
        let (start, end) = (range.start, page::round_up(range.end));
        let end = end.filter(|_| range.end <= self.len && start < range.end);
        let (Some(end), true) = (end, page::is_aligned(start)) else {
            return Err(OsError(libc::EINVAL));
        };
        let part = self.start + start..self.start + end;
        let mapped: Vec<_> = self
            .mapped
            .overlapping(&part)
            .map(|piece| piece.start.max(part.start)..piece.end.min(part.end))
            .collect();
        // In between, somebody else may have mapped something by now.
        for piece in mapped {
            // SAFETY: it is ours, and the caller vouches that nobody uses it.
            unsafe { unmap(with_exposed_provenance_mut(piece.start), piece.len())? };
            self.mapped.remove(piece);
        }
        Ok(())
    }

    /// Gives the mapping up without unmapping it; [`unmap`] does that.
    #[must_use]
    pub fn into_raw_parts(mut self) -> (NonNull<u8>, usize) {
        drop(mem::take(&mut self.mapped));
        (self.start(), self.len)
    }

    /// The address and length of a range, all of which is mapped.
    fn mapped_part(&self, range: &Range<usize>) -> Result<(*const u8, usize), OsError> {
        if range.start > range.end || range.end > self.len {
            return Err(OsError(libc::EINVAL));
        }
        let part = self.start + range.start..self.start + range.end;
        if !part.is_empty() && self.mapped.gaps(&part).next().is_some() {
            return Err(OsError(libc::ENOMEM));
        }
        let start = self.start().as_ptr().cast_const();
        Ok((start.wrapping_add(range.start), range.len()))
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        for piece in mem::take(&mut self.mapped) {
            // SAFETY: it is ours, and whoever uses a part of it holds on to the value.
            let done = unsafe { unmap(with_exposed_provenance_mut(piece.start), piece.len()) };
            debug_assert_eq!(done, Ok(()));
        }
    }
}
