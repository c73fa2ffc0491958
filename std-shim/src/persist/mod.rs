//! Making stores to persistent memory durable: flushing caches, draining, copying past them.
//!
//! ```text
//! flush, drain, persist, msync      by address and length
//!   copy            memmove and memset that leave nothing in the caches
//!     instruction     which flush instruction this CPU has; one module an architecture
//!   settings        what the environment variables PMEM_* ask for, read once
//!     environment     variables that a set-user-ID program does not listen to
//!   auto_flush      whether the platform flushes CPU caches on power loss (eADR)
//! ```
//!
//! | variable | effect |
//! |---|---|
//! | `PMEM_NO_CLWB=1`, `PMEM_NO_CLFLUSHOPT=1` | does without that instruction |
//! | `PMEM_NO_FLUSH` | 1: [`flush()`] does nothing; 0: it flushes even where the platform does |
//! | `PMEM_NO_MOVNT=1` | copies go through the caches |
//! | `PMEM_MOVNT_THRESHOLD` | bytes from which on copies go past the caches; 256 |
//! | `PMEM_NO_GENERIC_MEMCPY=1` | with `PMEM_NO_MOVNT=1`: copies are the C library's |
//!
//! Those that choose among stores of one kind (`PMEM_AVX`, `PMEM_AVX512F`, `PMEM_MOVDIR64B`,
//! `PMEM_WC_WORKAROUND`) have no effect. `PMEM_MMAP_HINT` and `PMEM_IS_PMEM_FORCE` concern
//! [`map`](crate::map).

pub mod auto_flush;
pub mod copy;
pub(crate) mod environment;
mod instruction;
mod settings;

use core::ffi::c_void;
use core::ptr::with_exposed_provenance_mut;

pub use copy::CopyFlags;
pub use instruction::FlushInstruction;
use settings::settings;

use crate::os_error::OsError;
use crate::source::page;

/// Whether stores have to be flushed from the CPU's caches to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheFlush {
    /// They have: memory is the domain of persistence.
    Needed,
    /// The caches are in the domain of persistence, too (eADR), or someone said to do without.
    Unneeded,
}

/// Reads the environment variables and asks the CPU, unless that was done. The first use does it, too; a
/// library that has to see the environment as it was at the start calls it then.
pub fn initialize() {
    settings();
}

/// The instruction that flushes caches here.
#[must_use]
pub fn flush_instruction() -> FlushInstruction {
    settings().instruction
}

/// Whether [`flush()`] does anything: not if the platform flushes caches itself
/// ([`auto_flush::detect`]); `PMEM_NO_FLUSH` overrides that either way.
#[must_use]
pub fn cache_flush() -> CacheFlush {
    settings().cache_flush
}

/// Starts writing the caches' lines of a range back to memory, if that is needed
/// ([`cache_flush`]). [`drain`] waits for it. Any alignment and length; 64 bytes a step.
///
/// # Safety
/// The range is mapped.
pub unsafe fn flush(address: *const u8, len: usize) {
    if cache_flush() == CacheFlush::Needed {
        // SAFETY: the caller's promise.
        unsafe { deep_flush(address, len) };
    }
}

/// As [`flush()`], needed or not.
///
/// # Safety
/// The range is mapped.
pub unsafe fn deep_flush(address: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { instruction::flush(settings().instruction, address, len) };
}

/// Waits until what was flushed, or stored past the caches, has arrived: a store fence. Nothing
/// after CLFLUSH, which waits itself.
pub fn drain() {
    if settings().instruction.needs_fence() {
        instruction::fence();
    }
}

/// [`flush()`] and [`drain`]: makes a range of persistent memory durable.
///
/// # Safety
/// The range is mapped.
pub unsafe fn persist(address: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { flush(address, len) };
    drain();
}

/// Writes the pages of a range to their file and waits (`msync(2)` with `MS_SYNC`). Works for any
/// file; the range need not be aligned.
///
/// # Errors
/// As `msync(2)`: `ENOMEM` if a part is not mapped, `EINVAL` on a Device DAX, `EIO`. A range that wraps
/// around the address space passes for an empty one.
pub fn msync(address: *const u8, len: usize) -> Result<(), OsError> {
    let into_page = address.addr() & (page::size() - 1);
    let start = with_exposed_provenance_mut::<c_void>(address.addr() - into_page);
    let len = len.wrapping_add(into_page);
    // SAFETY: changes no memory, and refuses what is not mapped.
    match unsafe { libc::msync(start, len, libc::MS_SYNC) } {
        0 => Ok(()),
        _ => Err(OsError::last()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushing_changes_nothing() {
        let bytes: Vec<u8> = (0..=255).collect();
        for start in [0, 1, 63, 64, 100] {
            for len in [0, 1, 8, 64, 65, 128, 156] {
                // SAFETY: inside the vector.
                unsafe {
                    let part = bytes.as_ptr().add(start);
                    flush(part, len);
                    deep_flush(part, len);
                    persist(part, len);
                }
            }
        }
        assert!(bytes.iter().copied().eq(0..=255));
    }

    #[test]
    fn msync_aligns_and_reports() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let source = crate::source::Source::from_regular_file(std::os::fd::AsFd::as_fd(&file));
        let fd = std::os::fd::AsRawFd::as_raw_fd(&source.fd().unwrap());
        // SAFETY: a new mapping in a place of the kernel's choice.
        let start = unsafe {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            libc::mmap(core::ptr::null_mut(), 8192, access, flags, fd, 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        let at = |offset: usize| start.cast::<u8>().wrapping_add(offset).cast_const();
        assert_eq!(msync(at(0), 8192), Ok(()));
        assert_eq!(msync(at(4097), 5), Ok(()));
        assert_eq!(msync(at(3), 0), Ok(()));
        // SAFETY: only this test knows of the mapping.
        unsafe { libc::munmap(start, 8192) };
        assert_eq!(
            msync(core::ptr::null::<u8>(), 1),
            Err(OsError(libc::ENOMEM))
        );
        assert_eq!(msync(at(0), usize::MAX / 2), Err(OsError(libc::ENOMEM)));
    }
}
