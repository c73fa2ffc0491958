//! What is written to blocks, and whether it is still there when they are freed.

use std::process;

const PAGE: usize = 4096;

/// What [`mark`] needs: the number and the size.
const HEAD: usize = size_of::<u64>();

/// Writes the number and the size to the block's start, and a byte to each further page and to the end.
///
/// # Safety
/// The block is live, the caller's alone, and has `size` bytes, at least eight.
pub(super) unsafe fn mark(block: *mut u8, size: usize, number: u32) {
    // SAFETY: all within the block (condition).
    unsafe {
        block.cast::<u64>().write_unaligned(head(size, number));
        for page in (PAGE..size).step_by(PAGE) {
            block.add(page).write(number as u8);
        }
        if size > HEAD {
            block.add(size - 1).write(number as u8);
        }
    }
}

/// Ends the process unless the block is as [`mark`] has left it.
///
/// # Safety
/// The block is live, the caller's alone, and was marked.
pub(super) unsafe fn check(block: *mut u8, number: u32) {
    // SAFETY: forwarded.
    if !unsafe { is_marked(block, number) } {
        lost();
    }
}

/// # Safety
/// As for [`check`].
unsafe fn is_marked(block: *mut u8, number: u32) -> bool {
    // SAFETY: the block has a head (condition), and as many bytes as that says if it is what was written.
    unsafe {
        let found = block.cast::<u64>().read_unaligned();
        let size = found as u32 as usize;
        found == head(size, number)
            && size >= HEAD
            && (size == HEAD || block.add(size - 1).read() == number as u8)
    }
}

fn head(size: usize, number: u32) -> u64 {
    u64::from(number) << 32 | size as u64
}

/// Fills a block with a number.
///
/// # Safety
/// The block is live, the caller's alone, and has `size` bytes.
pub(super) unsafe fn fill(block: *mut u8, size: usize, number: u8) {
    // SAFETY: forwarded.
    unsafe { block.write_bytes(number, size) };
}

/// Ends the process unless both ends of the block have what [`fill`] has left there.
///
/// # Safety
/// The block is live, the caller's alone, has `size` bytes, at least one, and was filled.
pub(super) unsafe fn check_ends(block: *mut u8, size: usize, number: u8) {
    // SAFETY: within the block (condition).
    let ends = unsafe { [block.read(), block.add(size - 1).read()] };
    if ends != [number; 2] {
        lost();
    }
}

/// Not a panic: a thread that unwinds would leave the others waiting.
#[cold]
#[inline(never)]
pub(super) fn lost() -> ! {
    eprintln!("a block has lost what was written to it");
    process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_noticed() {
        for size in [8, 9, 4096, 4097, 10_000] {
            let mut bytes = vec![0_u8; size];
            let block = bytes.as_mut_ptr();
            // SAFETY: it has that many bytes, and is only known here.
            unsafe {
                mark(block, size, 77);
                assert!(is_marked(block, 77) && !is_marked(block, 78), "{size}");
                // The number's first byte, or the end.
                for place in [4, size - 1] {
                    let before = block.add(place).read();
                    block.add(place).write(before ^ 1);
                    assert!(!is_marked(block, 77), "{size}, {place}");
                    block.add(place).write(before);
                }
                assert!(is_marked(block, 77), "{size}");
            }
        }
    }
}
