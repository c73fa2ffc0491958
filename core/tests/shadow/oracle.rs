//! The bookkeeping: which words of which region belong to a live block, and what that block contains.

use std::alloc::Layout;
use std::ptr::NonNull;

use bitvec::prelude::{BitSlice, BitVec, Lsb0};

use super::pattern::{Pattern, first_nonzero};

/// What one bit of the map stands for. Two blocks never share a word: there is a header between them.
const WORD: usize = size_of::<usize>();

/// One live block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) pointer: NonNull<u8>,
    /// What was asked for.
    pub(crate) layout: Layout,
    /// What the heap said can be used.
    pub(crate) usable: usize,
    pub(crate) pattern: Pattern,
}

impl Live {
    pub(crate) fn address(&self) -> usize {
        self.pointer.as_ptr().addr()
    }
}

#[derive(Debug)]
struct Region {
    start: usize,
    len: usize,
    /// One bit for each word of the region, rounded outwards: set while a live block covers it.
    words: BitVec<usize, Lsb0>,
}

impl Region {
    fn end(&self) -> usize {
        self.start + self.len
    }

    fn words(&mut self, address: usize, len: usize) -> &mut BitSlice<usize, Lsb0> {
        let base = self.start / WORD;
        let first = address / WORD - base;
        let end = (address + len).div_ceil(WORD) - base;
        &mut self.words[first..end]
    }
}

/// Knows every live block and asserts what an allocator must never break.
#[derive(Debug, Default)]
pub(crate) struct ShadowAllocator {
    regions: Vec<Region>,
    live: Vec<Live>,
    seed: u64,
}

impl ShadowAllocator {
    pub(crate) fn add_region(&mut self, start: *const u8, len: usize) {
        let mut region = Region {
            start: start.addr(),
            len: 0,
            words: BitVec::new(),
        };
        region.grow(len);
        self.regions.push(region);
    }

    /// The region that starts at `start` now has `additional` more bytes behind its end.
    pub(crate) fn extend_region(&mut self, start: *const u8, additional: usize) {
        let region = self.region_mut(start.addr()).expect("a known region");
        region.grow(additional);
    }

    pub(crate) fn remove_region(&mut self, start: *const u8) {
        let index = self
            .regions
            .iter()
            .position(|region| region.start == start.addr())
            .expect("a known region");
        let region = self.regions.swap_remove(index);
        assert!(
            region.words.not_any(),
            "a region with live blocks was removed"
        );
    }

    pub(crate) fn live(&self) -> &[Live] {
        &self.live
    }

    pub(crate) fn region_bytes(&self) -> usize {
        self.regions.iter().map(|region| region.len).sum()
    }

    pub(crate) fn regions(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + '_ {
        self.regions.iter().map(|region| (region.start, region.len))
    }

    pub(crate) fn is_live_start(&self, address: usize) -> bool {
        self.live.iter().any(|live| live.address() == address)
    }

    /// A new block: checks where it lies, fills it and keeps it.
    #[track_caller]
    pub(crate) fn insert(&mut self, pointer: NonNull<u8>, layout: Layout, usable: usize) {
        let address = pointer.as_ptr().addr();
        assert_eq!(
            address % layout.align(),
            0,
            "{address:#x} is not aligned as {layout:?} asks"
        );
        assert!(
            usable >= layout.size(),
            "{usable} usable bytes at {address:#x} for {layout:?}"
        );
        let region = self
            .region_mut(address)
            .unwrap_or_else(|| panic!("{address:#x} for {layout:?} lies in no region"));
        assert!(
            usable <= region.end() - address,
            "{address:#x} with {usable} usable bytes leaves its region"
        );
        let words = region.words(address, usable);
        assert!(
            words.not_any(),
            "{address:#x} with {usable} usable bytes overlaps a live block"
        );
        words.fill(true);
        self.seed = self.seed.wrapping_add(0x5851_F42D_4C95_7F2D);
        let pattern = Pattern(self.seed);
        // SAFETY: the heap gave these bytes away, and the map shows that nobody else has them.
        unsafe { pattern.fill(pointer.as_ptr(), usable) };
        self.live.push(Live {
            pointer,
            layout,
            usable,
            pattern,
        });
    }

    /// Takes a block out of the books after checking that all its bytes are as they were written.
    #[track_caller]
    pub(crate) fn remove(&mut self, index: usize) -> Live {
        let live = &self.live[index];
        assert_kept(live, live.pointer, live.usable);
        self.forget(index)
    }

    /// Takes a block out of the books without looking at it: it is no longer where it was.
    pub(crate) fn forget(&mut self, index: usize) -> Live {
        let live = self.live.swap_remove(index);
        let region = self.region_mut(live.address()).expect("a known region");
        let words = region.words(live.address(), live.usable);
        assert!(words.all());
        words.fill(false);
        live
    }

    /// Looks at the contents of every live block.
    #[track_caller]
    pub(crate) fn check_contents(&self) {
        for live in &self.live {
            assert_kept(live, live.pointer, live.usable);
        }
    }

    fn region_mut(&mut self, address: usize) -> Option<&mut Region> {
        self.regions
            .iter_mut()
            .find(|region| (region.start..region.end()).contains(&address))
    }
}

impl Region {
    fn grow(&mut self, additional: usize) {
        self.len += additional;
        let words = self.end().div_ceil(WORD) - self.start / WORD;
        // Zeroed memory from the system stays untouched, so that the map of a sparse region is sparse.
        if self.words.is_empty() {
            self.words = BitVec::from_vec(vec![0; words.div_ceil(usize::BITS as usize)]);
        }
        self.words.resize(words, false);
    }
}

/// Asserts that the first `kept` bytes of `live`, now at `pointer`, are as they were written.
#[track_caller]
pub(crate) fn assert_kept(live: &Live, pointer: NonNull<u8>, kept: usize) {
    let kept = kept.min(live.usable);
    // SAFETY: the caller passes a block that is live and at least `kept` bytes long.
    let difference = unsafe {
        live.pattern
            .first_difference(pointer.as_ptr(), live.usable, kept)
    };
    assert_eq!(
        difference, None,
        "the contents of {live:?}, now at {pointer:p}, changed"
    );
}

/// Asserts that the `len` bytes at `pointer` read as zero.
///
/// # Safety
/// They are valid for reads.
#[track_caller]
pub(crate) unsafe fn assert_zeroed(pointer: NonNull<u8>, len: usize) {
    // SAFETY: passed on to the caller.
    let found = unsafe { first_nonzero(pointer.as_ptr(), len) };
    assert_eq!(found, None, "{pointer:p} was to be zeroed, {len} bytes");
}
