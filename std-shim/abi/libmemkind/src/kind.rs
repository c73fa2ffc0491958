//! `struct memkind` as programs know it, and the pool behind it.

use core::ffi::{c_char, c_int, c_uint, c_void};
use core::mem::offset_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::ffi::CString;

use allotment::kind::{Kind, OnceAcrossForks};
use static_assertions::const_assert_eq;

use crate::places::Place;

/// What a `memkind_t` points to. Programs use the first 128 bytes, of which only those are filled that mean
/// something here.
#[derive(Debug)]
#[repr(C)]
pub struct Memkind {
    ops: *const c_void,
    pub(crate) partition: c_uint,
    pub(crate) name: [c_char; 64],
    init_once: c_int,
    arena_map_len: c_uint,
    arena_map: *mut c_uint,
    arena_key: c_uint,
    /// A [`Pmem`] if it is a pmem kind.
    pub(crate) private: *mut c_void,
    arena_map_mask: c_uint,
    arena_zero: c_uint,
    pub(crate) allow_zero_allocs: AtomicBool,
    /// What serves requests.
    pub(crate) server: Server,
    /// What `private` points to.
    pub(crate) pmem: Option<Box<Pmem>>,
}

const_assert_eq!(offset_of!(Memkind, partition), 8);
const_assert_eq!(offset_of!(Memkind, name), 12);
const_assert_eq!(offset_of!(Memkind, arena_map), 88);
const_assert_eq!(offset_of!(Memkind, private), 104);
const_assert_eq!(offset_of!(Memkind, arena_zero), 116);
const_assert_eq!(offset_of!(Memkind, allow_zero_allocs), 120);
const_assert_eq!(offset_of!(Memkind, server), 128);

// SAFETY: the fields that change are atomic, or written once before the kind is known.
unsafe impl Sync for Memkind {}
// SAFETY: as above; nothing of it is a thread's own.
unsafe impl Send for Memkind {}

/// `struct memkind_pmem`: what programs read of a pmem kind.
#[derive(Debug)]
#[repr(C)]
pub struct Pmem {
    /// The file's descriptor, -1 if it is not known.
    pub(crate) fd: c_int,
    /// Where the file grows next, as `current_size`.
    pub(crate) offset: AtomicUsize,
    pub(crate) max_size: usize,
    lock: [u64; 5],
    /// Bytes of the file that are in use: as of the last `memkind_update_cached_stats`.
    pub(crate) current_size: AtomicUsize,
    dir: *const c_char,
    /// What `dir` points to.
    _directory: CString,
}

const_assert_eq!(offset_of!(Pmem, max_size), 16);
const_assert_eq!(offset_of!(Pmem, current_size), 64);
const_assert_eq!(offset_of!(Pmem, dir), 72);

impl Pmem {
    pub(crate) fn new(directory: CString, fd: c_int, max_size: usize) -> Box<Pmem> {
        Box::new(Pmem {
            fd,
            offset: AtomicUsize::new(0),
            max_size,
            lock: [0; 5],
            current_size: AtomicUsize::new(0),
            dir: directory.as_ptr(),
            _directory: directory,
        })
    }
}

/// What serves a kind's requests.
#[derive(Debug)]
pub enum Server {
    /// The process's own `malloc`.
    System,
    /// A pool of the kind's own.
    Pool(Kind),
    /// The same, made when it is first used.
    Static(Place, StaticPool),
}

/// A static kind's pool, which is made once and stays.
#[derive(Debug)]
pub struct StaticPool {
    made: OnceAcrossForks,
    /// Null if the machine has no such memory.
    kind: AtomicPtr<Kind>,
}

impl StaticPool {
    pub(crate) const fn new() -> StaticPool {
        StaticPool {
            made: OnceAcrossForks::new(),
            kind: AtomicPtr::new(null_mut()),
        }
    }

    /// The pool, if it was made.
    fn get(&self) -> Option<&Kind> {
        // SAFETY: kinds that are put there stay.
        unsafe { self.kind.load(Ordering::Acquire).as_ref() }
    }
}

impl Memkind {
    /// A kind with a name, which is cut off after 63 bytes.
    pub(crate) const fn new(partition: c_uint, name: &str, server: Server) -> Memkind {
        let bytes = name.as_bytes();
        let mut text = [0; 64];
        let mut at = 0;
        while at < bytes.len() && at < 63 {
            text[at] = bytes[at] as c_char;
            at += 1;
        }
        Memkind {
            ops: null_mut(),
            partition,
            name: text,
            init_once: 0,
            arena_map_len: 0,
            arena_map: null_mut(),
            arena_key: 0,
            private: null_mut(),
            arena_map_mask: 0,
            arena_zero: 0,
            allow_zero_allocs: AtomicBool::new(false),
            server,
            pmem: None,
        }
    }

    /// The pool, `None` for the system's heap and for memory that is not there.
    #[inline(always)]
    pub(crate) fn pool(&self) -> Option<&Kind> {
        match &self.server {
            Server::Pool(kind) => Some(kind),
            _ => self.static_pool(),
        }
    }

    #[cold]
    fn static_pool(&self) -> Option<&Kind> {
        let Server::Static(place, pool) = &self.server else {
            return None;
        };
        pool.made.call(|| {
            if let Some(kind) = place.make() {
                kind.set_tag((&raw const *self).cast_mut().cast());
                let kind = Box::into_raw(Box::new(kind));
                pool.kind.store(kind, Ordering::Release);
            }
        });
        pool.get()
    }

    /// The pool, if anybody has used it.
    pub(crate) fn pool_in_use(&self) -> Option<&Kind> {
        match &self.server {
            Server::System => None,
            Server::Pool(kind) => Some(kind),
            Server::Static(_, pool) => pool.get(),
        }
    }
}
