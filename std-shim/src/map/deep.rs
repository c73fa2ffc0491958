//! Deep flushing: past the write buffers of the memory's own controllers.

use super::ranges::{RANGES, Tracked};
use crate::os_error::OsError;
use crate::persist;
use crate::source::device_dax::deep_flush;

/// Makes what was flushed in a range durable even if the platform fails to empty its write buffers
/// when power fails: by the nvdimm region's `deep_flush` for a Device DAX, by `msync(2)` for
/// everything else. Memory of a Device DAX that is not on an nvdimm has nothing to flush.
///
/// # Errors
/// As `msync(2)`; `EIO` if the device fails.
pub fn deep_drain(address: *const u8, len: usize) -> Result<(), OsError> {
    let Some(end) = address.addr().checked_add(len) else {
        return persist::msync(address, len);
    };
    if len == 0 {
        return Ok(());
    }
    for (part, tracked) in RANGES.parts(address.addr()..end) {
        match tracked {
            Some(Tracked::DeviceDax(region)) => {
                persist::drain();
                if let Some(region) = region {
                    deep_flush(region)?;
                }
            }
            _ => persist::msync(address.with_addr(part.start), part.len())?,
        }
    }
    Ok(())
}

/// Flushes the CPU's caches, needed or not, and does [`deep_drain`].
///
/// # Errors
/// As for [`deep_drain`].
///
/// # Safety
/// The range is mapped.
pub unsafe fn deep_persist(address: *const u8, len: usize) -> Result<(), OsError> {
    // SAFETY: the caller's promise.
    unsafe { persist::deep_flush(address, len) };
    deep_drain(address, len)
}
