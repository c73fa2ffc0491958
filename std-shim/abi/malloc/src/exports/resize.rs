//! `realloc` and `reallocarray`.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

use super::allocate::malloc;
use super::{block_or_enomem, layout};
use crate::heap;

/// `realloc(3)`. Keeps an alignment of 16, and that which the block was allocated with if it is larger
/// than 64 KiB. Null and `ENOMEM` leave the block as it was; a size of 0 frees it and gives null.
///
/// # Safety
/// The block is not used afterwards if another one or null for a size of 0 is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let Some(block) = NonNull::new(block.cast()) else {
        return malloc(size);
    };
    if size == 0 {
        // SAFETY: forwarded.
        unsafe { heap::free(block.as_ptr()) };
        return null_mut();
    }
    // SAFETY: forwarded.
    block_or_enomem(
        layout(size, 1).and_then(|layout| unsafe { heap::resize(block, layout.size()) }),
    )
}

/// `reallocarray(3)`: [`realloc`] to `count` objects of `size` bytes; null and `ENOMEM` if that is
/// more than a size can say.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: forwarded.
        Some(size) => unsafe { realloc(block, size) },
        None => super::fail(libc::ENOMEM),
    }
}
