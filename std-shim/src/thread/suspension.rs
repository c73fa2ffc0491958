//! A signal handler must not use the local heap of the code that it interrupts: the fast paths of
//! malloc and free take no lock, so the local heap may be half changed.
//!
//! For the time of the handler, the word points to a local heap that is empty. What it was, and
//! where the handler's stack begins, is kept twice: in the caller's [`Suspension`], for the usual
//! end; and in thread-local words, for handlers that are left by `siglongjmp(3)` and so never come
//! to their end.
//!
//! A signal may interrupt each step of this, and finds and leaves all words as they are.
//!
//! ```text
//! addresses |  caller of sigsetjmp    <- after siglongjmp, all that runs is at first above the frame
//!   high    |  interrupted function
//!    ^      |  frame of the handler   <- HANDLER_FRAME
//!   low     |  handler, what it calls, handlers that interrupt it
//! ```
//!
//! A handler may run on an alternate stack (`sigaltstack(2)`). Those who run on it are inside
//! a handler, wherever the frame is; if the frame is on it, the others are not.

use core::ptr::without_provenance_mut;

use super::local_heap::{ENDED, LocalHeap, SUSPENDED, address_of};
use super::storage::{ALTERNATE_SIZE, ALTERNATE_START, HANDLER_FRAME, SUSPENDED_HEAP, read, write};
use super::{current, set_current};

/// Where a signal handler runs.
#[derive(Clone, Copy, Debug)]
pub struct HandlerStack {
    /// An address on the handler's stack below which all lies that the handler calls.
    pub frame: usize,
    /// The stack pointer of what was interrupted, or, if it is not known, an address that is not
    /// above it.
    pub interrupted: usize,
    /// The first byte of the thread's alternate stack.
    pub alternate_start: usize,
    /// Its length in bytes, 0 if the thread has none.
    pub alternate_size: usize,
}

/// The thread-local words.
#[derive(Clone, Copy, Debug)]
struct Record {
    heap: *mut LocalHeap,
    frame: usize,
    alternate: Alternate,
}

/// Which part of memory is the alternate stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alternate {
    start: usize,
    size: usize,
}

impl Alternate {
    const NONE: Alternate = Alternate { start: 0, size: 0 };

    fn load() -> Alternate {
        Alternate {
            start: read::<ALTERNATE_START>().addr(),
            size: read::<ALTERNATE_SIZE>().addr(),
        }
    }

    /// Never shows a mixture of two to a handler that interrupts it.
    fn store(self) {
        write::<ALTERNATE_SIZE>(without_provenance_mut(0));
        write::<ALTERNATE_START>(without_provenance_mut(self.start));
        write::<ALTERNATE_SIZE>(without_provenance_mut(self.size));
    }

    fn contains(self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.size
    }
}

impl Record {
    fn load() -> Record {
        Record {
            heap: read::<SUSPENDED_HEAP>(),
            frame: read::<HANDLER_FRAME>().addr(),
            alternate: Alternate::load(),
        }
    }

    fn store(self) {
        write::<SUSPENDED_HEAP>(self.heap);
        write::<HANDLER_FRAME>(without_provenance_mut(self.frame));
        self.alternate.store();
    }

    /// Whether the handler was left, as far as can be told from a stack pointer of now and the
    /// alternate stack of now, if that is known.
    fn is_left(self, stack: usize, alternate: Alternate) -> bool {
        let on_alternate =
            |address| self.alternate.contains(address) || alternate.contains(address);
        match (on_alternate(self.frame), on_alternate(stack)) {
            (false, true) => false,
            (true, false) => true,
            _ => stack > self.frame,
        }
    }
}

/// What [`suspend`] changed. It has to be [ended](Suspension::end) where it was begun; a handler that
/// does not return may forget it.
#[derive(Debug)]
#[must_use]
pub struct Suspension(Change);

#[derive(Debug)]
enum Change {
    /// Nothing: the thread's local heap is gone.
    None,
    /// The handler interrupts another one.
    Nested { before: Alternate },
    /// The handler interrupts what may use this local heap.
    Outermost {
        heap: *mut LocalHeap,
        before: Record,
    },
}

/// When a signal handler begins: keeps the thread's local heap from it. [`current`] is empty until
/// the suspension ends. Bounded, without system calls, and safe in signal handlers.
#[inline]
pub fn suspend(stack: HandlerStack) -> Suspension {
    let alternate = Alternate {
        start: stack.alternate_start,
        size: stack.alternate_size,
    };
    let heap = current();
    if heap == address_of(&ENDED) {
        return Suspension(Change::None);
    }
    if heap == address_of(&SUSPENDED) && !resume(stack.interrupted, alternate) {
        let before = Alternate::load();
        // The thread may have got it inside the other handler.
        if alternate.size != 0 && alternate != before {
            alternate.store();
        }
        return Suspension(Change::Nested { before });
    }
    let heap = current();
    let before = Record::load();
    let record = Record {
        heap,
        frame: stack.frame,
        alternate,
    };
    // The words are read only while the first one says that they count.
    record.store();
    set_current(address_of(&SUSPENDED));
    Suspension(Change::Outermost { heap, before })
}

impl Suspension {
    /// When the handler returns: what it interrupted has its local heap again.
    #[inline]
    pub fn end(self) {
        match self.0 {
            Change::None => {}
            Change::Nested { before } => before.store(),
            Change::Outermost { heap, before } => {
                set_current(heap);
                before.store();
            }
        }
    }
}

/// What the thread's word was when the suspension began.
pub(super) fn suspended() -> *mut LocalHeap {
    read::<SUSPENDED_HEAP>()
}

/// Ends the suspension if its handler is seen to have been left, going by a stack pointer of now.
/// Answers whether it did.
pub(super) fn resume_if_left(stack: usize) -> bool {
    resume(stack, Alternate::NONE)
}

fn resume(stack: usize, alternate: Alternate) -> bool {
    let record = Record::load();
    let left = record.is_left(stack, alternate);
    if left {
        set_current(record.heap);
    }
    left
}
