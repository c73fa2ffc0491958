//! An arena of this library: one whose misuse ends the process, with frees that wait.

use core::ops::Deref;

use allotment::arena::ArenaError;
use allotment::mapping::Mapping;
use allotment_core::{Fault, LocalHeap};

use crate::deferred::Deferred;
use crate::message;

/// A pool, what it lies in, and its blocks that are to be freed.
pub(crate) struct Arena {
    inner: allotment::arena::Arena,
    pub(crate) deferred: Deferred,
}

fn on_fault(fault: &Fault) {
    message::abort(format_args!("{fault}"));
}

impl Arena {
    pub(crate) fn new(mapping: Mapping) -> Result<Arena, ArenaError> {
        Ok(Arena {
            inner: allotment::arena::Arena::new(mapping, on_fault)?,
            deferred: Deferred::new(),
        })
    }

    /// In the child of a fork: see
    /// [`recover_after_fork`](allotment::arena::Arena::recover_after_fork).
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn recover_after_fork(&self, local: &LocalHeap, interrupted: bool) {
        // SAFETY: forwarded.
        if let Err(damage) = unsafe { self.inner.recover_after_fork(local, interrupted) } {
            message::abort(format_args!("the heap is damaged: {damage}"));
        }
    }
}

impl Deref for Arena {
    type Target = allotment::arena::Arena;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
