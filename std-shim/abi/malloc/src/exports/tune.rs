//! What a program can ask of its heap.

use core::ffi::c_int;

use crate::{heap, runtime};

/// `malloc_trim(3)`: gives the whole pages inside free blocks back to the system, and those of free
/// objects, but for slabs of other threads. Answers 1 if there were any, else 0. The pool keeps its addresses, so there is no end to cut off, and `pad` has no
/// meaning.
///
/// The space of a pool in a file stays allocated: a write to it must not meet a full disk.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    let Some(arena) = runtime::main_arena().filter(|arena| !arena.is_interrupted()) else {
        return 0;
    };
    // SAFETY: the thread is bound to the local heap, or it is the empty one.
    let released = unsafe { arena.purge(heap::own()) };
    c_int::from(released > 0)
}

/// `mallopt(3)`: answers 1, as glibc does for parameters that it does not know. There is nothing
/// here that its parameters could set; they are hints.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(_parameter: c_int, _value: c_int) -> c_int {
    1
}
