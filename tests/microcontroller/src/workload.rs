//! A workload whose every block is filled and verified.

use core::alloc::Layout;
use core::ptr::NonNull;

use allotment_core::{Fault, Heap};

/// What firmware does when it finds its heap misused: here, it stops with a word. The default handler
/// panics, with a message that takes more code.
pub fn stop(fault: &Fault) {
    crate::line!("{fault}");
    crate::machine::exit(false);
}

/// Numbers that look random (xorshift).
#[derive(Debug)]
pub struct Random(pub u32);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 3) as usize % limit
    }
}

type Block = (NonNull<u8>, Layout, u8);

/// Every byte is what was written when the block was allocated.
fn verify((start, layout, byte): Block) {
    // SAFETY: the block is allocated, and has this layout.
    let content = unsafe { core::slice::from_raw_parts(start.as_ptr(), layout.size()) };
    assert!(
        content.iter().all(|&found| found == byte),
        "a block changed"
    );
}

/// Allocates, resizes and frees blocks of up to `most` bytes, `steps` times, and frees them all.
/// Returns how many were allocated.
pub fn run(heap: &mut Heap<'_>, most: usize, steps: usize) -> usize {
    let before = heap.stats();
    let mut blocks = [None::<Block>; 24];
    let mut random = Random(0x9E37_79B9);
    for step in 0..steps {
        let slot = random.below(blocks.len());
        let byte = step as u8;
        match blocks[slot].take() {
            Some(block) if random.below(3) == 0 => {
                let (start, layout, byte) = block;
                verify(block);
                let size = 1 + random.below(most);
                // SAFETY: the block is allocated with this layout; its size is kept up to date.
                blocks[slot] = unsafe {
                    match heap.reallocate(start, layout, size) {
                        Some(moved) => {
                            let kept = size.min(layout.size());
                            let layout = Layout::from_size_align(size, layout.align()).unwrap();
                            verify((moved, Layout::from_size_align(kept, 1).unwrap(), byte));
                            moved.write_bytes(byte, size);
                            Some((moved, layout, byte))
                        }
                        None => Some(block),
                    }
                };
            }
            Some(block) => {
                verify(block);
                // SAFETY: the block is allocated with this layout, and was taken out of its slot.
                unsafe { heap.deallocate(block.0, block.1) };
            }
            None => {
                let size = 1 + random.below(most);
                let layout = Layout::from_size_align(size, 1 << random.below(6)).unwrap();
                if let Some(start) = heap.allocate(layout) {
                    assert_eq!(start.addr().get() % layout.align(), 0);
                    // SAFETY: the block has this size.
                    unsafe { start.write_bytes(byte, size) };
                    blocks[slot] = Some((start, layout, byte));
                }
            }
        }
        if step % 64 == 0 {
            heap.check().unwrap();
        }
    }
    for block in blocks.into_iter().flatten() {
        verify(block);
        // SAFETY: as above.
        unsafe { heap.deallocate(block.0, block.1) };
    }
    heap.check().unwrap();
    let after = heap.stats();
    assert_eq!(after.live_blocks, before.live_blocks);
    assert_eq!(after.free_bytes, before.free_bytes);
    after.allocations - before.allocations
}
