//! What may be chosen for a kind.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use allotment_core::FaultHandler;

use super::body::Body;
use super::{Kind, KindError, Placement, abort_on_fault, device, placement};
use crate::mapping::Mapping;
use crate::os_error::OsError;
use crate::path_buffer::PathBuffer;

/// When the memory of free blocks goes back to the system or the file. [`Kind::purge`] gives it back
/// at once under every policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// What has been free for ten seconds.
    #[default]
    Decay,
    /// What is free, within half a second.
    Conservative,
    /// Nothing.
    Never,
}

/// What the child of a `fork(2)` has of a kind. Memory that is private to the process, as anonymous memory
/// is, is the child's own copy in any case; but for huge pages, of which there may be too few for that: with those
/// it is as with [`Fork::Share`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fork {
    /// The parent's memory: each sees what the other writes. The blocks stay the parent's: in the child,
    /// allocations are refused, and frees do nothing.
    #[default]
    Share,
    /// A copy of its own, made at the fork, which waits for it; the cost is that of the copy. Other
    /// threads of the parent must not use the kind meanwhile.
    Snapshot,
    /// Nothing: the addresses are not mapped.
    Unavailable,
}

/// Choices for a new kind.
///
/// # Examples
/// ```
/// use allotment::kind::{KindOptions, Policy};
///
/// let directory = std::env::temp_dir();
/// let kind = KindOptions::new().policy(Policy::Never).pmem(&directory, 32 << 20)?;
/// assert_eq!(kind.capacity(), 32 << 20);
/// # Ok::<(), allotment::kind::KindError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct KindOptions {
    pub(super) policy: Policy,
    pub(super) fork: Fork,
    pub(super) on_fault: FaultHandler,
}

impl Default for KindOptions {
    fn default() -> KindOptions {
        KindOptions::new()
    }
}

impl KindOptions {
    /// Decay, shared with children, and misuse ends the process with a line that says what it was.
    pub const fn new() -> KindOptions {
        KindOptions {
            policy: Policy::Decay,
            fork: Fork::Share,
            on_fault: abort_on_fault,
        }
    }

    /// When memory goes back.
    pub const fn policy(mut self, policy: Policy) -> KindOptions {
        self.policy = policy;
        self
    }

    /// What the child of a fork has.
    pub const fn fork(mut self, fork: Fork) -> KindOptions {
        self.fork = fork;
        self
    }

    /// Who is told of misuse and damage, with none of the kind's locks held. If it returns, the operation is
    /// refused.
    pub const fn on_fault(mut self, on_fault: FaultHandler) -> KindOptions {
        self.on_fault = on_fault;
        self
    }

    /// A kind over the caller's memory: any address and length, any content. The memory is never
    /// unmapped, nor touched once the kind is gone.
    ///
    /// # Errors
    /// If the memory is too small for a pool, or overlaps that of a live kind.
    pub fn fixed(self, region: &'static mut [MaybeUninit<u8>]) -> Result<Kind, KindError> {
        let kind = Kind::new(Body::new(Mapping::region(region), self)?)?;
        kind.body().make()?;
        Ok(kind)
    }

    /// As [`KindOptions::fixed`], for memory that is there only as long as the kind. It is not touched before
    /// the first allocation; if it is too small for a pool, every allocation is refused.
    ///
    /// # Errors
    /// If the memory overlaps that of a live kind.
    ///
    /// # Safety
    /// From the first allocation until the kind is dropped, the memory is mapped, writable, and
    /// used by nobody else, but for the blocks.
    pub unsafe fn fixed_raw(self, start: NonNull<u8>, len: usize) -> Result<Kind, KindError> {
        // SAFETY: a mapping does not use the memory; the pool that does is made with the first
        // allocation and goes with the kind (condition).
        let region = unsafe { core::slice::from_raw_parts_mut(start.as_ptr().cast(), len) };
        Kind::new(Body::new(Mapping::region(region), self)?)
    }

    /// A kind over a file without a name in a directory, that grows up to `max_size` bytes, or as far
    /// as the file system has room if that is 0; over a Device DAX if the path names one. No
    /// file space is taken before the first allocation.
    ///
    /// File space is allocated before it is used: a full file system refuses an allocation, and is
    /// never a `SIGBUS`.
    ///
    /// # Errors
    /// If the file cannot be made there, or the addresses cannot be had; if the device is no Device DAX, is used by
    /// another kind of this or another process (`EBUSY`), or should be copied for children
    /// ([`Fork::Snapshot`], `EOPNOTSUPP`).
    pub fn pmem(self, path: &Path, max_size: usize) -> Result<Kind, KindError> {
        let buffer = PathBuffer::from_bytes(path.as_os_str().as_bytes())?;
        if device::is_device(&buffer) {
            if self.fork == Fork::Snapshot {
                let error = OsError(libc::EOPNOTSUPP);
                return Err(KindError::System("no copy is made of a device", error));
            }
            let (mapping, device) = device::map(path, max_size)?;
            if self.fork == Fork::Unavailable {
                device.withhold_from_children();
            }
            return Kind::new(Body::over_device(mapping, device, self)?);
        }
        let room = device::file_system_size(&buffer);
        // Never more addresses than the file system could fill.
        let limit = if max_size == 0 { usize::MAX } else { max_size };
        let mapping = match Mapping::temporary_file(&buffer, Some(limit.min(room))) {
            // More than the process may map: as much as it may.
            Err(_) if limit >= room => Mapping::temporary_file(&buffer, None)?,
            result => result?,
        };
        if self.fork == Fork::Unavailable {
            // Without this the child gets the parent's mapping, which it does not use.
            let _ = mapping.withhold_from_children(true);
        }
        Kind::new(Body::new(mapping, self)?)
    }

    /// A kind over anonymous memory of its own, placed as asked for.
    ///
    /// # Errors
    /// If the machine has no such memory, or the addresses cannot be had.
    pub fn anonymous(self, placement: &Placement) -> Result<Kind, KindError> {
        let (mapping, device) = placement::map(placement)?;
        match device {
            Some(device) => Kind::new(Body::over_device(mapping, device, self)?),
            None => Kind::new(Body::new(mapping, self)?),
        }
    }
}
