//! The words and cells that loom follows.
//!
//! They are as large as those that ship, so that they can lie in a region, be made of zeros, and be
//! constants. What loom knows of them stands beside, [by address](tracked).

mod planted;
mod tracked;

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::panic::Location;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use planted::Made;
pub(crate) use planted::{Access, Bug, Plant};
pub(crate) use tracked::{Spare, begin, lock, nowhere, unlock, write};

/// A word with the methods of [`core::sync::atomic::AtomicUsize`] that the crate uses.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicUsize(
    /// The value until the first access.
    UnsafeCell<usize>,
);

// SAFETY: written when it is made only. loom's threads take turns in one.
unsafe impl Sync for AtomicUsize {}

impl AtomicUsize {
    pub(crate) const fn new(value: usize) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[track_caller]
    fn tracked(&self) -> tracked::Word {
        // SAFETY: nobody writes there.
        tracked::word((&raw const *self).addr(), unsafe { *self.0.get() })
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> usize {
        match planted::made(Access::Load, order, Location::caller()) {
            Made::AtOnce(order) => self.tracked().load(order),
            Made::InTwoSteps | Made::Never => unimplemented!("a bug of this kind"),
        }
    }

    #[track_caller]
    pub(crate) fn store(&self, value: usize, order: Ordering) {
        match planted::made(Access::Store, order, Location::caller()) {
            Made::AtOnce(order) => self.tracked().store(value, order),
            Made::Never => {}
            Made::InTwoSteps => unimplemented!("a bug of this kind"),
        }
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: usize, order: Ordering) -> usize {
        self.change(
            Access::Swap,
            order,
            |word, order| word.swap(value, order),
            |_| value,
        )
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, bits: usize, order: Ordering) -> usize {
        self.change(
            Access::Or,
            order,
            |word, order| word.fetch_or(bits, order),
            |before| before | bits,
        )
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, summand: usize, order: Ordering) -> usize {
        self.change(
            Access::Add,
            order,
            |word, order| word.fetch_add(summand, order),
            |before| before.wrapping_add(summand),
        )
    }

    #[track_caller]
    fn change(
        &self,
        access: Access,
        order: Ordering,
        at_once: impl FnOnce(&tracked::Word, Ordering) -> usize,
        in_two_steps: impl FnOnce(usize) -> usize,
    ) -> usize {
        let made = planted::made(access, order, Location::caller());
        let word = self.tracked();
        match made {
            Made::AtOnce(order) => at_once(&word, order),
            Made::InTwoSteps => {
                let before = word.load(Ordering::Acquire);
                word.store(in_two_steps(before), Ordering::Release);
                before
            }
            Made::Never => unimplemented!("a bug of this kind"),
        }
    }

    #[track_caller]
    pub(crate) fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        let made = planted::made(Access::Exchange, success, Location::caller());
        let word = self.tracked();
        match made {
            Made::AtOnce(success) => word.compare_exchange(current, new, success, failure),
            Made::InTwoSteps => {
                let before = word.load(Ordering::Acquire);
                if before != current {
                    return Err(before);
                }
                word.store(new, Ordering::Release);
                Ok(before)
            }
            Made::Never => unimplemented!("a bug of this kind"),
        }
    }

    #[track_caller]
    pub(crate) fn compare_exchange_weak(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.compare_exchange(current, new, success, failure)
    }

    /// The value, without an atomic access: loom reports each store that is not ordered before it or
    /// after it.
    #[track_caller]
    pub(crate) fn unordered(&self) -> usize {
        self.tracked().unordered()
    }
}

/// A cell with the methods of [`core::cell::Cell`] that the crate uses: loom reports each access
/// that is not ordered before or after a change.
#[repr(transparent)]
pub(crate) struct Cell<T>(core::cell::Cell<T>);

impl<T> Cell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::Cell::new(value))
    }

    fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    #[track_caller]
    pub(crate) fn set(&self, value: T) {
        tracked::written(self.address());
        self.0.set(value);
    }

    #[track_caller]
    pub(crate) fn replace(&self, value: T) -> T {
        tracked::written(self.address());
        self.0.replace(value)
    }
}

impl<T: Copy> Cell<T> {
    #[track_caller]
    pub(crate) fn get(&self) -> T {
        tracked::read(self.address());
        self.0.get()
    }
}

/// As shipped.
///
/// # Safety
/// An [`AtomicUsize`] is at the address, and no other thread writes it now: which loom checks.
#[track_caller]
pub(crate) unsafe fn read_own(address: usize) -> usize {
    // SAFETY: forwarded.
    unsafe { &*core::ptr::with_exposed_provenance::<AtomicUsize>(address) }.unordered()
}

/// What is in this memory from now on has nothing to do with what was. loom reports whoever looks
/// there without having been told.
#[track_caller]
pub(crate) fn allocated(place: NonNull<u8>, layout: Layout) {
    tracked::allocated(place.addr().get(), layout.size());
}

/// Nobody uses this memory any more. loom reports whoever was not known to be done, and the model ends
/// when somebody comes back.
#[track_caller]
pub(crate) fn given_back(place: NonNull<u8>) {
    tracked::given_back(place.addr().get());
}
