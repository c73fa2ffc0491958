//! The kernel's allocators: all that it takes.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use allotment_core::{BoundPool, InterruptLock, OncePool, Options, PerCpu, Pool};

use crate::boot::CPUS;
use crate::cpu::Cpu;
use crate::memory;

/// Interrupt handlers allocate, so whoever holds a pool's lock keeps them off.
pub(crate) type Lock = InterruptLock<spin::Mutex<()>, Cpu>;

/// A pool, with a local heap for each CPU, attached when the CPU first allocates.
pub(crate) type Allocator = BoundPool<OncePool<Lock>, PerCpu<Cpu, CPUS>>;

/// Where everything comes from that is not asked for elsewhere.
#[global_allocator]
pub(crate) static GLOBAL: Allocator = BoundPool::new(OncePool::empty(), PerCpu::new(Cpu));

/// Memory that old devices reach. Memory that is near to a CPU, or faster, would be a pool of its own
/// in the same way.
pub(crate) static LOW: Allocator = BoundPool::new(OncePool::empty(), PerCpu::new(Cpu));

/// Bytes that [`GLOBAL`] was given.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

/// Gives the allocators their first memory: `pieces`, one behind the other, and `low`. `expected` is
/// how many bytes [`GLOBAL`] may have in the end.
///
/// # Safety
/// Once, by the first CPU, before anything is allocated. Nobody else uses the memory.
pub(crate) unsafe fn begin(pieces: &[Range<usize>], low: &Range<usize>, expected: usize) {
    let mut len = 0;
    for piece in pieces {
        // SAFETY: forwarded.
        unsafe { memory::map(len, piece) };
        len += piece.len();
    }
    GIVEN.store(len, Ordering::Relaxed);
    // SAFETY: the memory is mapped, and nobody else's.
    unsafe {
        create(&GLOBAL, memory::HEAP, len, expected);
        create(&LOW, low.start, low.len(), 0);
    }
}

/// # Safety
/// As for [`Pool::create_in_raw`].
unsafe fn create(allocator: &'static Allocator, start: usize, len: usize, expected: usize) {
    let options = Options {
        capacity: expected,
        ..Options::default()
    };
    let start = core::ptr::with_exposed_provenance_mut(start);
    // SAFETY: forwarded.
    if let Err(error) = unsafe { allocator.pool().create(start, len, options) } {
        panic!("no heap in {len} bytes at {start:p}: {error}");
    }
}

/// Gives [`GLOBAL`] more memory. The other CPUs may be allocating.
///
/// # Safety
/// By the first CPU. Nobody else uses the memory.
pub(crate) unsafe fn add(piece: &Range<usize>) {
    let behind = GIVEN.fetch_add(piece.len(), Ordering::Relaxed);
    // SAFETY: the memory is mapped right behind the region, and nobody else's.
    unsafe {
        memory::map(behind, piece);
        pool().extend(piece.len())
    }
    .expect("the address space is large enough");
}

/// The pool of [`GLOBAL`], for statistics and checks.
///
/// # Panics
/// Before [`begin`].
pub(crate) fn pool() -> &'static Pool<'static, Lock> {
    GLOBAL.pool().get().expect("the heap was made")
}
