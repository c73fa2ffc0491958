//! The shipped steps with one bug each.

use crate::slab::remote::{BITS, Posted, RemoteFrees, RemoteQueue};
use crate::sync::{AtomicUsize, Ordering};

type Each<'a> = &'a mut dyn FnMut(usize, usize);

fn announce(before: usize) -> Posted {
    if before == 0 {
        Posted::Announce
    } else {
        Posted::Done
    }
}

/// `post` with each of its parts given: the orders, and whether it writes the summary.
fn post_ordered(frees: RemoteFrees, index: usize, word: Ordering, summary: Ordering) -> Posted {
    let bit = 1 << (index % BITS);
    let before = frees.words[index / BITS].fetch_or(bit, word);
    if before & bit != 0 {
        Posted::AlreadyFree
    } else if before != 0 {
        Posted::Done
    } else {
        announce(frees.summary.fetch_or(1 << (index / BITS), summary))
    }
}

/// The summary names the word before the bit is in it.
pub(super) fn post_after_summary(frees: RemoteFrees, index: usize) -> Posted {
    let before = frees
        .summary
        .fetch_or(1 << (index / BITS), Ordering::AcqRel);
    frees.words[index / BITS].fetch_or(1 << (index % BITS), Ordering::AcqRel);
    announce(before)
}

/// The slab is announced, but the summary does not name the word.
pub(super) fn post_without_summary(frees: RemoteFrees, index: usize) -> Posted {
    announce(frees.words[index / BITS].fetch_or(1 << (index % BITS), Ordering::AcqRel))
}

/// Announces the slab for each word, though it was announced for another.
pub(super) fn post_announces_words(frees: RemoteFrees, index: usize) -> Posted {
    match post_ordered(frees, index, Ordering::AcqRel, Ordering::AcqRel) {
        Posted::Done if index.is_multiple_of(BITS) => Posted::Announce,
        posted => posted,
    }
}

/// The bit is set by a load and a store.
pub(super) fn post_in_two_steps(frees: RemoteFrees, index: usize) -> Posted {
    let bit = 1 << (index % BITS);
    let word = &frees.words[index / BITS];
    let before = word.load(Ordering::Acquire);
    word.store(before | bit, Ordering::Release);
    if before & bit != 0 {
        Posted::AlreadyFree
    } else if before != 0 {
        Posted::Done
    } else {
        announce(
            frees
                .summary
                .fetch_or(1 << (index / BITS), Ordering::AcqRel),
        )
    }
}

/// The bit is set without release.
pub(super) fn post_relaxed(frees: RemoteFrees, index: usize) -> Posted {
    post_ordered(frees, index, Ordering::Relaxed, Ordering::AcqRel)
}

/// The summary is written without acquire: the link is not the sender's yet.
pub(super) fn post_release_summary(frees: RemoteFrees, index: usize) -> Posted {
    post_ordered(frees, index, Ordering::AcqRel, Ordering::Release)
}

fn take_ordered(frees: RemoteFrees, each: Each, summary: Ordering, word: Ordering) {
    let mut named = frees.summary.swap(0, summary);
    while named != 0 {
        let number = named.trailing_zeros() as usize;
        named &= named - 1;
        each(number, frees.words[number].swap(0, word));
    }
}

/// The summary is taken without release: a sender may write the link before the owner has read it.
pub(super) fn take_relaxed_summary(frees: RemoteFrees, each: Each) {
    take_ordered(frees, each, Ordering::Relaxed, Ordering::AcqRel);
}

/// The words are taken without acquire.
pub(super) fn take_relaxed_words(frees: RemoteFrees, each: Each) {
    take_ordered(frees, each, Ordering::Relaxed, Ordering::Relaxed);
}

/// A word is taken by a load and a store.
pub(super) fn take_in_two_steps(frees: RemoteFrees, each: Each) {
    let mut named = frees.summary.swap(0, Ordering::AcqRel);
    while named != 0 {
        let number = named.trailing_zeros() as usize;
        named &= named - 1;
        let word = &frees.words[number];
        let bits = word.load(Ordering::Acquire);
        word.store(0, Ordering::Release);
        each(number, bits);
    }
}

/// Takes the words that the summary does not name, too.
pub(super) fn take_every_word(frees: RemoteFrees, each: Each) {
    frees.summary.swap(0, Ordering::AcqRel);
    for (number, word) in frees.words.iter().enumerate() {
        let bits = word.swap(0, Ordering::AcqRel);
        if bits != 0 {
            each(number, bits);
        }
    }
}

/// The queue's head is replaced without a look at what it became in the meantime.
pub(super) fn push_without_comparison(queue: &RemoteQueue, slab: usize, link: &AtomicUsize) {
    link.store(queue.0.load(Ordering::Relaxed), Ordering::Relaxed);
    queue.0.store(slab, Ordering::Release);
}

/// The slab is pushed without release.
pub(super) fn push_relaxed(queue: &RemoteQueue, slab: usize, link: &AtomicUsize) {
    let mut first = queue.0.load(Ordering::Relaxed);
    loop {
        link.store(first, Ordering::Relaxed);
        match queue
            .0
            .compare_exchange_weak(first, slab, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// The queue is taken by a load and a store.
pub(super) fn take_queue_in_two_steps(queue: &RemoteQueue) -> usize {
    let first = queue.0.load(Ordering::Acquire);
    queue.0.store(0, Ordering::Release);
    first
}

/// The queue is taken without acquire.
pub(super) fn take_queue_relaxed(queue: &RemoteQueue) -> usize {
    queue.0.swap(0, Ordering::Relaxed)
}
