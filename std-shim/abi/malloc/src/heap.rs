//! What the exported functions share: which arena serves a call.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment_core::GRANULE;

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

/// Allocates a block, or `None` if there is no memory for it. `errno` is kept.
#[inline(always)]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    match available_main().map(|arena| arena.allocate(layout)) {
        Some(Some(block)) => Some(block),
        tried => allocate_otherwise(layout, false, tried.is_some()),
    }
}

/// Allocates a block of zeros, or `None` if there is no memory for it. `errno` is kept.
#[inline(always)]
pub(crate) fn allocate_zeroed(layout: Layout) -> Option<NonNull<u8>> {
    match available_main().map(|arena| arena.allocate_zeroed(layout)) {
        Some(Some(block)) => Some(block),
        tried => allocate_otherwise(layout, true, tried.is_some()),
    }
}

/// When the main arena is not available, or has no room.
#[cold]
#[inline(never)]
fn allocate_otherwise(layout: Layout, zeroed: bool, tried: bool) -> Option<NonNull<u8>> {
    let main = runtime::existing_main_arena();
    let interrupts_growth = main.is_some_and(Arena::is_growth_interrupted);
    let mut block = if !tried || interrupts_growth {
        nested::allocate(layout, zeroed)
    } else {
        None
    };
    if let (None, false, Some(main)) = (block, tried, main.filter(|arena| !arena.is_interrupted()))
    {
        // Too large for the small arenas: wait for the other thread's fork.
        block = if zeroed {
            main.allocate_zeroed(layout)
        } else {
            main.allocate(layout)
        };
    }
    if block.is_none() {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
    block
}

/// Frees a block. `errno` is kept.
///
/// # Safety
/// The block is the caller's to free. A pointer that is no block ends the process.
#[inline(always)]
pub(crate) unsafe fn free(block: NonNull<u8>) {
    if let Some(arena) = available_main()
        && arena.contains(block.addr().get())
    {
        // SAFETY: forwarded.
        unsafe { arena.pool().free(block) };
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
            // SAFETY: forwarded.
            unsafe { arena.pool().deallocate(block, layout) }
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
    if let Some(arena) = available_main()
        && arena.contains(block.addr().get())
    {
        // SAFETY: forwarded.
        if let Some(resized) = unsafe { arena.resize(block, size) } {
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
        free(block);
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
