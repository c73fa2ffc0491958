//! Takes bytes as operations on a heap, and checks every step against the shadow allocator of the
//! core's tests: right calls, calls that cannot be served, and wrong pointers.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none heap -- -max_total_time=60
//! FUZZ_TRACE=1 RUSTC_BOOTSTRAP=1 cargo fuzz run -s none heap fuzz/artifacts/heap/crash-…
//! ```
#![no_main]

#[path = "../../core/tests/shadow/mod.rs"]
mod shadow;

use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

use shadow::heap::{Entry, Op, ShadowedHeap};
use shadow::memory::{Dirt, Memory};

/// Regions of up to 64 KiB: small enough to be full after a few operations.
const REGION_BITS: u32 = 6;

fn dirt(input: &mut Unstructured) -> Result<Dirt> {
    Ok(match input.int_in_range(0..=3)? {
        0 => Dirt::Zero,
        1 => Dirt::Ones,
        2 => Dirt::Noise(input.arbitrary()?),
        _ => Dirt::Addresses,
    })
}

fn entry(input: &mut Unstructured) -> Result<Entry> {
    Ok(*input.choose(&[
        Entry::Free,
        Entry::Deallocate,
        Entry::Resize,
        Entry::Reallocate,
        Entry::ResizeInPlace,
        Entry::UsableSize,
    ])?)
}

/// Mostly small sizes, some of the region's order, a few of the address space's.
fn size(input: &mut Unstructured) -> Result<usize> {
    Ok(match input.int_in_range(0..=15_u8)? {
        0..=5 => input.int_in_range(0..=64)?,
        6..=10 => input.int_in_range(0..=2047)?,
        11..=13 => input.int_in_range(0..=70_000)?,
        14 => isize::MAX as usize - usize::from(input.arbitrary::<u16>()?),
        _ => input.arbitrary()?,
    })
}

fn align(input: &mut Unstructured) -> Result<usize> {
    let shift = match input.int_in_range(0..=7_u8)? {
        0..=4 => input.int_in_range(0..=4_u32)?,
        5 | 6 => input.int_in_range(5..=12_u32)?,
        _ => input.int_in_range(0..=usize::BITS - 2)?,
    };
    Ok(1 << shift)
}

fn index(input: &mut Unstructured) -> Result<usize> {
    Ok(usize::from(input.arbitrary::<u8>()?))
}

fn op(input: &mut Unstructured) -> Result<Op> {
    Ok(match input.int_in_range(0..=31_u8)? {
        0..=9 => Op::Allocate {
            size: size(input)?,
            align: align(input)?,
            zeroed: input.arbitrary()?,
        },
        10..=16 => Op::Free {
            index: index(input)?,
            sized: input.arbitrary()?,
        },
        17..=20 => Op::Reallocate {
            index: index(input)?,
            size: size(input)?,
            sized: input.arbitrary()?,
        },
        21 | 22 => Op::ResizeInPlace {
            index: index(input)?,
            size: size(input)?,
        },
        23 => Op::FreeAlternate,
        24 => Op::Extend {
            additional: size(input)?,
        },
        25 => Op::AddRegion {
            offset: input.int_in_range(0..=63)?,
            len: input.int_in_range(0..=8191)?,
            dirt: dirt(input)?,
        },
        26 => Op::RemoveRegion {
            index: index(input)?,
        },
        27 => Op::Garbage {
            distance: input.arbitrary()?,
            entry: entry(input)?,
        },
        28 => Op::Garbage {
            distance: usize::from(input.arbitrary::<u16>()?),
            entry: entry(input)?,
        },
        29 => Op::Interior {
            index: index(input)?,
            offset: usize::from(input.arbitrary::<u16>()?),
            entry: entry(input)?,
        },
        30 => Op::FreedBefore {
            index: index(input)?,
            entry: entry(input)?,
        },
        _ => Op::WrongSize {
            index: index(input)?,
            size: size(input)?,
        },
    })
}

/// With `FUZZ_TRACE` in the environment, says what is about to be done: for reading a failing input.
fn trace(step: &dyn std::fmt::Debug) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("FUZZ_TRACE").is_some()) {
        eprintln!("{step:?}");
    }
}

fn run(input: &mut Unstructured) -> Result<()> {
    let len = input.int_in_range(0..=1023_usize)? << input.int_in_range(0..=REGION_BITS)?;
    let growth = input.int_in_range(0..=2_usize)? * len / 2;
    let offset = input.int_in_range(0..=63)?;
    let dirt = dirt(input)?;
    let memory = Memory::new(offset, len, len + growth, dirt);
    let Ok(mut heap) = ShadowedHeap::new(memory, dirt == Dirt::Zero) else {
        assert!(
            len < allotment_core::MIN_REGION || growth > 0,
            "a region of {len} bytes was refused"
        );
        return Ok(());
    };
    trace(&format_args!(
        "{len} bytes, {growth} more, at {offset}, {dirt:?}"
    ));
    while !input.is_empty() {
        let op = op(input)?;
        trace(&op);
        heap.step(&op);
    }
    heap.finish();
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Running out of bytes ends the sequence; what was done until then has been checked.
    let _ = run(&mut Unstructured::new(bytes));
});
