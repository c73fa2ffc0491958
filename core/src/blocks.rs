//! Iterating over the blocks of a heap.

use core::iter::FusedIterator;
use core::marker::PhantomData;

use crate::tlsf::Tlsf;
use crate::tlsf::walk::Chain;

/// One block of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Address of its payload, a multiple of [`GRANULE`](crate::GRANULE). The block's header is
    /// the word before.
    pub address: usize,
    /// Bytes of the whole block: one word more than its payload.
    pub size: usize,
    /// Whether it is allocated.
    pub used: bool,
}

/// The blocks of a heap in the order of their addresses, region by region: see
/// [`Heap::blocks`](crate::Heap::blocks).
pub struct Blocks<'h> {
    tlsf: Tlsf,
    chain: Option<Chain>,
    region: usize,
    heap: PhantomData<&'h ()>,
}

impl Blocks<'_> {
    pub(crate) fn new(tlsf: Tlsf) -> Self {
        Blocks {
            tlsf,
            chain: tlsf.chains().next(),
            region: 0,
            heap: PhantomData,
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = BlockInfo;

    fn next(&mut self) -> Option<BlockInfo> {
        loop {
            match self.chain.as_mut()?.next() {
                Some(Ok(link)) => {
                    return Some(BlockInfo {
                        address: self.tlsf.memory.address_of(link.block),
                        size: link.size,
                        used: !link.free,
                    });
                }
                Some(Err(_)) => self.chain = None,
                None => {
                    self.region += 1;
                    self.chain = self.tlsf.chains().nth(self.region);
                }
            }
        }
    }
}

impl FusedIterator for Blocks<'_> {}

impl core::fmt::Debug for Blocks<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Blocks")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
