//! A private copy of a shared mapping, for the child of a fork.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use super::MapError;
use super::anonymous::reserve;
use super::file::BackingFile;
use super::limits::{page_size, round_up_to_page};
use crate::os_error::OsError;

/// Copies the first `used` bytes of the mapping at `start` and puts the copy in its place.
/// Answers the copy's file, `None` for anonymous memory, and how many bytes are committed.
///
/// # Safety
/// As [`Mapping::detach_from_parent`](super::Mapping::detach_from_parent).
pub(super) unsafe fn replace(
    source: &BackingFile,
    start: usize,
    capacity: usize,
    used: usize,
) -> Result<(Option<BackingFile>, usize), MapError> {
    let used = round_up_to_page(used).unwrap_or(capacity).min(capacity);
    // SAFETY: the conditions are the same.
    if let Ok(file) = unsafe { into_file(source, start, capacity, used) } {
        return Ok((Some(file), used));
    }
    // SAFETY: the conditions are the same; the first attempt changed nothing.
    unsafe { into_anonymous(source, start, capacity, used)? };
    Ok((None, capacity))
}

/// # Safety
/// As [`replace`].
unsafe fn into_file(
    source: &BackingFile,
    start: usize,
    capacity: usize,
    used: usize,
) -> Result<BackingFile, MapError> {
    const STEP: &str = "cannot fill the copy's file";
    let file = source.sibling()?;
    let failed = |error| MapError { step: STEP, error };
    file.set_len(capacity).map_err(failed)?;
    file.commit(start, 0, used).map_err(failed)?;
    let Some(descriptor) = file.descriptor() else {
        return Err(failed(OsError(libc::EBADF)));
    };
    for_each_extent(source, start, used, |offset, len| {
        write_all(descriptor, start + offset, offset, len)
    })
    .map_err(failed)?;
    // SAFETY: the copy holds all that is in use, and the caller gives the old mapping up.
    unsafe { file.map_over(start, capacity) }.map_err(failed)?;
    Ok(file)
}

/// # Safety
/// As [`replace`].
unsafe fn into_anonymous(
    source: &BackingFile,
    start: usize,
    capacity: usize,
    used: usize,
) -> Result<(), MapError> {
    let copy = reserve(capacity, libc::PROT_READ | libc::PROT_WRITE)?;
    let copied = for_each_extent(source, start, used, |offset, len| {
        // SAFETY: both ranges are mapped, as long as `used`, and apart.
        unsafe {
            let from: *const u8 = with_exposed_provenance(start + offset);
            let to: *mut u8 = with_exposed_provenance_mut(copy + offset);
            core::ptr::copy_nonoverlapping(from, to, len);
        }
        Ok(())
    });
    debug_assert!(copied.is_ok());
    // SAFETY: moves the copy over the shared mapping, which the caller gives up, in one step.
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
    Ok(())
}

/// Visits the parts of the first `used` bytes that hold data, as offset and length.
fn for_each_extent(
    source: &BackingFile,
    start: usize,
    used: usize,
    mut visit: impl FnMut(usize, usize) -> Result<(), OsError>,
) -> Result<(), OsError> {
    let Some(descriptor) = source.descriptor() else {
        return for_each_dirty_page(start, used, visit);
    };
    let mut at = 0;
    while at < used {
        // SAFETY: moves only the descriptor's position, which nobody uses.
        let data = unsafe { libc::lseek(descriptor, at as libc::off_t, libc::SEEK_DATA) };
        if data < 0 {
            return match OsError::last() {
                // No data from here on.
                OsError(libc::ENXIO) => Ok(()),
                _ => for_each_dirty_page(start + at, used - at, |offset, len| {
                    visit(at + offset, len)
                }),
            };
        }
        // SAFETY: as above.
        let hole = unsafe { libc::lseek(descriptor, data, libc::SEEK_HOLE) };
        let data = data as usize;
        let end = if hole < 0 {
            used
        } else {
            (hole as usize).min(used)
        };
        if data >= end {
            return Ok(());
        }
        visit(data, end - data)?;
        at = end;
    }
    Ok(())
}

/// The same by looking for pages that are not zero.
fn for_each_dirty_page(
    start: usize,
    used: usize,
    mut visit: impl FnMut(usize, usize) -> Result<(), OsError>,
) -> Result<(), OsError> {
    let page = page_size();
    for offset in (0..used).step_by(page) {
        // SAFETY: the page is mapped and committed, and does not change (conditions of `replace`).
        let words = unsafe {
            core::slice::from_raw_parts(
                with_exposed_provenance::<u64>(start + offset),
                page / size_of::<u64>(),
            )
        };
        if words.iter().any(|&word| word != 0) {
            visit(offset, page)?;
        }
    }
    Ok(())
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
