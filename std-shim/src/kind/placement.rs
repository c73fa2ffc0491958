//! Anonymous memory on chosen nodes, or in huge pages.

use core::ptr::{NonNull, null_mut};

use super::KindError;
use super::device::Borrowed;
use super::nodes::{MOST, Nodes};
use crate::mapping::Mapping;
use crate::meminfo;
use crate::os_error::OsError;

/// Where the pages of a kind's anonymous memory come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// Wherever the kernel takes them from.
    #[default]
    Any,
    /// From these nodes only.
    Bind(Nodes),
    /// From these nodes as long as they have any; the first one, where the kernel knows only one.
    Preferred(Nodes),
    /// From these nodes in turn.
    Interleave(Nodes),
    /// Huge pages of the default size (`MAP_HUGETLB`): all that are free when the kind is made.
    HugePages,
}

/// Maps memory for a placement.
pub(super) fn map(placement: &Placement) -> Result<(Mapping, Option<Borrowed>), KindError> {
    // Of the system's numbers libc has not got these.
    const MPOL_PREFERRED: libc::c_int = 1;
    const MPOL_BIND: libc::c_int = 2;
    const MPOL_INTERLEAVE: libc::c_int = 3;
    let (mode, nodes) = match placement {
        Placement::Any => return Ok((Mapping::anonymous(None)?, None)),
        Placement::HugePages => return huge_pages().map(|(mapping, all)| (mapping, Some(all))),
        Placement::Bind(nodes) => (MPOL_BIND, nodes),
        Placement::Preferred(nodes) => (MPOL_PREFERRED, nodes),
        Placement::Interleave(nodes) => (MPOL_INTERLEAVE, nodes),
    };
    if nodes.is_empty() {
        return Err(KindError::Unavailable);
    }
    let mapping = Mapping::anonymous(None)?;
    let mask = nodes.mask();
    // SAFETY: the range is the mapping's, and nothing is in it yet; the mask has as many bits.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            mapping.start().as_ptr(),
            mapping.capacity(),
            mode,
            mask.as_ptr(),
            MOST + 1,
            0,
        )
    } == 0;
    match OsError::last() {
        _ if done => Ok((mapping, None)),
        // A kernel without nodes has one, which everything comes from.
        OsError(libc::ENOSYS) if nodes.len() == 1 => Ok((mapping, None)),
        error => Err(KindError::System(
            "cannot take memory from these nodes",
            error,
        )),
    }
}

/// Bytes of a huge page, and how many are free.
#[must_use]
pub fn free_huge_pages() -> Option<(usize, usize)> {
    let [size, free, reserved] =
        meminfo::read(["Hugepagesize", "HugePages_Free", "HugePages_Rsvd"])?;
    Some((size, free.saturating_sub(reserved)))
}

fn huge_pages() -> Result<(Mapping, Borrowed), KindError> {
    let (size, free) = free_huge_pages().ok_or(KindError::Unavailable)?;
    let len = size * free;
    if len == 0 {
        return Err(KindError::Unavailable);
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
    let start = unsafe { libc::mmap(null_mut(), len, access, flags, -1, 0) };
    let start = match NonNull::new(start.cast::<u8>()) {
        Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => start,
        _ => {
            return Err(KindError::System("cannot map huge pages", OsError::last()));
        }
    };
    // SAFETY: mapped just now, and known to nobody else.
    let pages = unsafe { Borrowed::new(start, len) };
    // SAFETY: the kind drops its pool before the pages.
    let mapping = unsafe { pages.region(len) };
    Ok((mapping, pages))
}
