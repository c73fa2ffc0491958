//! The heap alone: one owner, no atomics.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use allotment_core::Heap;

const BLOCKS: usize = 40;

pub(crate) fn run() {
    let mut region = [MaybeUninit::uninit(); 64 * 1024];
    let mut heap = Heap::new(&mut region).unwrap();
    let before = heap.stats();
    let mut blocks = [None::<(NonNull<u8>, Layout)>; BLOCKS];
    for round in 0..500_usize {
        let slot = round * 7 % BLOCKS;
        if let Some((block, layout)) = blocks[slot].take() {
            // SAFETY: the block has this layout and is in nobody's hands: it was taken
            // out of its slot. Its first and last byte were written below.
            unsafe {
                assert!(block.read() == slot as u8);
                assert!(block.add(layout.size() - 1).read() == slot as u8);
                heap.deallocate(block, layout);
            }
        } else {
            let layout = Layout::from_size_align(1 + round * 37 % 900, 1 << (round % 9)).unwrap();
            let block = heap.allocate(layout).unwrap();
            assert!(block.addr().get() % layout.align() == 0);
            // SAFETY: the block has `layout.size()` bytes, at least one.
            unsafe { block.write_bytes(slot as u8, layout.size()) };
            blocks[slot] = Some((block, layout));
        }
    }
    heap.check().unwrap();
    for (block, layout) in blocks.into_iter().flatten() {
        // SAFETY: as above.
        unsafe { heap.deallocate(block, layout) };
    }
    heap.check().unwrap();
    assert!(heap.stats().free_bytes == before.free_bytes);
    assert!(heap.stats().largest_free == before.largest_free);
}
