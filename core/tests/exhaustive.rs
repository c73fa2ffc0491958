//! Every sequence of operations up to a length, over a heap so small that it is soon full.
//!
//! All metadata is in the region, so a state of the heap is the region's bytes and the list of live
//! blocks: going back is copying the bytes back, and a state that was reached before need not be
//! gone on from again.

use std::alloc::Layout;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr::NonNull;

use allotment_core::{Fault, GRANULE, Heap, MIN_REGION, Options};

#[derive(Clone, Copy, Debug)]
enum Op {
    Allocate { size: usize, align: usize },
    Free { index: usize },
    Resize { index: usize, size: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Block {
    pointer: NonNull<u8>,
    layout: Layout,
}

struct Explorer {
    heap: Heap<'static>,
    region: *mut [u8],
    live: Vec<Block>,
    ops: Vec<Op>,
    trail: Vec<Op>,
    seen: HashSet<(usize, u64)>,
    whole: usize,
    states: usize,
}

fn stop(fault: &Fault) {
    panic!("{fault}");
}

impl Drop for Explorer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("after {:?}", self.trail);
        }
    }
}

impl Explorer {
    fn new(region: &'static mut [u8], ops: Vec<Op>) -> Self {
        let options = Options {
            on_fault: stop,
            ..Options::default()
        };
        let region = &raw mut *region;
        // SAFETY: the region is borrowed for good, and touched through `region` only while no
        // operation runs.
        let heap = unsafe { Heap::from_raw(region.cast(), region.len(), options) }.unwrap();
        let whole = heap.stats().largest_free;
        Self {
            heap,
            region,
            live: Vec::new(),
            ops,
            trail: Vec::new(),
            seen: HashSet::new(),
            whole,
            states: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the region lives for good, and no operation runs while it is looked at.
        unsafe { &*self.region }
    }

    /// Does every operation in turn, and from each state that comes of it goes `left - 1` steps on.
    fn explore(&mut self, left: usize) {
        if left == 0 {
            return;
        }
        let bytes = self.bytes().to_vec();
        let live = self.live.clone();
        for index in 0..self.ops.len() {
            let op = self.ops[index];
            self.trail.push(op);
            if self.apply(op) {
                self.check();
                if self.is_new(left) {
                    self.explore(left - 1);
                }
                // SAFETY: these are the region's bytes of an earlier time.
                unsafe { (*self.region).copy_from_slice(&bytes) };
                self.live.clone_from(&live);
            }
            self.trail.pop();
        }
    }

    fn is_new(&mut self, left: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        self.bytes().hash(&mut hasher);
        self.live.hash(&mut hasher);
        let new = self.seen.insert((left, hasher.finish()));
        self.states += usize::from(new);
        new
    }

    /// Says whether there was anything to do.
    fn apply(&mut self, op: Op) -> bool {
        match op {
            Op::Allocate { size, align } => {
                let layout = Layout::from_size_align(size, align).unwrap();
                let largest = self.heap.stats().largest_free;
                match self.heap.allocate(layout) {
                    Some(pointer) => self.live.push(Block { pointer, layout }),
                    None => assert!(align > GRANULE || size > largest, "{:?}", self.trail),
                }
            }
            Op::Free { index } => {
                if index >= self.live.len() {
                    return false;
                }
                let block = self.live.remove(index);
                // SAFETY: the block is live with this layout.
                unsafe { self.heap.deallocate(block.pointer, block.layout) };
                // What was just freed can be had again.
                let bytes = self.bytes().to_vec();
                assert!(
                    self.heap.allocate(block.layout).is_some(),
                    "{:?}: the block cannot be had again",
                    self.trail
                );
                // SAFETY: these are the region's bytes of a moment ago.
                unsafe { (*self.region).copy_from_slice(&bytes) };
            }
            Op::Resize { index, size } => {
                let Some(&block) = self.live.get(index) else {
                    return false;
                };
                // SAFETY: the block is live with this layout.
                let moved = unsafe { self.heap.reallocate(block.pointer, block.layout, size) };
                if let Some(pointer) = moved {
                    let layout = Layout::from_size_align(size, block.layout.align()).unwrap();
                    self.live[index] = Block { pointer, layout };
                }
            }
        }
        true
    }

    fn check(&self) {
        let trail = &self.trail;
        let report = match self.heap.check() {
            Ok(report) => report,
            Err(damage) => panic!("{trail:?}: {damage}"),
        };
        let stats = self.heap.stats();
        assert_eq!(report.used_blocks, self.live.len(), "{trail:?}");
        assert_eq!(stats.live_blocks, self.live.len(), "{trail:?}");
        assert_eq!(
            stats.used_bytes + stats.free_bytes + stats.overhead_bytes,
            self.region.len()
        );
        if self.live.is_empty() {
            assert_eq!(
                (stats.largest_free, report.free_blocks),
                (self.whole, 1),
                "{trail:?}"
            );
        }
        let mut places: Vec<(usize, usize)> = self
            .live
            .iter()
            .map(|block| {
                let usable = self.heap.usable_size(block.pointer).expect("a live block");
                let address = block.pointer.as_ptr().addr();
                assert!(usable >= block.layout.size(), "{trail:?}");
                assert_eq!(address % block.layout.align(), 0, "{trail:?}");
                (address, usable)
            })
            .collect();
        places.sort_unstable();
        let start = self.region.cast::<u8>().addr();
        let mut free_from = start;
        for (address, usable) in places {
            assert!(address >= free_from, "{trail:?}: blocks overlap");
            free_from = address + usable;
        }
        assert!(free_from <= start + self.region.len(), "{trail:?}");
    }
}

fn explore(ops: Vec<Op>, depth: usize, least_states: usize) {
    // One block of memory for the process's life: the heap borrows it for good.
    let region = vec![0_u128; MIN_REGION / size_of::<u128>()].leak();
    // SAFETY: the same bytes; every pattern of them is valid.
    let (_, region, _) = unsafe { region.align_to_mut::<u8>() };
    let mut explorer = Explorer::new(region, ops);
    explorer.explore(depth);
    assert!(
        explorer.states >= least_states,
        "{} states",
        explorer.states
    );
}

/// Frees and resizes of the first three live blocks.
fn on_live(sizes: &[usize]) -> Vec<Op> {
    (0..3)
        .flat_map(|index| {
            std::iter::once(Op::Free { index })
                .chain(sizes.iter().map(move |&size| Op::Resize { index, size }))
        })
        .collect()
}

#[test]
fn sizes() {
    let mut ops: Vec<Op> = [1, 40, 100]
        .map(|size| Op::Allocate { size, align: 1 })
        .to_vec();
    ops.extend(on_live(&[1, 60]));
    explore(ops, 7, 10_000);
}

#[test]
fn alignments() {
    let mut ops: Vec<Op> = [(24, 8), (30, 32), (50, 64), (10, 128)]
        .map(|(size, align)| Op::Allocate { size, align })
        .to_vec();
    ops.extend(on_live(&[70]));
    explore(ops, 7, 10_000);
}

#[test]
fn nearly_everything() {
    let mut ops: Vec<Op> = [150, 200, 500]
        .map(|size| Op::Allocate { size, align: 1 })
        .to_vec();
    ops.extend(on_live(&[100, 220]));
    explore(ops, 7, 200);
}
