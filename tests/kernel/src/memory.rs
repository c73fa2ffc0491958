//! The machine's memory, side by side.
//!
//! A pool has one region, and a machine's memory lies in pieces, with devices in between. A kernel has
//! page tables: here all pieces are mapped one behind the other at [`HEAP`], in pages of 2 MiB. More
//! memory is mapped behind what is there, and the pool extended.

use core::cell::UnsafeCell;
use core::ops::Range;

use crate::boot::StartInfo;

/// Where the heap's memory is mapped: the second entry of the top page table.
pub(crate) const HEAP: usize = 1 << 39;

/// Bytes of a page.
pub(crate) const PAGE: usize = 2 << 20;

/// GiB that can be mapped at [`HEAP`].
const MOST: usize = 16;

/// Pieces of memory.
pub(crate) const PIECES: usize = 4;

const PRESENT_AND_WRITABLE: u64 = 3;
const LARGE: u64 = 1 << 7;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; 512]>);

// SAFETY: the tables are written by the first CPU alone.
unsafe impl Sync for Table {}

impl Table {
    const fn empty() -> Self {
        Table(UnsafeCell::new([0; 512]))
    }
}

/// The top table, which the start-up code fills in and loads.
#[unsafe(no_mangle)]
static TOP_TABLE: Table = Table::empty();

#[unsafe(no_mangle)]
static HEAP_TABLE: Table = Table::empty();

static HEAP_DIRECTORIES: [Table; MOST] = [const { Table::empty() }; MOST];

/// The pieces of memory that are free when the kernel starts, in whole pages.
pub(crate) fn pieces(start: &StartInfo) -> [Range<usize>; PIECES] {
    unsafe extern "C" {
        static kernel_end: u8;
    }
    let mut pieces = [const { 0..0 }; PIECES];
    let mut places = pieces.iter_mut();
    for entry in start.memory_map().iter().filter(|entry| entry.is_ram()) {
        let range = entry.start as usize..(entry.start + entry.len) as usize;
        // Below the kernel there is what the firmware left, and the page that CPUs start in.
        let from = range.start.max((&raw const kernel_end).addr());
        let from = from.next_multiple_of(PAGE);
        let to = range.end & !(PAGE - 1);
        if from < to
            && let Some(place) = places.next()
        {
            *place = from..to;
        }
    }
    pieces
}

/// End of the memory that old devices reach.
pub(crate) const LOW_END: usize = 16 << 20;

/// Takes the memory below [`LOW_END`] out of the first piece. It is used where it is.
pub(crate) fn take_low(pieces: &mut [Range<usize>]) -> Range<usize> {
    let first = &mut pieces[0];
    let low = first.start..LOW_END.min(first.end);
    first.start = low.end;
    low
}

/// Maps a piece of memory at `HEAP + at`.
///
/// # Safety
/// Nobody else uses the memory. By the first CPU only.
pub(crate) unsafe fn map(at: usize, piece: &Range<usize>) {
    assert!(
        at.is_multiple_of(PAGE) && at + piece.len() <= MOST << 30,
        "too much memory"
    );
    for (index, page) in (at / PAGE..).zip(piece.clone().step_by(PAGE)) {
        let directory = &HEAP_DIRECTORIES[index / 512];
        // SAFETY: the entries are not in use yet: nothing is to be flushed.
        unsafe {
            (*directory.0.get())[index % 512] = page as u64 | LARGE | PRESENT_AND_WRITABLE;
            (*HEAP_TABLE.0.get())[index / 512] =
                (&raw const *directory).addr() as u64 | PRESENT_AND_WRITABLE;
        }
    }
}
