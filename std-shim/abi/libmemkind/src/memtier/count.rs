//! Bytes that were allocated in each kind by the functions of `memkind_memtier.h`.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::kind::Memkind;

/// Kinds have numbers below this.
const KINDS: usize = 1024;

static BYTES: [AtomicUsize; KINDS] = [const { AtomicUsize::new(0) }; KINDS];

pub(crate) fn of(kind: &Memkind) -> usize {
    counter(kind).load(Ordering::Relaxed)
}

pub(crate) fn add(kind: &Memkind, bytes: usize) {
    counter(kind).fetch_add(bytes, Ordering::Relaxed);
}

pub(crate) fn subtract(kind: &Memkind, bytes: usize) {
    counter(kind).fetch_sub(bytes, Ordering::Relaxed);
}

/// A kind is made, with a number that another one may have had.
pub(crate) fn reset(kind: &Memkind) {
    counter(kind).store(0, Ordering::Relaxed);
}

fn counter(kind: &Memkind) -> &'static AtomicUsize {
    &BYTES[kind.partition as usize % KINDS]
}
