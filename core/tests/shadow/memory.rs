//! Regions to put heaps into: at any offset from a page, full of dirt, between margins that nobody may touch.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};

/// Bytes on both sides of a region that are checked for stray writes.
const MARGIN: usize = 128;
const MARGIN_BYTE: u8 = 0xA7;
const PAGE: usize = 4096;

/// What the memory contains before the heap gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dirt {
    /// Nothing: every byte is zero.
    Zero,
    /// Every bit is set.
    Ones,
    /// Random words.
    Noise(u64),
    /// Words that look like addresses and offsets into the region itself.
    Addresses,
}

/// Memory for one region, which starts `offset` bytes behind a page boundary.
#[derive(Debug)]
pub(crate) struct Memory {
    base: *mut u8,
    layout: Layout,
    start: *mut u8,
    len: usize,
    capacity: usize,
}

impl Memory {
    /// A region of `len` bytes, which can grow in place up to `capacity`.
    pub(crate) fn new(offset: usize, len: usize, capacity: usize, dirt: Dirt) -> Self {
        assert!(len <= capacity);
        let layout = Layout::from_size_align(PAGE + offset + capacity + MARGIN, PAGE)
            .expect("a region that memory can hold");
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the region and both margins lie inside the allocation.
        unsafe {
            let start = base.add(PAGE + offset);
            start.sub(MARGIN).write_bytes(MARGIN_BYTE, MARGIN);
            soil(start, capacity, dirt);
            start.add(capacity).write_bytes(MARGIN_BYTE, MARGIN);
            Self {
                base,
                layout,
                start,
                len,
                capacity,
            }
        }
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes behind the region's end that [`grow`](Self::grow) can still add.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.len
    }

    pub(crate) fn grow(&mut self, additional: usize) {
        assert!(additional <= self.room());
        self.len += additional;
    }

    /// Asserts that nothing wrote just outside the region.
    #[track_caller]
    pub(crate) fn check_margins(&self) {
        for offset in 0..MARGIN {
            // SAFETY: both margins lie inside the allocation and were written by `new`.
            let (below, above) = unsafe {
                (
                    self.start.sub(offset + 1).read(),
                    self.start.add(self.capacity + offset).read(),
                )
            };
            assert_eq!(below, MARGIN_BYTE, "{} bytes below the region", offset + 1);
            assert_eq!(above, MARGIN_BYTE, "{offset} bytes above the region");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `new` allocated `base` with this layout, and nothing else frees it.
        unsafe { dealloc(self.base, self.layout) }
    }
}

/// # Safety
/// `start..start + len` is valid for writes.
unsafe fn soil(start: *mut u8, len: usize, dirt: Dirt) {
    if len == 0 {
        return;
    }
    let word = |index: usize| -> u64 {
        match dirt {
            Dirt::Zero => 0,
            Dirt::Ones => u64::MAX,
            Dirt::Noise(seed) => {
                let mixed = (seed ^ index as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
                mixed ^ (mixed >> 32)
            }
            Dirt::Addresses if index.is_multiple_of(2) => {
                start as u64 + (index as u64 * 40) % len as u64
            }
            Dirt::Addresses => ((index as u64 * 16) % len as u64) | (index as u64 & 3),
        }
    };
    // A page is made word by word and then copied, which keeps large regions quick.
    let mut page = [0_u8; PAGE];
    for (index, bytes) in page.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&word(index).to_ne_bytes());
    }
    for offset in (0..len).step_by(PAGE) {
        // SAFETY: the copy ends at `len` at the latest.
        unsafe {
            start
                .add(offset)
                .copy_from_nonoverlapping(page.as_ptr(), PAGE.min(len - offset));
        }
    }
}

/// Address space that gets memory only where it is touched.
#[cfg(all(unix, target_pointer_width = "64"))]
#[derive(Debug)]
pub(crate) struct SparseMemory {
    start: *mut u8,
    len: usize,
}

#[cfg(all(unix, target_pointer_width = "64"))]
impl SparseMemory {
    pub(crate) fn new(len: usize) -> Self {
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(
            start,
            libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        Self {
            start: start.cast(),
            len,
        }
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many pages of the range have memory.
    pub(crate) fn resident_pages(&self) -> usize {
        // SAFETY: `sysconf` only reads a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let mut resident = vec![0_u8; self.len.div_ceil(page)];
        // SAFETY: the mapping is ours and `resident` has one byte for each of its pages.
        let answer =
            unsafe { libc::mincore(self.start.cast(), self.len, resident.as_mut_ptr().cast()) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
        resident.iter().filter(|&&byte| byte & 1 == 1).count()
    }
}

#[cfg(all(unix, target_pointer_width = "64"))]
impl Drop for SparseMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever used it is gone.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}
