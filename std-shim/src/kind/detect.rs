//! From a pointer to its kind.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::body::Body;
use crate::pools;

/// What the owners of kinds' pools have in common, so that other owners' pools are not taken for
/// kinds: their addresses are one more than a multiple of 64.
const MARK: usize = 1;

/// A kind's name among the live ones. It says nothing of a kind that is gone, and may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KindId(NonNull<()>);

// SAFETY: it is only compared.
unsafe impl Send for KindId {}
// SAFETY: as above.
unsafe impl Sync for KindId {}

impl KindId {
    pub(super) fn of(body: &Body) -> KindId {
        KindId(NonNull::from(body).cast())
    }
}

/// What a kind's pool names as its owner.
pub(super) fn owner(body: &Body) -> *mut () {
    (&raw const *body)
        .cast_mut()
        .cast::<()>()
        .wrapping_byte_add(MARK)
}

fn body_at(address: usize) -> Option<NonNull<Body>> {
    let owner = pools::owner_of(address)?;
    if owner.addr() % align_of::<Body>() != MARK {
        return None;
    }
    NonNull::new(owner.wrapping_byte_sub(MARK).cast())
}

/// The live kind that an address lies in: of a block, or of any other pointer. O(1), without a lock.
/// A kind without an allocation so far has no addresses.
#[inline]
#[must_use]
pub fn detect<T: ?Sized>(pointer: *const T) -> Option<KindId> {
    body_at(pointer.addr()).map(|body| KindId(body.cast()))
}

/// The [tag](super::Kind::set_tag) of the kind that an address lies in.
///
/// # Safety
/// If it is a kind's address, that kind is not dropped during the call.
#[inline]
#[must_use]
pub unsafe fn tag_of<T: ?Sized>(pointer: *const T) -> Option<*mut ()> {
    let body = body_at(pointer.addr())?;
    // SAFETY: the kind is alive (condition).
    Some(unsafe { body.as_ref() }.tag.load(Ordering::Acquire))
}

/// Frees a block of any kind. Answers whether its address lies in a kind; nothing is done if it does not.
///
/// # Safety
/// If it is a kind's block, it is the caller's to free, and the kind is not dropped during the
/// call.
#[inline]
#[must_use]
pub unsafe fn free(block: NonNull<u8>) -> bool {
    let Some(body) = body_at(block.addr().get()) else {
        return false;
    };
    // SAFETY: the kind is alive (condition); forwarded.
    unsafe {
        if let Some(pool) = body.as_ref().pool() {
            pool.free(block);
        }
    }
    true
}
