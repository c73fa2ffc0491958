//! Growth, alignment and zeros.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;

/// Vectors that grow side by side, so that they cannot all grow in place.
pub(crate) fn growth() {
    let mut vectors: Vec<Vec<u64>> = (0..8).map(|_| Vec::new()).collect();
    for value in 0..300_000 {
        for (number, vector) in vectors.iter_mut().enumerate() {
            vector.push(value * 8 + number as u64);
        }
    }
    for (number, vector) in vectors.iter_mut().enumerate() {
        vector.truncate(1000);
        vector.shrink_to_fit();
        let intact = |(at, &value): (usize, &u64)| value == at as u64 * 8 + number as u64;
        assert!(vector.iter().enumerate().all(intact));
    }
    let mut text = String::new();
    for number in 0..100_000 {
        text.push_str(&number.to_string());
    }
    assert_eq!(text.len(), 10 + 180 + 2700 + 36_000 + 450_000);
}

#[repr(align(64))]
struct Line([u8; 64]);

#[repr(align(4096))]
struct Page([u8; 4096]);

fn assert_aligned<T>(value: &T) {
    assert!((&raw const *value).addr().is_multiple_of(align_of::<T>()));
}

/// Types and layouts that ask for more than 16 bytes.
pub(crate) fn alignment() {
    let lines: Vec<Box<Line>> = (0..500).map(|i| Box::new(Line([i as u8; 64]))).collect();
    let pages: Vec<Box<Page>> = (0..50).map(|i| Box::new(Page([i as u8; 4096]))).collect();
    for (number, line) in lines.iter().enumerate() {
        assert_aligned(&**line);
        assert_eq!(line.0, [number as u8; 64]);
    }
    for (number, page) in pages.iter().enumerate() {
        assert_aligned(&**page);
        assert_eq!(page.0, [number as u8; 4096]);
    }
    for exponent in 0..=21 {
        for size in [1, 24, 100, 5000, 100_000] {
            resize_aligned(1 << exponent, size);
        }
    }
}

fn resize_aligned(align: usize, size: usize) {
    let layout = Layout::from_size_align(size, align).expect("a valid layout");
    let longer = Layout::from_size_align(size * 3, align).expect("a valid layout");
    // SAFETY: no layout has a size of 0; what is written and read is inside the blocks.
    unsafe {
        let block = black_box(alloc(layout));
        assert!(!block.is_null() && block.addr().is_multiple_of(align));
        block.write_bytes(0xA5, size);
        let grown = realloc(block, layout, longer.size());
        assert!(!grown.is_null() && grown.addr().is_multiple_of(align));
        assert!((0..size).all(|at| grown.add(at).read() == 0xA5));
        let shrunk = realloc(grown, longer, 1);
        assert!(!shrunk.is_null() && shrunk.addr().is_multiple_of(align));
        assert_eq!(shrunk.read(), 0xA5);
        dealloc(
            shrunk,
            Layout::from_size_align(1, align).expect("a valid layout"),
        );
    }
}

/// Zeros, also where something else was before.
pub(crate) fn zeros() {
    for size in [1, 16, 100, 1000, 30_000, 70_000, 1 << 20] {
        for align in [1, 16, 128] {
            let layout = Layout::from_size_align(size, align).expect("a valid layout");
            let mut dirty = Vec::new();
            for _ in 0..20 {
                // SAFETY: the size is not 0, and the block is written in its length.
                unsafe {
                    let block = black_box(alloc(layout));
                    assert!(!block.is_null());
                    block.write_bytes(0xFF, size);
                    dirty.push(block);
                }
            }
            for block in dirty {
                // SAFETY: allocated above with this layout.
                unsafe { dealloc(block, layout) };
            }
            for _ in 0..20 {
                // SAFETY: the size is not 0; the block is freed with its layout.
                unsafe {
                    let block = black_box(alloc_zeroed(layout));
                    assert!(!block.is_null());
                    assert!(
                        std::slice::from_raw_parts(block, size)
                            .iter()
                            .all(|&b| b == 0)
                    );
                    dealloc(block, layout);
                }
            }
        }
    }
}

/// A request that no pool can serve is answered with null, and leaves it as it was.
pub(crate) fn too_large() {
    let layout = Layout::from_size_align(isize::MAX as usize - 4096, 1).expect("a valid layout");
    // SAFETY: the size is not 0; the block keeps its layout if it is not resized.
    unsafe {
        // Or the compiler leaves out what is not used.
        assert!(black_box(alloc(layout)).is_null());
        assert!(black_box(alloc_zeroed(layout)).is_null());
        let small = Layout::from_size_align(100, 8).expect("a valid layout");
        let block = alloc(small);
        block.write_bytes(1, 100);
        assert!(black_box(realloc(block, small, layout.size())).is_null());
        assert!((0..100).all(|at| block.add(at).read() == 1));
        dealloc(block, small);
    }
}
