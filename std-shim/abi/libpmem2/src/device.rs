//! `pmem2_source_device_id`, `pmem2_source_device_usc`, `pmem2_source_numa_node`: the hardware behind a source.

use core::ffi::{c_char, c_int};

use allotment::source::{Source, SourceKind};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::Handle;
use crate::nvdimm::{Region, copy_string};
use crate::source::{Pmem2Source, put};

/// The unique name of the hardware behind the source, a string; where `id` is null, only how many bytes that needs.
/// `pmem2_source_device_id(3)`.
///
/// Returns 0, `PMEM2_E_NOSUPP` if the hardware has none, or is none, or `PMEM2_E_BUFFER_TOO_SMALL`; then `*id` and `*len`
/// are as they were.
///
/// # Safety
/// `src` is a source, `len` null or valid for reads and writes, `id` null or valid for writes of `*len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_device_id(
    src: *const Pmem2Source,
    id: *mut c_char,
    len: *mut usize,
) -> c_int {
    let find = || {
        // SAFETY: the caller's promise.
        let source = unsafe { Handle::get(src)? };
        let region = region(source)?;
        let found = region.modules_id().ok_or_else(|| {
            Failure::new(code::NOSUPP, "the nvdimm modules do not tell their names")
        })?;
        let needed = found.len() + 1;
        if id.is_null() {
            // SAFETY: the caller's promise.
            return unsafe { put(len, needed) };
        }
        let room = if len.is_null() {
            0
        } else {
            // SAFETY: the caller's promise.
            unsafe { len.read() }
        };
        if room < needed {
            return Err(Failure::new(
                code::BUFFER_TOO_SMALL,
                format_args!("the device's name needs {needed} bytes, there are {room}"),
            ));
        }
        // SAFETY: there is room for it.
        unsafe { copy_string(&found, id) };
        Ok(())
    };
    number(find())
}

/// How often the hardware behind the source lost power before it could save what it had.
/// `pmem2_source_device_usc(3)`.
///
/// Returns 0, or `PMEM2_E_NOSUPP` if it does not count; then `*usc` is as it was.
///
/// # Safety
/// `src` is a source, `usc` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_device_usc(src: *const Pmem2Source, usc: *mut u64) -> c_int {
    let find = || {
        // SAFETY: the caller's promise.
        let source = unsafe { Handle::get(src)? };
        let count = region(source)?.unsafe_shutdowns().ok_or_else(|| {
            Failure::new(
                code::NOSUPP,
                "the nvdimm modules do not count unsafe shutdowns",
            )
        })?;
        // SAFETY: the caller's promise.
        unsafe { put(usc, count) }
    };
    number(find())
}

fn region(source: &Source<'_>) -> Outcome<Region> {
    Region::of(source).ok_or_else(|| {
        let message = if source.kind() == SourceKind::Anonymous {
            "anonymous memory is on no device"
        } else {
            "the source is not on an nvdimm"
        };
        Failure::new(code::NOSUPP, message)
    })
}

/// The NUMA node that the source is nearest to. `pmem2_source_numa_node(3)`.
///
/// Returns 0, `PMEM2_E_NOSUPP` for anonymous memory, or `PMEM2_E_DAX_REGION_NOT_FOUND` if the source is not on an nvdimm;
/// then `*numa_node` is as it was.
///
/// # Safety
/// `src` is a source, `numa_node` null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_source_numa_node(
    src: *const Pmem2Source,
    numa_node: *mut c_int,
) -> c_int {
    let find = || {
        // SAFETY: the caller's promise.
        let source = unsafe { Handle::get(src)? };
        if source.kind() == SourceKind::Anonymous {
            return Err(Failure::new(
                code::NOSUPP,
                "anonymous memory belongs to no NUMA node",
            ));
        }
        let node = Region::of(source).and_then(|region| region.numa_node());
        let node = node.ok_or_else(|| {
            Failure::new(
                code::DAX_REGION_NOT_FOUND,
                "the source is in no nvdimm region whose NUMA node is known",
            )
        })?;
        // SAFETY: the caller's promise.
        unsafe { put(numa_node, node) }
    };
    number(find())
}
