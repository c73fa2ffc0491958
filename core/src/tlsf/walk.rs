//! Reading the chain of blocks from one end of a region to the other.

use super::Tlsf;
use super::block::{self, MIN_BLOCK, PREV_FREE, SIZE_MASK, header};
use super::regions::{Bounds, Descriptor};

/// One link of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) block: usize,
    pub(crate) size: usize,
    pub(crate) free: bool,
    /// What a used block's header says of the block before; false for a free block.
    pub(crate) follows_free: bool,
}

/// A place where the chain is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken(pub(crate) usize);

/// The blocks of one region, in the order of their addresses. Ends with the end mark, or with an
/// error.
#[derive(Clone)]
pub(crate) struct Chain {
    tlsf: Tlsf,
    bounds: Bounds,
    at: usize,
    end: usize,
    stopped: bool,
}

impl Chain {
    /// What the end mark's header says of the block before it, once the end is reached.
    pub(crate) fn end(&self) -> usize {
        self.end
    }
}

impl Iterator for Chain {
    type Item = Result<Link, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped || self.at == self.end {
            return None;
        }
        let block = self.at;
        // SAFETY: `at` is the first place of the region, or the end of a block that was found to
        // end inside it, so the word before it lies in the region.
        let word = unsafe { self.tlsf.memory.read(header(block)) };
        let free = block::is_free(word);
        let decoded = word ^ self.tlsf.key();
        let size = if free {
            block::free(word)
        } else {
            decoded & SIZE_MASK
        };
        let following = block.wrapping_add(size);
        if size < MIN_BLOCK || size & !SIZE_MASK != 0 || !self.bounds.reach(following) {
            self.stopped = true;
            return Some(Err(Broken(block)));
        }
        self.at = following;
        Some(Ok(Link {
            block,
            size,
            free,
            follows_free: !free && decoded & PREV_FREE != 0,
        }))
    }
}

impl Tlsf {
    fn chain(self, first: usize, end: usize) -> Chain {
        let bounds = Bounds {
            low: first,
            len: end.wrapping_sub(first),
        };
        Chain {
            tlsf: self,
            bounds,
            at: first,
            end,
            stopped: false,
        }
    }

    /// The chains of all regions, the first region's first.
    pub(crate) fn chains(self) -> impl Iterator<Item = Chain> {
        let control = self.control();
        let first = self.chain(control.first.get(), control.end.get());
        let added = self
            .descriptors()
            .map(move |(at, d)| self.chain(Descriptor::first(at), d.end));
        core::iter::once(first).chain(added)
    }
}
