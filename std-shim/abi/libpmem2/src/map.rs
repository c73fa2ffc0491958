//! `pmem2_map_*`: maps of sources.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr::null_mut;

use allotment::reservation::{Granularity, ReservedMap, Retained};
use allotment::source::{Source, SourceKind};

use crate::code;
use crate::config::{self, Config, Pmem2Config};
use crate::environment;
use crate::failure::{Failure, Outcome, number};
use crate::handle::{Handle, Kind, Out};
use crate::registry;
use crate::source::Pmem2Source;
use crate::vm_reservation::InUse;

/// A map of ours, or one that the program made itself.
#[derive(Debug)]
pub struct Map {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) granularity: Granularity,
    pub(crate) kind: SourceKind,
    /// The nvdimm region of a Device DAX.
    pub(crate) region: Option<u32>,
    /// What keeps a map of ours mapped; nothing for the program's. Changed by nobody but who deletes the map.
    reserved: Option<ReservedMap>,
}

/// `struct pmem2_map`.
pub type Pmem2Map = Handle<Map>;

impl Kind for Map {
    const MARK: u64 = u64::from_ne_bytes(*b"pm2-map\0");
    const NAME: &'static str = "map";
}

impl Map {
    pub(crate) fn reserved(&self) -> Option<&ReservedMap> {
        self.reserved.as_ref()
    }
}

/// Maps a source as the configuration says. `pmem2_map_new(3)`.
///
/// Returns 0, or the first that applies of `PMEM2_E_GRANULARITY_NOT_SET`, errors of `pmem2_source_alignment` and
/// `pmem2_source_size`, `PMEM2_E_OFFSET_UNALIGNED`, `PMEM2_E_SRC_DEVDAX_PRIVATE`, `PMEM2_E_SOURCE_EMPTY`,
/// `PMEM2_E_LENGTH_UNALIGNED`, `PMEM2_E_MAP_RANGE`; with a reservation `PMEM2_E_OFFSET_UNALIGNED`,
/// `PMEM2_E_LENGTH_OUT_OF_RANGE`, `PMEM2_E_ADDRESS_UNALIGNED`, `PMEM2_E_MAPPING_EXISTS`; then `PMEM2_E_NO_ACCESS`,
/// `PMEM2_E_NOSUPP`, `-errno`; `PMEM2_E_GRANULARITY_NOT_SUPPORTED`. Then `*map_ptr` is null, and a reservation is as it
/// was.
///
/// # Safety
/// `map_ptr` is null or valid for writes, `cfg` a configuration that nobody changes meanwhile, with a reservation or
/// none, `src` a source.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_new(
    map_ptr: *mut *mut Pmem2Map,
    cfg: *const Pmem2Config,
    src: *const Pmem2Source,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(map_ptr)? };
        // SAFETY: the caller's promise.
        let (config, source) = unsafe { (Handle::get(cfg)?, Handle::get(src)?) };
        // SAFETY: the caller's promise.
        let reserved = unsafe { map(config, source)? };
        let map = Map {
            start: reserved.start().addr().get(),
            len: reserved.len(),
            granularity: reserved.granularity(),
            kind: source.kind(),
            region: region(source),
            reserved: Some(reserved),
        };
        let (start, len) = (map.start, map.len);
        let handle = Handle::create(map);
        if let Err(error) = registry::add(start, len, handle) {
            // SAFETY: nobody knows of it yet.
            drop(unsafe { Handle::delete(handle) });
            return Err(error);
        }
        out.put(handle);
        Ok(())
    };
    number(make())
}

/// # Safety
/// If the configuration has a reservation, that is not deleted meanwhile.
unsafe fn map(config: &Config, source: &Source<'static>) -> Outcome<ReservedMap> {
    if !config.granularity_is_set {
        return Err(Failure::new(
            code::GRANULARITY_NOT_SET,
            "say what granularity is required: pmem2_config_set_required_store_granularity",
        ));
    }
    let assumed = environment::forced_granularity();
    let options = config.options.clone().assume_granularity(assumed);
    let (rsv, offset) = config.reservation;
    if rsv.is_null() {
        return Ok(options.map(source)?);
    }
    // SAFETY: the condition.
    let rsv = unsafe { InUse::new(rsv)? };
    Ok(options.map_into(rsv.get()?, offset, source)?)
}

fn region(source: &Source<'_>) -> Option<u32> {
    source.device_dax()?.nvdimm_region()
}

/// Makes a map of `len` bytes at `addr` that the program mapped itself. `pmem2_map_from_existing(3)`.
///
/// Returns 0, `PMEM2_E_MAP_EXISTS` if any of these bytes are in another map, `PMEM2_E_LENGTH_OUT_OF_RANGE` beyond
/// the end of all addresses, or `PMEM2_E_GRANULARITY_NOT_SUPPORTED` for a number that is none; then `*map` is as it was.
///
/// # Safety
/// `map` is null or valid for writes, `src` a source.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_from_existing(
    map: *mut *mut Pmem2Map,
    src: *const Pmem2Source,
    addr: *mut c_void,
    len: usize,
    gran: c_uint,
) -> c_int {
    let make = || {
        // SAFETY: the caller's promise.
        let source = unsafe { Handle::get(src)? };
        let granularity = config::granularity(gran)?;
        let start = addr.expose_provenance();
        if start.checked_add(len).is_none() {
            return Err(Failure::new(
                code::LENGTH_OUT_OF_RANGE,
                format_args!("{len} bytes from {addr:p} reach beyond the end of all addresses"),
            ));
        }
        let handle = Handle::create(Map {
            start,
            len,
            granularity,
            kind: source.kind(),
            region: region(source),
            reserved: None,
        });
        let added = registry::add(start, len, handle);
        // SAFETY: the caller's promise.
        let added = added.and_then(|()| unsafe { crate::source::put(map, handle) });
        if let Err(error) = added {
            let _ = registry::remove(start, len, handle, || Ok(()));
            // SAFETY: nobody knows of it.
            drop(unsafe { Handle::delete(handle) });
            return Err(error);
        }
        Ok(())
    };
    number(make())
}

/// Unmaps a map, and makes `*map_ptr` null; in a reservation its pages are reserved again, in one step. What the
/// program mapped itself stays mapped. `pmem2_map_delete(3)`.
///
/// Returns 0, `PMEM2_E_MAPPING_NOT_FOUND` or `-errno`; then the map is as it was.
///
/// # Safety
/// `*map_ptr` is a map that nobody uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_delete(map_ptr: *mut *mut Pmem2Map) -> c_int {
    let delete = || {
        if map_ptr.is_null() {
            return Err(Failure::pointer(Map::NAME));
        }
        // SAFETY: the caller's promise.
        let handle = unsafe { map_ptr.read() };
        // SAFETY: the caller's promise.
        let &Map { start, len, .. } = unsafe { Handle::get(handle)? };
        registry::remove(start, len, handle, || {
            // SAFETY: nobody uses it (the caller's promise); searches are locked out.
            let map = unsafe { Handle::get_mut(handle)? };
            let Some(reserved) = map.reserved.take() else {
                return Ok(());
            };
            reserved.unmap().map_err(|Retained { value, error }| {
                map.reserved = Some(value);
                error.into()
            })
        })?;
        // SAFETY: nobody uses it (the caller's promise).
        unsafe {
            drop(Handle::delete(handle)?);
            map_ptr.write(null_mut());
        }
        Ok(())
    };
    number(delete())
}

/// The map's first byte; null for what is no map. `pmem2_map_get_address(3)`.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_get_address(map: *mut Pmem2Map) -> *mut c_void {
    // SAFETY: the caller's promise.
    let map = unsafe { Handle::get(map) };
    map.map_or(null_mut(), |map| {
        core::ptr::with_exposed_provenance_mut(map.start)
    })
}

/// The map's length in bytes; 0 for what is no map. `pmem2_map_get_size(3)`.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_get_size(map: *mut Pmem2Map) -> usize {
    // SAFETY: the caller's promise.
    unsafe { Handle::get(map) }.map_or(0, |map| map.len)
}

/// In what pieces stores to the map become persistent: 0 byte, 1 cache line, 2 page, which it also is for what is
/// no map. `pmem2_map_get_store_granularity(3)`.
///
/// # Safety
/// `map` is a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_map_get_store_granularity(map: *mut Pmem2Map) -> c_uint {
    // SAFETY: the caller's promise.
    match unsafe { granularity(map) } {
        Granularity::Byte => 0,
        Granularity::CacheLine => 1,
        Granularity::Page => 2,
    }
}

/// The map's granularity; the safest one for what is no map.
///
/// # Safety
/// `map` is null or something readable.
pub(crate) unsafe fn granularity(map: *const Pmem2Map) -> Granularity {
    // SAFETY: the condition.
    unsafe { Handle::get(map) }.map_or(Granularity::Page, |map| map.granularity)
}
