//! What is measured.
//!
//! Every new block's first byte is written. An operation is, if nothing else is said, one allocation and the free of the
//! same block.
//!
//! | row | what happens |
//! |---|---|
//! | pair-SIZE | malloc, free |
//! | lifo-, fifo-, rand-SIZE | a [batch] is allocated, then freed in reverse, in order, at random |
//! | churn-SIZE | among [`CHURN_BLOCKS`] live blocks of 1 byte to SIZE, a random one is replaced by one of a random size |
//! | calloc-SIZE | calloc, free |
//! | align64-, align4k-SIZE | posix_memalign to that alignment, free |
//! | regrow-SIZE | malloc of a small block, realloc by equal [steps](step) to SIZE, free; the operation is the step |
//! | append-SIZE | the same by steps of 64 bytes |
//! | xalloc-, xfree-SIZE | a thread allocates batches, another frees each in order, while the next one is allocated; the operation is the allocation, or the free |
//! | classic-NAME | what allocators have been compared by for long, see [`classic`](super::classic) |
//! | prodcons-SIZE | a thread allocates blocks and passes them through a ring of [`RING_BLOCKS`] to another, which frees them; the time of both threads counts, with that of the ring and of waiting |

use super::classic::Classic;

/// How many blocks are live in churn.
pub const CHURN_BLOCKS: usize = 10_000;

/// How many blocks a ring between producer and consumer holds at most.
pub const RING_BLOCKS: usize = 1024;

/// The order in which a batch is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    Reversed,
    /// The oldest first.
    InOrder,
    /// At random.
    Random,
}

/// The calls that a workload makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Allocate, free.
    Pair,
    /// Allocate a batch, free it.
    Batch(Order),
    /// Replace random blocks by ones of a random size.
    Churn,
    /// `calloc`, free.
    Zeroed,
    /// `posix_memalign` to this alignment, free.
    Aligned(usize),
    /// `realloc` by equal steps of this many bytes.
    Grow(usize),
    /// A thread allocates batches, another frees them.
    Handover,
    /// A producer and a consumer around a bounded ring.
    Ring,
    /// One of the classic workloads.
    Classic(Classic),
}

/// A pattern at a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The name, unique among [`all`].
    pub name: String,
    /// The calls.
    pub pattern: Pattern,
    /// The size of the blocks, or the largest of them, in bytes; 0 when the pattern has sizes of its own.
    pub size: usize,
}

impl Workload {
    fn new(prefix: &str, pattern: Pattern, size: usize) -> Self {
        Self {
            name: format!("{prefix}-{}", short(size)),
            pattern,
            size,
        }
    }

    /// The names of the rows that the workload fills.
    pub fn rows(&self) -> Vec<String> {
        match self.pattern {
            Pattern::Handover => vec![
                format!("xalloc-{}", short(self.size)),
                format!("xfree-{}", short(self.size)),
            ],
            _ => vec![self.name.clone()],
        }
    }

    /// Whether it is one of the classic workloads.
    pub fn is_classic(&self) -> bool {
        matches!(self.pattern, Pattern::Classic(_))
    }

    /// Whether the workload needs two threads, of which each has its own part.
    pub fn is_for_two_threads(&self) -> bool {
        matches!(self.pattern, Pattern::Handover | Pattern::Ring)
    }

    /// Whether the workload can run on `threads` threads.
    pub fn runs_on(&self, threads: u32) -> bool {
        threads > 0
            && match self.pattern {
                Pattern::Classic(classic) => classic.runs_on(threads),
                _ => !self.is_for_two_threads() || threads == 2,
            }
    }
}

/// All workloads, in the order of the tables.
pub fn all() -> Vec<Workload> {
    const SIZES: [usize; 7] = [16, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20];
    let mut workloads = Vec::new();
    let mut add = |prefix: &str, pattern: Pattern, sizes: &[usize]| {
        workloads.extend(
            sizes
                .iter()
                .map(|&size| Workload::new(prefix, pattern, size)),
        );
    };
    add("pair", Pattern::Pair, &SIZES);
    add("lifo", Pattern::Batch(Order::Reversed), &SIZES);
    add("fifo", Pattern::Batch(Order::InOrder), &SIZES);
    add("rand", Pattern::Batch(Order::Random), &SIZES);
    add("churn", Pattern::Churn, &[128, 1 << 10, 16 << 10]);
    add("calloc", Pattern::Zeroed, &[64, 1 << 10, 64 << 10]);
    add("align64", Pattern::Aligned(64), &[100]);
    add("align4k", Pattern::Aligned(4096), &[100]);
    for size in [64 << 10, 8 << 20] {
        add("regrow", Pattern::Grow(step(size)), &[size]);
    }
    add("append", Pattern::Grow(64), &[64 << 10]);
    add("xfree", Pattern::Handover, &SIZES[..6]);
    add("prodcons", Pattern::Ring, &SIZES[..4]);
    workloads.extend(Classic::ALL.map(|(name, classic)| Workload {
        name: format!("classic-{name}"),
        pattern: Pattern::Classic(classic),
        size: 0,
    }));
    workloads
}

/// How many blocks of `size` bytes a batch has: 2 MiB of 16-byte blocks, which is beyond most second-level caches, up to 64 MiB of
/// 64 KiB and 1 MiB blocks.
pub fn batch(size: usize) -> usize {
    let bytes = match size {
        0..=16 => 2 << 20,
        17..=64 => 4 << 20,
        65..=256 => 8 << 20,
        257..=1024 => 16 << 20,
        1025..=4096 => 32 << 20,
        _ => 64 << 20,
    };
    bytes / size
}

/// The step of regrow to `size` bytes: 1 KiB to 64 KiB, 64 KiB to 8 MiB.
pub fn step(size: usize) -> usize {
    if size <= 64 << 10 { 1 << 10 } else { 64 << 10 }
}

/// A size as the rows' names have it.
fn short(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{}M", size >> 20),
        _ if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{}k", size >> 10),
        _ => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_of_workloads_and_rows_are_unique() {
        let workloads = all();
        let names: HashSet<_> = workloads.iter().map(|workload| &workload.name).collect();
        assert_eq!(names.len(), workloads.len());
        let rows: Vec<_> = workloads.iter().flat_map(Workload::rows).collect();
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len());
        assert_eq!(rows.len(), 68);
        for name in [
            "pair-16",
            "rand-1M",
            "churn-16k",
            "align4k-100",
            "regrow-8M",
            "xalloc-64k",
            "xfree-64k",
        ] {
            assert!(rows.iter().any(|row| row == name), "{name}");
        }
    }

    #[test]
    fn batches_lie_between_two_and_64_mib() {
        for workload in all() {
            if matches!(workload.pattern, Pattern::Batch(_) | Pattern::Handover) {
                let bytes = batch(workload.size) * workload.size;
                assert!(
                    (2 << 20..=64 << 20).contains(&bytes),
                    "{}: {bytes}",
                    workload.name
                );
            }
        }
    }

    #[test]
    fn growth_ends_at_the_size() {
        for workload in all() {
            if let Pattern::Grow(step) = workload.pattern {
                assert_eq!(workload.size % step, 0, "{}", workload.name);
            }
        }
    }

    #[test]
    fn two_sided_workloads_need_two_threads() {
        for workload in all() {
            let needs_two = workload.is_for_two_threads()
                || workload.pattern == Pattern::Classic(Classic::Xmalloc);
            assert_eq!(workload.runs_on(1), !needs_two);
            let needs_one = ["classic-glibc-simple", "classic-malloc-large"];
            assert_eq!(
                workload.runs_on(2),
                !needs_one.contains(&workload.name.as_str())
            );
        }
    }
}
