//! Frees by other threads than the slab's owner, without a lock.
//!
//! ```text
//! sender: mark(index), note                       owner: for each slab of queue.take()
//!     set the object's bit in its word   1.          take the summary                  3.
//!     word was 0: set its bit in the summary  2.     take each word that it names
//!     summary was 0: push the slab               join these bits with its own
//!         on its owner's queue
//! ```
//!
//! 1. One atomic instruction. If the bit was set already, the object was freed twice.
//! 2. Whoever makes a word other than 0 is answerable for its bit in the summary, and whoever makes
//!    the summary other than 0 for the push. So a slab is in its owner's queue at most once, and
//!    its link has one writer at a time.
//! 3. The owner takes a word only when the summary names it, and a summary only of a slab that came
//!    out of the queue. So as long as a sender has steps to do, an object of the slab counts as used:
//!    an empty slab has no sender left that could touch it, and may be given back.
//!
//! The bits are idempotent, so nothing can be lost or handed out twice by a sender that stops
//! half-way: in a fork's child the summary can be made anew from the words.

use crate::sync::{AtomicUsize, Ordering};

/// Bits in a word.
pub(crate) const BITS: usize = usize::BITS as usize;

/// What a sender has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// Nothing.
    Done,
    /// The slab is to be pushed on its owner's queue.
    Announce,
    /// The object was freed already.
    #[cfg(all(test, loom))]
    AlreadyFree,
}

/// What became of an object's bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// It was set.
    Set,
    /// It was set as the first of its word, which has to be [noted](RemoteFrees::note).
    First,
    /// It was set already: the object was freed before.
    Already,
}

/// The objects of one slab that others have freed.
#[derive(Clone, Copy)]
pub(crate) struct RemoteFrees<'a> {
    pub(crate) words: &'a [AtomicUsize],
    /// A bit for each word.
    pub(crate) summary: &'a AtomicUsize,
}

impl RemoteFrees<'_> {
    /// The first step, which is the only one for most: sets the bit of the object with this number.
    #[inline(always)]
    pub(crate) fn mark(self, index: usize) -> Marked {
        // Without a panic, whose way out would cost each free some instructions.
        let Some(word) = self.words.get(index / BITS) else {
            return Marked::Already;
        };
        let bit = 1 << (index % BITS);
        // Release: the owner must not hand the object out before the sender is done with it.
        let before = word.fetch_or(bit, Ordering::AcqRel);
        if before & bit != 0 {
            Marked::Already
        } else if before == 0 {
            Marked::First
        } else {
            Marked::Set
        }
    }

    /// Both steps, as the models take them.
    #[cfg(all(test, loom))]
    pub(crate) fn post(self, index: usize) -> Posted {
        match self.mark(index) {
            Marked::Set => Posted::Done,
            Marked::First => self.note(index / BITS),
            Marked::Already => Posted::AlreadyFree,
        }
    }

    /// The second step, for a word that got its first bit.
    #[inline(always)]
    pub(crate) fn note(self, word: usize) -> Posted {
        if self.summary.fetch_or(1 << word, Ordering::AcqRel) == 0 {
            Posted::Announce
        } else {
            Posted::Done
        }
    }

    /// Takes all objects that are announced: calls `each` with a word's number and its bits. Only for
    /// a slab that was taken from the owner's queue, once.
    pub(crate) fn take(self, mut each: impl FnMut(usize, usize)) {
        let mut named = self.summary.swap(0, Ordering::AcqRel);
        while named != 0 {
            let word = named.trailing_zeros() as usize;
            named &= named - 1;
            each(word, self.words[word].swap(0, Ordering::AcqRel));
        }
    }
}

/// The slabs of one local heap that have remote frees: any thread pushes, the owner takes all.
///
/// A slab is named by a number other than 0, and has a link of its own.
#[repr(transparent)]
pub(crate) struct RemoteQueue(pub(crate) AtomicUsize);

impl RemoteQueue {
    /// Adds a slab that is not in the queue. Lock-free.
    pub(crate) fn push(&self, slab: usize, link: &AtomicUsize) {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            link.store(first, Ordering::Relaxed);
            match self
                .0
                .compare_exchange_weak(first, slab, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes all slabs: answers the first, whose link leads to the next; 0 if there is none. A link
    /// must be read before its slab's remote frees are taken.
    pub(crate) fn take(&self) -> usize {
        if self.0.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.0.swap(0, Ordering::Acquire)
    }
}
