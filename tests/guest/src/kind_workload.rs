//! What every kind must do, wherever its memory is.

use std::alloc::Layout;
use std::ptr::NonNull;

use allotment::kind::{Kind, detect, free};

use crate::bytes::{is_marked, mark};

/// Fills the kind with blocks of this size, twice; each block keeps what was written to it, is known to be the kind's,
/// and can be freed without naming the kind. Every tenth one is made longer or shorter in between. Answers how
/// many blocks there were at first.
///
/// # Panics
/// If anything is wrong with a block or with the pool, or if the second time less than 94 % fit.
pub fn fill_twice(kind: &Kind, size: usize) -> usize {
    let mut blocks = fill(kind, size);
    let first = blocks.len();
    // Room for those that grow.
    for block in blocks.drain(first - first / 4..) {
        release(kind, block, size);
    }
    for (number, block) in blocks.iter_mut().enumerate().step_by(10) {
        let other = if number % 20 == 0 {
            size + size / 3
        } else {
            size / 2
        };
        // SAFETY: live, marked by `fill`, and replaced by what it moved to.
        unsafe {
            *block = kind.resize(*block, other).expect("room");
            // Whole pages: their ends are marked.
            let kept = (size.min(other) & !4095).max(1);
            assert!(is_marked(*block, kept, number as u8));
            *block = kind.resize(*block, size).expect("room");
            mark(*block, size, number as u8);
        }
    }
    let arena = kind.arena().expect("a pool");
    let check = arena.pool().check();
    check.unwrap_or_else(|damage| panic!("{damage:?}"));
    for (number, block) in blocks.into_iter().enumerate() {
        // SAFETY: live, and marked above or by `fill`.
        assert!(unsafe { is_marked(block, size, number as u8) });
        release(kind, block, size);
    }
    assert_eq!(kind.space().used, 0);
    let blocks = fill(kind, size);
    let second = blocks.len();
    // What is given back in the middle of this cuts free memory into pieces, which costs some large blocks.
    assert!(second * 100 >= first * 94, "{second} of {first}");
    for block in blocks {
        release(kind, block, size);
    }
    assert_eq!(kind.space().used, 0);
    first
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

fn fill(kind: &Kind, size: usize) -> Vec<NonNull<u8>> {
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    while let Some(block) = kind.allocate(layout(size)) {
        assert!(kind.contains(block.addr().get()));
        assert_eq!(detect(block.as_ptr()), Some(kind.id()));
        // SAFETY: allocated just now.
        unsafe { mark(block, size, blocks.len() as u8) };
        blocks.push(block);
    }
    blocks
}

/// Frees a block, by its kind, with its size, or without either.
fn release(kind: &Kind, block: NonNull<u8>, size: usize) {
    // SAFETY: live, of that size, and not used any more.
    unsafe {
        match block.addr().get() / 16 % 3 {
            0 => kind.free(block),
            1 => kind.deallocate(block, layout(size)),
            _ => assert!(free(block)),
        }
    }
}
