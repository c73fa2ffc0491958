//! What a pool's memory begins with and what never changes: a prefix of the pool's and one of its heap's. Nothing
//! reads them while the pool is used, so that damage there would be seen by nobody.

use core::ptr::NonNull;

/// The bytes of a prefix.
const LEN: usize = 16;

/// Where the pool's prefix says how many bytes further on the heap's begins.
const HEAP_AT: usize = 12;

/// Both prefixes as they were made.
#[derive(Debug)]
pub(crate) struct Header {
    heap_at: usize,
    prefixes: [[u8; LEN]; 2],
}

impl Header {
    /// Reads that of a pool that was just made.
    ///
    /// # Safety
    /// A pool begins there.
    pub(crate) unsafe fn of(start: NonNull<u8>) -> Header {
        // SAFETY: a pool has this, and its heap's prefix where it says.
        unsafe {
            let heap_at = start.add(HEAP_AT).cast::<u32>().read_unaligned() as usize;
            let prefixes = [0, heap_at].map(|at| start.add(at).cast::<[u8; LEN]>().read());
            Header { heap_at, prefixes }
        }
    }

    /// The address of a prefix that is not as it was made.
    ///
    /// # Safety
    /// It was read there, and the pool is still there.
    pub(crate) unsafe fn damage(&self, start: NonNull<u8>) -> Option<usize> {
        [0, self.heap_at]
            .into_iter()
            .zip(&self.prefixes)
            .find_map(|(at, made)| {
                // SAFETY: it could be read before (condition).
                let place = unsafe { start.add(at) }.cast::<[u8; LEN]>();
                // SAFETY: as above.
                (unsafe { place.read_volatile() } != *made).then(|| place.addr().get())
            })
    }
}
