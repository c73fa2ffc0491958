//! The same loops with other allocators, each behind the lock that ours has too.
//!
//! Every CPU runs the loop; a figure is the count until the last one was done, for each block that a
//! CPU allocated. With no waiting, it stays the same however many CPUs there are.

use alloc::alloc::{alloc, dealloc};
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use allotment_core::lock_api::Mutex;
use talc::source::Manual;

use crate::allocator::{Lock, pool};
use crate::boot::CPUS;
use crate::port::line;
use crate::work::{self, Barrier, wait_until};
use crate::{count, picture};

/// Blocks that each CPU allocates.
const BLOCKS: usize = 400;

/// Bytes for each of the other allocators.
const ROOM: usize = 1 << 20;

/// What is allocated.
type Content = [u64; 8];

/// An allocator that all CPUs share.
trait Peer {
    const NAME: &'static str;

    fn allocate(layout: Layout) -> *mut u8;

    /// # Safety
    /// The block came from here, with this layout.
    unsafe fn deallocate(block: *mut u8, layout: Layout);
}

struct Allotment;
struct Talc;
struct LinkedList;
struct BuddySystem;

static TALC: talc::TalcLock<Lock, Manual> = talc::TalcLock::new(Manual);
static LINKED_LIST: Mutex<Lock, linked_list_allocator::Heap> =
    Mutex::new(linked_list_allocator::Heap::empty());
static BUDDY_SYSTEM: Mutex<Lock, buddy_system_allocator::Heap<32>> =
    Mutex::new(buddy_system_allocator::Heap::empty());

impl Peer for Allotment {
    const NAME: &'static str = "allotment";

    #[inline(always)]
    fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: the layout has a size.
        unsafe { alloc(layout) }
    }

    #[inline(always)]
    unsafe fn deallocate(block: *mut u8, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { dealloc(block, layout) }
    }
}

impl Peer for Talc {
    const NAME: &'static str = "talc";

    #[inline(always)]
    fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: the layout has a size.
        unsafe { TALC.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn deallocate(block: *mut u8, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { TALC.dealloc(block, layout) }
    }
}

impl Peer for LinkedList {
    const NAME: &'static str = "linked_list";

    #[inline(always)]
    fn allocate(layout: Layout) -> *mut u8 {
        let block = LINKED_LIST.lock().allocate_first_fit(layout);
        block.map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn deallocate(block: *mut u8, layout: Layout) {
        // SAFETY: forwarded; a block is not null.
        unsafe {
            LINKED_LIST
                .lock()
                .deallocate(NonNull::new_unchecked(block), layout);
        }
    }
}

impl Peer for BuddySystem {
    const NAME: &'static str = "buddy_system";

    #[inline(always)]
    fn allocate(layout: Layout) -> *mut u8 {
        let block = BUDDY_SYSTEM.lock().alloc(layout);
        block.map_or(null_mut(), NonNull::as_ptr)
    }

    #[inline(always)]
    unsafe fn deallocate(block: *mut u8, layout: Layout) {
        // SAFETY: forwarded; a block is not null.
        unsafe {
            BUDDY_SYSTEM
                .lock()
                .dealloc(NonNull::new_unchecked(block), layout);
        }
    }
}

/// `Box::new`, with a given allocator.
#[inline(always)]
fn allocate<P: Peer>(number: usize) -> *mut u8 {
    let block = P::allocate(Layout::new::<Content>());
    assert!(!block.is_null(), "{} has no memory", P::NAME);
    // SAFETY: the block is ours, and large and aligned enough.
    unsafe { block.cast::<Content>().write([number as u64; 8]) };
    black_box(block)
}

/// Dropping the box.
#[inline(always)]
fn free<P: Peer>(block: *mut u8) {
    // SAFETY: the block came from `allocate`.
    unsafe { P::deallocate(block, Layout::new::<Content>()) }
}

/// CPUs that take part.
static TAKING_PART: AtomicUsize = AtomicUsize::new(1);
static BARRIER: Barrier = Barrier::new();
static COUNTS: [AtomicU64; CPUS] = [const { AtomicU64::new(0) }; CPUS];

/// Counts `f`, begun by all CPUs at once.
fn measure(cpu: usize, f: impl FnOnce()) {
    BARRIER.wait();
    COUNTS[cpu].store(count::instructions(f), Ordering::Relaxed);
}

/// Allocates and frees.
fn boxes<P: Peer>(cpu: usize) {
    let run = |blocks| {
        for number in 0..blocks {
            free::<P>(allocate::<P>(number));
        }
    };
    run(1);
    measure(cpu, || run(BLOCKS));
}

/// On the way from a producer to its consumer.
struct Ring([AtomicPtr<u8>; 64]);

static RINGS: [Ring; CPUS] = [const { Ring([const { AtomicPtr::new(null_mut()) }; 64]) }; CPUS];

impl Ring {
    fn send(&self, number: usize, block: *mut u8) {
        let place = &self.0[number % self.0.len()];
        wait_until(|| place.load(Ordering::Acquire).is_null());
        place.store(block, Ordering::Release);
    }

    fn receive(&self, number: usize) -> *mut u8 {
        let place = &self.0[number % self.0.len()];
        wait_until(|| !place.load(Ordering::Acquire).is_null());
        place.swap(null_mut(), Ordering::AcqRel)
    }
}

/// Every other CPU allocates, the next one frees; one CPU alone takes turns with itself.
fn pairs<P: Peer>(cpu: usize) {
    let ring = &RINGS[cpu / 2];
    free::<P>(allocate::<P>(0));
    if TAKING_PART.load(Ordering::Relaxed) == 1 {
        measure(cpu, || {
            for first in (0..BLOCKS).step_by(50) {
                for number in first..first + 50 {
                    ring.send(number, allocate::<P>(number));
                }
                for number in first..first + 50 {
                    free::<P>(ring.receive(number));
                }
            }
        });
    } else if cpu.is_multiple_of(2) {
        measure(cpu, || {
            for number in 0..BLOCKS {
                ring.send(number, allocate::<P>(number));
            }
        });
    } else {
        measure(cpu, || {
            for number in 0..BLOCKS {
                free::<P>(ring.receive(number));
            }
        });
    }
}

/// Instructions for each block, on one CPU, two, and all.
fn counts(job: fn(usize)) -> [u64; 3] {
    [1, 2, CPUS].map(|cpus| {
        TAKING_PART.store(cpus, Ordering::Relaxed);
        BARRIER.prepare(cpus);
        work::on(cpus, job);
        let counts = COUNTS[..cpus].iter();
        let last = counts.map(|count| count.load(Ordering::Relaxed)).max();
        last.expect("there is a CPU") / BLOCKS as u64
    })
}

fn row<P: Peer>() -> [u64; 3] {
    let [a, b, c] = counts(boxes::<P>);
    let [d, e, f] = counts(pairs::<P>);
    line!("{:12} {a:8} {b:8} {c:8}   {d:8} {e:8} {f:8}", P::NAME);
    [a, b, c]
}

/// Prints the table, and panics if our own counts grow with the CPUs.
pub(crate) fn run() {
    let room = || {
        let layout = Layout::from_size_align(ROOM, 4096).expect("it is small");
        // SAFETY: the layout has a size.
        let room = unsafe { alloc(layout) };
        assert!(!room.is_null(), "no room for the others");
        room
    };
    // SAFETY: each gets memory of its own, for good.
    unsafe {
        assert!(TALC.lock().claim(room(), ROOM).is_some());
        LINKED_LIST.lock().init(room(), ROOM);
        BUDDY_SYSTEM.lock().init(room().expose_provenance(), ROOM);
    }
    line!("instructions for each block         Box::new, dropped        producer to consumer");
    let heads = format_args!("   1 CPU   2 CPUs  {CPUS:2} CPUs");
    line!("{:12} {heads}   {heads}", "");
    let ours = row::<Allotment>();
    let talc = row::<Talc>();
    row::<LinkedList>();
    row::<BuddySystem>();
    line!(
        "Box::new on {CPUS} CPUs: {}.{} times talc; from 1 CPU to {CPUS}: {} % of linear",
        talc[2] / ours[2],
        talc[2] * 10 / ours[2] % 10,
        100 * ours[0] / ours[2],
    );
    assert!(ours[0] * 10 >= ours[2] * 9, "ours grows with the CPUs");
    pool().check().expect("the pool is in order");
    picture::print();
}
