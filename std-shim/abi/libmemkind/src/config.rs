//! Choices for a pmem kind.

use core::ffi::{c_char, c_int};
use core::ptr::{null, null_mut};

/// `struct memkind_config`. Programs see only its address, and the fields by these functions.
#[derive(Debug)]
#[repr(C)]
pub struct Config {
    pub(crate) pmem_dir: *const c_char,
    pub(crate) pmem_size: usize,
    pub(crate) policy: c_int,
}

/// `memkind_config_new`: no path, no limit, the default policy. Null if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn memkind_config_new() -> *mut Config {
    // SAFETY: allocates memory for one, which is filled.
    unsafe {
        let config: *mut Config = libc::malloc(size_of::<Config>()).cast();
        if config.is_null() {
            return null_mut();
        }
        config.write(Config {
            pmem_dir: null(),
            pmem_size: 0,
            policy: 0,
        });
        config
    }
}

/// `memkind_config_delete`.
///
/// # Safety
/// `cfg` is null or from [`memkind_config_new`], and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_config_delete(cfg: *mut Config) {
    // SAFETY: the caller's promise.
    unsafe { libc::free(cfg.cast()) };
}

/// `memkind_config_set_path`. The path is not copied.
///
/// # Safety
/// `cfg` is from [`memkind_config_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_config_set_path(cfg: *mut Config, pmem_dir: *const c_char) {
    // SAFETY: the caller's promise.
    unsafe { (*cfg).pmem_dir = pmem_dir };
}

/// `memkind_config_set_size`, in bytes.
///
/// # Safety
/// `cfg` is from [`memkind_config_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_config_set_size(cfg: *mut Config, pmem_size: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*cfg).pmem_size = pmem_size };
}

/// `memkind_config_set_memory_usage_policy`. It is looked at when a kind is made.
///
/// # Safety
/// `cfg` is from [`memkind_config_new`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_config_set_memory_usage_policy(cfg: *mut Config, policy: c_int) {
    // SAFETY: the caller's promise.
    unsafe { (*cfg).policy = policy };
}
