//! Adversarial traces, for instructions: each drives an allocator into a state that is bad for some design.

use crate::operation::Op;
use crate::random::Random;

/// A trace.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The letter in the tables.
    pub letter: char,
    /// One line that says what the trace does.
    pub description: &'static str,
    /// The length of the region that it runs in, in bytes.
    pub region_bytes: usize,
    /// Builds the state; instructions are not counted.
    pub setup: Vec<Op>,
    /// The operations whose instructions are counted.
    pub counted: Vec<Op>,
}

/// All traces, in the order of the table. The same seed gives the same traces.
pub fn traces(seed: u64) -> Vec<Trace> {
    vec![
        random(seed),
        holes(seed),
        page_aligned(seed),
        near_full(seed),
        resizes(seed),
        lonely_neighbours(seed),
    ]
}

/// The alignment of most requests: what a word needs.
const WORD: u8 = 3;

fn allocate(slot: u32, size: u32) -> Op {
    Op::Allocate {
        slot,
        size,
        align_log2: WORD,
    }
}

/// Random sizes up to 64 KiB, one request in eight aligned to 32 bytes up to a page.
fn random(seed: u64) -> Trace {
    const LIVE: u32 = 1500;
    let mut random = Random::new(seed ^ u64::from(b'A'));
    let request = |slot, random: &mut Random| Op::Allocate {
        slot,
        size: random.log_between(1, 64 << 10),
        align_log2: if random.below(8) == 0 {
            random.between(5, 12) as u8
        } else {
            WORD
        },
    };
    let mut setup: Vec<Op> = (0..LIVE).map(|slot| request(slot, &mut random)).collect();
    let replace = |ops: &mut Vec<Op>, random: &mut Random| {
        let slot = random.below(LIVE);
        ops.push(Op::Free { slot });
        ops.push(request(slot, random));
    };
    for _ in 0..4 * LIVE {
        replace(&mut setup, &mut random);
    }
    let mut counted = Vec::new();
    for _ in 0..1500 {
        replace(&mut counted, &mut random);
    }
    Trace {
        letter: 'A',
        description: "random sizes and alignments",
        region_bytes: 64 << 20,
        setup,
        counted,
    }
}

/// Ten thousand equal holes between used blocks: what is asked for does not fit any of them, what is freed joins two.
fn holes(seed: u64) -> Trace {
    const BLOCKS: u32 = 20_000;
    let mut random = Random::new(seed ^ u64::from(b'B'));
    let mut setup: Vec<Op> = (0..BLOCKS).map(|slot| allocate(slot, 64)).collect();
    setup.extend((0..BLOCKS).step_by(2).map(|slot| Op::Free { slot }));
    let mut counted = Vec::new();
    for turn in 0..500 {
        let guest = BLOCKS + turn;
        counted.push(allocate(guest, random.between(65, 4096)));
        // First the block behind all holes, then any.
        let used = if turn == 0 {
            BLOCKS - 1
        } else {
            2 * random.below(BLOCKS / 2) + 1
        };
        counted.push(Op::Free { slot: used });
        counted.push(allocate(used, 64));
        if turn % 2 == 0 {
            counted.push(Op::Free { slot: guest });
        }
    }
    Trace {
        letter: 'B',
        description: "ten thousand holes",
        region_bytes: 16 << 20,
        setup,
        counted,
    }
}

/// Four thousand holes of nearly two pages, each around one page boundary, so that none holds the page-aligned block of a
/// little more than a page that is asked for.
fn page_aligned(seed: u64) -> Trace {
    const HOLES: u32 = 4000;
    const HELD: u32 = 100;
    let mut random = Random::new(seed ^ u64::from(b'C'));
    let mut setup: Vec<Op> = (0..HOLES)
        .map(|slot| Op::Allocate {
            slot,
            size: 64,
            align_log2: 13,
        })
        .collect();
    let request = |slot| Op::Allocate {
        slot,
        size: 4200,
        align_log2: 12,
    };
    setup.extend((HOLES..HOLES + HELD).map(request));
    let mut counted = Vec::new();
    for turn in 0..500 {
        let slot = HOLES + HELD + turn;
        counted.push(request(slot));
        if turn % 2 == 0 {
            counted.push(Op::Free {
                slot: HOLES + random.below(HELD + turn),
            });
        }
    }
    Trace {
        letter: 'C',
        description: "page-aligned, no gap fits",
        region_bytes: 64 << 20,
        setup,
        counted,
    }
}

/// A heap so full that many requests fail, and lists whose blocks are all a little too small for what is asked.
fn near_full(seed: u64) -> Trace {
    const SMALL: u32 = 1500;
    const LARGE: u32 = 60;
    let mut random = Random::new(seed ^ u64::from(b'D'));
    let request = |slot, random: &mut Random| Op::Allocate {
        slot,
        size: random.log_between(16, 4096),
        align_log2: if random.below(8) == 0 {
            random.between(5, 10) as u8
        } else {
            WORD
        },
    };
    // Blocks of one class with a guard behind each, then small ones until nothing more fits.
    let mut setup = Vec::new();
    for block in 0..LARGE {
        setup.push(allocate(2 * block, 10_000));
        setup.push(allocate(2 * block + 1, 16));
    }
    let (small, large) = (2 * LARGE, 2 * LARGE + SMALL);
    setup.extend((small..large).map(|slot| request(slot, &mut random)));
    for (count, size) in [(64, 1024), (64, 256), (64, 64), (64, 16)] {
        for _ in 0..count {
            setup.push(allocate(large + setup.len() as u32, size));
        }
    }
    let mut counted = Vec::new();
    for _ in 0..1000 {
        let slot = small + random.below(SMALL);
        counted.push(Op::Free { slot });
        counted.push(request(slot, &mut random));
    }
    // Free some of the large ones: one list holds them all. Ask for a few bytes more than they have.
    let slots = large + setup.len() as u32;
    counted.extend((0..LARGE / 2).map(|block| Op::Free { slot: 4 * block }));
    for turn in 0..100 {
        let size = random.between(9_000, 10_200);
        let align_log2 = if turn % 3 == 0 {
            random.between(6, 12) as u8
        } else {
            WORD
        };
        counted.push(Op::Allocate {
            slot: slots + turn,
            size,
            align_log2,
        });
        if turn % 2 == 0 {
            counted.push(Op::Free { slot: slots + turn });
        }
    }
    Trace {
        letter: 'D',
        description: "near-full heap",
        region_bytes: 1 << 20,
        setup,
        counted,
    }
}

/// Blocks that grow and shrink between allocations and frees.
fn resizes(seed: u64) -> Trace {
    const LIVE: u32 = 400;
    let mut random = Random::new(seed ^ u64::from(b'E'));
    let mut setup: Vec<Op> = (0..LIVE)
        .map(|slot| allocate(slot, random.log_between(1, 8 << 10)))
        .collect();
    let step = |ops: &mut Vec<Op>, random: &mut Random| {
        let slot = random.below(LIVE);
        let size = random.log_between(1, 8 << 10);
        if random.below(2) == 0 {
            ops.push(Op::Reallocate { slot, size });
        } else {
            ops.push(Op::Free { slot });
            ops.push(allocate(slot, size));
        }
    };
    for _ in 0..4 * LIVE {
        step(&mut setup, &mut random);
    }
    let mut counted = Vec::new();
    for _ in 0..1000 {
        step(&mut counted, &mut random);
    }
    Trace {
        letter: 'E',
        description: "realloc, shrink, grow",
        region_bytes: 4 << 20,
        setup,
        counted,
    }
}

/// Each free joins two free neighbours that are alone in their lists, each allocation takes the last block of a list and
/// leaves its remainders in empty ones: every list and every bit of an index changes at once.
fn lonely_neighbours(seed: u64) -> Trace {
    let mut random = Random::new(seed ^ u64::from(b'F'));
    let mut counted = Vec::new();
    for _ in 0..250 {
        // Shuffled magnitudes: no two free blocks of a round share a list.
        let mut magnitudes: Vec<u32> = (5..18).collect();
        for i in (1..magnitudes.len()).rev() {
            magnitudes.swap(i, random.below(i as u32 + 1) as usize);
        }
        let mut size = |i: usize| (1 << magnitudes[i]) + random.below(1 << magnitudes[i]);
        let (left, middle, right, aligned) = (size(0), size(1), size(2), size(3));
        counted.extend([
            allocate(0, left),
            allocate(1, middle),
            allocate(2, right),
            allocate(3, 16),
        ]);
        let align_log2 = random.between(6, 14) as u8;
        counted.extend([
            Op::Allocate {
                slot: 4,
                size: aligned,
                align_log2,
            },
            allocate(5, 16),
        ]);
        counted.extend([0, 2, 1, 4, 5, 3].map(|slot| Op::Free { slot }));
    }
    Trace {
        letter: 'F',
        description: "neighbours alone in their lists",
        region_bytes: 4 << 20,
        setup: Vec::new(),
        counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_traces() {
        for (one, other) in traces(1).iter().zip(&traces(1)) {
            assert_eq!(one.setup, other.setup);
            assert_eq!(one.counted, other.counted);
        }
        assert_ne!(traces(1)[0].counted, traces(2)[0].counted);
    }

    #[test]
    fn requests_have_a_size() {
        for trace in traces(1) {
            for op in trace.setup.iter().chain(&trace.counted) {
                if let Op::Allocate { size, .. } | Op::Reallocate { size, .. } = *op {
                    assert!(size > 0);
                }
            }
        }
    }
}
