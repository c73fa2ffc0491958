//! The memory that a peer manages.

use std::io;
use std::ptr::{self, NonNull};

/// An anonymous private mapping that is aligned to its own length, so that a binary buddy allocator sees one block.
/// Unmapped on drop.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
}

impl Region {
    /// Maps `len` bytes of zeros.
    ///
    /// # Panics
    /// When `len` is not a power of two of at least a page.
    ///
    /// # Errors
    /// What [`mmap(2)`](https://man7.org/linux/man-pages/man2/mmap.2.html) reports.
    pub fn map(len: usize) -> io::Result<Self> {
        assert!(
            len.is_power_of_two() && len >= 4096,
            "a region's length is a power of two of at least a page: {len}"
        );
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let reserved = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if reserved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let reserved = reserved.cast::<u8>();
        let skip = reserved.align_offset(len);
        // SAFETY: `skip <= len` bytes before and `len - skip` behind the region are part of the mapping made above and
        // belong to nobody.
        unsafe {
            let start = reserved.add(skip);
            if skip > 0 {
                libc::munmap(reserved.cast(), skip);
            }
            if skip < len {
                libc::munmap(start.add(len).cast(), len - skip);
            }
            Ok(Self {
                start: NonNull::new_unchecked(start),
                len,
            })
        }
    }

    /// Touches every page, so that page faults do not fall into what is measured.
    pub fn populate(&mut self) {
        // SAFETY: the whole range is mapped writable, and `&mut self` means that no peer uses it.
        unsafe { self.start.as_ptr().write_bytes(0x5A, self.len) }
    }

    /// The first byte.
    pub fn start(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes: never.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every borrow of it has ended.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
