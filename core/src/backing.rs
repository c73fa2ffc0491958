//! [`Backing`]: where a pool's pages come from and go back to.

use core::ptr::NonNull;
use core::time::Duration;

use lock_api::RawMutex;

/// Where a pool's pages come from and go back to: a range of addresses, of which a part from its
/// start on is usable, and may become more. See [`BackedPool`](crate::BackedPool).
///
/// # Safety
/// From [`start`](Backing::start), `capacity` bytes belong to this value alone as long as it lives.
/// The first `committed` of them can be read and written, and stay what they are until
/// [`decommit`](Backing::decommit). `committed` changes by [`commit`](Backing::commit) alone, and the
/// others never.
pub unsafe trait Backing {
    /// What keeps two threads from asking this value at the same time. Where the calls take long, one
    /// that sleeps.
    type Lock: RawMutex;

    /// The first byte. Its provenance was exposed, for the whole range.
    fn start(&self) -> NonNull<u8>;

    /// Bytes of the range.
    fn capacity(&self) -> usize;

    /// Bytes from the start on that are usable.
    fn committed(&self) -> usize;

    /// Whether bytes read as zero when they become usable.
    fn is_zeroed(&self) -> bool;

    /// Makes at least the first `len` bytes usable. If that cannot be, answers `false`, and nothing
    /// has changed. Never called by two threads at once.
    fn commit(&self, len: usize) -> bool;

    /// Gives back the memory of the whole pages that lie in `len` bytes from `start` on, and answers
    /// how many bytes that was; 0 if there are none, or they cannot be given back. They stay usable,
    /// whatever is in them then; but if [`is_zeroed`](Backing::is_zeroed) says so, zeros.
    ///
    /// # Safety
    /// The bytes are usable ones of the range, nobody uses them during the call, and nobody needs
    /// what is in them.
    unsafe fn decommit(&self, start: NonNull<u8>, len: usize) -> usize;

    /// The time since some moment, by a clock that never goes back. Asked now and then, so
    /// a coarse one will do. One that stands still makes memory go back only when it is
    /// [asked for](crate::BackedPool::give_back_idle).
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the caller, an interrupt or signal handler, has interrupted the holder of the lock, so
    /// that it would wait for ever.
    fn is_held_here(_lock: &Self::Lock) -> bool {
        false
    }
}

/// When the memory of free blocks goes back to the [`Backing`].
///
/// It does so in an operation that is off the fast path anyway, and is held up by it: a pool that nobody
/// calls keeps what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PurgePolicy {
    /// As soon as it is free. What is freed in a slab goes when all of the slab is free.
    AtOnce,
    /// What nobody has needed for so long; what a local heap keeps of empty slabs, when it has not needed
    /// it for up to twice as long.
    Decay(Duration),
    /// Only when it is [asked for](crate::BackedPool::purge).
    #[default]
    Never,
}
