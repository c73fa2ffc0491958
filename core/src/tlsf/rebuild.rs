//! Making lists, footers and counters anew from the chain of headers.

use super::Tlsf;
use super::block::{PREV_FREE, header};
use super::walk::Broken;

impl Tlsf {
    /// Makes everything but the headers anew, after an operation was cut off for good, such as by
    /// a fork while another thread was inside one. A block that the cut operation was about to
    /// hand out, or had nearly taken back, stays a used block.
    ///
    /// Takes time proportional to the number of blocks.
    pub(crate) fn rebuild(self) -> Result<(), Broken> {
        for chain in self.chains() {
            if let Some(Err(broken)) = chain.clone().find(Result::is_err) {
                return Err(broken);
            }
        }
        // SAFETY: all free blocks are put back below.
        unsafe { self.clear_lists() }
        let (mut used_bytes, mut block_bytes, mut live) = (0, 0, 0);
        for mut chain in self.chains() {
            // Offset and size of the free blocks just before the present one, joined.
            let mut pending: Option<(usize, usize)> = None;
            for link in chain.by_ref() {
                let link = link?;
                block_bytes += link.size;
                if link.free {
                    let (start, size) = pending.unwrap_or((link.block, 0));
                    pending = Some((start, size + link.size));
                    continue;
                }
                used_bytes += link.size;
                live += 1;
                self.close_gap(pending.take(), link.block);
            }
            // SAFETY: the word before a region's end is its end mark.
            unsafe { self.memory.write(header(chain.end()), self.key()) }
            self.close_gap(pending, chain.end());
        }
        let control = self.control();
        control.set_reach();
        self.forget_freed();
        control.block_bytes.set(block_bytes);
        control.used.set(used_bytes);
        control.peak.set(control.peak.get().max(used_bytes));
        control
            .deallocations
            .set(control.allocations.get().wrapping_sub(live));
        if control.written.get() != usize::MAX {
            // How far the cut operation wrote is not known.
            control.written.set(usize::MAX);
        }
        Ok(())
    }

    /// Files the free bytes before the used block or end mark at `block`, and says so in its
    /// header.
    fn close_gap(self, gap: Option<(usize, usize)>, block: usize) {
        // SAFETY: the chain was walked: `block` is a used block's place or the region's end, and
        // the gap, which is in no list, ends at its header.
        unsafe {
            let word = self.memory.read(header(block));
            match gap {
                Some((start, size)) => {
                    self.memory.write(header(block), word | PREV_FREE);
                    self.insert(start, size);
                }
                None => self.memory.write(header(block), word & !PREV_FREE),
            }
        }
    }
}
