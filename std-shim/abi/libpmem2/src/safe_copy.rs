//! `pmem2_source_pread_mcsafe` and `pmem2_source_pwrite_mcsafe`: bytes of a source, where a bad block is an error
//! and not a `SIGBUS`.
//!
//! A file is read and written with `pread(2)` and `pwrite(2)`, which report a bad block (`EIO`). A Device DAX
//! cannot be read so: it is mapped, and the kernel copies between the map and a pipe, which reports what cannot
//! be touched (`EFAULT`). So no signal handler is needed, which would be the whole process's.

use core::ffi::{c_int, c_void};
use core::ptr::with_exposed_provenance_mut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use allotment::os_error::OsError;
use allotment::reservation::MapOptions;
use allotment::source::{Source, SourceKind};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::Handle;
use crate::source::Pmem2Source;

/// What is to be done with the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Reads `size` bytes of the source at `offset`. `pmem2_source_pread_mcsafe(3)`.
///
/// Returns 0, `PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED` for anonymous memory, `PMEM2_E_LENGTH_OUT_OF_RANGE` beyond the source's
/// end, `PMEM2_E_IO_FAIL` if a block is bad, or `-errno`.
///
/// # Safety
/// `src` is a source, `buf` valid for writes of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_pread_mcsafe(
    src: *mut Pmem2Source,
    buf: *mut c_void,
    size: usize,
    offset: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let source = unsafe { Handle::get(src) };
    // SAFETY: the caller's promise.
    number(source.and_then(|source| unsafe { copy(source, buf, size, offset, Direction::Read) }))
}

/// Writes `size` bytes to the source at `offset`. `pmem2_source_pwrite_mcsafe(3)`.
///
/// Returns 0, `PMEM2_E_SOURCE_TYPE_NOT_SUPPORTED` for anonymous memory, `PMEM2_E_LENGTH_OUT_OF_RANGE` beyond the source's
/// end, `PMEM2_E_IO_FAIL` if a block is bad, or `-errno`.
///
/// # Safety
/// `src` is a source, `buf` valid for reads of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_pwrite_mcsafe(
    src: *mut Pmem2Source,
    buf: *mut c_void,
    size: usize,
    offset: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let source = unsafe { Handle::get(src) };
    // SAFETY: the caller's promise.
    number(source.and_then(|source| unsafe { copy(source, buf, size, offset, Direction::Write) }))
}

/// # Safety
/// The buffer is valid for the direction and the size.
unsafe fn copy(
    source: &Source<'_>,
    buffer: *mut c_void,
    size: usize,
    offset: usize,
    direction: Direction,
) -> Outcome {
    if source.kind() == SourceKind::Anonymous {
        return Err(Failure::new(
            code::SOURCE_TYPE_NOT_SUPPORTED,
            "anonymous memory cannot be read or written this way: map it",
        ));
    }
    let source_size = source.size()?;
    let end = offset.checked_add(size);
    if end.is_none_or(|end| end > source_size) {
        return Err(Failure::new(
            code::LENGTH_OUT_OF_RANGE,
            format_args!(
                "{size} bytes at the offset {offset} reach beyond the end of the {source_size} bytes"
            ),
        ));
    }
    // SAFETY: the condition.
    unsafe {
        match source.kind() {
            SourceKind::File => copy_file(source, buffer, size, offset, direction),
            _ if size == 0 => Ok(()),
            _ => copy_device(source, buffer, size, offset, direction),
        }
    }
}

fn refused(error: OsError) -> Failure {
    match error {
        OsError(libc::EIO | libc::EFAULT) => {
            Failure::new(code::IO_FAIL, format_args!("a block may be bad: {error}"))
        }
        error => Failure::system("cannot read or write the source", error),
    }
}

/// # Safety
/// As [`copy`].
unsafe fn copy_file(
    source: &Source<'_>,
    buffer: *mut c_void,
    size: usize,
    offset: usize,
    direction: Direction,
) -> Outcome {
    let fd = source.fd().map_or(-1, |fd| fd.as_raw_fd());
    let mut done = 0;
    while done < size {
        let at =
            libc::off_t::try_from(offset + done).map_err(|_| refused(OsError(libc::EINVAL)))?;
        // SAFETY: the rest of the buffer is valid (condition).
        let moved = unsafe {
            let place = buffer.byte_add(done);
            match direction {
                Direction::Read => libc::pread(fd, place, size - done, at),
                Direction::Write => libc::pwrite(fd, place, size - done, at),
            }
        };
        match moved {
            // Somebody cut the file off meanwhile.
            0 => return Err(refused(OsError(libc::EIO))),
            moved if moved > 0 => done += moved as usize,
            _ => match OsError::last() {
                OsError(libc::EINTR) => {}
                error => return Err(refused(error)),
            },
        }
    }
    Ok(())
}

/// # Safety
/// As [`copy`].
unsafe fn copy_device(
    source: &Source<'_>,
    buffer: *mut c_void,
    size: usize,
    offset: usize,
    direction: Direction,
) -> Outcome {
    /// What any pipe takes at once.
    const PIECE: usize = 4096;
    let alignment = source.alignment()?;
    let first = offset - offset % alignment;
    let len = (offset + size - first).next_multiple_of(alignment);
    let map = MapOptions::new()
        .offset(first)
        .len(len)
        .write(direction == Direction::Write)
        .map(source)?;
    let device = map.start().as_ptr().addr() + (offset - first);
    let (reader, writer) = pipe().map_err(refused)?;
    for done in (0..size).step_by(PIECE) {
        let len = PIECE.min(size - done);
        let device = with_exposed_provenance_mut::<c_void>(device + done);
        // SAFETY: inside the buffer (condition).
        let memory = unsafe { buffer.byte_add(done) };
        let (from, to) = match direction {
            Direction::Read => (device, memory),
            Direction::Write => (memory, device),
        };
        // SAFETY: both are mapped; the kernel checks them, too. An empty pipe takes a piece whole.
        let moved = unsafe {
            let written = libc::write(writer.as_raw_fd(), from, len);
            let left = usize::try_from(written).map_err(|_| refused(OsError::last()))?;
            if left < len {
                return Err(refused(OsError(libc::EFAULT)));
            }
            libc::read(reader.as_raw_fd(), to, len)
        };
        match usize::try_from(moved) {
            Ok(moved) if moved == len => {}
            Ok(_) => return Err(refused(OsError(libc::EFAULT))),
            Err(_) => return Err(refused(OsError::last())),
        }
    }
    if direction == Direction::Write {
        // SAFETY: just written, and mapped.
        unsafe { allotment::persist::deep_flush(with_exposed_provenance_mut(device), size) };
        allotment::persist::drain();
    }
    Ok(())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), OsError> {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(OsError::last());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}
