//! The calling thread's local heap: which one it is, until when, and what a signal handler that
//! interrupts its use sees.
//!
//! ```text
//! mod          the word that malloc and free read: current, set_current; and its meaning: binding
//!   exit       a thread gets a local heap; its end gives the heap back
//!     exit_key   a function that runs when a thread ends
//!   suspension a signal handler must not use the local heap of the code that it interrupts
//!     storage  thread-local words at the price of two instructions
//!     local_heap   the static local heaps that have nothing
//! ```
//!
//! The word is never null. While a thread has no local heap it points to one that has nothing to
//! give and owns no slab: `malloc` and `free` find that out by the same tests that they make anyway,
//! and only then, on the slow path, ask [`binding`] why.
//!
//! ```text
//!              bind                      the thread ends
//! EMPTY ----------------> a local heap ------------------> ENDED
//!   |                          |
//!   '-- a handler runs --+-----'
//!                        v
//!                    SUSPENDED      the word comes back when the handler returns
//! ```

mod exit;
mod exit_key;
mod local_heap;
mod storage;
mod suspension;

use core::ptr::NonNull;

pub use exit::{BindError, bind};
pub use exit_key::{Destructor, ExitKey};
pub use local_heap::LocalHeap;
use local_heap::{EMPTY, ENDED, SUSPENDED, address_of};
use storage::{CURRENT, TABLE, TABLE_BUSY};
pub use suspension::{HandlerStack, Suspension, suspend};

/// The local heap that the calling thread allocates from: its own, or a static one that is empty.
/// Never null.
///
/// On Linux on x86-64 and aarch64 it takes two and five instructions and no call, also in a shared
/// library. The pointer must not be written through unless [`binding`] answers
/// [`Binding::Bound`] with it.
#[inline(always)]
#[must_use]
pub fn current() -> *mut LocalHeap {
    storage::read::<CURRENT>()
}

/// Makes [`current`] answer `heap` in the calling thread, from now on.
///
/// Nothing is arranged for the thread's end: see [`bind`]. `heap` must not be null, and must be
/// valid for as long as the word points to it; the word itself is only an address, so setting it
/// is safe and using it is not.
#[inline(always)]
pub fn set_current(heap: *mut LocalHeap) {
    storage::write::<CURRENT>(heap);
}

/// The calling thread's word for its local heaps in pools of which there are many; null at first.
#[inline(always)]
pub(crate) fn table() -> *mut core::ffi::c_void {
    storage::read::<TABLE>().cast()
}

/// Makes [`table`] answer this in the calling thread.
pub(crate) fn set_table(table: *mut core::ffi::c_void) {
    storage::write::<TABLE>(table.cast());
}

/// Whether the calling thread said that it uses what [`table`] leads to.
#[inline(always)]
pub(crate) fn is_table_busy() -> bool {
    !storage::read::<TABLE_BUSY>().is_null()
}

/// Sets what [`is_table_busy`] answers in the calling thread.
#[inline(always)]
pub(crate) fn set_table_busy(busy: bool) {
    let word = if busy {
        address_of(&EMPTY)
    } else {
        core::ptr::null_mut()
    };
    storage::write::<TABLE_BUSY>(word);
}

/// What [`current`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The thread has no local heap yet.
    Unbound,
    /// The thread's local heap.
    Bound(NonNull<LocalHeap>),
    /// A signal handler runs in the thread, which may have interrupted the use of its local heap,
    /// or the making of it. It must be left alone, and none be bound.
    Suspended,
    /// The thread's local heap has been given back. It does not get another one, for nobody would
    /// give that back.
    Ended,
}

/// What the calling thread has. For slow paths: it tells apart the states in which
/// [`current`] is empty.
///
/// If a signal handler was left by `siglongjmp(3)`, the word is put back here, as soon as the
/// thread's stack is seen to lie above the handler's. Until then the answer is
/// [`Binding::Suspended`]. Bounded, without system calls, and safe in signal handlers.
#[cold]
#[inline(never)]
#[must_use]
pub fn binding() -> Binding {
    let here = 0u8;
    let word = current();
    let word = match word == address_of(&SUSPENDED) {
        true if suspension::resume_if_left((&raw const here).addr()) => current(),
        _ => word,
    };
    if word == address_of(&EMPTY) {
        Binding::Unbound
    } else if word == address_of(&SUSPENDED) {
        Binding::Suspended
    } else if word == address_of(&ENDED) {
        Binding::Ended
    } else {
        // SAFETY: the word begins as EMPTY and is never set to null.
        Binding::Bound(unsafe { NonNull::new_unchecked(word) })
    }
}

/// The thread's local heap, also while a signal handler must leave it alone.
#[must_use]
pub fn own() -> Option<NonNull<LocalHeap>> {
    match binding() {
        Binding::Bound(heap) => Some(heap),
        Binding::Suspended => {
            NonNull::new(suspension::suspended()).filter(|heap| heap.as_ptr() != address_of(&EMPTY))
        }
        Binding::Unbound | Binding::Ended => None,
    }
}

#[cfg(test)]
mod tests;
