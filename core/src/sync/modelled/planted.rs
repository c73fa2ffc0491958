//! Bugs that are put in place of an access of the code that ships.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::cell::Cell;
use std::thread_local;

/// What is done with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
    Swap,
    Or,
    Add,
    Exchange,
    /// Not a word, but the lock.
    Lock,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bug {
    /// It is made with this order.
    Order(Ordering),
    /// Read and written, one after the other.
    InTwoSteps,
    /// A store is not made, the lock is not taken.
    LeftOut,
}

/// What becomes of an access.
#[derive(Clone, Copy, Debug)]
pub(super) enum Made {
    AtOnce(Ordering),
    InTwoSteps,
    Never,
}

/// A bug in all accesses of a kind and an order in one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plant {
    /// The end of the file's name.
    pub(crate) file: &'static str,
    pub(crate) access: Access,
    pub(crate) order: Ordering,
    pub(crate) bug: Bug,
}

thread_local! {
    /// loom runs all threads of a model in one.
    static PLANT: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Plants a bug for the rest of the model, or none.
pub(super) fn plant(plant: Option<Plant>) {
    PLANT.set(plant);
}

/// How an access is made that the code makes with this order.
pub(super) fn made(access: Access, order: Ordering, place: &Location<'_>) -> Made {
    match PLANT.get() {
        Some(plant)
            if plant.access == access
                && plant.order == order
                && place.file().ends_with(plant.file) =>
        {
            match plant.bug {
                Bug::Order(order) => Made::AtOnce(order),
                Bug::InTwoSteps => Made::InTwoSteps,
                Bug::LeftOut => Made::Never,
            }
        }
        _ => Made::AtOnce(order),
    }
}
