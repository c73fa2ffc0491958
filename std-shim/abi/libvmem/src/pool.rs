//! A live pool, found by its handle or by an address in it.

use core::alloc::Layout;
use core::ffi::c_void;
use core::fmt;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use allotment::lock::ThreadPointer;
use allotment::message::write_all;
use allotment::os_error::OsError;
use allotment::pools::{Overlap, SharedPool, owner_of};
use allotment::source::page;
use allotment_core::Fault;

use crate::failure::Failure;
use crate::functions::{self, Functions};
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
    memory: Memory,
}

/// What the library counts about a pool, beside what the pool does.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Requests that were refused.
    pub(crate) failures: AtomicUsize,
}

/// The live pools, the latest last.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

struct Live {
    handle: usize,
    pool: NonNull<Pool>,
}

// SAFETY: pools may be used by any thread.
unsafe impl Send for Live {}

fn with_live<T>(f: impl FnOnce(&mut Vec<Live>) -> T) -> T {
    f(&mut LIVE.lock().unwrap_or_else(PoisonError::into_inner))
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
        let pool = Box::new(Pool {
            shared,
            record: AtomicPtr::new(null_mut()),
            maker: AtomicUsize::new(0),
            functions,
            own_record: Record::default(),
            memory,
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
        let handle_address = handle.addr().get();
        with_live(|live| {
            live.push(Live {
                handle: handle_address,
                pool,
            });
        });
        Ok(handle.as_ptr().cast())
    }

    /// Ends a pool. Answers whether it was one.
    pub(crate) fn delete(handle: *mut Vmem) -> bool {
        let found = with_live(|live| {
            let at = live.iter().rposition(|live| live.handle == handle.addr())?;
            Some(live.remove(at).pool)
        });
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
        with_live(|live| {
            let found = live.iter().rfind(|live| live.handle == handle)?;
            // SAFETY: it lives until it is taken off the list; it is the program's part not to use a
            // handle while it is deleted.
            Some(unsafe { found.pool.as_ref() })
        })
    }

    /// The live pool that an address lies in, without the first page. Any address may be asked about.
    #[inline]
    pub(crate) fn at(address: usize) -> Option<&'static Pool> {
        let pool = owner_of(address)?.cast::<Pool>();
        // SAFETY: it is null or the address of a pool, which lives until it is deleted; it is the
        // program's part not to use it meanwhile.
        unsafe { pool.as_ref() }
    }

    /// The pool that a block is of: usually that of the handle.
    #[inline]
    pub(crate) fn of_block(handle: *mut Vmem, block: NonNull<u8>) -> &'static Pool {
        let address = block.addr().get();
        if let Some(pool) = Pool::find(handle).filter(|pool| pool.shared.contains(address)) {
            return pool;
        }
        match Pool::at(address) {
            Some(pool) => pool,
            None => abort(format_args!("invalid pointer {block:p}: in no pool")),
        }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> *mut Vmem {
        self.memory.start().as_ptr().cast()
    }

    pub(crate) fn shared(&self) -> &SharedPool {
        &self.shared
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

    /// Notes a refused request. Answers what there is to say about it.
    #[cold]
    pub(crate) fn refuse(&self, layout: Option<Layout>, size: usize, align: usize) -> Failure {
        if let Some(record) = self.record() {
            record.failures.fetch_add(1, Ordering::Relaxed);
        }
        let handle = self.handle();
        let text = if layout.is_none() {
            format!(
                "cannot allocate {size} bytes, aligned to {align}, from pool {handle:p}: more than there are addresses"
            )
        } else if self.record().is_none() {
            format!(
                "cannot allocate {size} bytes, aligned to {align}, from pool {handle:p}: malloc_func gave no memory"
            )
        } else {
            let stats = self.shared.arena().pool().stats();
            format!(
                "cannot allocate {size} bytes, aligned to {align}, from pool {handle:p}: {} bytes free, largest free block {}",
                stats.free_bytes, stats.largest_free
            )
        };
        Failure {
            error: OsError(libc::ENOMEM),
            text: Some(text),
        }
    }
}
