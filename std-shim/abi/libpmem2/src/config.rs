//! `pmem2_config_*`: how a map is to be made.

use core::ffi::{c_int, c_uint};

use allotment::reservation::{Granularity, MapOptions, Sharing};

use crate::code;
use crate::failure::{Failure, Outcome, number};
use crate::handle::{Handle, Kind, Out, delete_at};
use crate::vm_reservation::Pmem2VmReservation;

const PROT_EXEC: c_uint = 1 << 29;
const PROT_READ: c_uint = 1 << 30;
const PROT_WRITE: c_uint = 1 << 31;

/// What a configuration holds.
#[derive(Debug)]
pub struct Config {
    pub(crate) options: MapOptions,
    pub(crate) granularity_is_set: bool,
    /// Null for none; and where in it.
    pub(crate) reservation: (*mut Pmem2VmReservation, usize),
}

/// `struct pmem2_config`.
pub type Pmem2Config = Handle<Config>;

impl Kind for Config {
    const MARK: u64 = u64::from_ne_bytes(*b"pm2-conf");
    const NAME: &'static str = "configuration";
}

/// Makes a configuration: all of the source, shared, to be read and written, granularity not set yet.
/// `pmem2_config_new(3)`.
///
/// Returns 0.
///
/// # Safety
/// `cfg` is null or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_new(cfg: *mut *mut Pmem2Config) -> c_int {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::new(cfg) };
    number(out.map(|out| {
        out.put(Handle::create(Config {
            options: MapOptions::new(),
            granularity_is_set: false,
            reservation: (core::ptr::null_mut(), 0),
        }));
    }))
}

/// Deletes a configuration, and makes `*cfg` null. `pmem2_config_delete(3)`.
///
/// Returns 0.
///
/// # Safety
/// `*cfg` is null or a configuration that nobody uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_delete(cfg: *mut *mut Pmem2Config) -> c_int {
    // SAFETY: the caller's promise.
    number(unsafe { delete_at(cfg) })
}

/// Changes a configuration.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
unsafe fn change(
    cfg: *mut Pmem2Config,
    change: impl FnOnce(MapOptions) -> Outcome<MapOptions>,
) -> c_int {
    // SAFETY: the caller's promise.
    let config = unsafe { Handle::get_mut(cfg) };
    number(config.and_then(|config| {
        config.options = change(config.options.clone())?;
        Ok(())
    }))
}

/// In what pieces stores have to become persistent at the coarsest: 0 byte, 1 cache line, 2 page.
/// `pmem2_config_set_required_store_granularity(3)`.
///
/// Returns 0 or `PMEM2_E_GRANULARITY_NOT_SUPPORTED`.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_required_store_granularity(
    cfg: *mut Pmem2Config,
    g: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let config = unsafe { Handle::get_mut(cfg) };
    number(config.and_then(|config| {
        config.options = config.options.clone().granularity(granularity(g)?);
        config.granularity_is_set = true;
        Ok(())
    }))
}

/// The granularity that a number stands for.
pub(crate) fn granularity(number: c_uint) -> Outcome<Granularity> {
    match number {
        0 => Ok(Granularity::Byte),
        1 => Ok(Granularity::CacheLine),
        2 => Ok(Granularity::Page),
        _ => Err(Failure::new(
            code::GRANULARITY_NOT_SUPPORTED,
            format_args!("there is no granularity {number}"),
        )),
    }
}

/// Where in the source the map begins, in bytes. `pmem2_config_set_offset(3)`.
///
/// Returns 0 or `PMEM2_E_OFFSET_OUT_OF_RANGE`.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_offset(cfg: *mut Pmem2Config, offset: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        change(cfg, |options| {
            if i64::try_from(offset).is_err() {
                return Err(Failure::new(
                    code::OFFSET_OUT_OF_RANGE,
                    format_args!("the offset {offset} is more than a file can have"),
                ));
            }
            Ok(options.offset(offset))
        })
    }
}

/// How long the map is, in bytes; 0: to the end of the source. `pmem2_config_set_length(3)`.
///
/// Returns 0.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_length(cfg: *mut Pmem2Config, length: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { change(cfg, |options| Ok(options.len(length))) }
}

/// Who sees what is written: 0 everybody, 1 only this process. `pmem2_config_set_sharing(3)`.
///
/// Returns 0 or `PMEM2_E_INVALID_SHARING_VALUE`.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_sharing(cfg: *mut Pmem2Config, sharing: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        change(cfg, |options| match sharing {
            0 => Ok(options.sharing(Sharing::Shared)),
            1 => Ok(options.sharing(Sharing::Private)),
            _ => Err(Failure::new(
                code::INVALID_SHARING_VALUE,
                format_args!("there is no sharing {sharing}"),
            )),
        })
    }
}

/// What the map allows: `PMEM2_PROT_READ`, `PMEM2_PROT_WRITE`, `PMEM2_PROT_EXEC`, or'ed, or none.
/// `pmem2_config_set_protection(3)`.
///
/// Returns 0 or `PMEM2_E_INVALID_PROT_FLAG`.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_protection(cfg: *mut Pmem2Config, prot: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        change(cfg, |options| {
            let unknown = prot & !(PROT_READ | PROT_WRITE | PROT_EXEC);
            if unknown != 0 {
                return Err(Failure::new(
                    code::INVALID_PROT_FLAG,
                    format_args!("there are no protection flags {unknown:#x}"),
                ));
            }
            Ok(options
                .read(prot & PROT_READ != 0)
                .write(prot & PROT_WRITE != 0)
                .execute(prot & PROT_EXEC != 0))
        })
    }
}

/// Where in which reservation the map is to be; null: in none. The pair is checked when the map is made.
/// `pmem2_config_set_vm_reservation(3)`.
///
/// Returns 0.
///
/// # Safety
/// `cfg` is a configuration that no other thread uses; `rsv` is null, or a reservation for as long as maps are made
/// with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem2_config_set_vm_reservation(
    cfg: *mut Pmem2Config,
    rsv: *mut Pmem2VmReservation,
    offset: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let config = unsafe { Handle::get_mut(cfg) };
    number(config.map(|config| config.reservation = (rsv, offset)))
}
