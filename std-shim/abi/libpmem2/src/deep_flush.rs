//! `pmem2_deep_flush`: past the platform's own write buffers.

use core::ffi::{c_int, c_void};
use core::ptr::with_exposed_provenance;

use allotment::persist;
use allotment::reservation::Granularity;
use allotment::source::{SourceKind, device_dax};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::Handle;
use crate::map::{Map, Pmem2Map};

/// Stores `size` bytes of the map at `ptr` as safely as the platform can, which is slow. `pmem2_deep_flush(3)`.
///
/// Returns 0, `PMEM2_E_DEEP_FLUSH_RANGE` if not all of them are in the map, `PMEM2_E_DAX_REGION_NOT_FOUND` for a Device
/// DAX that is not on an nvdimm, `PMEM2_E_NOSUPP` for anonymous memory, or `-errno`.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_deep_flush(
    map: *mut Pmem2Map,
    ptr: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let map = unsafe { Handle::get(map) };
    // SAFETY: the map is mapped.
    number(map.and_then(|map| unsafe { deep_flush(map, ptr.addr(), size) }))
}

/// # Safety
/// What the map says is mapped.
unsafe fn deep_flush(map: &Map, start: usize, len: usize) -> Outcome {
    let inside = start
        .checked_sub(map.start)
        .and_then(|offset| map.len.checked_sub(offset))
        .is_some_and(|rest| len <= rest);
    if !inside {
        return Err(Failure::new(
            code::DEEP_FLUSH_RANGE,
            format_args!(
                "the {len} bytes at {start:#x} are not all in the map of {} bytes at {:#x}",
                map.len, map.start
            ),
        ));
    }
    if map.kind == SourceKind::Anonymous {
        return Err(Failure::new(
            code::NOSUPP,
            "anonymous memory is not stored anywhere",
        ));
    }
    let address = with_exposed_provenance(start);
    if map.granularity != Granularity::Page {
        // SAFETY: inside the map.
        unsafe { persist::deep_flush(address, len) };
        persist::drain();
    }
    if map.kind == SourceKind::File {
        return persist::msync(address, len)
            .map_err(|error| Failure::system("cannot write the map back to its file", error));
    }
    let region = map.region.ok_or_else(|| {
        Failure::new(
            code::DAX_REGION_NOT_FOUND,
            "the device is in no nvdimm region that could be flushed",
        )
    })?;
    device_dax::deep_flush(region)
        .map(|_| ())
        .map_err(|error| Failure::system("cannot flush the device's nvdimm region", error))
}
