//! A live pool, found by its handle or by an address in it.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use allotment::lock::ThreadPointer;
use allotment::message::write_all;
use allotment::os_error::OsError;
use allotment::pools::{Overlap, SharedPool, owner_of};
use allotment::source::page;
use allotment_core::Fault;

use crate::copy::PrivateCopy;
use crate::failure::{Failure, fail};
use crate::functions::{self, Functions};
use crate::header::Header;
use crate::live::{self, Link};
use crate::memory::Memory;
use crate::{log, valgrind};

/// What `VMEM *` points to, as far as C knows.
#[repr(C)]
#[derive(Debug)]
pub struct Vmem {
    opaque: [u8; 0],
}

/// A pool. Its handle is the address of its memory's first page.
#[derive(Debug)]
pub(crate) struct Pool {
    // In this order, since the first lies in the last.
    shared: SharedPool,
    /// Null until the first allocation, if the program has functions for the library's memory.
    record: AtomicPtr<Record>,
    /// The thread that asks for the record's memory, 0 otherwise.
    maker: AtomicUsize,
    functions: Option<Functions>,
    own_record: Record,
    header: Header,
    memory: Memory,
    /// The next one in the list of live pools.
    link: Link,
    /// For the child of a fork that is under way. Used by the thread that forks, or deletes the pool, with the
    /// list of live pools held.
    copy: UnsafeCell<Option<PrivateCopy>>,
    /// The memory is that of the parent of a fork, which goes on in it: there is no copy.
    is_left: AtomicBool,
}

/// What the library counts about a pool, beside what the pool does.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Requests that were refused.
    pub(crate) failures: AtomicUsize,
}

fn on_fault(fault: &Fault) {
    abort(format_args!("{fault}"));
}

/// Ends the process because of what it did to a pool.
#[cold]
pub(crate) fn abort(text: fmt::Arguments<'_>) -> ! {
    log::write(log::ERROR, "abort", text);
    write_all(libc::STDERR_FILENO, format!("libvmem: {text}\n").as_bytes());
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

impl Pool {
    /// Makes a pool, and its handle.
    pub(crate) fn create(memory: Memory) -> Result<*mut Vmem, Failure> {
        let functions = functions::settle();
        let shared = SharedPool::new(memory.mapping(), on_fault, null_mut(), Overlap::Allow)
            .map_err(|error| {
                Failure::new(libc::EINVAL, format_args!("cannot make a pool: {error}"))
            })?;
        let handle = memory.start();
        // SAFETY: it was made there just now.
        let header = unsafe { Header::of(shared.arena().mapping().start()) };
        let pool = Box::new(Pool {
            shared,
            record: AtomicPtr::new(null_mut()),
            maker: AtomicUsize::new(0),
            functions,
            own_record: Record::default(),
            header,
            memory,
            link: Link::new(null_mut()),
            copy: UnsafeCell::new(None),
            is_left: AtomicBool::new(false),
        });
        let pool = NonNull::from(Box::leak(pool));
        // SAFETY: it lives until it is taken off the list.
        let there = unsafe { pool.as_ref() };
        if there.functions.is_none() {
            let own = &raw const there.own_record;
            there.record.store(own.cast_mut(), Ordering::Release);
        }
        there.shared.set_owner(pool.as_ptr().cast());
        valgrind::pool_made(handle.addr().get());
        // SAFETY: as above.
        unsafe { live::insert(pool) };
        Ok(handle.as_ptr().cast())
    }

    /// Ends a pool. Answers whether it was one.
    pub(crate) fn delete(handle: *mut Vmem) -> bool {
        // SAFETY: the list is held, and the pool's thread to delete it is this one.
        let found = live::remove(handle.addr(), |pool| drop(unsafe { pool.take_copy() }));
        let Some(pool) = found else {
            return false;
        };
        // SAFETY: it was made by `Box::leak`, and was on the list, which it is not any more.
        let pool = unsafe { Box::from_raw(pool.as_ptr()) };
        valgrind::pool_goes(handle.addr(), pool.memory.len());
        let record = NonNull::new(pool.record.load(Ordering::Acquire));
        if let (Some(functions), Some(record)) = (pool.functions, record) {
            functions.free(record.cast());
        }
        true
    }

    /// The live pool with this handle. Any pointer may be asked about.
    #[inline]
    pub(crate) fn find(handle: *mut Vmem) -> Option<&'static Pool> {
        match Pool::at(handle.addr().wrapping_add(page::size())) {
            Some(pool) if pool.handle() == handle => Some(pool),
            _ => Pool::find_slowly(handle.addr()),
        }
    }

    /// Where pools overlap, or there is none.
    #[cold]
    #[inline(never)]
    fn find_slowly(handle: usize) -> Option<&'static Pool> {
        live::find_map(|pool| (pool.handle().addr() == handle && !pool.is_left()).then_some(pool))
    }

    /// Whether it is the handle of a pool that is the parent's.
    #[cold]
    pub(crate) fn is_parents(handle: *mut Vmem) -> bool {
        live::find_map(|pool| (pool.handle() == handle && pool.is_left()).then_some(())).is_some()
    }

    /// The live pool that an address lies in, without the first page. Any address may be asked about.
    #[inline]
    pub(crate) fn at(address: usize) -> Option<&'static Pool> {
        let pool = owner_of(address)?.cast::<Pool>();
        // SAFETY: it is null or the address of a pool, which lives until it is deleted; it is the
        // program's part not to use it meanwhile.
        unsafe { pool.as_ref() }
    }

    /// The pool that a block is of: usually that of the handle. `None` if it is the parent's.
    #[inline]
    pub(crate) fn of_block(handle: *mut Vmem, block: NonNull<u8>) -> Option<&'static Pool> {
        let address = block.addr().get();
        if let Some(pool) = Pool::find(handle).filter(|pool| pool.shared.contains(address)) {
            return Some(pool);
        }
        Pool::at(address).or_else(|| Pool::of_parents_block(block))
    }

    #[cold]
    #[inline(never)]
    fn of_parents_block(block: NonNull<u8>) -> Option<&'static Pool> {
        let address = block.addr().get();
        let is_parents = |pool: &Pool| pool.is_left() && pool.shared.contains(address);
        if live::find_map(|pool| is_parents(pool).then_some(())).is_none() {
            abort(format_args!("invalid pointer {block:p}: in no pool"));
        }
        None
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> *mut Vmem {
        self.memory.start().as_ptr().cast()
    }

    /// Its place in the list of live pools.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    /// Before a fork: makes a copy, if the child would share the memory.
    ///
    /// # Safety
    /// The list of live pools is held, by the one thread that forks.
    pub(crate) unsafe fn copy_for_child(&self) {
        if self.is_left() || !self.memory.is_shared() {
            return;
        }
        let (start, len) = (self.memory.start().addr().get(), self.memory.len());
        let copy = PrivateCopy::of(&self.shared, start, len).ok();
        // SAFETY: nobody else uses it now (condition).
        unsafe { *self.copy.get() = copy };
    }

    /// Takes the copy out.
    ///
    /// # Safety
    /// As for [`Pool::copy_for_child`], or the pool is about to be taken off the list.
    pub(crate) unsafe fn take_copy(&self) -> Option<PrivateCopy> {
        // SAFETY: nobody else uses it now (condition).
        unsafe { (*self.copy.get()).take() }
    }

    /// In the child of a fork: puts the copy in place, and sets the pool right. A pool that cannot be had is left
    /// to the parent.
    ///
    /// # Safety
    /// The caller is the only thread.
    pub(crate) unsafe fn settle_in_child(&self) {
        if self.maker.load(Ordering::Relaxed) != ThreadPointer::current().get() {
            // Whoever it was, it is not in this process.
            self.maker.store(0, Ordering::Relaxed);
        }
        if self.is_left() {
            return;
        }
        // SAFETY: nobody else is there.
        let goes_on = unsafe {
            let is_own = if self.memory.is_shared() {
                self.put_copy()
            } else {
                self.memory.is_mapped()
            };
            is_own && self.shared.recover_after_fork().is_ok()
        };
        if goes_on {
            return;
        }
        self.is_left.store(true, Ordering::Relaxed);
        self.shared.set_owner(null_mut());
        // SAFETY: nobody else is there, and it is not found from now on.
        unsafe { self.shared.leave_to_parent() };
    }

    /// # Safety
    /// As for [`Pool::settle_in_child`].
    unsafe fn put_copy(&self) -> bool {
        // SAFETY: nobody else is there.
        unsafe {
            let Some(copy) = self.take_copy() else {
                return false;
            };
            let is_locked = copy.is_locked();
            let is_put = self.memory.replace(copy).is_ok();
            if is_put && is_locked {
                self.shared.arena().pool().lock_raw().reset();
            }
            is_put
        }
    }

    pub(crate) fn shared(&self) -> &SharedPool {
        &self.shared
    }

    /// The address of damage at the very beginning of the memory, which nothing but this reads.
    pub(crate) fn header_damage(&self) -> Option<usize> {
        // SAFETY: the pool's header was read there.
        unsafe { self.header.damage(self.shared.arena().mapping().start()) }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What was counted so far, if there was an allocation.
    pub(crate) fn record(&self) -> Option<&Record> {
        // SAFETY: it is null or the address of a record that lives as long as the pool.
        unsafe { self.record.load(Ordering::Acquire).as_ref() }
    }

    /// Makes sure that there is a record. Answers whether there is one, or the program's own
    /// function asks.
    #[inline]
    pub(crate) fn has_record(&self) -> bool {
        !self.record.load(Ordering::Acquire).is_null() || self.make_record()
    }

    #[cold]
    #[inline(never)]
    fn make_record(&self) -> bool {
        let Some(functions) = self.functions else {
            return false;
        };
        let me = ThreadPointer::current().get();
        loop {
            match self
                .maker
                .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => break,
                // The program's function allocates from this very pool.
                Err(maker) if maker == me => return true,
                // SAFETY: always allowed.
                Err(_) => unsafe {
                    libc::sched_yield();
                },
            }
        }
        if self.record.load(Ordering::Acquire).is_null()
            && let Some(place) = functions.allocate(size_of::<Record>())
        {
            self.put_record(place);
        }
        self.maker.store(0, Ordering::Release);
        !self.record.load(Ordering::Acquire).is_null()
    }

    fn put_record(&self, place: NonNull<c_void>) {
        let record = place.cast::<Record>();
        // SAFETY: the program's function gave memory for it, aligned as malloc's.
        unsafe { record.write(Record::default()) };
        self.record.store(record.as_ptr(), Ordering::Release);
    }

    /// Whether the calling thread is inside an operation that holds the pool's lock: this is a signal handler that
    /// interrupted it.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.shared.arena().is_interrupted()
    }

    /// Whether the caller is such a handler, and has to do without an answer: that is a failure, `EAGAIN`, then.
    #[track_caller]
    pub(crate) fn fails_as_interrupted(&self, function: &str) -> bool {
        let interrupted = self.is_interrupted();
        if interrupted {
            let handle = self.handle();
            fail(
                function,
                OsError(libc::EAGAIN),
                format_args!(
                    "vmp {handle:p}: a signal handler interrupted an operation with its lock"
                ),
            );
        }
        interrupted
    }

    /// Refuses a request: null and `ENOMEM`, and a text that says why. Allocates nothing, since signal handlers come
    /// here, too.
    #[cold]
    #[track_caller]
    pub(crate) fn refuse(&self, function: &str, layout: Option<Layout>, size: usize, align: usize) {
        if let Some(record) = self.record() {
            record.failures.fetch_add(1, Ordering::Relaxed);
        }
        let handle = self.handle();
        let error = OsError(libc::ENOMEM);
        let what =
            format_args!("cannot allocate {size} bytes, aligned to {align}, from pool {handle:p}");
        if layout.is_none() {
            fail(
                function,
                error,
                format_args!("{what}: more than there are addresses"),
            );
        } else if self.record().is_none() {
            fail(
                function,
                error,
                format_args!("{what}: malloc_func gave no memory"),
            );
        } else if self.is_interrupted() {
            fail(
                function,
                error,
                format_args!("{what}: a signal handler interrupted an operation with its lock"),
            );
        } else {
            let stats = self.shared.arena().pool().stats();
            fail(
                function,
                error,
                format_args!(
                    "{what}: {} bytes free, largest free block {}",
                    stats.free_bytes, stats.largest_free
                ),
            );
        }
    }
}
