//! Threads on a pool over any memory: every block keeps what was written to it, and the pool is
//! whole and empty at the end.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice::from_raw_parts_mut;
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use allotment::lock::FutexMutex;

/// Threads that sleep while they wait: the guest has few processors.
type Pool<'r> = allotment_core::Pool<'r, FutexMutex>;

const THREADS: usize = 4;
/// A thread's blocks that are live at one time.
const LIVE: usize = 200;

/// Compared with a whole piece at a time, which is quick without optimisation, too.
const PIECE: usize = 4096;

/// A block, full of one byte.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    pattern: u8,
}

// SAFETY: whoever has the value owns the block.
unsafe impl Send for Block {}

impl Block {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is live, and this value owns it.
        unsafe { from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }

    fn write(&mut self) {
        let pattern = self.pattern;
        self.bytes().fill(pattern);
    }

    fn verify(&mut self) {
        let expected = [self.pattern; PIECE];
        for piece in self.bytes().chunks(PIECE) {
            assert_eq!(*piece, expected[..piece.len()]);
        }
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Mostly small, as programs ask for.
    fn layout(&mut self) -> Layout {
        let most = match self.below(100) {
            0..70 => 256,
            70..95 => 4096,
            95..99 => 64 << 10,
            _ => 1 << 20,
        };
        let size = 1 + self.below(most) as usize;
        let most = if self.below(10) == 0 { 13 } else { 5 };
        let align = 1 << self.below(most);
        Layout::from_size_align(size, align).expect("small")
    }
}

/// Makes a pool over the memory and lets four threads allocate and free, each with a local heap,
/// `operations` times each. Every second block is freed by another thread than allocated it. Then
/// fills what is left with large blocks, to the last byte.
///
/// # Panics
/// If anything is wrong with a block or with the pool.
pub fn run(memory: &mut [MaybeUninit<u8>], operations: usize) {
    let range = memory.as_ptr_range();
    let range = range.start.addr()..range.end.addr();
    let len = memory.len();
    let pool = Pool::create_in_region(memory).expect("a region of many pages");
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let done = Barrier::new(THREADS);
    thread::scope(|scope| {
        for (number, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(number + 1) % THREADS].clone();
            let (pool, range, done) = (&pool, &range, &done);
            scope.spawn(move || work(pool, range, number, operations, &next, &receiver, done));
        }
        drop(senders);
    });
    let report = pool.check().unwrap_or_else(|damage| panic!("{damage:?}"));
    assert_eq!(pool.stats().live_blocks, 0, "{report:?}");
    fill(&pool, len);
    pool.check().unwrap_or_else(|damage| panic!("{damage:?}"));
    assert_eq!(pool.stats().live_blocks, 0);
}

fn work(
    pool: &Pool<'_>,
    range: &Range<usize>,
    number: usize,
    operations: usize,
    next: &Sender<Block>,
    receiver: &Receiver<Block>,
    done: &Barrier,
) {
    let handle = pool.handle().expect("room for a local heap");
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
    let mut live: Vec<Block> = Vec::new();
    let release = |mut block: Block| {
        block.verify();
        // SAFETY: the block is live and ends here; its layout is the one it was asked for with.
        unsafe { handle.deallocate(block.start, block.layout) }
    };
    for operation in 0..operations {
        if live.len() == LIVE {
            let block = live.swap_remove(random.below(LIVE as u64) as usize);
            if operation % 2 == 0 {
                next.send(block).expect("the next thread waits for all");
            } else {
                release(block);
            }
        }
        let layout = random.layout();
        let start = handle.allocate(layout).expect("far from full");
        let address = start.addr().get();
        assert_eq!(address % layout.align(), 0);
        assert!(range.contains(&address) && address + layout.size() <= range.end);
        let pattern = random.next() as u8;
        let mut block = Block {
            start,
            layout,
            pattern,
        };
        block.write();
        live.push(block);
        receiver.try_iter().for_each(release);
    }
    live.into_iter().for_each(release);
    // Nobody sends any more.
    done.wait();
    receiver.try_iter().for_each(release);
}

fn fill(pool: &Pool<'_>, len: usize) {
    let layout = Layout::from_size_align(1 << 20, 16).expect("small");
    let mut blocks = Vec::new();
    while let Some(start) = pool.allocate(layout) {
        // SAFETY: the block is live, and large enough for both.
        unsafe {
            start.cast::<usize>().write(blocks.len());
            start.add(layout.size() - 1).write(blocks.len() as u8);
        }
        blocks.push(start);
    }
    // A local heap stays where it was made, and may cut a block's place in two.
    assert!(
        (blocks.len() + THREADS) * layout.size() * 10 >= len * 9,
        "only {} MiB of {len} bytes",
        blocks.len()
    );
    for (number, &start) in blocks.iter().enumerate() {
        // SAFETY: the block is live until it is freed here.
        unsafe {
            assert_eq!(start.cast::<usize>().read(), number);
            assert_eq!(start.add(layout.size() - 1).read(), number as u8);
            pool.deallocate(start, layout);
        }
    }
}
