//! The program's functions for the library's own memory.

use core::ffi::{c_char, c_void};
use core::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

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

struct Choice {
    functions: Option<Functions>,
    /// There was a pool, and the choice is made.
    is_final: bool,
}

static CHOICE: Mutex<Choice> = Mutex::new(Choice {
    functions: None,
    is_final: false,
});

/// What the program chose, for good, since there is a pool now.
pub(crate) fn settle() -> Option<Functions> {
    let mut choice = CHOICE.lock().unwrap_or_else(PoisonError::into_inner);
    choice.is_final = true;
    choice.functions
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
    let mut choice = CHOICE.lock().unwrap_or_else(PoisonError::into_inner);
    if !choice.is_final {
        choice.functions = malloc_func
            .zip(free_func)
            .map(|(malloc, free)| Functions { malloc, free });
    }
    drop(choice);
    log::set_print(print_func);
}
