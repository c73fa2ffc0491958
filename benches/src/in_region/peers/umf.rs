//! UMF: its provider of fixed memory, under one of its pools.

use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use super::loaded::{Loaded, function};
use crate::preload::family::{Family, Functions};

/// How to get the library.
pub(super) const PACKAGE: &str =
    "python3 -m venv /opt/umf && /opt/umf/bin/pip install umf, and LD_LIBRARY_PATH=/opt/umf/lib";

/// `umf_memory_pool_handle_t`.
type Pool = *mut c_void;

struct Umf {
    pool: Pool,
    malloc: unsafe extern "C" fn(Pool, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(Pool, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(Pool, *mut c_void, usize) -> *mut c_void,
    aligned: unsafe extern "C" fn(Pool, usize, usize) -> *mut c_void,
    free: unsafe extern "C" fn(Pool, *mut c_void) -> c_int,
}

// SAFETY: addresses of functions and of a pool that all threads may use.
unsafe impl Send for Umf {}
// SAFETY: as above.
unsafe impl Sync for Umf {}

static UMF: OnceLock<Umf> = OnceLock::new();

#[inline(always)]
fn umf() -> &'static Umf {
    // SAFETY: `open` has filled it before it gave these functions away.
    unsafe { UMF.get().unwrap_unchecked() }
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let umf = umf();
    // SAFETY: the pool is never destroyed.
    unsafe { (umf.malloc)(umf.pool, size) }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let umf = umf();
    // SAFETY: as above.
    unsafe { (umf.calloc)(umf.pool, count, size) }
}

unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let umf = umf();
    // SAFETY: as above, and the caller promises a live block.
    unsafe { (umf.realloc)(umf.pool, block, size) }
}

unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    let umf = umf();
    // SAFETY: as above, and the caller promises a place.
    unsafe {
        *place = (umf.aligned)(umf.pool, size, alignment);
        if (*place).is_null() { libc::ENOMEM } else { 0 }
    }
}

unsafe extern "C" fn free(block: *mut c_void) {
    let umf = umf();
    // SAFETY: the caller promises a live block of the pool.
    unsafe { (umf.free)(umf.pool, block) };
}

/// The scalable pool, which stands on tbbmalloc.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_scalable(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    open(
        start,
        len,
        library,
        c"umfScalablePoolParamsCreate",
        c"umfScalablePoolOps",
    )
}

/// The disjoint pool.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_disjoint(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    open(
        start,
        len,
        library,
        c"umfDisjointPoolParamsCreate",
        c"umfDisjointPoolOps",
    )
}

fn open(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
    pool_parameters: &CStr,
    pool_operations: &CStr,
) -> Result<Family, String> {
    type Parameters = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
    type Operations = unsafe extern "C" fn() -> *const c_void;
    let loaded = Loaded::open(library)?;
    let region_parameters = function!(
        loaded,
        c"umfFixedMemoryProviderParamsCreate",
        unsafe extern "C" fn(*mut c_void, usize, *mut *mut c_void) -> c_int
    );
    let region_operations = function!(loaded, c"umfFixedMemoryProviderOps", Operations);
    let new_provider = function!(
        loaded,
        c"umfMemoryProviderCreate",
        unsafe extern "C" fn(*const c_void, *const c_void, *mut *mut c_void) -> c_int
    );
    let pool_parameters = function!(loaded, pool_parameters, Parameters);
    let pool_operations = function!(loaded, pool_operations, Operations);
    let new_pool = function!(
        loaded,
        c"umfPoolCreate",
        unsafe extern "C" fn(*const c_void, *mut c_void, *const c_void, u32, *mut Pool) -> c_int
    );
    let [mut parameters, mut provider, mut pool] = [ptr::null_mut(); 3];
    let done = |what: &str, status: c_int| match status {
        0 => Ok(()),
        _ => Err(format!("UMF has no {what}: {status}")),
    };
    // SAFETY: the region is the provider's from now on; each step's results are places for them, and the next one's
    // arguments. The parameters are never destroyed.
    unsafe {
        let status = region_parameters(start.cast(), len, &raw mut parameters);
        done("parameters for the region", status)?;
        let status = new_provider(region_operations(), parameters, &raw mut provider);
        done("provider in the region", status)?;
        done(
            "parameters for the pool",
            pool_parameters(&raw mut parameters),
        )?;
        let status = new_pool(pool_operations(), provider, parameters, 0, &raw mut pool);
        done("pool in the region", status)?;
    }
    let umf = Umf {
        pool,
        malloc: function!(
            loaded,
            c"umfPoolMalloc",
            unsafe extern "C" fn(Pool, usize) -> *mut c_void
        ),
        calloc: function!(
            loaded,
            c"umfPoolCalloc",
            unsafe extern "C" fn(Pool, usize, usize) -> *mut c_void
        ),
        realloc: function!(
            loaded,
            c"umfPoolRealloc",
            unsafe extern "C" fn(Pool, *mut c_void, usize) -> *mut c_void
        ),
        aligned: function!(
            loaded,
            c"umfPoolAlignedMalloc",
            unsafe extern "C" fn(Pool, usize, usize) -> *mut c_void
        ),
        free: function!(
            loaded,
            c"umfPoolFree",
            unsafe extern "C" fn(Pool, *mut c_void) -> c_int
        ),
    };
    UMF.set(umf).map_err(|_| "there is a region already")?;
    Ok(Family::new(
        Functions {
            malloc,
            calloc,
            realloc,
            posix_memalign,
            free,
        },
        c"umf",
    ))
}
