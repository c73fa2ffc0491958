//! What is known about one slab, and which of its objects are free.
//!
//! ```text
//!  line 0, 1   owner, start, inverse, quota, count, class, state; summary; local bits; links
//!  line 2      remote bits
//! ```
//!
//! A free by the owner needs line 0 alone, unless the slab has more than 192 objects. Line 2 is
//! written by everybody, the others by the owner, but for the summary, which changes once for up to
//! 64 remote frees, and the link of the remote queue.

use static_assertions::{const_assert, const_assert_eq};

use super::class::{Class, MAX_OBJECTS, TABLE, divide};
use super::remote::{BITS, RemoteFrees};
use crate::sync::{AtomicUsize, Cell, Ordering, read_own};

/// Words of a bitmap.
pub(crate) const WORDS: usize = MAX_OBJECTS / BITS;

/// A quota that is not used up before objects are checked out of the slab again: there are fewer.
pub(crate) const UNLIMITED: u16 = u16::MAX;
const_assert!(MAX_OBJECTS < UNLIMITED as usize);

/// What the owner does with a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// No object, or only a few, were free when it was last looked at. It is in no list.
    Full,
    /// The bin of its class takes objects from it.
    Current,
    /// It is in the list of its class, with free objects.
    Available,
    /// As `Available`, and all of its objects are free.
    Empty,
}

/// A slab's descriptor.
///
/// The owner is the one thread that works with the local heap `owner`. Fields in cells are read and
/// written by the owner only, or when the slab has no owner, by the holder of the pool's lock;
/// but `start`, `inverse`, `count` and `class` are constant while there is an owner.
#[repr(C, align(64))]
pub(crate) struct Descriptor {
    /// Address of the local heap; 0 if this is not a slab's descriptor now.
    pub(crate) owner: AtomicUsize,
    /// Address of the first object.
    pub(crate) start: Cell<usize>,
    /// [`Class::inverse`].
    pub(crate) inverse: Cell<usize>,
    /// How many frees by the owner until it has to look at the slab.
    pub(crate) quota: Cell<u16>,
    /// Objects.
    pub(crate) count: Cell<u16>,
    pub(crate) class: Cell<u8>,
    pub(crate) state: Cell<State>,
    /// The descriptor's place in its chunk.
    pub(crate) place: Cell<u8>,
    /// Which remote words other threads have set bits in.
    pub(crate) remote_summary: AtomicUsize,
    /// A set bit is a free object. The bits beyond `count` are set, too, so that none of them passes
    /// for an object in use.
    pub(crate) bits: [AtomicUsize; WORDS],
    /// Neighbours in the list of the class, 0 at the ends.
    pub(crate) next: Cell<usize>,
    pub(crate) previous: Cell<usize>,
    /// The link of the owner's remote queue.
    pub(crate) remote_next: AtomicUsize,
    pub(crate) remote: Line,
}

/// The remote bits of a slab, in a cache line of their own.
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [AtomicUsize; WORDS]);

const_assert_eq!(size_of::<Descriptor>(), 192);
const_assert_eq!(core::mem::offset_of!(Descriptor, owner), 0);
#[cfg(target_pointer_width = "64")]
const_assert_eq!(core::mem::offset_of!(Descriptor, bits), 40);
const_assert_eq!(core::mem::offset_of!(Descriptor, remote), 128);

impl Descriptor {
    /// The descriptor at an address.
    ///
    /// # Safety
    /// One is there, for as long as the result is used.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(address: usize) -> &'a Descriptor {
        // SAFETY: forwarded; chunks of descriptors are exposed with the region that they lie in.
        unsafe { &*core::ptr::with_exposed_provenance::<Descriptor>(address) }
    }

    /// Its own address.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    /// The owner's word of the descriptor at an address.
    ///
    /// # Safety
    /// A descriptor is there, or the word that stands for that of no slab.
    #[inline(always)]
    pub(crate) unsafe fn owner_at(address: usize) -> usize {
        // SAFETY: forwarded; the owner's word is a descriptor's first.
        unsafe { &*core::ptr::with_exposed_provenance::<AtomicUsize>(address) }
            .load(Ordering::Acquire)
    }

    /// As [`Descriptor::owner_at`], for whoever only wants to know whether he is the owner: no other
    /// thread writes the word of an own slab.
    ///
    /// # Safety
    /// As for [`Descriptor::owner_at`].
    #[inline(always)]
    pub(crate) unsafe fn owner_if_own(address: usize) -> usize {
        // SAFETY: forwarded.
        unsafe { read_own(address) }
    }

    /// Whether it is a slab of the local heap at an address.
    #[inline(always)]
    pub(crate) fn is_owned_by(&self, local: usize) -> bool {
        self.owner.load(Ordering::Relaxed) == local
    }

    /// Makes this the descriptor of a slab of `count` objects, all free. Not an owner's yet.
    pub(crate) fn set_up(&self, start: usize, number: usize, count: usize) {
        let class = TABLE[number];
        self.start.set(start);
        self.inverse.set(class.inverse);
        self.count.set(count as u16);
        self.class.set(number as u8);
        self.state.set(State::Empty);
        self.quota.set(UNLIMITED);
        self.next.set(0);
        self.previous.set(0);
        self.remote_next.store(0, Ordering::Relaxed);
        self.remote_summary.store(0, Ordering::Relaxed);
        for (bits, remote) in self.bits.iter().zip(&self.remote.0) {
            bits.store(usize::MAX, Ordering::Relaxed);
            remote.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn class(&self) -> Class {
        TABLE[self.class.get() as usize]
    }

    /// How many objects a full slab gets back before it is worth a look: several, so that a bin is
    /// not refilled for each single one.
    pub(crate) fn quota_when_full(&self) -> u16 {
        1 + self.count.get() / 8
    }

    /// Bytes of its objects.
    pub(crate) fn bytes(&self) -> usize {
        self.count.get() as usize * self.class().size
    }

    /// Granules in which its objects begin.
    pub(crate) fn granules(&self) -> usize {
        self.class().granules_of(self.count.get() as usize)
    }

    /// The number of the object at an address.
    #[inline(always)]
    pub(crate) fn object_at(&self, address: usize) -> Option<usize> {
        let (number, starts) = divide(address.wrapping_sub(self.start.get()), self.inverse.get());
        (starts && number < self.count.get() as usize).then_some(number)
    }

    /// Whether the object with this number is free, as far as the owner's bits tell.
    #[inline(always)]
    pub(crate) fn is_free(&self, number: usize) -> bool {
        is_set(&self.bits, number)
    }

    /// Whether another thread freed the object with this number, and the owner has not seen it yet.
    pub(crate) fn is_freed_remotely(&self, number: usize) -> bool {
        is_set(&self.remote.0, number)
    }

    /// Takes an object back that is in use. Answers whether the quota is used up. Only the owner
    /// may.
    pub(crate) fn set_free(&self, number: usize) -> bool {
        // SAFETY: the number is an object's, and the caller is the owner.
        unsafe { self.set_bit(number) };
        self.count_down()
    }

    /// The bits of a word that stand for objects.
    #[inline(always)]
    pub(crate) fn valid(&self, word: usize) -> usize {
        valid(self.count.get() as usize, word)
    }

    /// Words whose bits stand for objects.
    #[inline(always)]
    pub(crate) fn words(&self) -> usize {
        (self.count.get() as usize).div_ceil(BITS)
    }

    /// Where a word of the bitmap is.
    #[inline(always)]
    pub(crate) fn address_of_bits(&self, word: usize) -> usize {
        (&raw const self.bits).addr() + word * size_of::<AtomicUsize>()
    }

    /// Takes all free objects of one word: the first behind `last`, and then round, that has any.
    /// Only the owner may.
    #[inline(always)]
    pub(crate) fn check_out(&self, last: usize) -> Option<(usize, usize)> {
        let words = self.words();
        // The bits of the last word that stand for objects; all of the others' do.
        let objects = usize::MAX >> ((self.count.get() as usize).wrapping_neg() % BITS);
        // While this is 0, no remote free is announced, and their line need not be read.
        let remote = self.remote_summary.load(Ordering::Relaxed) != 0;
        let mut word = last;
        for _ in 0..words {
            word += 1;
            if word >= words {
                word = 0;
            }
            // Without a panic, whose way out would cost some instructions.
            let bits = self.bits.get(word)?;
            let mut free = bits.load(Ordering::Relaxed);
            if word + 1 == words {
                free &= objects;
            }
            if remote {
                free &= !self.remote.0[word].load(Ordering::Relaxed);
            }
            if free != 0 {
                bits.store(bits.load(Ordering::Relaxed) & !free, Ordering::Relaxed);
                return Some((word, free));
            }
        }
        None
    }

    /// The free objects of a word, as far as the owner knows of them. One that the owner and another
    /// thread have both freed does not count before the owner has collected it: until then the slab
    /// is on its way through the owner's queue, and must not pass for empty.
    #[inline(always)]
    fn free_of(&self, word: usize) -> usize {
        let remote = self.remote.0[word].load(Ordering::Relaxed);
        self.bits[word].load(Ordering::Relaxed) & !remote & self.valid(word)
    }

    /// How many objects are free, as far as the owner knows.
    pub(crate) fn free_objects(&self) -> usize {
        (0..self.words())
            .map(|word| self.free_of(word).count_ones() as usize)
            .sum()
    }

    /// Objects that nobody uses, if `ready` are checked out: those, and those that the local and remote
    /// bits tell. While others go on it is a figure of about this moment.
    pub(crate) fn all_free(&self, ready: usize) -> usize {
        let words = self.remote.0.iter();
        let remote: usize = words
            .map(|word| word.load(Ordering::Relaxed).count_ones() as usize)
            .sum();
        (self.free_objects() + ready + remote).min(self.count.get() as usize)
    }

    pub(crate) fn remote_frees(&self) -> RemoteFrees<'_> {
        RemoteFrees {
            words: &self.remote.0,
            summary: &self.remote_summary,
        }
    }
}

/// Whether a bit of a bitmap is set.
#[inline(always)]
fn is_set(bits: &[AtomicUsize; WORDS], number: usize) -> bool {
    // Without a panic, whose way out would cost each free some instructions. There are no more words.
    let word = &bits[number / BITS % WORDS];
    word.load(Ordering::Relaxed) >> (number % BITS) & 1 == 1
}

/// The bits of a bitmap word that stand for objects, if a slab has `count`.
#[inline(always)]
pub(crate) fn valid(count: usize, word: usize) -> usize {
    let below = count.saturating_sub(word * BITS);
    if below >= BITS {
        usize::MAX
    } else {
        (1 << below) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_bits_are_as_many_as_objects() {
        for count in 0..MAX_OBJECTS {
            let ones: u32 = (0..WORDS).map(|word| valid(count, word).count_ones()).sum();
            assert_eq!(ones as usize, count);
        }
    }
}
