//! Random workloads, for time. Each is data; the operations follow from it and a seed.

use crate::operation::Op;
use crate::random::Random;

/// How the sizes of blocks are spread, in bytes, bounds included.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// Each size is as likely as the next.
    Uniform(u32, u32),
    /// Each power of two is as likely as the next.
    Logarithmic(u32, u32),
}

impl Sizes {
    fn draw(self, random: &mut Random) -> u32 {
        match self {
            Self::Uniform(low, high) => random.between(low, high),
            Self::Logarithmic(low, high) => random.log_between(low, high),
        }
    }
}

/// In which order blocks come and go.
#[derive(Clone, Copy, Debug)]
pub enum Pattern {
    /// The live set stays full: a random block is freed, and one of a new size takes its place.
    Replace,
    /// The live set is filled, and emptied from the last block to the first.
    Lifo,
    /// The live set stays full: the oldest block is freed, and one of a new size takes its place.
    Fifo,
    /// Each block grows from the drawn size by half again up to this many bytes, in turns with the others of the live
    /// set, as vectors do; then it is freed and begins anew.
    Grow(u32),
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name in the tables.
    pub name: &'static str,
    /// The sizes of the blocks.
    pub sizes: Sizes,
    /// The logarithms of the alignments, bounds included, each as likely as the next.
    pub align_log2: (u8, u8),
    /// How many blocks are live at most.
    pub live: u32,
    /// In which order blocks come and go.
    pub pattern: Pattern,
}

/// The length of the region that every workload runs in, in bytes.
pub const REGION_BYTES: usize = 64 << 20;

const fn workload(name: &'static str, sizes: Sizes, live: u32, pattern: Pattern) -> Workload {
    Workload {
        name,
        sizes,
        align_log2: (3, 3),
        live,
        pattern,
    }
}

/// All workloads, in the order of the table.
pub const WORKLOADS: &[Workload] = &[
    workload(
        "pair 16..1024",
        Sizes::Uniform(16, 1024),
        1,
        Pattern::Replace,
    ),
    workload(
        "random 16..1024",
        Sizes::Uniform(16, 1024),
        1000,
        Pattern::Replace,
    ),
    workload(
        "random 16..64Ki",
        Sizes::Logarithmic(16, 64 << 10),
        1000,
        Pattern::Replace,
    ),
    workload(
        "churn 8..512",
        Sizes::Logarithmic(8, 512),
        10_000,
        Pattern::Replace,
    ),
    // The ten ranges of rlsf's own benchmark.
    workload("rlsf 1..9", Sizes::Uniform(1, 8), 512, Pattern::Replace),
    workload("rlsf 1..17", Sizes::Uniform(1, 16), 512, Pattern::Replace),
    workload("rlsf 1..65", Sizes::Uniform(1, 64), 512, Pattern::Replace),
    workload("rlsf 1..257", Sizes::Uniform(1, 256), 512, Pattern::Replace),
    workload("rlsf 16..32", Sizes::Uniform(16, 31), 512, Pattern::Replace),
    workload("rlsf 16..80", Sizes::Uniform(16, 79), 512, Pattern::Replace),
    workload(
        "rlsf 16..144",
        Sizes::Uniform(16, 143),
        512,
        Pattern::Replace,
    ),
    workload(
        "rlsf 64..128",
        Sizes::Uniform(64, 127),
        512,
        Pattern::Replace,
    ),
    workload(
        "rlsf 64..192",
        Sizes::Uniform(64, 191),
        512,
        Pattern::Replace,
    ),
    workload(
        "rlsf 128..256",
        Sizes::Uniform(128, 255),
        512,
        Pattern::Replace,
    ),
    workload(
        "lifo 16..1024",
        Sizes::Uniform(16, 1024),
        1000,
        Pattern::Lifo,
    ),
    workload(
        "fifo 16..1024",
        Sizes::Uniform(16, 1024),
        1000,
        Pattern::Fifo,
    ),
    Workload {
        name: "aligned 16..4096",
        sizes: Sizes::Logarithmic(16, 4096),
        align_log2: (4, 12),
        live: 500,
        pattern: Pattern::Replace,
    },
    workload(
        "grow 16..64Ki",
        Sizes::Uniform(16, 64),
        100,
        Pattern::Grow(64 << 10),
    ),
];

/// The operations of a workload.
#[derive(Clone, Debug)]
pub struct Script {
    /// Brings the peer into its steady state; not measured.
    pub warm_up: Vec<Op>,
    /// What is measured.
    pub measured: Vec<Op>,
}

impl Workload {
    /// The operations that follow from the workload and a seed: `length` measured ones, or a few more to end a cycle.
    pub fn script(&self, length: usize, seed: u64) -> Script {
        let mut random = Random::new(seed);
        let mut warm_up = Vec::new();
        let mut measured = Vec::with_capacity(length + 2 * self.live as usize);
        match self.pattern {
            Pattern::Replace | Pattern::Fifo => {
                for slot in 0..self.live {
                    warm_up.push(self.allocate(slot, &mut random));
                }
                // Fragment before measuring: every block has been replaced a few times.
                for turn in 0..4 * self.live {
                    self.replace(turn, &mut random, &mut warm_up);
                }
                for turn in 0.. {
                    if measured.len() >= length {
                        break;
                    }
                    self.replace(turn, &mut random, &mut measured);
                }
            }
            Pattern::Lifo => {
                while measured.len() < length {
                    for slot in 0..self.live {
                        measured.push(self.allocate(slot, &mut random));
                    }
                    for slot in (0..self.live).rev() {
                        measured.push(Op::Free { slot });
                    }
                }
                warm_up.extend_from_slice(&measured[..2 * self.live as usize]);
            }
            Pattern::Grow(limit) => {
                let mut sizes = vec![0; self.live as usize];
                let mut grow = |random: &mut Random, ops: &mut Vec<Op>| {
                    let slot = random.below(self.live);
                    let size = &mut sizes[slot as usize];
                    let grown = *size + *size / 2;
                    if *size == 0 {
                        let op = self.allocate(slot, random);
                        if let Op::Allocate { size: drawn, .. } = op {
                            *size = drawn;
                        }
                        ops.push(op);
                    } else if grown > limit {
                        *size = 0;
                        ops.push(Op::Free { slot });
                    } else {
                        *size = grown;
                        ops.push(Op::Reallocate { slot, size: grown });
                    }
                };
                while warm_up.len() < 50 * self.live as usize {
                    grow(&mut random, &mut warm_up);
                }
                while measured.len() < length {
                    grow(&mut random, &mut measured);
                }
            }
        }
        Script { warm_up, measured }
    }

    fn allocate(&self, slot: u32, random: &mut Random) -> Op {
        let (low, high) = self.align_log2;
        let align_log2 = random.between(low.into(), high.into()) as u8;
        Op::Allocate {
            slot,
            size: self.sizes.draw(random),
            align_log2,
        }
    }

    fn replace(&self, turn: u32, random: &mut Random, ops: &mut Vec<Op>) {
        let slot = match self.pattern {
            Pattern::Fifo => turn % self.live,
            _ => random.below(self.live),
        };
        ops.push(Op::Free { slot });
        ops.push(self.allocate(slot, random));
    }
}
