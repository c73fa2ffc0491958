//! After glibc's bench-malloc-simple: some number of blocks of one size are allocated, written to, and freed in the same
//! order; once in the main thread, once in another.

use std::thread;

use super::Episodes;
use super::contents::lost;
use crate::preload::family::Family;
use crate::preload::slots::Slots;

/// In bytes.
const SIZES: [usize; 3] = [16, 32, 64];
/// How many blocks are live at once.
const COUNTS: [usize; 4] = [25, 100, 400, 1600];
/// How many blocks are allocated of each size for each of these counts.
const BLOCKS: usize = 16_000;

pub(super) struct GlibcSimple {
    family: Family,
    blocks: Slots,
}

impl GlibcSimple {
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            blocks: Slots::new(COUNTS[COUNTS.len() - 1]),
        }
    }
}

impl Episodes for GlibcSimple {
    fn run(&mut self) -> u64 {
        let family = self.family;
        all(family, self.blocks.blocks());
        thread::scope(|scope| {
            scope.spawn(|| all(family, self.blocks.blocks()));
        });
        (2 * SIZES.len() * COUNTS.len() * BLOCKS) as u64
    }
}

fn all(family: Family, blocks: &mut [*mut u8]) {
    for size in SIZES {
        for count in COUNTS {
            for _ in 0..BLOCKS / count {
                allocate_and_free(family, size, &mut blocks[..count]);
            }
        }
    }
}

fn allocate_and_free(family: Family, size: usize, blocks: &mut [*mut u8]) {
    let words = size / size_of::<u32>();
    for (number, block) in blocks.iter_mut().enumerate() {
        *block = family.malloc(size);
        for word in 0..words {
            // SAFETY: within the new block, which is aligned for any word.
            unsafe { block.cast::<u32>().add(word).write((number + word) as u32) };
        }
    }
    for (number, &mut block) in blocks.iter_mut().enumerate() {
        // SAFETY: live, all of it written, known only here, and forgotten with this.
        unsafe {
            let ends = [0, words - 1].map(|word| block.cast::<u32>().add(word).read());
            if ends != [number as u32, (number + words - 1) as u32] {
                lost();
            }
            family.free(block);
        }
    }
}
