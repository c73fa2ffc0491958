//! The words of a block.
//!
//! ```text
//!              block offset = payload offset, a multiple of GRANULE
//!              v
//!  +----------+---------------------------------------+----------+-----
//!  |  header  |  payload of a used block                         | next block's header
//!  +----------+----------+----------+-----------------+----------+-----
//!  |  header  |   next   |   back   |   (untouched)   |  footer  | next block's header
//!  +----------+----------+----------+-----------------+----------+-----
//!  |<------------------------ block size ----------------------->|
//! ```
//!
//! The upper line is a used block, the lower one a free block. A used block pays one word.
//!
//! * **Header of a used block**: `key ^ (size | alignment code << 1 | previous block is free)`.
//!   The heap's `key` has its top bit clear and ones in its upper part, so any word that is not a header
//!   decodes, but for a chance of `region length / 2^bits`, to a size that leaves the region: one
//!   comparison finds both a pointer that is not the start of a block and a header that was
//!   written over.
//! * **Header and footer of a free block**: `-size` in two's complement. The sign tells free from
//!   used; a free header can never pass for a used one, wherever it is left behind in memory.
//!   A free block's predecessor is always used (neighbours coalesce at once), so no flag is needed.
//! * **next**: offset of the next free block of the same list, 0 at the end.
//! * **back**: offset of the block before in the list; the list's number if this is the first.
//!   The lists' numbers are smaller than any block's offset.

use static_assertions::const_assert;

use crate::region::{GRANULE, WORD};

/// The smallest block: header, two links and a footer.
pub(crate) const MIN_BLOCK: usize = 4 * WORD;

/// What a heap's key is made from. The lowest bits are zero so that the flags can be read and
/// changed in place; the top byte is neither 0 nor printable nor negative, and unlike the one
/// below, so that neither ordinary data nor a misaligned read of a header decodes.
#[cfg(target_pointer_width = "64")]
pub(crate) const KEY: usize = 0x7F96_C3B1_5D2E_4B80;
/// See the 64-bit value.
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const KEY: usize = 0x7F96_C3B0;

/// In a used header: the block before is free, and its footer is the word before this header.
pub(crate) const PREV_FREE: usize = 1;

/// The bits of a decoded used header that hold the size.
pub(crate) const SIZE_MASK: usize = !(GRANULE - 1);

/// Binary logarithms of the alignments that a used header can name: usual ones, and one that
/// stands for all that is larger.
#[cfg(target_pointer_width = "64")]
const ALIGN_LOG2: [u8; 8] = [4, 6, 8, 12, 16, 21, 30, 63];
/// See the 64-bit value.
#[cfg(not(target_pointer_width = "64"))]
const ALIGN_LOG2: [u8; 4] = [3, 6, 12, 31];

/// For each binary logarithm of an alignment, the first of [`ALIGN_LOG2`] that is not smaller, as it
/// stands in a header.
#[cfg(any(feature = "fast", target_pointer_width = "64"))]
const ALIGN_CODES: [u8; usize::BITS as usize] = {
    let mut codes = [0; usize::BITS as usize];
    let (mut log2, mut code) = (0, 0);
    while log2 < codes.len() {
        if log2 > ALIGN_LOG2[code] as usize {
            code += 1;
        }
        codes[log2] = (code as u8) << 1;
        log2 += 1;
    }
    codes
};

const_assert!(KEY & (GRANULE - 1) == 0);
const_assert!(KEY <= isize::MAX as usize);
const_assert!(KEY > isize::MAX as usize / 2);
const_assert!(MIN_BLOCK.is_multiple_of(GRANULE));
const_assert!(MIN_BLOCK == 2 * GRANULE);
const_assert!(ALIGN_LOG2.len() << 1 == GRANULE);
const_assert!(1 << ALIGN_LOG2[0] == GRANULE);

/// Offset of a block's header word, given the block's offset.
#[inline(always)]
pub(crate) const fn header(block: usize) -> usize {
    block.wrapping_sub(WORD)
}

/// Offset of a free block's `next` link.
#[inline(always)]
pub(crate) const fn next(block: usize) -> usize {
    block
}

/// Offset of a free block's `back` link.
#[inline(always)]
pub(crate) const fn back(block: usize) -> usize {
    block.wrapping_add(WORD)
}

/// Offset of a free block's footer, given where the following block begins.
#[inline(always)]
pub(crate) const fn footer(following: usize) -> usize {
    following.wrapping_sub(2 * WORD)
}

/// The key of a heap whose origin is at `address`, and which was made where a heap with the key
/// `previous` had been (or any other word). Blocks of another heap, nested in this one or forgotten, do
/// not pass for this heap's.
pub(crate) const fn key(address: usize, previous: usize) -> usize {
    // The highest byte and the flags keep their values, on 64-bit targets also the byte below.
    const VARIABLE: usize = usize::MAX >> (usize::BITS / 4) & SIZE_MASK;
    const ODD: usize = 0x9E37_79B9_7F4A_7C15_u64 as usize;
    KEY ^ ((address ^ previous.rotate_left(7))
        .wrapping_mul(ODD)
        .rotate_left(usize::BITS / 2)
        & VARIABLE)
}

/// Encodes the header and footer of a free block, and decodes them: it is its own inverse.
#[inline(always)]
pub(crate) const fn free(size: usize) -> usize {
    size.wrapping_neg()
}

/// Whether a header or footer word belongs to a free block.
#[inline(always)]
pub(crate) const fn is_free(word: usize) -> bool {
    (word as isize) < 0
}

/// The block size for a request of `payload` bytes, which is at most `isize::MAX`.
#[inline(always)]
pub(crate) const fn size_for(payload: usize) -> usize {
    let size = (payload + WORD + GRANULE - 1) & SIZE_MASK;
    if size < MIN_BLOCK { MIN_BLOCK } else { size }
}

/// The code that a used header keeps for a power-of-two alignment.
#[cfg(not(any(feature = "fast", target_pointer_width = "64")))]
#[inline(always)]
pub(crate) const fn align_code(align: usize) -> usize {
    let [a, b, c, _] = ALIGN_LOG2;
    ((align > 1 << a) as usize + (align > 1 << b) as usize + (align > 1 << c) as usize) << 1
}

/// The code that a used header keeps for a power-of-two alignment.
#[cfg(any(feature = "fast", target_pointer_width = "64"))]
#[inline(always)]
pub(crate) const fn align_code(align: usize) -> usize {
    ALIGN_CODES[align.trailing_zeros() as usize % ALIGN_CODES.len()] as usize
}

/// The alignment that a block at `address` must keep, from its decoded header: never less than
/// what was asked for, and no more than the alignment that the header names.
pub(crate) const fn align_of_code(decoded: usize, address: usize) -> usize {
    let named = ALIGN_LOG2[(decoded & (GRANULE - 1)) >> 1] as u32;
    let actual = address.trailing_zeros();
    1 << if actual < named { actual } else { named }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_cover_the_request() {
        for payload in 0..5000 {
            let size = size_for(payload);
            assert!(size - WORD >= payload);
            assert!(size - WORD < payload + GRANULE + MIN_BLOCK);
            assert_eq!(size % GRANULE, 0);
        }
    }

    #[test]
    fn alignment_codes_never_weaken() {
        for log2 in 0..20 {
            let align = 1usize << log2;
            let address = 7usize << log2;
            let kept = align_of_code(64 | align_code(align), address.next_multiple_of(GRANULE));
            assert!(kept >= align, "align {align}");
        }
    }

    #[test]
    fn ordinary_words_are_not_headers() {
        for word in [
            0,
            1,
            2,
            16,
            32,
            255,
            usize::MAX,
            usize::MAX / 0xFF * 0x41,
            WORD << (40 % usize::BITS),
        ] {
            let size = (word ^ KEY) & SIZE_MASK;
            assert!(size > 1 << (usize::BITS - 4), "{word:#x}");
        }
    }
}
