//! rlsf: two-level segregated fit with its control structure outside the region.

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use rlsf::Tlsf;

use crate::peer::Peer;

macro_rules! rlsf_peer {
    ($(#[$doc:meta])* $peer:ident, $name:literal, $first:ty, $second:ty, $fl:literal, $sl:literal) => {
        $(#[$doc])*
        pub struct $peer(Tlsf<'static, $first, $second, $fl, $sl>);

        impl Peer for $peer {
            const NAME: &'static str = $name;

            unsafe fn new(start: *mut u8, len: usize) -> Self {
                let mut tlsf = Tlsf::new();
                let pool = ptr::slice_from_raw_parts_mut(start, len);
                // SAFETY: a mapping is not null; the caller gives the range to this allocator alone, for its life.
                let inserted = unsafe { tlsf.insert_free_block_ptr(NonNull::new_unchecked(pool)) };
                inserted.expect("a page is enough for a heap");
                Self(tlsf)
            }

            #[inline]
            unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
                self.0.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
            }

            #[inline]
            unsafe fn deallocate(&mut self, ptr: *mut u8, layout: Layout) {
                // SAFETY: a live block is not null; its alignment is the caller's promise.
                unsafe { self.0.deallocate(NonNull::new_unchecked(ptr), layout.align()) }
            }

            #[inline]
            unsafe fn reallocate(&mut self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                // SAFETY: as in `deallocate`; the caller promises a valid new size.
                let new = unsafe {
                    let layout = Layout::from_size_align_unchecked(new_size, layout.align());
                    self.0.reallocate(NonNull::new_unchecked(ptr), layout)
                };
                new.map_or(ptr::null_mut(), NonNull::as_ptr)
            }
        }
    };
}

rlsf_peer!(
    /// rlsf with 28 first-level and 32 second-level lists: 7 KiB of control structure.
    RlsfSmall, "rlsf 28x32", u32, u32, 28, 32
);
rlsf_peer!(
    /// rlsf with 52 first-level and 64 second-level lists: 27 KiB of control structure.
    RlsfLarge, "rlsf 52x64", u64, u64, 52, 64
);
