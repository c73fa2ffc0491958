//! Pools with local heaps: what they hand out, take back, and find wrong.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use allotment_core::{LocalHeap, Pool};

const MIB: usize = 1 << 20;

fn region(len: usize) -> Vec<MaybeUninit<u8>> {
    let mut region = Vec::with_capacity(len);
    // SAFETY: uninitialised bytes are what the elements may be.
    unsafe { region.set_len(len) };
    region
}

/// One thread's binding.
struct Bound<'p> {
    pool: &'p Pool<'p>,
    local: NonNull<LocalHeap>,
}

impl<'p> Bound<'p> {
    fn new(pool: &'p Pool<'p>) -> Bound<'p> {
        Bound {
            pool,
            local: pool.attach().expect("room for a local heap"),
        }
    }

    fn local(&self) -> &LocalHeap {
        // SAFETY: local heaps live as long as the pool.
        unsafe { self.local.as_ref() }
    }

    fn allocate(&self, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: this thread is bound to the local heap.
        unsafe {
            self.pool
                .allocate_in(self.local(), Layout::from_size_align(size, 1).unwrap())
        }
    }

    fn free(&self, block: NonNull<u8>) {
        // SAFETY: the tests free what they allocated.
        unsafe { self.pool.free_in(self.local(), block) }
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // SAFETY: the binding ends here.
        unsafe { self.pool.detach(self.local) }
    }
}

/// A block whose bytes are known.
struct Filled {
    block: NonNull<u8>,
    size: usize,
    pattern: u8,
}

// SAFETY: whoever has the value has the block.
unsafe impl Send for Filled {}

impl Filled {
    fn new(bound: &Bound<'_>, size: usize, pattern: u8) -> Option<Filled> {
        let block = bound.allocate(size)?;
        // SAFETY: the block has `size` bytes.
        unsafe { block.write_bytes(pattern, size) };
        Some(Filled {
            block,
            size,
            pattern,
        })
    }

    fn free(self, bound: &Bound<'_>) {
        // SAFETY: the block is this value's, and was filled.
        let bytes = unsafe { core::slice::from_raw_parts(self.block.as_ptr(), self.size) };
        assert!(
            bytes.iter().all(|&byte| byte == self.pattern),
            "overwritten"
        );
        bound.free(self.block);
    }
}

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

    fn size(&mut self) -> usize {
        match self.below(100) {
            0..70 => self.below(200),
            70..90 => self.below(2000),
            90..98 => self.below(20_000),
            _ => self.below(200_000),
        }
    }
}

#[test]
fn one_thread_keeps_its_blocks_apart() {
    let mut region = region(64 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let bound = Bound::new(&pool);
    let mut random = Random(88_172_645_463_325_252);
    let mut live: Vec<Filled> = Vec::new();
    for step in 0..200_000 {
        if live.len() < 4000 && random.below(2) == 0 {
            let size = random.size();
            live.extend(Filled::new(&bound, size, step as u8));
        } else if !live.is_empty() {
            let at = random.below(live.len());
            live.swap_remove(at).free(&bound);
        }
    }
    pool.check().unwrap();
    for block in live {
        block.free(&bound);
    }
    pool.check().unwrap();
}

#[test]
fn threads_free_what_others_allocated() {
    let mut region = region(64 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..4).map(|_| mpsc::channel::<Filled>()).unzip();
        for (thread, receiver) in receivers.into_iter().enumerate() {
            let senders = senders.clone();
            let pool = &pool;
            scope.spawn(move || {
                let bound = Bound::new(pool);
                let mut random = Random(0x9E37_79B9 + thread as u64);
                let mut live = VecDeque::new();
                for step in 0..50_000 {
                    let size = random.size();
                    live.extend(Filled::new(&bound, size, (step + thread) as u8));
                    if live.len() > 500 {
                        let block = live.pop_front().unwrap();
                        match random.below(3) {
                            0 => block.free(&bound),
                            _ => drop(senders[random.below(4)].send(block)),
                        }
                    }
                    while let Ok(block) = receiver.try_recv() {
                        block.free(&bound);
                    }
                }
                drop(senders);
                for block in live {
                    block.free(&bound);
                }
                for block in receiver {
                    block.free(&bound);
                }
            });
        }
        drop(senders);
    });
    pool.check().unwrap();
    let bound = Bound::new(&pool);
    // SAFETY: bound above.
    unsafe { pool.trim(bound.local()) };
    assert!(pool.stats().largest_free > 55 * MIB, "{:?}", pool.stats());
}

#[test]
fn short_lived_threads_leave_nothing_behind() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let left = Mutex::new(Vec::new());
    let mut free = 0;
    for round in 0..1000 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let bound = Bound::new(&pool);
                let mut left = left.lock().unwrap();
                for block in left.drain(..) {
                    Filled::free(block, &bound);
                }
                left.extend((0..100).map(|n| Filled::new(&bound, n * 7, n as u8).unwrap()));
            });
        });
        if round == 10 {
            free = pool.stats().free_bytes;
        }
    }
    assert_eq!(pool.stats().free_bytes, free);
    pool.check().unwrap();
}

#[test]
fn sixty_four_threads_with_eight_classes_each_share_fourteen_mebibytes() {
    let mut region = region(14 * MIB);
    let pool: Pool = Pool::create_in_region(&mut region).unwrap();
    let start = std::sync::Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let bound = Bound::new(&pool);
                let sizes = [16, 32, 64, 100, 200, 400, 600, 1000];
                start.wait();
                for _ in 0..50 {
                    let blocks: Vec<_> = sizes
                        .iter()
                        .cycle()
                        .take(200)
                        .map(|&size| Filled::new(&bound, size, size as u8).expect("room"))
                        .collect();
                    start.wait();
                    for block in blocks {
                        block.free(&bound);
                    }
                }
            });
        }
    });
    pool.check().unwrap();
}

#[test]
fn a_full_pool_is_payload_and_can_be_filled_again() {
    for len in [14 * MIB, 256 * MIB] {
        for size in [16, 64, 100, 1000, 4096, 20_000, 100_000, MIB, 3 * MIB] {
            let mut region = region(len);
            let pool: Pool = Pool::create_in_region(&mut region).unwrap();
            let bound = Bound::new(&pool);
            let mut first = 0;
            for round in 0..3 {
                let mut blocks: Vec<_> = std::iter::from_fn(|| bound.allocate(size)).collect();
                let payload = blocks.len() * size;
                if round == 0 {
                    first = payload;
                    println!("{len} {size}: {:.4}", payload as f64 / len as f64);
                }
                assert!(
                    payload * 100 >= first * 98,
                    "{size}: {payload} after {first}"
                );
                let mut random = Random(7);
                for at in 0..blocks.len() {
                    let other = at + random.below(blocks.len() - at);
                    blocks.swap(at, other);
                    bound.free(blocks[at]);
                }
            }
            pool.check().unwrap();
            // SAFETY: bound above.
            unsafe { pool.trim(bound.local()) };
            println!(
                "   largest {:.4} {:?}",
                pool.stats().largest_free as f64 / len as f64,
                pool.stats().live_blocks
            );
        }
    }
}
