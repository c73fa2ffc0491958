//! What a program can ask about its heap.

use core::ffi::{c_int, c_void};
use core::fmt::Write;
use core::ptr::NonNull;

use allotment::os_error::OsError;
use allotment::text_buffer::TextBuffer;
use allotment_core::Stats;

use crate::{exit_report, heap, message, runtime};

/// `malloc_usable_size(3)`: the bytes that the block can hold, 0 for null. A pointer that is no
/// block of malloc's ends the process.
///
/// # Safety
/// The block is not freed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: forwarded.
    NonNull::new(block.cast()).map_or(0, |block| unsafe { heap::usable_size(block) })
}

/// The pool as `mallinfo(3)` sees it.
#[derive(Clone, Copy, Default)]
struct Occupation {
    stats: Stats,
    /// From the region's start to the end of the last block in use. What lies behind was never
    /// needed or is not needed any more.
    extent: usize,
    /// Free blocks below that, and their bytes.
    gaps: usize,
    gap_bytes: usize,
}

/// Walks over all blocks. `None` while the pool cannot be asked.
fn occupation() -> Option<Occupation> {
    let arena = runtime::main_arena().filter(|arena| !arena.is_interrupted())?;
    let mut seen = Occupation {
        stats: arena.pool().stats(),
        ..Occupation::default()
    };
    let start = arena.mapping().start().addr().get();
    let (mut gaps, mut gap_bytes) = (0, 0);
    arena.pool().for_each_block(|block| {
        if block.used {
            // The last word of a block's bytes is the next block's header.
            seen.extent = block.address + block.size - start;
            (seen.gaps, seen.gap_bytes) = (gaps, gap_bytes);
        } else {
            gaps += 1;
            gap_bytes += block.size;
        }
    });
    // Objects of slabs are as good as blocks.
    seen.gap_bytes += seen.stats.slab_free_bytes;
    Some(seen)
}

/// `mallinfo2(3)` with the pool's figures. `arena` counts up to the last block in use: the rest of
/// the pool takes no memory, or need not.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let Occupation {
        stats,
        extent,
        gaps,
        gap_bytes,
    } = occupation().unwrap_or_default();
    libc::mallinfo2 {
        arena: extent,
        ordblks: gaps,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: stats.peak_bytes,
        fsmblks: 0,
        uordblks: stats.used_bytes,
        fordblks: gap_bytes,
        keepcost: 0,
    }
}

/// `mallinfo(3)`: as [`mallinfo2`]; figures that do not fit are the largest that do.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let info = mallinfo2();
    let fit = |figure: usize| c_int::try_from(figure).unwrap_or(c_int::MAX);
    libc::mallinfo {
        arena: fit(info.arena),
        ordblks: fit(info.ordblks),
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: fit(info.usmblks),
        fsmblks: 0,
        uordblks: fit(info.uordblks),
        fordblks: fit(info.fordblks),
        keepcost: fit(info.keepcost),
    }
}

/// `malloc_stats(3)`: the table that `ALLOT_STATS=1` prints at exit, on standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let _ = runtime::main_arena();
    exit_report::with_report(|report| {
        let mut text = TextBuffer::<4096>::new();
        // Writing to a TextBuffer does not fail.
        let _ = report.write_table(&mut text);
        message::write_all(libc::STDERR_FILENO, text.as_str().as_bytes());
    });
}

/// `malloc_info(3)`: the pool's figures as XML. Answers 0, or -1 and `EINVAL` for options other
/// than 0.
///
/// # Safety
/// `stream` is an open stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        OsError(libc::EINVAL).set();
        return -1;
    }
    let Occupation {
        stats,
        extent,
        gaps,
        gap_bytes,
    } = occupation().unwrap_or_default();
    let mut text = TextBuffer::<2048>::new();
    // Writing to a TextBuffer does not fail.
    let _ = write!(
        text,
        "<malloc version=\"1\">\n\
         <heap nr=\"0\">\n\
         <total type=\"used\" count=\"{}\" size=\"{}\"/>\n\
         <total type=\"rest\" count=\"{gaps}\" size=\"{gap_bytes}\"/>\n\
         <system type=\"current\" size=\"{extent}\"/>\n\
         <system type=\"max\" size=\"{}\"/>\n\
         <aspace type=\"total\" size=\"{}\"/>\n\
         </heap>\n\
         </malloc>\n",
        stats.live_blocks, stats.used_bytes, stats.peak_bytes, stats.region_bytes
    );
    // SAFETY: the stream is open (condition), and no lock of ours is held.
    let written = unsafe {
        libc::fwrite(
            text.as_str().as_ptr().cast(),
            1,
            text.as_str().len(),
            stream,
        )
    };
    if written == text.as_str().len() {
        0
    } else {
        -1
    }
}
