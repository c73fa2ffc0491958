//! The driver's own memory, so that the heap that is measured holds nothing but the workload's blocks.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a driver needs for its task, its answer and its threads (hundreds of bytes each) is far less. Nothing is touched
/// before it is used.
const BYTES: usize = 64 << 20;

/// Serves from an array in the program, and never reuses what is freed: a driver is over before long.
pub struct OwnMemory {
    bytes: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
}

// SAFETY: the array is handed out in parts that do not overlap, as `used` only grows.
unsafe impl Sync for OwnMemory {}

impl OwnMemory {
    /// All of the array is free.
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new([0; BYTES]),
            used: AtomicUsize::new(0),
        }
    }
}

impl Default for OwnMemory {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each block lies within the array behind all blocks before it, and nobody gets it again.
unsafe impl GlobalAlloc for OwnMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.bytes.get().cast::<u8>();
        let place = |used: usize| {
            let address = (start.addr() + used).checked_next_multiple_of(layout.align())?;
            let offset = address - start.addr();
            let end = offset.checked_add(layout.size())?;
            (end <= BYTES).then_some((offset, end))
        };
        let take = |used| place(used).map(|(_, end)| end);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            // SAFETY: the offset is within the array, as `place` has checked.
            Ok(used) => place(used).map_or(std::ptr::null_mut(), |(offset, _)| unsafe {
                start.add(offset)
            }),
            Err(_) => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_apart_until_the_array_is_used_up() {
        static OWN: OwnMemory = OwnMemory::new();
        let mut end = 0;
        for (size, align) in [(1, 1), (100, 64), (3, 2), (4096, 4096)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not zero.
            let block = unsafe { OWN.alloc(layout) };
            assert_eq!(block.addr() % align, 0);
            assert!(block.addr() >= end);
            end = block.addr() + size;
        }
        let all = Layout::from_size_align(BYTES, 1).unwrap();
        // SAFETY: the size is not zero.
        assert!(unsafe { OWN.alloc(all) }.is_null());
    }
}
