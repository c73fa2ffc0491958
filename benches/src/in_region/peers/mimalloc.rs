//! mimalloc: the region is an exclusive arena, and each thread has a heap in it.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use super::loaded::{Loaded, function};
use crate::preload::family::{Family, Functions};

/// `mi_heap_t *`.
type Heap = *mut c_void;

/// What `mi_arena_id_t` is: a number in mimalloc 2, a pointer in mimalloc 3.
#[derive(Clone, Copy)]
enum Arena {
    Number(c_int),
    Pointer(usize),
}

struct Mimalloc {
    arena: Arena,
    new_heap: *mut c_void,
    malloc: unsafe extern "C" fn(Heap, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(Heap, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(Heap, *mut c_void, usize) -> *mut c_void,
    aligned: unsafe extern "C" fn(Heap, usize, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: addresses of functions and of an arena that all threads may use.
unsafe impl Send for Mimalloc {}
// SAFETY: as above.
unsafe impl Sync for Mimalloc {}

static MIMALLOC: OnceLock<Mimalloc> = OnceLock::new();

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(ptr::null_mut()) };
}

#[inline(always)]
fn mimalloc() -> &'static Mimalloc {
    // SAFETY: `open` has filled it before it gave these functions away.
    unsafe { MIMALLOC.get().unwrap_unchecked() }
}

#[inline(always)]
fn heap() -> Heap {
    let heap = HEAP.get();
    if heap.is_null() { new_heap() } else { heap }
}

#[cold]
fn new_heap() -> Heap {
    let mimalloc = mimalloc();
    // SAFETY: the header of the version that the arena is of gives the function this type, and the arena is one of its.
    let heap = unsafe {
        match mimalloc.arena {
            Arena::Number(number) => {
                let new = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> Heap>(
                    mimalloc.new_heap,
                );
                new(number)
            }
            Arena::Pointer(address) => {
                let new = std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void) -> Heap,
                >(mimalloc.new_heap);
                new(ptr::with_exposed_provenance_mut(address))
            }
        }
    };
    if heap.is_null() {
        eprintln!("mimalloc has no heap in the arena");
        std::process::abort();
    }
    HEAP.set(heap);
    heap
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: the heap is this thread's.
    unsafe { (mimalloc().malloc)(heap(), size) }
}

unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: as above.
    unsafe { (mimalloc().calloc)(heap(), count, size) }
}

unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as above, and the caller promises a live block.
    unsafe { (mimalloc().realloc)(heap(), block, size) }
}

unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    // SAFETY: as above, and the caller promises a place.
    unsafe {
        *place = (mimalloc().aligned)(heap(), size, alignment);
        if (*place).is_null() { libc::ENOMEM } else { 0 }
    }
}

unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller promises a live block.
    unsafe { (mimalloc().free)(block) }
}

/// mimalloc 2.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_2(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    open(start, len, library, |id| Arena::Number(id as u32 as c_int))
}

/// mimalloc 3.
///
/// # Safety
/// As [`Peer::open`](super::Peer::open) says.
pub(super) unsafe fn open_3(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
) -> Result<Family, String> {
    open(start, len, library, Arena::Pointer)
}

fn open(
    start: *mut u8,
    len: usize,
    library: Option<&Path>,
    arena: impl FnOnce(usize) -> Arena,
) -> Result<Family, String> {
    type Manage =
        unsafe extern "C" fn(*mut c_void, usize, bool, bool, bool, c_int, bool, *mut usize) -> bool;
    let loaded = Loaded::open(library)?;
    let manage = function!(loaded, c"mi_manage_os_memory_ex", Manage);
    let mut id = 0_usize;
    // SAFETY: the region is mimalloc's from now on: committed, not of large pages, all zeros, on no particular node,
    // for heaps in this arena only. `id` is as large as either kind of identifier.
    let taken = unsafe { manage(start.cast(), len, true, false, true, -1, true, &raw mut id) };
    if !taken {
        return Err("mimalloc does not take the region".to_owned());
    }
    let mimalloc = Mimalloc {
        arena: arena(id),
        new_heap: loaded.symbol(c"mi_heap_new_in_arena")?,
        malloc: function!(
            loaded,
            c"mi_heap_malloc",
            unsafe extern "C" fn(Heap, usize) -> *mut c_void
        ),
        calloc: function!(
            loaded,
            c"mi_heap_calloc",
            unsafe extern "C" fn(Heap, usize, usize) -> *mut c_void
        ),
        realloc: function!(
            loaded,
            c"mi_heap_realloc",
            unsafe extern "C" fn(Heap, *mut c_void, usize) -> *mut c_void
        ),
        aligned: function!(
            loaded,
            c"mi_heap_malloc_aligned",
            unsafe extern "C" fn(Heap, usize, usize) -> *mut c_void
        ),
        free: function!(loaded, c"mi_free", unsafe extern "C" fn(*mut c_void)),
    };
    MIMALLOC
        .set(mimalloc)
        .map_err(|_| "there is a region already")?;
    Ok(Family::new(
        Functions {
            malloc,
            calloc,
            realloc,
            posix_memalign,
            free,
        },
        c"mimalloc",
    ))
}
