//! The bytes of a mapping, as a test sees them that shares it with nobody.

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice::from_raw_parts_mut;

const PAGE: usize = 4096;

/// The memory of a mapping.
///
/// # Safety
/// It is mapped for reading and writing as long as the result lives, and used only through that.
#[must_use]
pub unsafe fn memory<'a>(start: NonNull<u8>, len: usize) -> &'a mut [MaybeUninit<u8>] {
    // SAFETY: the caller's promise.
    unsafe { from_raw_parts_mut(start.as_ptr().cast(), len) }
}

/// Writes a byte to both ends of each page.
///
/// # Safety
/// They are mapped for writing.
pub unsafe fn mark(start: NonNull<u8>, len: usize, mark: u8) {
    for at in places(len) {
        // SAFETY: the caller's promise.
        unsafe { start.add(at).write_volatile(mark) };
    }
}

/// Whether the bytes that [`mark`] writes are that.
///
/// # Safety
/// They are mapped for reading.
#[must_use]
pub unsafe fn is_marked(start: NonNull<u8>, len: usize, mark: u8) -> bool {
    // SAFETY: the caller's promise.
    places(len).all(|at| unsafe { start.add(at).read_volatile() } == mark)
}

fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..len)
        .step_by(PAGE)
        .flat_map(move |start| [start, (start + PAGE).min(len) - 1])
}
