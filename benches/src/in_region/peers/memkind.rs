//! memkind: a kind over fixed memory, or in a directory.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use super::loaded::{Loaded, function};
use crate::preload::family::{Family, Functions};

/// `memkind_t`.
type Kind = *mut c_void;

struct Memkind {
    kind: Kind,
    malloc: unsafe extern "C" fn(Kind, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(Kind, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(Kind, *mut c_void, usize) -> *mut c_void,
    posix_memalign: unsafe extern "C" fn(Kind, *mut *mut c_void, usize, usize) -> c_int,
    free: unsafe extern "C" fn(Kind, *mut c_void),
}

// SAFETY: addresses of functions and of a kind that all threads may use.
unsafe impl Send for Memkind {}
// SAFETY: as above.
unsafe impl Sync for Memkind {}

static MEMKIND: OnceLock<Memkind> = OnceLock::new();

#[inline(always)]
fn memkind() -> &'static Memkind {
    // SAFETY: `open` has filled it before it gave these functions away.
    unsafe { MEMKIND.get().unwrap_unchecked() }
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let memkind = memkind();
    // SAFETY: the kind is never destroyed.
    unsafe { (memkind.malloc)(memkind.kind, size) }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let memkind = memkind();
    // SAFETY: as above.
    unsafe { (memkind.calloc)(memkind.kind, count, size) }
}

unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let memkind = memkind();
    // SAFETY: as above, and the caller promises a live block.
    unsafe { (memkind.realloc)(memkind.kind, block, size) }
}

unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    let memkind = memkind();
    // SAFETY: as above, and the caller promises a place.
    unsafe { (memkind.posix_memalign)(memkind.kind, place, alignment, size) }
}

unsafe extern "C" fn free(block: *mut c_void) {
    let memkind = memkind();
    // SAFETY: the caller promises a live block of the kind.
    unsafe { (memkind.free)(memkind.kind, block) }
}

/// Where pmem kinds have their files.
const DIRECTORY: &CStr = c"/dev/shm";

/// Makes a kind of the region.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_fixed(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    let loaded = Loaded::open(library)?;
    let create = function!(
        loaded,
        c"memkind_create_fixed",
        unsafe extern "C" fn(*mut c_void, usize, *mut Kind) -> c_int
    );
    let mut kind = ptr::null_mut();
    // SAFETY: the region is the kind's from now on, and `kind` is a place for it.
    let status = unsafe { create(start.cast(), len, &raw mut kind) };
    family(loaded, "memkind_create_fixed", status, kind)
}

/// Makes a kind of the same length in a file, and leaves the region alone.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_pmem(
    _: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    let loaded = Loaded::open(library)?;
    let create = function!(
        loaded,
        c"memkind_create_pmem",
        unsafe extern "C" fn(*const c_char, usize, *mut Kind) -> c_int
    );
    let mut kind = ptr::null_mut();
    // SAFETY: the directory's name ends with a null byte, and `kind` is a place for the kind.
    let status = unsafe { create(DIRECTORY.as_ptr(), len, &raw mut kind) };
    family(loaded, "memkind_create_pmem", status, kind)
}

/// The functions on the kind that `create` has made if its `status` is 0.
fn family(loaded: Loaded, create: &str, status: c_int, kind: Kind) -> Result<Family, String> {
    if status != 0 {
        return Err(format!("{create}: {status}"));
    }
    let memkind = Memkind {
        kind,
        malloc: function!(
            loaded,
            c"memkind_malloc",
            unsafe extern "C" fn(Kind, usize) -> *mut c_void
        ),
        calloc: function!(
            loaded,
            c"memkind_calloc",
            unsafe extern "C" fn(Kind, usize, usize) -> *mut c_void
        ),
        realloc: function!(
            loaded,
            c"memkind_realloc",
            unsafe extern "C" fn(Kind, *mut c_void, usize) -> *mut c_void
        ),
        posix_memalign: function!(
            loaded,
            c"memkind_posix_memalign",
            unsafe extern "C" fn(Kind, *mut *mut c_void, usize, usize) -> c_int
        ),
        free: function!(
            loaded,
            c"memkind_free",
            unsafe extern "C" fn(Kind, *mut c_void)
        ),
    };
    MEMKIND
        .set(memkind)
        .map_err(|_| "there is a region already")?;
    Ok(Family::new(
        Functions {
            malloc,
            calloc,
            realloc,
            posix_memalign,
            free,
        },
        c"memkind",
    ))
}
