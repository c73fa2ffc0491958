//! A slab with three objects, its owner and its senders, reduced to what the protocols touch.
//!
//! Cells that loom follows stand for the memory that a protocol protects: two accesses that the
//! protocol does not put into an order, one of them a write, end the model.

use std::sync::atomic::{AtomicBool, Ordering as Unmodelled};

use loom::cell::UnsafeCell;

use crate::slab::remote::{BITS, Posted, RemoteFrees, RemoteQueue};
use crate::sync::{AtomicUsize, Ordering};

/// The objects of a slab: two with their bits in one word, one with its bit in another.
pub(super) const OBJECTS: [usize; 3] = [0, 1, BITS];

/// The steps of the protocols, so that a test can replace one.
pub(super) struct Steps {
    pub(super) post: fn(RemoteFrees, usize) -> Posted,
    pub(super) push: fn(&RemoteQueue, usize, &AtomicUsize),
    pub(super) take_queue: fn(&RemoteQueue) -> usize,
    pub(super) take: fn(RemoteFrees, &mut dyn FnMut(usize, usize)),
    /// The link is read before the slab's remote frees are taken.
    pub(super) link_first: bool,
    /// Remote frees are taken of slabs that came out of the queue only.
    pub(super) from_queue: bool,
}

/// The steps that ship.
pub(super) const SHIPPED: Steps = Steps {
    post: |frees, object| frees.post(object),
    push: RemoteQueue::push,
    take_queue: RemoteQueue::take,
    take: |frees, each| frees.take(each),
    link_first: true,
    from_queue: true,
};

pub(super) struct Slab {
    steps: &'static Steps,
    /// The constant fields of the descriptor. Written when the slab is given back.
    descriptor: UnsafeCell<()>,
    words: [AtomicUsize; 2],
    pub(super) summary: AtomicUsize,
    pub(super) link: AtomicUsize,
    /// Follows who uses the link: written before a push, read by the owner.
    link_use: UnsafeCell<()>,
    /// Whether it is in a queue, or about to be. Not part of the protocol.
    queued: AtomicBool,
    /// The owner's bits: these objects are free.
    own: UnsafeCell<[usize; 2]>,
    /// The first word of each object: whether somebody has it.
    contents: [UnsafeCell<bool>; OBJECTS.len()],
}

impl Slab {
    /// A slab with these objects in use, the others free.
    pub(super) fn new(steps: &'static Steps, in_use: &[usize]) -> Self {
        let mut own = [0; 2];
        for object in OBJECTS.iter().filter(|object| !in_use.contains(object)) {
            own[object / BITS] |= 1 << (object % BITS);
        }
        Self {
            steps,
            descriptor: UnsafeCell::new(()),
            words: [AtomicUsize::new(0), AtomicUsize::new(0)],
            summary: AtomicUsize::new(0),
            link: AtomicUsize::new(0),
            link_use: UnsafeCell::new(()),
            queued: AtomicBool::new(false),
            own: UnsafeCell::new(own),
            contents: OBJECTS.map(|object| UnsafeCell::new(in_use.contains(&object))),
        }
    }

    pub(super) fn remote(&self) -> RemoteFrees<'_> {
        RemoteFrees {
            words: &self.words,
            summary: &self.summary,
        }
    }

    /// Writes to an object, as whoever has it may: the first time, or the last.
    fn write(&self, object: usize, in_use: bool) {
        let place = OBJECTS.iter().position(|&one| one == object).unwrap();
        self.contents[place].with_mut(|content| {
            // SAFETY: loom has checked that nobody else has access.
            let before = unsafe { content.replace(in_use) };
            assert_ne!(before, in_use, "an object has two owners");
        });
    }

    /// Answers the owner's bits after `change`. Only for the owner.
    fn own(&self, change: impl FnOnce(&mut [usize; 2])) -> [usize; 2] {
        self.own.with_mut(|own| {
            // SAFETY: loom has checked that nobody else has access.
            let own = unsafe { &mut *own };
            change(own);
            *own
        })
    }

    /// Hands out an object. Only for the owner.
    pub(super) fn allocate(&self) -> Option<usize> {
        let mut found = None;
        self.own(|own| {
            found = OBJECTS
                .into_iter()
                .find(|object| own[object / BITS] >> (object % BITS) & 1 == 1);
            if let Some(object) = found {
                own[object / BITS] &= !(1 << (object % BITS));
            }
        });
        self.write(found?, true);
        found
    }

    /// Takes an object back from its own thread. Only for the owner.
    pub(super) fn free_own(&self, object: usize) {
        self.write(object, false);
        let doubles = self.join(object / BITS, 1 << (object % BITS));
        assert_eq!(doubles, 0, "a false report of a double free");
    }

    /// Takes back objects with these bits: answers how many of them were free already. Only for the
    /// owner.
    pub(super) fn join(&self, word: usize, bits: usize) -> usize {
        let mut doubles = 0;
        self.own(|own| {
            doubles = (own[word] & bits).count_ones() as usize;
            own[word] |= bits;
        });
        doubles
    }

    /// Whether all objects are free. Only for the owner.
    pub(super) fn is_empty(&self) -> bool {
        self.own(|_| ()) == [0b11, 0b1]
    }

    /// Gives the slab back, or sets it up anew: from here on no sender may touch its descriptor, and
    /// whatever they did to it is over. Only for the owner.
    pub(super) fn give_back(&self) {
        assert!(self.is_empty(), "a slab with objects in use is given back");
        self.descriptor.with_mut(|_| ());
        self.link_use.with_mut(|_| ());
        self.link.unordered();
        for word in self.words.iter().chain([&self.summary]) {
            assert_eq!(
                word.unordered(),
                0,
                "a slab with remote frees is given back"
            );
        }
    }

    /// Nothing is left to be taken.
    pub(super) fn assert_quiet(&self) {
        assert!(self.is_empty(), "an object was lost");
        assert!(
            !self.queued.load(Unmodelled::Relaxed),
            "a slab was lost that is in the queue"
        );
        for word in self.words.iter().chain([&self.summary]) {
            assert_eq!(word.load(Ordering::Relaxed), 0, "a remote free was lost");
        }
    }
}

/// A remote free, to the end: posts the object and announces the slab. Slabs are named by their place,
/// counted from 1. Does not write to the object.
pub(super) fn send(slabs: &[Slab], name: usize, object: usize, queue: &RemoteQueue) -> Posted {
    let slab = &slabs[name - 1];
    slab.descriptor.with(|_| ());
    let posted = (slab.steps.post)(slab.remote(), object);
    if posted == Posted::Announce {
        assert!(
            !slab.queued.swap(true, Unmodelled::Relaxed),
            "a slab is pushed that is in the queue"
        );
        slab.descriptor.with(|_| ());
        slab.link_use.with_mut(|_| ());
        (slab.steps.push)(queue, name, &slab.link);
    }
    posted
}

/// The same by whoever has the object, and wrote to it.
pub(super) fn free(slabs: &[Slab], name: usize, object: usize, queue: &RemoteQueue) {
    slabs[name - 1].write(object, false);
    let posted = send(slabs, name, object, queue);
    assert_ne!(
        posted,
        Posted::AlreadyFree,
        "a false report of a double free"
    );
}

/// Takes all remote frees of a local heap: answers how many of the objects were free already. Only for
/// the owner.
pub(super) fn collect(steps: &Steps, slabs: &[Slab], queue: &RemoteQueue) -> usize {
    let mut doubles = 0;
    let mut take = |slab: &Slab| {
        (steps.take)(slab.remote(), &mut |word, bits| {
            assert_ne!(bits, 0, "the summary names a word that is empty");
            doubles += slab.join(word, bits);
        });
    };
    if !steps.from_queue {
        slabs.iter().for_each(&mut take);
    }
    walk(steps, slabs, queue, take);
    doubles
}

/// Takes the queue, and calls `take` for each slab that was in it.
fn walk(steps: &Steps, slabs: &[Slab], queue: &RemoteQueue, mut take: impl FnMut(&Slab)) {
    let mut name = (steps.take_queue)(queue);
    while name != 0 {
        let slab = &slabs[name - 1];
        if steps.link_first {
            slab.link_use.with(|_| ());
            name = slab.link.load(Ordering::Relaxed);
        }
        assert!(
            slab.queued.swap(false, Unmodelled::Relaxed),
            "a slab is in the queue twice"
        );
        take(slab);
        if !steps.link_first {
            name = slab.link.load(Ordering::Relaxed);
        }
    }
}
