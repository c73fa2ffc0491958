//! The one door to atomics: the processor's, or in the models those that loom follows.

#[cfg(all(test, loom))]
mod modelled;

#[cfg(not(all(test, loom)))]
pub(crate) use core::sync::atomic::AtomicUsize;
pub(crate) use core::sync::atomic::Ordering;

#[cfg(all(test, loom))]
pub(crate) use modelled::AtomicUsize;
