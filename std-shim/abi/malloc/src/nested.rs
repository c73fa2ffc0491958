//! Small arenas for calls that cannot use the main one: from a signal handler that interrupted
//! another call in the same thread, and while another thread forks (see [`fork`](crate::fork)).
//!
//! An interrupted call holds its arena locked and goes on only when the handler returns, so the
//! handler is served from the first of these arenas that its thread does not hold as well. They are
//! anonymous memory, whatever the main pool lies in, and made when first needed.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};

use allotment::mapping::Mapping;
use allotment::os_error::KeepErrno;
use allotment_core::LocalHeap;

use crate::arena::Arena;

/// One more than how deep handlers can interrupt one another inside an allocation.
const ARENAS: usize = 4;

/// Addresses for each; memory is committed as it is touched.
const SIZE: usize = 64 << 20;

const ABSENT: u8 = 0;
const BEING_MADE: u8 = 1;
const READY: u8 = 2;

struct Place {
    state: AtomicU8,
    arena: UnsafeCell<MaybeUninit<Arena>>,
}

// SAFETY: the arena is written only by the thread that took the state from ABSENT to BEING_MADE,
// and read only once the state is READY.
unsafe impl Sync for Place {}

static PLACES: [Place; ARENAS] = [const {
    Place {
        state: AtomicU8::new(ABSENT),
        arena: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; ARENAS];

impl Place {
    fn get(&'static self) -> Option<&'static Arena> {
        // SAFETY: READY is stored after the arena was written, and never taken back.
        (self.state.load(Ordering::Acquire) == READY)
            .then(|| unsafe { (*self.arena.get()).assume_init_ref() })
    }

    fn get_or_make(&'static self) -> Option<&'static Arena> {
        if self
            .state
            .compare_exchange(ABSENT, BEING_MADE, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            let _errno = KeepErrno::new();
            let made = Mapping::anonymous(Some(SIZE))
                .ok()
                .and_then(|mapping| Arena::new(mapping).ok());
            let next = if made.is_some() { READY } else { ABSENT };
            if let Some(arena) = made {
                // SAFETY: this thread alone makes the arena, and nobody reads it yet.
                unsafe { (*self.arena.get()).write(arena) };
            }
            self.state.store(next, Ordering::Release);
        }
        self.get()
    }
}

/// The arenas that were made so far.
pub(crate) fn arenas() -> impl Iterator<Item = &'static Arena> {
    PLACES.iter().filter_map(Place::get)
}

/// The arena that the address is in.
pub(crate) fn arena_of(address: usize) -> Option<&'static Arena> {
    arenas().find(|arena| arena.contains(address))
}

/// Allocates from the first arena that the calling thread is not inside of.
#[cold]
#[inline(never)]
pub(crate) fn allocate(layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
    PLACES
        .iter()
        .filter_map(Place::get_or_make)
        .filter(|arena| !arena.is_interrupted())
        .find_map(|arena| {
            drain(arena);
            // SAFETY: the empty local heap is anybody's.
            unsafe {
                if zeroed {
                    arena.allocate_zeroed(LocalHeap::EMPTY, layout)
                } else {
                    arena.allocate(LocalHeap::EMPTY, layout)
                }
            }
        })
}

/// Frees a block of one of these arenas.
///
/// # Safety
/// As for [`Pool::free`](allotment_core::Pool::free).
pub(crate) unsafe fn free(arena: &'static Arena, block: NonNull<u8>) {
    if arena.is_interrupted() {
        // Where there is no room for it, the block is lost: a thousand others were freed inside
        // one operation.
        arena.deferred.push(block);
    } else {
        drain(arena);
        // SAFETY: forwarded.
        unsafe { arena.pool().free(block) };
    }
}

fn drain(arena: &Arena) {
    // SAFETY: deferred blocks were the callers' to free.
    arena
        .deferred
        .drain(|block| unsafe { arena.pool().free(block) });
}
