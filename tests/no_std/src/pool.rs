//! The pool behind its default lock.

use core::alloc::Layout;
use core::mem::MaybeUninit;

use allotment_core::Pool;

pub(crate) fn run() {
    let mut region = [MaybeUninit::uninit(); 64 * 1024];
    let pool: Pool<'_> = Pool::create_in_region(&mut region).unwrap();
    let layout = Layout::new::<[u64; 100]>();
    let block = pool.allocate_zeroed(layout).unwrap();
    // SAFETY: the block has the layout's 800 bytes, all zero, and is freed once.
    unsafe {
        assert!(block.cast::<[u64; 100]>().read() == [0; 100]);
        pool.deallocate(block, layout);
    }
    pool.check().unwrap();
    assert!(pool.stats().live_blocks == 0);
}
