//! The program's functions for the library's own memory.

use core::ffi::{c_char, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::log::{self, PrintFunction};

/// As `malloc`.
pub type MallocFunction = unsafe extern "C" fn(size: usize) -> *mut c_void;
/// As `free`.
pub type FreeFunction = unsafe extern "C" fn(block: *mut c_void);
/// As `realloc`.
pub type ReallocFunction = unsafe extern "C" fn(block: *mut c_void, size: usize) -> *mut c_void;
/// As `strdup`.
pub type StrdupFunction = unsafe extern "C" fn(text: *const c_char) -> *mut c_char;

/// The two that are used, together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Functions {
    malloc: MallocFunction,
    free: FreeFunction,
}

impl Functions {
    /// Memory from the program.
    pub(crate) fn allocate(self, size: usize) -> Option<NonNull<c_void>> {
        // SAFETY: the program vouched for it.
        NonNull::new(unsafe { (self.malloc)(size) })
    }

    /// Gives memory back that [`Functions::allocate`] gave.
    pub(crate) fn free(self, block: NonNull<c_void>) {
        // SAFETY: the program vouched for it.
        unsafe { (self.free)(block.as_ptr()) };
    }
}

/// What the program chose last; null for the library's own.
static CHOSEN: AtomicPtr<Functions> = AtomicPtr::new(null_mut());

/// What counts, since there was a pool; null before. Without a lock, which the child of a fork might find held.
static SETTLED: AtomicPtr<Option<Functions>> = AtomicPtr::new(null_mut());

/// What the program chose, for good, since there is a pool now.
pub(crate) fn settle() -> Option<Functions> {
    let known = SETTLED.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked.
    if let Some(known) = unsafe { known.as_ref() } {
        return *known;
    }
    // SAFETY: as above.
    let chosen = unsafe { CHOSEN.load(Ordering::Acquire).as_ref() }.copied();
    let mine = Box::into_raw(Box::new(chosen));
    match SETTLED.compare_exchange(null_mut(), mine, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => chosen,
        Err(first) => {
            // SAFETY: nobody else has seen this box; the other one was leaked.
            unsafe {
                drop(Box::from_raw(mine));
                *first
            }
        }
    }
}

/// `vmem_set_funcs(3)`: functions for the library's own memory, and one for its messages and
/// statistics. Null stands for the library's own.
///
/// The first two count together, and until there is a pool. The next two are never called.
///
/// # Safety
/// The functions may be called by any thread that calls this library, at any time from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_set_funcs(
    malloc_func: Option<MallocFunction>,
    free_func: Option<FreeFunction>,
    _realloc_func: Option<ReallocFunction>,
    _strdup_func: Option<StrdupFunction>,
    print_func: Option<PrintFunction>,
) {
    log::write(log::CALLS, "vmem_set_funcs", format_args!(""));
    if SETTLED.load(Ordering::Acquire).is_null() {
        let chosen = malloc_func
            .zip(free_func)
            .map(|(malloc, free)| Box::new(Functions { malloc, free }));
        // What was chosen before may be read at this moment, so it stays where it is.
        CHOSEN.store(chosen.map_or(null_mut(), Box::into_raw), Ordering::Release);
    }
    log::set_print(print_func);
}
