//! `pmem2_badblock_*`: what of a source the hardware has lost.

use core::ffi::{c_int, c_ulong};
use core::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use allotment::os_error::OsError;
use allotment::source::{Source, SourceKind};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::{Handle, Kind, Out, delete_at};
use crate::nvdimm::{Region, Unreadable, cut};
use crate::source::{Pmem2Source, put};

/// The bad blocks that are still to be told.
#[derive(Debug)]
pub struct Context {
    /// Offset and length in bytes, the next at the end.
    bad: Vec<(u64, u64)>,
    fd: BorrowedFd<'static>,
    kind: SourceKind,
}

/// `struct pmem2_badblock_context`.
pub type Pmem2BadblockContext = Handle<Context>;

impl Kind for Context {
    const MARK: u64 = u64::from_ne_bytes(*b"pm2-badb");
    const NAME: &'static str = "bad block context";
}

/// `struct pmem2_badblock`: a range of a source, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pmem2Badblock {
    /// From the source's start.
    pub offset: usize,
    /// How many.
    pub length: usize,
}

/// Looks for bad blocks. `pmem2_badblock_context_new(3)`.
///
/// Returns 0, `PMEM2_E_NOSUPP` for anonymous memory, `PMEM2_E_DAX_REGION_NOT_FOUND` for a Device DAX that is not on an
/// nvdimm, `PMEM2_E_CANNOT_READ_BOUNDS`, or `-errno`; then `*bbctx` is null.
///
/// # Safety
/// `bbctx` is null or valid for writes, `src` a source.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_badblock_context_new(
    bbctx: *mut *mut Pmem2BadblockContext,
    src: *const Pmem2Source,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(bbctx)? };
        // SAFETY: the caller's promise.
        let source = unsafe { Handle::get(src)? };
        let fd = source
            .fd()
            .ok_or_else(|| Failure::new(code::NOSUPP, "anonymous memory has no bad blocks"))?;
        let mut bad = bad_ranges(source, fd)?;
        bad.reverse();
        let kind = source.kind();
        out.put(Handle::create(Context { bad, fd, kind }));
        Ok(())
    };
    number(make())
}

fn bad_ranges(source: &Source<'_>, fd: BorrowedFd<'_>) -> Outcome<Vec<(u64, u64)>> {
    let region = Region::of(source);
    if source.kind() == SourceKind::DeviceDax {
        let region = region.ok_or_else(|| {
            Failure::new(
                code::DAX_REGION_NOT_FOUND,
                "the device is in no nvdimm region",
            )
        })?;
        let size = source.size()? as u64;
        return region.bad_ranges_of_device(size).map_err(|Unreadable| {
            Failure::new(
                code::CANNOT_READ_BOUNDS,
                "sysfs does not tell where the device begins: that is for root only",
            )
        });
    }
    let bad = region.map_or(Vec::new(), |region| region.bad_ranges_of_block_device());
    if bad.is_empty() {
        return Ok(bad);
    }
    let extents = extents(fd)
        .map_err(|error| Failure::system("cannot find out where the file's blocks are", error))?;
    let parts = extents.iter().flat_map(|extent| {
        let parts = cut(&bad, extent.physical, extent.len);
        parts
            .into_iter()
            .map(|(offset, len)| (extent.logical + offset, len))
    });
    Ok(parts.collect())
}

/// The next bad block. `pmem2_badblock_next(3)`.
///
/// Returns 0, or `PMEM2_E_NO_BAD_BLOCK_FOUND` if there are no more; then `*bb` is as it was.
///
/// # Safety
/// `bbctx` is a context that no other thread uses, `bb` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_badblock_next(
    bbctx: *mut Pmem2BadblockContext,
    bb: *mut Pmem2Badblock,
) -> c_int {
    let next = || {
        // SAFETY: the caller's promise.
        let context = unsafe { Handle::get_mut(bbctx)? };
        let (offset, length) = context.bad.pop().ok_or_else(|| {
            Failure::new(code::NO_BAD_BLOCK_FOUND, "there are no more bad blocks")
        })?;
        let found = Pmem2Badblock {
            offset: offset as usize,
            length: length as usize,
        };
        // SAFETY: the caller's promise.
        unsafe { put(bb, found) }
    };
    number(next())
}

/// Deletes a context, and makes `*bbctx` null. `pmem2_badblock_context_delete(3)`.
///
/// # Safety
/// `*bbctx` is null or a context that nobody uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_badblock_context_delete(bbctx: *mut *mut Pmem2BadblockContext) {
    // SAFETY: the caller's promise.
    let deleted = unsafe { delete_at(bbctx) };
    // There is no way to say so but the message.
    number(deleted);
}

/// Puts new blocks of zeros in the place of bad ones, of which the content is lost. `pmem2_badblock_clear(3)`.
///
/// Returns 0, `PMEM2_E_OFFSET_OUT_OF_RANGE`, `PMEM2_E_LENGTH_OUT_OF_RANGE`, `-errno` of `fallocate(2)`, or
/// `PMEM2_E_NOSUPP` for a Device DAX, where `ndctl clear-errors` does it.
///
/// # Safety
/// `bbctx` is a context, `bb` null or a bad block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_badblock_clear(
    bbctx: *mut Pmem2BadblockContext,
    bb: *const Pmem2Badblock,
) -> c_int {
    let clear = || {
        // SAFETY: the caller's promise.
        let context = unsafe { Handle::get(bbctx)? };
        if bb.is_null() {
            return Err(Failure::pointer("bad block"));
        }
        // SAFETY: the caller's promise.
        let Pmem2Badblock { offset, length } = unsafe { bb.read() };
        let too_large = |code, what: &str, number| {
            Failure::new(
                code,
                format_args!("the bad block's {what} {number} is more than a file can have"),
            )
        };
        let offset = libc::off_t::try_from(offset)
            .map_err(|_| too_large(code::OFFSET_OUT_OF_RANGE, "offset", offset))?;
        let length = libc::off_t::try_from(length)
            .map_err(|_| too_large(code::LENGTH_OUT_OF_RANGE, "length", length))?;
        if context.kind == SourceKind::DeviceDax {
            return Err(Failure::new(
                code::NOSUPP,
                "bad blocks of a Device DAX can be cleared with the command ndctl clear-errors",
            ));
        }
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        for mode in [keep | libc::FALLOC_FL_PUNCH_HOLE, keep] {
            // SAFETY: the kernel checks everything.
            if unsafe { libc::fallocate(context.fd.as_raw_fd(), mode, offset, length) } != 0 {
                return Err(Failure::system(
                    "cannot replace the file's blocks",
                    OsError::last(),
                ));
            }
        }
        Ok(())
    };
    number(clear())
}

/// A part of a file that lies in one piece: in bytes, in the file and on the block device.
struct Extent {
    logical: u64,
    physical: u64,
    len: u64,
}

const ROOM: usize = 64;

/// `struct fiemap_extent` of `linux/fiemap.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    len: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_too: [u32; 3],
}

/// `struct fiemap`, with room for some extents.
#[repr(C)]
struct Fiemap {
    start: u64,
    len: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    extents: [FiemapExtent; ROOM],
}

const FIEMAP_HEADER: usize = size_of::<Fiemap>() - ROOM * size_of::<FiemapExtent>();
/// `_IOWR('f', 11, struct fiemap)`.
const FS_IOC_FIEMAP: c_ulong = 0xc000_660b | (FIEMAP_HEADER as c_ulong) << 16;
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_LAST: u32 = 1;
/// The place on the device is not known, or means nothing.
const FIEMAP_EXTENT_UNKNOWN: u32 = 2;

fn extents(fd: BorrowedFd<'_>) -> Result<Vec<Extent>, OsError> {
    let mut found = Vec::new();
    let mut start = 0;
    loop {
        let empty = FiemapExtent {
            logical: 0,
            physical: 0,
            len: 0,
            reserved: [0; 2],
            flags: 0,
            reserved_too: [0; 3],
        };
        let mut map = Fiemap {
            start,
            len: u64::MAX - start,
            flags: FIEMAP_FLAG_SYNC,
            mapped: 0,
            room: ROOM as u32,
            reserved: 0,
            extents: [empty; ROOM],
        };
        // SAFETY: the structure is as the kernel wants it, with as much room as it says.
        if unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_FIEMAP as _, &raw mut map) } != 0 {
            return Err(OsError::last());
        }
        let these = &map.extents[..(map.mapped as usize).min(ROOM)];
        let Some(last) = these.last() else {
            return Ok(found);
        };
        start = last.logical + last.len;
        let is_last = last.flags & FIEMAP_EXTENT_LAST != 0;
        let known = these
            .iter()
            .filter(|extent| extent.flags & FIEMAP_EXTENT_UNKNOWN == 0);
        found.extend(known.map(|extent| Extent {
            logical: extent.logical,
            physical: extent.physical,
            len: extent.len,
        }));
        if is_last {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn extents_cover_what_is_written() {
        assert_eq!(FIEMAP_HEADER, 32);
        assert_eq!(size_of::<FiemapExtent>(), 56);
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&[1; 100_000]).unwrap();
        match extents(file.as_fd()) {
            Ok(extents) => {
                let len: u64 = extents.iter().map(|extent| extent.len).sum();
                assert!(len >= 100_000, "{len}");
                assert_eq!(extents[0].logical, 0);
            }
            // Not every file system knows.
            Err(error) => assert_eq!(error, OsError(libc::EOPNOTSUPP)),
        }
    }

    #[test]
    fn a_null_context_is_nothing_to_delete() {
        let mut context: *mut Pmem2BadblockContext = core::ptr::null_mut();
        // SAFETY: null.
        unsafe { pmem2_badblock_context_delete(&raw mut context) };
        assert!(context.is_null());
    }
}
