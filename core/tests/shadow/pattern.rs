//! What a test writes into a block, so that it notices when somebody else writes there.

use std::ops::Range;

/// Blocks up to this length are filled from end to end, longer ones at their ends and in samples between.
const FILLED_WHOLE: usize = 16 << 10;
/// How much of each end of a long block is filled.
const END: usize = 4 << 10;
/// At most this many samples lie between the ends.
const SAMPLES: usize = 64;

/// A sequence of bytes that depends on a seed and on the position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern(pub(crate) u64);

impl Pattern {
    fn word(self, index: usize) -> [u8; 8] {
        let mixed = (self.0 ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).to_ne_bytes()
    }

    fn byte(self, offset: usize) -> u8 {
        self.word(offset / 8)[offset % 8]
    }

    /// Fills `start..start + len`, a long range in samples.
    ///
    /// # Safety
    /// The range is valid for writes.
    pub(crate) unsafe fn fill(self, start: *mut u8, len: usize) {
        for range in written(len) {
            let mut offset = range.start;
            while offset < range.end {
                let bytes = self.word(offset / 8);
                let count = (8 - offset % 8).min(range.end - offset);
                // SAFETY: `offset + count <= range.end <= len`.
                unsafe {
                    start
                        .add(offset)
                        .copy_from_nonoverlapping(bytes.as_ptr().add(offset % 8), count);
                }
                offset += count;
            }
        }
    }

    /// The offset of the first byte below `kept` that differs from what `fill(start, len)` wrote.
    ///
    /// # Safety
    /// The first `kept.min(len)` bytes are valid for reads.
    pub(crate) unsafe fn first_difference(
        self,
        start: *const u8,
        len: usize,
        kept: usize,
    ) -> Option<usize> {
        for range in written(len) {
            let end = range.end.min(kept);
            let mut offset = range.start;
            while offset < end {
                if offset % 8 == 0 && offset + 8 <= end {
                    // SAFETY: `offset + 8 <= end <= kept`.
                    let found = unsafe { start.add(offset).cast::<[u8; 8]>().read() };
                    if found == self.word(offset / 8) {
                        offset += 8;
                        continue;
                    }
                }
                // SAFETY: `offset < end <= kept`.
                if unsafe { start.add(offset).read() } != self.byte(offset) {
                    return Some(offset);
                }
                offset += 1;
            }
        }
        None
    }
}

/// The ranges of a block of `len` bytes that carry the pattern.
fn written(len: usize) -> impl Iterator<Item = Range<usize>> {
    let (head, middle, tail) = if len <= FILLED_WHOLE {
        (0..len, 0..0, 0..0)
    } else {
        (0..END, END..len - END, len - END..len)
    };
    let step = (middle.len() / SAMPLES).max(64 << 10) & !7;
    let samples = middle
        .clone()
        .step_by(step)
        .map(move |offset| offset..(offset + 8).min(middle.end));
    std::iter::once(head)
        .chain(samples)
        .chain(std::iter::once(tail))
}

/// The offset of the first byte that is not zero; every byte of the range is looked at.
///
/// # Safety
/// `start..start + len` is valid for reads.
pub(crate) unsafe fn first_nonzero(start: *const u8, len: usize) -> Option<usize> {
    // SAFETY: the caller gives the range for reads, and writes nothing while this borrows it.
    let bytes = unsafe { std::slice::from_raw_parts(start, len) };
    // SAFETY: every bit pattern is a valid `u64`.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    let clean = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    if clean(head) && words.iter().all(|&word| word == 0) && clean(tail) {
        return None;
    }
    bytes.iter().position(|&byte| byte != 0)
}
