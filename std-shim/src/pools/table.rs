//! A thread's local heaps, one for each pool that it uses.

use core::cell::Cell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use allotment_core::{LocalHeap, Pool};

use super::registry::{self, Number};
use crate::lock::FutexMutex;
use crate::os_error::KeepErrno;
use crate::thread::{self, ExitKey};

/// What a thread has in one pool.
#[repr(C)]
struct Entry {
    /// The pool's id, 0 if the entry is not used.
    id: Cell<usize>,
    local: Cell<*const LocalHeap>,
}

/// The entries of a thread, at the pools' numbers. It lies in pages of its own, since a pool may be
/// what serves the program's `malloc`.
#[repr(C)]
struct Table {
    entries: Cell<usize>,
    /// The thread has given its local heaps back, or can have none.
    ended: bool,
}

/// The table of threads that are at their end.
static ENDED: SharedTable = SharedTable(Table {
    entries: Cell::new(0),
    ended: true,
});

struct SharedTable(Table);

// SAFETY: it has no entries, and is never written to.
unsafe impl Sync for SharedTable {}

/// Forks whose child this process is.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Bytes of a thread's first table.
const FIRST: usize = 4096;

/// The calling thread uses its table until this is dropped, and a signal handler leaves it alone: it
/// may otherwise put a larger one in its place.
struct Busy(PhantomData<*mut ()>);

impl Busy {
    /// `None` if the caller interrupts somebody who uses it.
    #[inline(always)]
    fn begin() -> Option<Busy> {
        if thread::is_table_busy() {
            return None;
        }
        thread::set_table_busy(true);
        compiler_fence(Ordering::SeqCst);
        Some(Busy(PhantomData))
    }
}

impl Drop for Busy {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        thread::set_table_busy(false);
    }
}

/// The calling thread uses its local heap in a pool until this is dropped.
pub(super) struct Entered<'a> {
    local: &'a LocalHeap,
    _busy: Busy,
}

impl<'a> Entered<'a> {
    #[inline(always)]
    pub(super) fn local(&self) -> &'a LocalHeap {
        self.local
    }
}

#[inline(always)]
fn current<'a>() -> Option<&'a Table> {
    // SAFETY: the word is null, or the address of a table that lives until this thread replaces it.
    unsafe { thread::table().cast::<Table>().as_ref() }
}

impl Table {
    /// The entry with a number below the number of entries.
    #[inline(always)]
    fn entry(&self, number: usize) -> &Entry {
        let first = (&raw const *self).wrapping_add(1).cast::<Entry>();
        // SAFETY: the entries follow the table, in the same pages, and this one is among them.
        unsafe { &*first.add(number) }
    }

    /// The local heap in a pool, if there is one.
    #[inline(always)]
    fn local(&self, number: &Number) -> Option<&LocalHeap> {
        if number.place() >= self.entries.get() {
            return None;
        }
        let entry = self.entry(number.place());
        if entry.id.get() != number.id() {
            return None;
        }
        // SAFETY: the pool is alive, for its number is at hand, so its local heaps are.
        Some(unsafe { &*entry.local.get() })
    }
}

/// Marks the calling thread's table as busy, if it has a local heap in the pool and no operation was
/// interrupted.
#[inline(always)]
pub(super) fn enter<'a>(number: &Number) -> Option<Entered<'a>> {
    let busy = Busy::begin()?;
    let local = current()?.local(number)?;
    Some(Entered { local, _busy: busy })
}

/// Gets the calling thread a local heap in a pool. Answers whether it has one now that it may use.
#[cold]
#[inline(never)]
pub(super) fn attach(number: &Number, pool: &Pool<'static, FutexMutex>) -> bool {
    let _errno = KeepErrno::new();
    // What is called from here may allocate from this pool, and then goes without a local heap.
    let Some(_busy) = Busy::begin() else {
        return false;
    };
    if current().is_some_and(|table| table.ended) {
        return false;
    }
    let Some(table) = with_room_for(number.place()) else {
        return false;
    };
    if table.local(number).is_some() {
        return true;
    }
    let forks = FORKS.load(Ordering::Relaxed);
    let Some(local) = pool.attach() else {
        return false;
    };
    compiler_fence(Ordering::SeqCst);
    if FORKS.load(Ordering::Relaxed) != forks {
        // A signal handler forked, and in this process, its child, the local heap is idle.
        return false;
    }
    let entry = table.entry(number.place());
    entry.local.set(local.as_ptr());
    entry.id.set(number.id());
    true
}

/// The calling thread's table, with an entry at `place`.
fn with_room_for<'a>(place: usize) -> Option<&'a Table> {
    let old = current();
    if let Some(table) = old
        && place < table.entries.get()
    {
        return Some(table);
    }
    let wanted = size_of::<Table>() + (place + 1) * size_of::<Entry>();
    let bytes = wanted.max(FIRST).next_power_of_two();
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nobody.
    let pages = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
    if pages == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the pages are new, zero, and large enough.
    let table = unsafe { &*pages.cast::<Table>() };
    table
        .entries
        .set((bytes - size_of::<Table>()) / size_of::<Entry>());
    if let Some(old) = old {
        for number in 0..old.entries.get() {
            let (from, to) = (old.entry(number), table.entry(number));
            to.local.set(from.local.get());
            to.id.set(from.id.get());
        }
    }
    // SAFETY: `end` may be called with this thread's table.
    if unsafe { KEY.set(pages) }.is_err() {
        // Another attempt would be pointless. What the thread has is given back by nobody.
        unmap(table);
        thread::set_table((&raw const ENDED.0).cast_mut().cast());
        return None;
    }
    thread::set_table(pages);
    if let Some(old) = old {
        unmap(old);
    }
    Some(table)
}

fn unmap(table: &Table) {
    let bytes = size_of::<Table>() + table.entries.get() * size_of::<Entry>();
    let pages = (&raw const *table).cast_mut().cast();
    // SAFETY: these are a table's pages, which nobody uses any more.
    unsafe { libc::munmap(pages, bytes) };
}

static KEY: ExitKey = ExitKey::new(end);

/// The end of a thread: gives its local heaps back.
extern "C" fn end(table: *mut c_void) {
    let _errno = KeepErrno::new();
    thread::set_table((&raw const ENDED.0).cast_mut().cast());
    // SAFETY: the key's value is this thread's table.
    let Some(table) = (unsafe { table.cast::<Table>().as_ref() }) else {
        return;
    };
    if thread::is_table_busy() {
        // The thread left an operation by a jump, and nobody knows what is in order.
        return;
    }
    for place in 0..table.entries.get() {
        let entry = table.entry(place);
        if entry.id.get() == 0 {
            continue;
        }
        registry::with_pool(place, entry.id.get(), |pool| {
            if let Some(local) = NonNull::new(entry.local.get().cast_mut()) {
                // SAFETY: it came from this pool, and the thread does not use it any more.
                unsafe { pool.detach(local) };
            }
        });
    }
    unmap(table);
}

/// Forgets the calling thread's local heap in a pool that ends.
pub(super) fn leave(number: &Number) {
    if let Some(table) = current()
        && table.local(number).is_some()
    {
        table.entry(number.place()).id.set(0);
    }
}

/// As [`leave`], in the child of a fork: of a pool that is the parent's. Nor does the calling thread keep a local
/// heap that it was about to get.
pub(super) fn leave_after_fork(number: &Number) {
    FORKS.fetch_add(1, Ordering::Relaxed);
    leave(number);
}

/// The calling thread's local heap in a pool or the empty one, and whether it was interrupted while
/// it used any, in the child of a fork.
pub(super) fn after_fork<'a>(number: &Number) -> (&'a LocalHeap, bool) {
    FORKS.fetch_add(1, Ordering::Relaxed);
    let table: Option<&Table> = current();
    let local = table.and_then(|table| table.local(number));
    (local.unwrap_or(LocalHeap::EMPTY), thread::is_table_busy())
}
