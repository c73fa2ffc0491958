//! Files on hugetlbfs.
//!
//! The kernel rounds the lengths of their mappings up to huge pages, also where that reaches over the
//! neighbours: so they have to be multiples from the first.

use core::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use crate::source::{Source, SourceKind};

/// The size of the pages that a file on hugetlbfs consists of; `None` for any other source.
pub(super) fn page_size(source: &Source<'_>) -> Option<usize> {
    if source.kind() != SourceKind::File {
        return None;
    }
    let fd = source.fd()?;
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
    let status = unsafe {
        if libc::fstatfs(fd.as_raw_fd(), status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    (status.f_type == libc::HUGETLBFS_MAGIC)
        .then_some(status.f_bsize as usize)
        .filter(|size| size.is_power_of_two())
}
