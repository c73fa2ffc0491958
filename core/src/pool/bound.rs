//! A pool as a global allocator whose operations go through local heaps: [`BoundPool`].

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use super::binding::Binding;
use super::once::PoolSource;
use super::{no_unwinding, or_null};

/// A pool as a [`GlobalAlloc`] whose operations use the local heap that a [`Binding`] names.
#[derive(Debug)]
pub struct BoundPool<P, B> {
    pool: P,
    binding: B,
}

impl<P, B> BoundPool<P, B> {
    /// `pool` is a [`PoolSource`]: a reference to a [`Pool`](crate::Pool), or a [`OncePool`](crate::OncePool).
    #[must_use]
    pub const fn new(pool: P, binding: B) -> Self {
        BoundPool { pool, binding }
    }

    /// The pool.
    pub const fn pool(&self) -> &P {
        &self.pool
    }
}

impl<P: PoolSource, B: Binding> BoundPool<P, B> {
    #[inline(always)]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.pool.with_pool(|pool| {
            // SAFETY: the binding's promise.
            self.binding.with(pool, |local| unsafe {
                pool.allocate_or_fail(local, layout)
            })
        })?
    }

    /// Gives all memory back that the caller's local heap and the idle ones do not need: see
    /// [`Pool::trim`](crate::Pool::trim). A CPU's free slabs serve that CPU alone until it does this.
    ///
    /// Takes time proportional to the number of these local heaps' slabs.
    pub fn trim(&self) {
        self.pool.with_pool(|pool| {
            // SAFETY: the binding's promise.
            self.binding.with(pool, |local| unsafe { pool.trim(local) });
        });
    }
}

// SAFETY: as for `Pool`: blocks come from the pool, which hands out each byte once.
unsafe impl<P: PoolSource, B: Binding> GlobalAlloc for BoundPool<P, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        no_unwinding(|| or_null(self.allocate(layout)))
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let Some(ptr) = NonNull::new(ptr) else { return };
        no_unwinding(|| {
            self.pool.with_pool(|pool| {
                // SAFETY: `ptr` was allocated here with `layout` (the trait's condition); the
                // binding's promise.
                self.binding.with(pool, |local| unsafe {
                    pool.deallocate_in(local, ptr, layout)
                });
            });
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = no_unwinding(|| or_null(self.allocate(layout)));
        if !block.is_null() {
            // SAFETY: the block was just allocated with this size. It is zeroed with nothing held.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(from) = NonNull::new(ptr) else {
            return null_mut();
        };
        if layout.size().min(new_size) > COPIED_PINNED {
            // SAFETY: forwarded.
            return no_unwinding(|| or_null(unsafe { self.resize_large(from, layout, new_size) }));
        }
        no_unwinding(|| {
            let moved = self.pool.with_pool(|pool| {
                // SAFETY: as in `dealloc`.
                self.binding.with(pool, |local| unsafe {
                    pool.reallocate_in(local, from, layout, new_size)
                })
            });
            or_null(moved.flatten())
        })
    }
}

/// Bytes that are copied while the caller is pinned. More would keep interrupts off for longer than all
/// else does.
const COPIED_PINNED: usize = 1024;

impl<P: PoolSource, B: Binding> BoundPool<P, B> {
    /// Changes the size of a block whose content is not to be copied while the caller is pinned.
    ///
    /// # Safety
    /// As for [`GlobalAlloc::realloc`].
    unsafe fn resize_large(
        &self,
        from: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Option<NonNull<u8>> {
        let new_layout = Layout::from_size_align(new_size, layout.align()).ok()?;
        let (to, is_new) = self.pool.with_pool(|pool| {
            self.binding.with(pool, |local| {
                // What is wrong with the pointer is reported here.
                pool.usable_size(from)?;
                // SAFETY: the block is the caller's (condition); the binding's promise.
                unsafe {
                    if pool.resize_in_place(from, new_size) {
                        return Some((from, false));
                    }
                    // What grows may grow again, and a block of its own can do so where it is.
                    let block = if new_size > layout.size() + layout.size() / 8 {
                        pool.allocate(new_layout)
                    } else {
                        None
                    };
                    if let Some(to) = block.or_else(|| pool.allocate_in(local, new_layout)) {
                        return Some((to, true));
                    }
                    // This one finds room that overlaps the block. It copies pinned.
                    let moved = pool.reallocate_in(local, from, layout, new_size)?;
                    Some((moved, false))
                }
            })
        })??;
        if is_new {
            // SAFETY: the new block is nobody else's; the old one is the caller's, who gives it up. Both
            // are at least as long as what is copied.
            unsafe {
                to.copy_from_nonoverlapping(from, layout.size().min(new_size));
                self.dealloc(from.as_ptr(), layout);
            }
        }
        Some(to)
    }
}
