//! Reading a heap and comparing all that is written down twice.

use core::fmt;

use crate::region::WORD;
use crate::tlsf::Tlsf;
use crate::tlsf::block::{self, back, footer, header, next};
use crate::tlsf::control::{BITS, bitmap};

/// What a [`check`](crate::Heap::check) counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Allocated blocks.
    pub used_blocks: usize,
    /// Free blocks.
    pub free_blocks: usize,
    /// Bytes of allocated blocks.
    pub used_bytes: usize,
    /// Bytes of free blocks.
    pub free_bytes: usize,
    /// Payload of the largest free block.
    pub largest_free: usize,
}

/// What a [`check`](crate::Heap::check) found broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where: the address of a block's payload, of a list's first block, of a slab's descriptor, of a
    /// local heap, or of the header.
    pub address: usize,
    /// What should hold there.
    pub invariant: Invariant,
}

/// What holds in a heap that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invariant {
    /// A block's header gives a size that ends inside the region.
    Size,
    /// A header's flag tells whether the block before is free.
    PreviousFlag,
    /// No two neighbours are both free.
    Coalesced,
    /// A free block's footer equals its header.
    Footer,
    /// A free block's links lead to blocks that lead back.
    Links,
    /// A free block is in the list for its size, and each list is as long as it should be.
    List,
    /// The bitmap tells which lists have blocks, and the summary knows of them.
    Bitmap,
    /// The counters say what the blocks add up to.
    Counters,
    /// A slab's descriptor says what its class says, and names a local heap of the pool.
    Descriptor,
    /// A slab is a block in use.
    SlabBlock,
    /// A slab's bits beyond its objects are set, and its remote bits are clear there.
    SlabBits,
    /// The granule map leads to each slab, and nowhere else.
    GranuleMap,
    /// An idle local heap's lists hold slabs of their classes, linked both ways.
    Shelf,
    /// An idle local heap's queue holds its own slabs.
    RemoteQueue,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::Size => "a block's size must end inside its region",
            Invariant::PreviousFlag => "a header must tell whether the block before is free",
            Invariant::Coalesced => "two neighbouring blocks must not both be free",
            Invariant::Footer => "a free block's footer must equal its header",
            Invariant::Links => "a free block's links must lead to blocks that lead back",
            Invariant::List => "a free block must be in the list for its size",
            Invariant::Bitmap => "the bitmap must tell which lists have blocks",
            Invariant::Counters => "the counters must say what the blocks add up to",
            Invariant::Descriptor => "a slab's descriptor must agree with its class",
            Invariant::SlabBlock => "a slab must be a block in use",
            Invariant::SlabBits => "no bit beyond a slab's objects may be changed",
            Invariant::GranuleMap => "the granule map must lead to each slab, and nowhere else",
            Invariant::Shelf => "the lists of a local heap must hold its slabs, linked both ways",
            Invariant::RemoteQueue => "the queue of a local heap must hold its own slabs",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damage at {:#x}: {}", self.address, self.invariant)
    }
}

impl core::error::Error for Damage {}

pub(crate) fn check(tlsf: Tlsf) -> Result<CheckReport, Damage> {
    let damage = |offset: usize, invariant| Damage {
        address: tlsf.memory.address_of(offset),
        invariant,
    };
    let mut report = CheckReport::default();
    for mut chain in tlsf.chains() {
        let mut after_free = false;
        for link in chain.by_ref() {
            let link = link.map_err(|broken| damage(broken.0, Invariant::Size))?;
            if link.free {
                if after_free {
                    return Err(damage(link.block, Invariant::Coalesced));
                }
                check_free(tlsf, link.block, link.size)
                    .map_err(|invariant| damage(link.block, invariant))?;
                report.free_blocks += 1;
                report.free_bytes += link.size;
                report.largest_free = report.largest_free.max(link.size - WORD);
            } else {
                if link.follows_free != after_free {
                    return Err(damage(link.block, Invariant::PreviousFlag));
                }
                report.used_blocks += 1;
                report.used_bytes += link.size;
            }
            after_free = link.free;
        }
        // SAFETY: the word before a region's end is its end mark.
        let mark = unsafe { tlsf.memory.read(header(chain.end())) };
        if mark != tlsf.key() | usize::from(after_free) {
            return Err(damage(chain.end(), Invariant::PreviousFlag));
        }
    }
    check_lists(tlsf, report.free_blocks).map_err(|(at, invariant)| damage(at, invariant))?;
    check_counters(tlsf, &report).map_err(|invariant| damage(0, invariant))?;
    Ok(report)
}

/// A free block that the chain led to: footer and links.
fn check_free(tlsf: Tlsf, at: usize, size: usize) -> Result<(), Invariant> {
    let memory = tlsf.memory;
    // SAFETY: the chain gave a free block whose size ends inside the region; other places are
    // read only after they were found to be places of blocks, or are heads of lists.
    unsafe {
        if memory.read(footer(at.wrapping_add(size))) != block::free(size) {
            return Err(Invariant::Footer);
        }
        let after = memory.read(next(at));
        if after != 0 && (!tlsf.is_place(after) || memory.read_any(back(after)) != at) {
            return Err(Invariant::Links);
        }
        let before = memory.read(back(at));
        if before > tlsf.control().last_bin.get() {
            let first = tlsf.control().first.get();
            if before < first || !tlsf.is_place(before) || memory.read_any(next(before)) != at {
                return Err(Invariant::Links);
            }
        } else if before != tlsf.list_for(size) || tlsf.first_of(before) != at {
            return Err(Invariant::List);
        }
    }
    Ok(())
}

/// The lists hold just the free blocks, each in the list for its size.
fn check_lists(tlsf: Tlsf, free_blocks: usize) -> Result<(), (usize, Invariant)> {
    let mut left = free_blocks;
    for bin in 0..=tlsf.control().last_bin.get() {
        let mut at = tlsf.first_of(bin);
        // SAFETY: the bitmap's words for lists up to `last_bin` lie in the header.
        let bit = unsafe { tlsf.memory.read(bitmap(bin / BITS)) } >> (bin % BITS) & 1;
        let noted = tlsf.control().summary.get() >> (bin / BITS) & 1 == 1;
        if (bit == 1) != (at != 0) || (bit == 1 && !noted) {
            return Err((at, Invariant::Bitmap));
        }
        while at != 0 {
            let size = tlsf.free_size(at);
            if left == 0 || size == 0 || tlsf.list_for(size) != bin {
                return Err((at, Invariant::List));
            }
            left -= 1;
            // SAFETY: `free_size` found a free block, whose links lie in the region.
            at = unsafe { tlsf.memory.read(next(at)) };
        }
    }
    if left == 0 {
        Ok(())
    } else {
        Err((0, Invariant::List))
    }
}

fn check_counters(tlsf: Tlsf, report: &CheckReport) -> Result<(), Invariant> {
    let control = tlsf.control();
    let live = control
        .allocations
        .get()
        .wrapping_sub(control.deallocations.get());
    let right = control.used.get() == report.used_bytes
        && control.block_bytes.get() == report.used_bytes + report.free_bytes
        && live == report.used_blocks;
    if right {
        Ok(())
    } else {
        Err(Invariant::Counters)
    }
}
