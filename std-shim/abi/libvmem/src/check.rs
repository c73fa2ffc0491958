//! Checking a pool.

use core::ffi::c_int;

use allotment::os_error::KeepErrno;

use crate::create::invalid_handle;
use crate::log;
use crate::pool::{Pool, Vmem};
use crate::valgrind::Quiet;

/// `vmem_check(3)`: 1 if the pool is whole; 0 if it is damaged or overlaps another live pool, and the
/// log says what was found; -1 and `EINVAL` for what is no live pool; -1 and `EAGAIN` in a signal handler that
/// interrupted an operation with the pool's lock.
#[unsafe(no_mangle)]
pub extern "C" fn vmem_check(vmp: *mut Vmem) -> c_int {
    const FUNCTION: &str = "vmem_check";
    log::write(log::CALLS, FUNCTION, format_args!("vmp {vmp:p}"));
    let Some(pool) = Pool::find(vmp) else {
        invalid_handle(FUNCTION, vmp);
        return -1;
    };
    if pool.fails_as_interrupted(FUNCTION) {
        return -1;
    }
    let _errno = KeepErrno::new();
    let _quiet = Quiet::new();
    let overlaps = pool.shared().overlaps();
    if overlaps {
        log::write(
            log::ERROR,
            FUNCTION,
            format_args!("vmp {vmp:p} overlaps another pool"),
        );
    }
    let header = pool.header_damage();
    if let Some(address) = header {
        log::write(
            log::ERROR,
            FUNCTION,
            format_args!("vmp {vmp:p}: damage at {address:#x}: the header must be as it was made"),
        );
    }
    let damage = pool.shared().arena().pool().check().err();
    if let Some(damage) = damage {
        log::write(log::ERROR, FUNCTION, format_args!("vmp {vmp:p}: {damage}"));
    }
    c_int::from(!overlaps && header.is_none() && damage.is_none())
}
