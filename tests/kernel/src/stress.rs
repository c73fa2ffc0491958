//! All CPUs allocate, pass blocks to one another, and are interrupted by timers whose handlers
//! allocate too. What is in each block says whether it was ever handed out twice.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::allocator::{self, Allocator, GLOBAL, LOW, pool};
use crate::boot::CPUS;
use crate::port::line;
use crate::{apic, cpu, memory, picture, work};

/// Operations of each CPU.
const STEPS: usize = 60_000;

/// Blocks that a CPU keeps.
const KEPT: usize = 400;

/// Ticks between two interrupts of a CPU, of 1 ns each.
const PERIOD: u32 = 100_000;

/// Interrupts that each CPU has at least.
const INTERRUPTS: u64 = 50;

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() % limit
    }

    /// Mostly small, sometimes large.
    fn layout(&mut self) -> Layout {
        let size = match self.below(100) {
            0..80 => 1 + self.below(512),
            80..97 => 1 + self.below(16 << 10),
            97..99 => 1 + self.below(256 << 10),
            _ => 1 + self.below(2 << 20),
        };
        let align = if self.below(8) == 0 {
            1 << self.below(13)
        } else {
            8
        };
        Layout::from_size_align(size, align).expect("both are small")
    }
}

/// A block, and the number that its bytes are made from.
struct Block {
    from: &'static Allocator,
    start: *mut u8,
    layout: Layout,
    seed: u64,
}

// SAFETY: a block has one owner.
unsafe impl Send for Block {}

impl Block {
    /// How many bytes are filled and verified at either end.
    const EDGE: usize = 64;

    fn new(layout: Layout, zeroed: bool, random: &mut Random) -> Block {
        let is_low = layout.size() < 1000 && random.below(8) == 0;
        let from = if is_low { &LOW } else { &GLOBAL };
        // SAFETY: the layout has a size.
        let start = unsafe {
            if zeroed {
                from.alloc_zeroed(layout)
            } else {
                from.alloc(layout)
            }
        };
        assert!(!start.is_null(), "no memory for {layout:?}");
        assert_eq!(start.addr() % layout.align(), 0, "{layout:?}");
        assert_eq!(start.addr() < memory::LOW_END, is_low);
        let mut block = Block {
            from,
            start,
            layout,
            seed: random.0 | 1,
        };
        if zeroed {
            // SAFETY: the block is ours.
            let bytes = unsafe { core::slice::from_raw_parts(start, layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == 0), "not zeroed");
        }
        block.fill();
        block
    }

    /// The bytes that are verified, and what they are.
    fn edges(&self) -> impl Iterator<Item = (usize, u8)> + use<> {
        let size = self.layout.size();
        let seed = self.seed;
        (0..size.min(Self::EDGE))
            .chain(size.saturating_sub(Self::EDGE).max(Self::EDGE)..size)
            .map(move |at| (at, (seed.wrapping_mul(at as u64 * 2 + 1) >> 24) as u8))
    }

    fn fill(&mut self) {
        for (at, byte) in self.edges() {
            // SAFETY: the block is ours, and `at` less than its size.
            unsafe { self.start.add(at).write(byte) }
        }
    }

    /// Verifies the content.
    fn verify(&self) {
        for (at, byte) in self.edges() {
            // SAFETY: as in `fill`.
            let found = unsafe { self.start.add(at).read() };
            assert_eq!(
                found, byte,
                "byte {at} of {:?} at {:p}",
                self.layout, self.start
            );
        }
    }

    fn resize(&mut self, size: usize) {
        self.verify();
        let kept = self.layout.size().min(size).min(Self::EDGE);
        // SAFETY: the block is ours and has this layout.
        let moved = unsafe { self.from.realloc(self.start, self.layout, size) };
        assert!(!moved.is_null(), "no memory for {size} bytes");
        self.start = moved;
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("both are small");
        for (at, byte) in self.edges().take(kept) {
            // SAFETY: as in `fill`.
            let found = unsafe { self.start.add(at).read() };
            assert_eq!(found, byte, "realloc lost byte {at}");
        }
        self.fill();
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.verify();
        // SAFETY: the block is ours and has this layout.
        unsafe { self.from.dealloc(self.start, self.layout) }
    }
}

/// Blocks on their way from one CPU to another, or from a handler to whoever comes by.
static MAIL: [AtomicPtr<Block>; 64] = [const { AtomicPtr::new(null_mut()) }; 64];

/// Puts a block into the mail, and answers what was there.
fn exchange(block: Option<Box<Block>>, place: usize) -> Option<Box<Block>> {
    let block = block.map_or(null_mut(), Box::into_raw);
    let found = MAIL[place % MAIL.len()].swap(block, Ordering::AcqRel);
    // SAFETY: what is in the mail came from a box, and is taken out once.
    (!found.is_null()).then(|| unsafe { Box::from_raw(found) })
}

/// Whether handlers allocate.
static HANDLERS_ALLOCATE: AtomicBool = AtomicBool::new(false);

/// Blocks that handlers allocated.
static BY_HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// The handler of the timer. It may interrupt anything on its CPU, an allocation too.
#[unsafe(no_mangle)]
extern "C" fn on_timer() {
    let tick = cpu::tick();
    if HANDLERS_ALLOCATE.load(Ordering::Relaxed) {
        let mut random = Random((tick + 1) * 0x9E37_79B9_7F4A_7C15 + cpu::number() as u64);
        random.next();
        for _ in 0..8 {
            let layout = Layout::from_size_align(1 + random.below(3000), 8).expect("it is small");
            let block = Block::new(layout, false, &mut random);
            BY_HANDLERS.fetch_add(1, Ordering::Relaxed);
            // What was there is freed here, by a handler, whoever allocated it.
            exchange(Some(Box::new(block)), random.next());
        }
    }
    apic::end_of_interrupt();
}

/// What each CPU does.
fn allocate(cpu: usize) {
    let mut random = Random(0x1234_5678_9ABC_DEF1 * (cpu as u64 + 1));
    let mut blocks: Vec<Block> = Vec::new();
    apic::set_timer(PERIOD);
    // SAFETY: the handler is there, and nothing that needs interrupts off is going on.
    unsafe { <cpu::Cpu as allotment_core::Interrupts>::enable() };
    for step in 0..STEPS {
        match random.below(100) {
            0..45 => {
                let layout = random.layout();
                let zeroed = random.below(8) == 0;
                blocks.push(Block::new(layout, zeroed, &mut random));
            }
            45..80 if !blocks.is_empty() => {
                let index = random.below(blocks.len());
                blocks.swap_remove(index);
            }
            80..88 if !blocks.is_empty() => {
                let index = random.below(blocks.len());
                let size = random.layout().size();
                let block = &mut blocks[index];
                // There is not much low memory.
                let limit = if block.start.addr() < memory::LOW_END {
                    1000
                } else {
                    size
                };
                block.resize(size.min(limit));
            }
            88.. => {
                let sent = blocks.pop().map(Box::new);
                let received = exchange(sent, random.next());
                blocks.extend(received.map(|block| *block));
            }
            _ => {}
        }
        if blocks.len() > KEPT {
            blocks.truncate(KEPT / 2);
        }
        if cpu == 0 && step == STEPS / 2 {
            add_memory();
        }
        if step % 4096 == 0 {
            collections(cpu);
            pool().check().expect("the pool is in order");
        }
    }
    let first = cpu::ticks();
    drop(blocks);
    while cpu::ticks() < first + INTERRUPTS {
        cpu::wait_for_interrupt();
    }
    <cpu::Cpu as allotment_core::Interrupts>::disable();
    apic::set_timer(0);
}

/// What `alloc` offers.
fn collections(cpu: usize) {
    let mut map: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for number in 0..200 {
        let key = format!("CPU {cpu}, {}", number * 7919 % 200);
        map.insert(key, (0..number % 37).collect());
    }
    let queue: VecDeque<Box<usize>> = map.values().map(|list| Box::new(list.len())).collect();
    let sum: usize = queue.iter().map(|len| **len).sum();
    assert_eq!(sum, (0..200).map(|number| number % 37).sum());
}

/// The memory that is added halfway.
static LATER: spin::Mutex<Option<Range<usize>>> = spin::Mutex::new(None);

fn add_memory() {
    if let Some(piece) = LATER.lock().take() {
        // SAFETY: this is the first CPU; the memory is free.
        unsafe { allocator::add(&piece) };
    }
}

/// Runs the stress, and panics if anything is wrong.
pub(crate) fn run(later: &[Range<usize>]) {
    let empty = pool().stats();
    *LATER.lock() = later.first().cloned();
    HANDLERS_ALLOCATE.store(true, Ordering::Relaxed);
    work::on(CPUS, allocate);
    HANDLERS_ALLOCATE.store(false, Ordering::Relaxed);
    picture::print();
    for place in 0..MAIL.len() {
        exchange(None, place);
    }
    // Each CPU gives back the slabs that it keeps for itself.
    work::on(CPUS, |_| GLOBAL.trim());
    let report = pool().check().expect("the pool is in order");
    let stats = pool().stats();
    assert!(
        stats.slab_free_bytes < 1 << 20,
        "slabs were kept: {stats:?}"
    );
    assert_eq!(stats.live_blocks, empty.live_blocks, "not all was freed");
    assert_eq!(stats.failures, 0);
    let low = LOW.pool().get().expect("it was made");
    low.check().expect("the low pool is in order");
    let low = low.stats();
    assert!(low.live_blocks == 0 && low.allocations > 1000, "{low:?}");
    let added: usize = later.first().map_or(0, ExactSizeIterator::len);
    assert_eq!(stats.region_bytes, empty.region_bytes + added);
    let by_handlers = BY_HANDLERS.load(Ordering::Relaxed);
    assert!(by_handlers > 0);
    line!(
        "stress: {CPUS} CPUs, {} interrupts, {by_handlers} blocks allocated by handlers; checked: {report:?}",
        cpu::ticks(),
    );
}
