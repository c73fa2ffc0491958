//! The one door to what threads share: the processor's atomics and plain cells, or in the models those
//! that loom follows.

#[cfg(all(test, loom))]
pub(crate) mod modelled;
#[cfg(not(all(test, loom)))]
mod shipped;

pub(crate) use core::sync::atomic::Ordering;

#[cfg(all(test, loom))]
pub(crate) use modelled::{AtomicUsize, Cell, allocated, given_back, read_own};
#[cfg(not(all(test, loom)))]
pub(crate) use shipped::{AtomicUsize, Cell, allocated, given_back, read_own};
