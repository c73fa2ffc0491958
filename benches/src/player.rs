//! Plays operations on a peer.

use std::marker::PhantomData;

use crate::calls;
use crate::operation::{Op, Slot};
use crate::peer::Peer;
use crate::region::Region;

/// A peer over a region, and the slots with its live blocks.
#[derive(Debug)]
pub struct Player<'r, P> {
    peer: Box<P>,
    slots: Vec<Slot>,
    region: PhantomData<&'r mut Region>,
}

/// The peer had no room for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl<'r, P: Peer> Player<'r, P> {
    /// A fresh peer over all of `region`, with `slots` empty slots.
    pub fn new(region: &'r mut Region, slots: usize) -> Self {
        // SAFETY: the mapping is aligned to a page and writable; the borrow for `'r` keeps everybody else out.
        let peer = Box::new(unsafe { P::new(region.start(), region.len()) });
        Self {
            peer,
            slots: vec![Slot::EMPTY; slots],
            region: PhantomData,
        }
    }

    /// Plays the operations in order, and writes to the first byte of each new block.
    ///
    /// # Errors
    /// [`OutOfMemory`] at the first operation that the peer has no room for.
    ///
    /// # Panics
    /// When an operation names a slot that there is none of.
    #[inline(never)]
    pub fn play(&mut self, ops: &[Op]) -> Result<(), OutOfMemory> {
        for &op in ops {
            let slot = &mut self.slots[op.slot() as usize];
            match op {
                Op::Allocate {
                    size, align_log2, ..
                } => {
                    if !slot.ptr.is_null() {
                        continue;
                    }
                    // SAFETY: operations have a size of at least 1 and below 4 GiB.
                    let ptr =
                        unsafe { calls::allocate(&mut *self.peer, size as usize, 1 << align_log2) };
                    if ptr.is_null() {
                        return Err(OutOfMemory);
                    }
                    // SAFETY: the block is live and at least one byte long.
                    unsafe { ptr.write_volatile(0xA5) };
                    *slot = Slot {
                        ptr,
                        size,
                        align_log2,
                    };
                }
                Op::Free { .. } => {
                    if slot.ptr.is_null() {
                        continue;
                    }
                    // SAFETY: a slot's block is live, and the slot remembers its layout.
                    unsafe {
                        calls::deallocate(
                            &mut *self.peer,
                            slot.ptr,
                            slot.size as usize,
                            1 << slot.align_log2,
                        );
                    }
                    slot.ptr = std::ptr::null_mut();
                }
                Op::Reallocate { size, .. } => {
                    if slot.ptr.is_null() {
                        continue;
                    }
                    let (old, align) = (slot.size as usize, 1 << slot.align_log2);
                    // SAFETY: a slot's block is live, and the slot remembers its layout; operations have a size of at
                    // least 1 and below 4 GiB.
                    let ptr = unsafe {
                        calls::reallocate(&mut *self.peer, slot.ptr, old, align, size as usize)
                    };
                    if ptr.is_null() {
                        return Err(OutOfMemory);
                    }
                    slot.ptr = ptr;
                    slot.size = size;
                }
            }
        }
        Ok(())
    }

    /// The slots, for tests that look at the blocks.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }
}
