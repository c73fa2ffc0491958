//! Where the initial-exec model cannot be had: the standard library's thread-local storage.

use core::cell::Cell;
use core::ptr::null_mut;

use super::super::local_heap::{EMPTY, address_of};
use super::{COUNT, CURRENT, LocalHeap};

thread_local! {
    static WORDS: [Cell<*mut LocalHeap>; COUNT] = const {
        let mut words = [const { Cell::new(null_mut()) }; COUNT];
        words[CURRENT] = Cell::new(address_of(&EMPTY));
        words
    };
}

#[inline(always)]
pub(super) fn read<const WORD: usize>() -> *mut LocalHeap {
    WORDS.with(|words| words[WORD].get())
}

#[inline(always)]
pub(super) fn write<const WORD: usize>(value: *mut LocalHeap) {
    WORDS.with(|words| words[WORD].set(value));
}
