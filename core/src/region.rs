//! Addresses: what part of a caller's byte range can be used, and words at offsets inside it.
//!
//! This is the lowest layer. Everything above names places by their offset from one address, the
//! *origin*, so that the bytes of a region mean the same wherever the region is mapped.

use core::fmt;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use static_assertions::const_assert;

/// Bytes in a machine word.
pub(crate) const WORD: usize = size_of::<usize>();

/// Every payload address and every block size is a multiple of this: 16 bytes on 64-bit targets,
/// 8 on 32-bit ones.
pub const GRANULE: usize = 2 * WORD;

const_assert!(GRANULE.is_power_of_two());

/// The shortest byte range that a [`Heap`](crate::Heap) can be created in, whatever its alignment.
pub const MIN_REGION: usize = 1024;

/// A byte range with its edges cut to granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Address of the first usable byte, a multiple of [`GRANULE`].
    pub(crate) start: usize,
    /// Usable bytes, a multiple of [`GRANULE`].
    pub(crate) len: usize,
    /// Bytes that were cut off behind the usable part.
    pub(crate) tail: usize,
}

impl Region {
    /// Trims the range `[start, start + len)`. `None` if nothing is left, or the range wraps round
    /// the address space, or is longer than half of it (offsets are compared as signed distances).
    pub(crate) fn trim(start: usize, len: usize) -> Option<Region> {
        let raw_end = start.checked_add(len)?;
        if len > isize::MAX as usize {
            return None;
        }
        let first = start.checked_next_multiple_of(GRANULE)?;
        let end = raw_end & !(GRANULE - 1);
        if first >= end {
            return None;
        }
        Some(Region {
            start: first,
            len: end - first,
            tail: raw_end - end,
        })
    }
}

/// Why a region was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateError {
    /// The start address is null.
    Null,
    /// The range wraps round the address space or is longer than `isize::MAX` bytes.
    OutOfRange,
    /// After trimming, the header and one block do not fit. A region of [`MIN_REGION`] bytes
    /// always suffices for a [`Heap`](crate::Heap).
    TooSmall {
        /// Bytes that were given.
        given: usize,
    },
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CreateError::Null => f.write_str("the region's address is null"),
            CreateError::OutOfRange => f.write_str(
                "the region wraps round the address space or is longer than isize::MAX bytes",
            ),
            CreateError::TooSmall { given } => {
                write!(
                    f,
                    "a region of {given} bytes is too small: give at least {MIN_REGION}"
                )
            }
        }
    }
}

impl core::error::Error for CreateError {}

/// The words of all regions of one heap, addressed by byte offset from the origin.
///
/// A heap may own several regions at any distance from one another, so one base pointer cannot
/// reach them all: the regions' provenance is exposed when they are handed over, and taken up
/// again here.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    origin: usize,
}

impl Memory {
    pub(crate) fn new(origin: usize) -> Memory {
        Memory { origin }
    }

    /// Offset of an address.
    #[inline(always)]
    pub(crate) fn offset_of(self, address: usize) -> usize {
        address.wrapping_sub(self.origin)
    }

    /// Address of an offset.
    #[inline(always)]
    pub(crate) fn address_of(self, offset: usize) -> usize {
        self.origin.wrapping_add(offset)
    }

    /// Pointer to an offset.
    #[inline(always)]
    pub(crate) fn pointer(self, offset: usize) -> *mut u8 {
        with_exposed_provenance_mut(self.address_of(offset))
    }

    /// Reads the word at an offset; it need not be aligned.
    ///
    /// # Safety
    /// The word's bytes lie in a region of this heap or in its header.
    #[inline(always)]
    pub(crate) unsafe fn read_any(self, offset: usize) -> usize {
        let word: *const usize = with_exposed_provenance(self.address_of(offset));
        // SAFETY: the bytes belong to an exposed region (this function's condition).
        unsafe { word.read_unaligned() }
    }

    /// Reads the word at an offset.
    ///
    /// # Safety
    /// The word is aligned and lies in a region of this heap or in its header.
    #[inline(always)]
    pub(crate) unsafe fn read(self, offset: usize) -> usize {
        let word: *const usize = with_exposed_provenance(self.address_of(offset));
        // SAFETY: an aligned word of an exposed region (this function's condition).
        unsafe { word.read() }
    }

    /// Writes the word at an offset.
    ///
    /// # Safety
    /// The word is aligned, lies in a region of this heap or in its header, and belongs to the
    /// allocator: it is part of a header, of a free block, or of a block that is being changed.
    #[inline(always)]
    pub(crate) unsafe fn write(self, offset: usize, value: usize) {
        let word: *mut usize = with_exposed_provenance_mut(self.address_of(offset));
        // SAFETY: an aligned word of an exposed region that no reference of a user covers (this
        // function's condition).
        unsafe { word.write(value) }
    }
}

/// The same for words at a fixed distance from an offset: the footer before a block's end, and for the fast paths a free
/// block's second link. (Where the distance is part of the offset, the compiler adds it to
/// the origin first, and keeps the sum in a register of its own.)
impl Memory {
    #[inline(always)]
    fn foot(self, end: usize) -> *mut usize {
        self.pointer(end).cast::<usize>().wrapping_sub(2)
    }

    /// Reads the footer of the block that ends at an offset. See [`Memory::read_any`].
    ///
    /// # Safety
    /// As for [`Memory::read_any`].
    #[inline(always)]
    pub(crate) unsafe fn read_any_foot(self, end: usize) -> usize {
        // SAFETY: the bytes belong to an exposed region (this function's condition).
        unsafe { self.foot(end).read_unaligned() }
    }

    /// Writes the footer of the block that ends at an offset. See [`Memory::write`].
    ///
    /// # Safety
    /// As for [`Memory::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_foot(self, end: usize, value: usize) {
        // SAFETY: an aligned word of an exposed region that no reference of a user covers (this
        // function's condition).
        unsafe { self.foot(end).write(value) }
    }
}

/// See above.
#[cfg(feature = "fast")]
impl Memory {
    #[inline(always)]
    fn second(self, offset: usize) -> *mut usize {
        self.pointer(offset).cast::<usize>().wrapping_add(1)
    }

    /// See [`Memory::read_any`].
    ///
    /// # Safety
    /// As for [`Memory::read_any`].
    #[inline(always)]
    pub(crate) unsafe fn read_any_second(self, offset: usize) -> usize {
        // SAFETY: the bytes belong to an exposed region (this function's condition).
        unsafe { self.second(offset).read_unaligned() }
    }

    /// See [`Memory::read`].
    ///
    /// # Safety
    /// As for [`Memory::read`].
    #[inline(always)]
    pub(crate) unsafe fn read_second(self, offset: usize) -> usize {
        // SAFETY: an aligned word of an exposed region (this function's condition).
        unsafe { self.second(offset).read() }
    }

    /// See [`Memory::write`].
    ///
    /// # Safety
    /// As for [`Memory::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_second(self, offset: usize, value: usize) {
        // SAFETY: an aligned word of an exposed region that no reference of a user covers (this
        // function's condition).
        unsafe { self.second(offset).write(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_both_edges() {
        let r = Region::trim(0x1001, 100).unwrap();
        assert_eq!(r.start % GRANULE, 0);
        assert_eq!(r.len % GRANULE, 0);
        assert_eq!(r.start + r.len + r.tail, 0x1001 + 100);
        assert!(r.start >= 0x1001);
    }

    #[test]
    fn refuses_ranges_that_wrap_or_vanish() {
        assert_eq!(Region::trim(usize::MAX - 10, 100), None);
        assert_eq!(Region::trim(16, usize::MAX - 16), None);
        assert_eq!(Region::trim(GRANULE + 1, GRANULE), None);
        assert_eq!(Region::trim(GRANULE, 0), None);
    }
}
