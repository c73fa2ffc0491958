//! A thread's local heap from when it gets one to the thread's end.
//!
//! The end is that of an [`ExitKey`], whose destructor runs in every thread that ends while the
//! process goes on, whoever made the thread: `thread_local!` and C++ give the same only to threads
//! that they know, or through a call that allocates.

use core::ffi::c_void;
use core::fmt;
use core::mem::transmute;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::exit_key::ExitKey;
use super::local_heap::{EMPTY, ENDED, LocalHeap, address_of};
use super::{current, set_current};
use crate::os_error::{KeepErrno, OsError};

/// What a thread's end does with its local heap.
type OnExit = unsafe fn(NonNull<LocalHeap>);

/// The [`OnExit`] of the process, null before the first [`bind`].
static ON_EXIT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

static KEY: ExitKey = ExitKey::new(end);

/// Why a thread cannot be given a local heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// The C library has no key left (`EAGAIN`), or no memory for the thread's value (`ENOMEM`).
    /// Another attempt by the same thread is pointless.
    NoExitHook(OsError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::NoExitHook(error) => write!(f, "no hook for the thread's end: {error}"),
        }
    }
}

impl core::error::Error for BindError {}

/// Gives the calling thread its local heap: [`current`] answers `heap` until the thread ends. Then
/// `on_exit` is called with it, in the ending thread, which is
/// [`Ended`](super::Binding::Ended) by that time. Destructors of other keys may run before and after
/// that, and may allocate and free.
///
/// `on_exit` is not called when the process ends, nor for the thread that calls
/// `exit(3)`. In the child of `fork(2)` it is called for the forking thread alone, which keeps its
/// local heap.
///
/// # Errors
/// If the end of the thread could not be noticed. The thread is
/// [`Ended`](super::Binding::Ended) then, and the local heap is the caller's again.
///
/// # Safety
/// The thread is [`Unbound`](super::Binding::Unbound). The local heap is valid and the thread's
/// alone until `on_exit` was called with it, and is usable already: this call itself may allocate.
/// `on_exit` is the same function in every call, may be called with `heap` in this thread, and does
/// not unwind.
pub unsafe fn bind(
    heap: NonNull<LocalHeap>,
    on_exit: unsafe fn(NonNull<LocalHeap>),
) -> Result<(), BindError> {
    debug_assert!(current() == address_of(&EMPTY), "bound, suspended or ended");
    let _errno = KeepErrno::new();
    ON_EXIT.store(on_exit as *mut c_void, Ordering::Relaxed);
    // First of all: for a key with a high number the C library allocates.
    set_current(heap.as_ptr());
    // SAFETY: `end` may be called with the thread's local heap (condition).
    unsafe { KEY.set(heap.as_ptr().cast()) }.map_err(|error| {
        set_current(address_of(&ENDED));
        BindError::NoExitHook(error)
    })
}

/// The key's destructor.
extern "C" fn end(heap: *mut c_void) {
    let _errno = KeepErrno::new();
    // What comes after this must neither use the local heap, which may be another thread's by then,
    // nor get one.
    set_current(address_of(&ENDED));
    let on_exit = ON_EXIT.load(Ordering::Relaxed);
    if let Some(heap) = NonNull::new(heap)
        && !on_exit.is_null()
    {
        // SAFETY: `bind` stored a function of that type in this thread, and promised that it may be
        // called with the value of the key.
        unsafe { transmute::<*mut c_void, OnExit>(on_exit)(heap.cast()) };
    }
}
