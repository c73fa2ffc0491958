//! Both processes of a fork go on allocating.
//!
//! No heap lock that others would wait for without end is held across the fork: a thread that waits
//! for it may hold a lock of the C library's that `fork(2)` takes.
//!
//! An anonymous pool is copied by the kernel at one moment. All that can be amiss in the child is a
//! lock whose owner is not there; then the pool is set right. If the owner is the forking thread
//! itself, since a signal handler forked inside an operation, that operation goes on in both.
//!
//! A pool in a file is shared, so the child needs a copy of its own:
//!
//! ```text
//! parent                                  child
//! prepare: freeze the pool, withhold it   (at the first access to the pool,
//!          from the child                  or in its handler)
//! parent:  lock the pool                  wait for the length
//!          send the committed length  ->  copy the pool into a new file,
//!          wait for the child         <-  map it in the old one's place, say so
//!          unlock
//! ```
//!
//! While the pool is frozen, other threads allocate from the [`nested`] arenas, which are private
//! memory, and their frees wait: no block that the child knows is freed or handed out anew before it
//! is copied. See [`withheld`] for the first access. A child that dies meanwhile, or a fork that fails, closes the socket, too.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use allotment::lock::ThreadPointer;
use allotment::mapping::CopyPlace;
use allotment::os_error::{KeepErrno, OsError};
use allotment_core::LocalHeap;
use allotment_core::lock_api::RawMutex;

use crate::arena::Arena;
use crate::product::Fork;
use crate::withheld::Begun;
use crate::{exit_report, heap, message, nested, runtime, withheld};

/// Forks that can be under way at the same time and be followed.
const SLOTS: usize = 64;

const CLOSED: i32 = -1;

/// Added to the length that the parent sends, which is a multiple of a page: no block was freed or
/// handed out since the fork.
const UNCHANGED: usize = 1;

/// A fork that is under way.
struct Slot {
    /// The forking thread, 0 if the slot is not used.
    thread: AtomicUsize,
    /// A thread's later forks, from signal handlers, end first.
    order: AtomicU32,
    /// The process that forks.
    process: AtomicI32,
    /// The sockets, or [`CLOSED`].
    parent_socket: AtomicI32,
    child_socket: AtomicI32,
    /// Whether the forking thread is inside an operation of the main pool.
    interrupted: AtomicBool,
    /// Whether it froze the main pool.
    frozen: AtomicBool,
    /// The fields of [`Begun`].
    withheld: AtomicBool,
    unblocked: AtomicBool,
}

static FORKS: [Slot; SLOTS] = [const {
    Slot {
        thread: AtomicUsize::new(0),
        order: AtomicU32::new(0),
        process: AtomicI32::new(0),
        parent_socket: AtomicI32::new(CLOSED),
        child_socket: AtomicI32::new(CLOSED),
        interrupted: AtomicBool::new(false),
        frozen: AtomicBool::new(false),
        withheld: AtomicBool::new(false),
        unblocked: AtomicBool::new(false),
    }
}; SLOTS];

static ORDER: AtomicU32 = AtomicU32::new(0);

impl Slot {
    fn claim() -> Option<&'static Slot> {
        let me = ThreadPointer::current().get();
        FORKS.iter().find(|slot| {
            slot.thread
                .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// The calling thread's latest.
    fn mine() -> Option<&'static Slot> {
        let me = ThreadPointer::current().get();
        let mine = FORKS
            .iter()
            .filter(|slot| slot.thread.load(Ordering::Relaxed) == me);
        mine.max_by_key(|slot| slot.order.load(Ordering::Relaxed))
    }

    fn give_up(&self) {
        self.thread.store(0, Ordering::Release);
    }
}

/// Whether children get the pool itself if it is in a file.
fn is_shared() -> bool {
    runtime::setup().is_some_and(|setup| setup.fork == Fork::Share)
}

/// Before the fork.
pub(crate) extern "C" fn prepare() {
    let Some(arena) = runtime::existing_main_arena() else {
        return;
    };
    if arena.mapping().file_kind().is_none() || is_shared() {
        return;
    }
    let _errno = KeepErrno::new();
    // Without a slot the child's copy is made without the parent waiting.
    let Some(slot) = Slot::claim() else { return };
    let mut sockets = [CLOSED; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, sockets.as_mut_ptr()) } != 0 {
        sockets = [CLOSED; 2];
    }
    slot.order
        .store(ORDER.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    // SAFETY: only asks.
    slot.process
        .store(unsafe { libc::getpid() }, Ordering::Relaxed);
    slot.parent_socket.store(sockets[0], Ordering::Relaxed);
    slot.child_socket.store(sockets[1], Ordering::Relaxed);
    let interrupted = arena.is_interrupted();
    slot.interrupted.store(interrupted, Ordering::Relaxed);
    runtime::note_fork_begins();
    let frozen = !interrupted && arena.pool().lock_raw().freeze();
    slot.frozen.store(frozen, Ordering::Relaxed);
    let begun = withheld::begin(arena);
    slot.withheld.store(begun.withheld, Ordering::Relaxed);
    slot.unblocked.store(begun.unblocked, Ordering::Relaxed);
}

/// After the fork, in the parent, and after a fork that failed.
pub(crate) extern "C" fn parent() {
    let Some(arena) = runtime::existing_main_arena() else {
        return;
    };
    let Some(slot) = Slot::mine() else { return };
    let _errno = KeepErrno::new();
    close(&slot.child_socket);
    let interrupted = slot.interrupted.load(Ordering::Relaxed);
    let lock = arena.pool().lock_raw();
    let kept = slot.frozen.load(Ordering::Relaxed) && lock.keep_frozen();
    if !kept && !interrupted {
        lock.lock();
    }
    let socket = slot.parent_socket.load(Ordering::Relaxed);
    let message = arena.mapping().committed() | if kept || interrupted { UNCHANGED } else { 0 };
    if socket != CLOSED && send(socket, message) {
        // Until the child says that it is done, or is no more.
        receive(socket);
    }
    if !interrupted {
        // SAFETY: locked above, or frozen and kept.
        unsafe { lock.unlock() };
    }
    close(&slot.parent_socket);
    let begun = Begun {
        withheld: slot.withheld.load(Ordering::Relaxed),
        unblocked: slot.unblocked.load(Ordering::Relaxed),
    };
    slot.give_up();
    runtime::note_fork_ends();
    withheld::end(arena, begun);
}

/// After the fork, in the child.
pub(crate) extern "C" fn child() {
    let _errno = KeepErrno::new();
    settle();
    if UNBLOCKED.swap(false, Ordering::Relaxed) {
        withheld::block_again();
    }
}

/// If the caller is a fork's child whose handler has not run yet, makes the pool its own. Answers
/// whether that is so. The C library or another library's handler needs the pool first.
pub(crate) fn settle_child_early() -> bool {
    let _errno = KeepErrno::new();
    let Some(slot) = Slot::mine() else {
        return false;
    };
    // SAFETY: only asks.
    if slot.process.load(Ordering::Relaxed) == unsafe { libc::getpid() } {
        return false;
    }
    settle();
    true
}

fn settle() {
    if let Some(arena) = runtime::existing_main_arena() {
        // SAFETY: a fork's child has one thread.
        unsafe { settle_child(arena) };
    }
    runtime::forget_other_threads();
}

/// In a child: `SIGSEGV` is to be blocked again when its handler runs.
static UNBLOCKED: AtomicBool = AtomicBool::new(false);

/// # Safety
/// The caller is the only thread of a fork's child.
unsafe fn settle_child(arena: &'static Arena) {
    let is_file = arena.mapping().file_kind().is_some();
    if is_file && is_shared() {
        // The parent's threads go on in it: nothing of theirs may be set right here.
        return;
    }
    let slot = Slot::mine();
    // SAFETY: only asks.
    let pid = unsafe { libc::getpid() };
    let settled = is_file && slot.is_none() && SETTLED.load(Ordering::Relaxed) == pid;
    if settled {
        return;
    }
    let me = ThreadPointer::current().get();
    for other in &FORKS {
        // Other threads' forks are the parent's, which waits for the end of their sockets. One of
        // this thread, which a signal handler interrupted to fork, goes on here, too, but with
        // nobody at the other end.
        if slot.is_some_and(|slot| core::ptr::eq(slot, other)) {
            continue;
        }
        close_socket(&other.parent_socket);
        close_socket(&other.child_socket);
        if other.thread.load(Ordering::Relaxed) != me {
            other.give_up();
        }
    }
    if is_file {
        // SAFETY: forwarded.
        unsafe { take_copy(arena, slot) };
        SETTLED.store(pid, Ordering::Relaxed);
        withheld::end_in_child();
        if let Some(slot) = slot {
            UNBLOCKED.store(slot.unblocked.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    // SAFETY: forwarded.
    unsafe {
        match heap::interrupted() {
            Some(local) => arena.recover_after_fork(local, true),
            None => arena.recover_after_fork(heap::own(), false),
        }
        for arena in nested::arenas() {
            arena.recover_after_fork(LocalHeap::EMPTY, false);
        }
        exit_report::begin_counting_anew(arena);
    }
}

/// The process whose pool was copied.
static SETTLED: AtomicI32 = AtomicI32::new(0);

/// Puts a copy in the place of the parent's pool.
///
/// # Safety
/// The caller is the only thread of a fork's child.
unsafe fn take_copy(arena: &'static Arena, slot: Option<&Slot>) {
    let mut message = arena.mapping().committed();
    if let Some(slot) = slot {
        close(&slot.parent_socket);
        let socket = slot.child_socket.load(Ordering::Relaxed);
        if socket != CLOSED {
            message = receive(socket).unwrap_or(message);
        }
    }
    if message & UNCHANGED == 0 {
        // The parent may have freed them since.
        arena.deferred.forget();
    }
    let used = message & !UNCHANGED;
    let place = match runtime::setup().map(|setup| setup.fork) {
        Some(Fork::Copy(place)) => place,
        _ => CopyPlace::FileOrMemory,
    };
    // SAFETY: one thread, and the parent keeps the pool as it is if it waits.
    if let Err(error) = unsafe { arena.detach_from_parent(used, place) } {
        message::abort(format_args!(
            "no copy of the pool for the child of a fork: {error}"
        ));
    }
    if let Some(slot) = slot {
        if arena.is_interrupted() && !slot.interrupted.load(Ordering::Relaxed) {
            // The parent's handler holds the lock; in this process its thread is the caller.
            // SAFETY: the caller is the only thread and in no operation.
            unsafe { arena.pool().lock_raw().reset() };
        }
        let socket = slot.child_socket.load(Ordering::Relaxed);
        if socket != CLOSED {
            send(socket, 0);
        }
        close(&slot.child_socket);
        slot.give_up();
    }
}

fn close(socket: &AtomicI32) {
    let descriptor = socket.swap(CLOSED, Ordering::Relaxed);
    if descriptor != CLOSED {
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(descriptor) };
    }
}

/// Closes a descriptor that another thread opened, if it is a socket: the table and the descriptors
/// were not copied at the very same moment.
fn close_socket(socket: &AtomicI32) {
    let descriptor = socket.load(Ordering::Relaxed);
    if descriptor == CLOSED {
        return;
    }
    let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `status` is writable; all-zero bytes are a valid value of it.
    let is_socket = unsafe {
        libc::fstat(descriptor, status.as_mut_ptr()) == 0
            && status.assume_init().st_mode & libc::S_IFMT == libc::S_IFSOCK
    };
    if is_socket {
        close(socket);
    }
    socket.store(CLOSED, Ordering::Relaxed);
}

/// Sends a length. Answers whether someone is there to receive it.
fn send(socket: i32, length: usize) -> bool {
    let bytes = length.to_ne_bytes();
    loop {
        // SAFETY: the bytes are readable.
        let sent = unsafe {
            libc::send(
                socket,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if sent >= 0 || OsError::last() != OsError(libc::EINTR) {
            return sent == bytes.len() as isize;
        }
    }
}

/// Waits for a length. `None` if the other side has closed its end.
fn receive(socket: i32) -> Option<usize> {
    let mut bytes = [0u8; size_of::<usize>()];
    loop {
        // SAFETY: the bytes are writable.
        let received = unsafe {
            libc::recv(
                socket,
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                libc::MSG_WAITALL,
            )
        };
        if received >= 0 || OsError::last() != OsError(libc::EINTR) {
            return (received == bytes.len() as isize).then(|| usize::from_ne_bytes(bytes));
        }
    }
}
