//! What the exported functions share: which arena serves a call.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment::thread::{self, Binding};
use allotment_core::{Freed, GRANULE, LocalHeap, Unsettled};

use crate::arena::Arena;
use crate::{foreign, message, nested, runtime};

/// Requests that were answered with null for want of memory. The pool's own count has attempts
/// that succeeded after the pool had grown.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// The failures so far.
pub(crate) fn failures() -> usize {
    FAILURES.load(Ordering::Relaxed)
}

/// The main arena, unless this call interrupts one on it in the same thread, or a thread is
/// forking.
#[inline(always)]
fn available_main() -> Option<&'static Arena> {
    runtime::main_arena().filter(|arena| arena.is_available())
}

/// The calling thread's word for its local heap.
#[inline(always)]
fn current() -> &'static LocalHeap {
    // SAFETY: it is never null, and local heaps live as long as the main arena, that is for ever.
    unsafe { &*thread::current() }
}

/// The calling thread's local heap, which it gets if it has none; the empty one if it may not use
/// its own, or not now.
fn local_heap(arena: &Arena) -> &'static LocalHeap {
    if runtime::is_fork_followed() || runtime::setup().is_some_and(|setup| !setup.local_heaps) {
        return LocalHeap::EMPTY;
    }
    // SAFETY: only ever called with the main arena, which lives for ever.
    unsafe { arena.local_heap(detach) }
}

/// The calling thread's local heap, or the empty one if it has none or may not use it.
pub(crate) fn own() -> &'static LocalHeap {
    match thread::binding() {
        // SAFETY: as above.
        Binding::Bound(local) => unsafe { local.as_ref() },
        _ => LocalHeap::EMPTY,
    }
}

/// Whose operations may have been interrupted: the calling thread's local heap if a signal handler
/// runs in it.
pub(crate) fn interrupted() -> Option<&'static LocalHeap> {
    match thread::binding() {
        // SAFETY: as above.
        Binding::Suspended => thread::own().map(|local| unsafe { local.as_ref() }),
        _ => None,
    }
}

/// Gives a thread's local heap up at its end.
///
/// # Safety
/// It came from the main arena's pool, and the thread does not use it any more.
unsafe fn detach(local: NonNull<LocalHeap>) {
    if let Some(arena) = runtime::existing_main_arena() {
        // SAFETY: forwarded.
        unsafe { arena.pool().detach(local) };
    }
}

/// Allocates `size` bytes as `malloc` does, if the calling thread's local heap has them ready.
#[inline(always)]
pub(crate) fn take(size: usize) -> Option<NonNull<u8>> {
    // SAFETY: the word names the local heap that the thread is bound to, or an empty one.
    unsafe { current().take(size) }
}

/// As [`take`], for any alignment.
#[inline(always)]
pub(crate) fn take_aligned(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: as in `take`.
    unsafe { current().take_aligned(layout) }
}

/// As [`take`], with a look at the local heap's slabs if nothing is ready.
#[inline(always)]
pub(crate) fn take_from_slabs(size: usize) -> Option<NonNull<u8>> {
    if runtime::needs_attention() {
        return None;
    }
    // SAFETY: the word names the local heap that the thread is bound to, or an empty one.
    unsafe { current().take_from_slabs(size) }
}

/// Allocates a block, or `None` if there is no memory for it. `errno` is kept.
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the thread is bound to the local heap, or it is the empty one.
    match available_main().map(|arena| unsafe { arena.allocate(local_heap(arena), layout) }) {
        Some(Some(block)) => Some(block),
        tried => allocate_otherwise(layout, false, tried.is_some()),
    }
}

/// Allocates a block of zeros, or `None` if there is no memory for it. `errno` is kept.
pub(crate) fn allocate_zeroed(layout: Layout) -> Option<NonNull<u8>> {
    if let Some(block) = take(layout.size()) {
        // SAFETY: the block was just allocated with this size.
        unsafe { block.write_bytes(0, layout.size()) };
        return Some(block);
    }
    allocate_zeroed_slowly(layout)
}

#[cold]
#[inline(never)]
fn allocate_zeroed_slowly(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the thread is bound to the local heap, or it is the empty one.
    match available_main().map(|arena| unsafe { arena.allocate_zeroed(local_heap(arena), layout) })
    {
        Some(Some(block)) => Some(block),
        tried => allocate_otherwise(layout, true, tried.is_some()),
    }
}

/// When the main arena is not available, or has no room.
#[cold]
#[inline(never)]
fn allocate_otherwise(layout: Layout, zeroed: bool, tried: bool) -> Option<NonNull<u8>> {
    let main = runtime::existing_main_arena();
    let interrupts_growth = main.is_some_and(|arena| arena.is_growth_interrupted());
    let mut block = if !tried || interrupts_growth {
        nested::allocate(layout, zeroed)
    } else {
        None
    };
    if let (None, false, Some(main)) = (block, tried, main.filter(|arena| !arena.is_interrupted()))
    {
        // Too large for the small arenas: wait for the other thread's fork.
        // SAFETY: the empty local heap is anybody's.
        block = unsafe {
            if zeroed {
                main.allocate_zeroed(LocalHeap::EMPTY, layout)
            } else {
                main.allocate(LocalHeap::EMPTY, layout)
            }
        };
    }
    if block.is_none() {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
    block
}

/// Frees a block, or does nothing for null. `errno` is kept.
///
/// # Safety
/// The block is the caller's to free. A pointer that is no block ends the process.
#[inline(always)]
pub(crate) unsafe fn free(block: *mut u8) {
    let local = current();
    // SAFETY: the word names the local heap that the thread is bound to, or an empty one; the rest is
    // forwarded.
    unsafe {
        match local.give(block) {
            Freed::Done => {}
            Freed::Unsettled(slab) => settle(local, slab),
            Freed::Refused => free_or_ignore(block),
        }
    }
}

/// # Safety
/// As for [`Pool::settle`](allotment_core::Pool::settle).
#[cold]
#[inline(never)]
unsafe fn settle(local: &LocalHeap, slab: Unsettled) {
    // SAFETY: forwarded.
    let slab = unsafe { local.settle_alone(slab) };
    if let Some(slab) = slab
        && let Some(arena) = runtime::existing_main_arena()
    {
        // SAFETY: forwarded.
        unsafe {
            if arena.is_available() {
                arena.settle(local, slab);
            } else {
                arena.pool().settle_and_keep(local, slab);
            }
        }
    }
}

/// What is left to try without the arena: most of these blocks are objects that other threads
/// allocated.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
unsafe fn free_or_ignore(block: *mut u8) {
    // SAFETY: the word names the local heap that the thread is bound to, or an empty one; the arena
    // lives for ever; the rest is forwarded.
    unsafe {
        if !current().give_to_owner(block).finish() {
            free_slowly(block);
        }
    }
}

/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe fn free_slowly(block: *mut u8) {
    let Some(block) = NonNull::new(block) else {
        return;
    };
    if let Some(arena) = available_main()
        && arena.contains(block.addr().get())
    {
        // SAFETY: forwarded; the thread is bound to the local heap, or it is the empty one.
        unsafe { arena.free(local_heap(arena), block, None) };
        return;
    }
    // SAFETY: forwarded.
    unsafe { free_otherwise(block) }
}

/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe fn free_otherwise(block: NonNull<u8>) {
    // SAFETY: forwarded.
    unsafe {
        match owner(block) {
            Owner::Main(arena) => {
                if arena.deferred.push(block) {
                    runtime::note_deferred();
                } else if !arena.is_interrupted() {
                    // Waits for the other thread's fork.
                    arena.pool().free(block);
                }
                // Else the block is lost: a thousand others were freed inside one operation.
            }
            Owner::Nested(arena) => nested::free(arena, block),
            Owner::Foreign => foreign::free(block),
        }
    }
}

/// Frees a block that was allocated with this size.
///
/// # Safety
/// As for [`free`]. A size that cannot be the block's ends the process.
pub(crate) unsafe fn free_sized(block: NonNull<u8>, layout: Layout) {
    match available_main() {
        Some(arena) if arena.contains(block.addr().get()) => {
            // SAFETY: forwarded; the thread is bound to the local heap, or it is the empty one.
            unsafe { arena.free(local_heap(arena), block, Some(layout)) }
        }
        // SAFETY: forwarded.
        _ => unsafe { free_otherwise(block) },
    }
}

/// Changes the size of a block, or `None` if there is no memory for it; the block is as it was
/// then. `errno` is kept, unless the block is the C library's.
///
/// # Safety
/// The block is the caller's, and is given up if another one is returned.
#[inline(always)]
pub(crate) unsafe fn resize(block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
    // SAFETY: as in `free`.
    if unsafe { current().keeps(block, size) } {
        return Some(block);
    }
    if let Some(arena) = available_main()
        && arena.contains(block.addr().get())
    {
        // SAFETY: forwarded; the thread is bound to the local heap, or it is the empty one.
        if let Some(resized) = unsafe { arena.resize(local_heap(arena), block, size) } {
            return Some(resized);
        }
    }
    // SAFETY: forwarded.
    unsafe { resize_otherwise(block, size) }
}

/// # Safety
/// As for [`resize`].
#[cold]
#[inline(never)]
unsafe fn resize_otherwise(block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
    let arena = match owner(block) {
        // SAFETY: forwarded.
        Owner::Foreign => return unsafe { foreign::resize(block, size) },
        Owner::Main(arena) => {
            if arena.is_available() && !arena.is_growth_interrupted() {
                FAILURES.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            arena
        }
        Owner::Nested(arena) => arena,
    };
    // The block's own size can be asked for only if its arena is available. If it is not, as much
    // as may be copied is copied: what lies behind the block is readable, too.
    let most = if arena.is_available() {
        arena.pool().usable_size(block)?
    } else {
        expect_readable(arena, block);
        arena.committed_from(block.addr().get())
    };
    let layout = Layout::from_size_align(size, GRANULE).ok()?;
    let moved = allocate(layout)?;
    // SAFETY: the new block has `size` bytes, and is apart from the old one, from which on there are
    // `most` readable bytes. The caller gives the old block up.
    unsafe {
        moved.copy_from(block, size.min(most));
        free(block.as_ptr());
    }
    Some(moved)
}

/// The bytes that a block can hold. 0 if this call interrupts one on the block's arena in the same
/// thread, so that the answer cannot be had: none beyond those asked for may be relied on.
///
/// # Safety
/// A pointer that is no block ends the process.
pub(crate) unsafe fn usable_size(block: NonNull<u8>) -> usize {
    // Makes sure that there is a main arena to ask.
    let _ = runtime::main_arena();
    match owner(block) {
        Owner::Main(arena) | Owner::Nested(arena) => {
            if arena.is_interrupted() {
                return 0;
            }
            arena.pool().usable_size(block).unwrap_or(0)
        }
        // SAFETY: forwarded.
        Owner::Foreign => unsafe { foreign::usable_size(block) },
    }
}

/// Whose a pointer is, going by its address.
enum Owner {
    Main(&'static Arena),
    Nested(&'static Arena),
    Foreign,
}

fn owner(block: NonNull<u8>) -> Owner {
    let address = block.addr().get();
    match runtime::existing_main_arena() {
        Some(arena) if arena.contains(address) => Owner::Main(arena),
        _ => nested::arena_of(address).map_or(Owner::Foreign, Owner::Nested),
    }
}

/// A pointer that is about to be copied from, unseen by the pool, must at least lie where blocks
/// may.
fn expect_readable(arena: &Arena, block: NonNull<u8>) {
    let address = block.addr().get();
    if !address.is_multiple_of(GRANULE) || arena.committed_from(address) < GRANULE {
        message::abort(format_args!(
            "invalid pointer {block:p}: not the start of a block"
        ));
    }
}
