//! The main arena, made once, and the word that tells the hot path that something is up.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use allotment::arena::{ArenaError, default_purge_policy};
use allotment::config::{BackingKind, Config};
use allotment::lock::ThreadPointer;
use allotment::mapping::Mapping;
use allotment::os_error::KeepErrno;

use crate::arena::Arena;
use crate::product::{Setup, product};
use crate::{exit_report, foreign, fork};

/// In [`ATTENTION`]: there is no main arena yet.
const NOT_READY: u32 = 1;
/// In [`ATTENTION`]: the main arena has deferred frees.
const DEFERRED: u32 = 2;
/// In [`ATTENTION`]: one for each fork that is under way; the uppermost bits count them.
const FORK: u32 = 4;

/// Zero when an operation may go straight to the main arena.
static ATTENTION: AtomicU32 = AtomicU32::new(NOT_READY);

/// The thread that makes the main arena, 0 before and after.
static MAKER: AtomicUsize = AtomicUsize::new(0);

/// What is made once.
struct Main {
    arena: UnsafeCell<MaybeUninit<Arena>>,
    setup: UnsafeCell<Setup>,
}

// SAFETY: both are written only by the maker, and read only once NOT_READY is gone.
unsafe impl Sync for Main {}

static MAIN: Main = Main {
    arena: UnsafeCell::new(MaybeUninit::uninit()),
    setup: UnsafeCell::new(Setup::new()),
};

/// The main arena, made if need be. `None` if the calling thread itself is making it.
#[inline(always)]
pub(crate) fn main_arena() -> Option<&'static Arena> {
    if ATTENTION.load(Ordering::Acquire) != 0 && !attend() {
        return None;
    }
    // SAFETY: NOT_READY is gone, so the arena was written.
    Some(unsafe { (*MAIN.arena.get()).assume_init_ref() })
}

/// The main arena, if it was made.
pub(crate) fn existing_main_arena() -> Option<&'static Arena> {
    // SAFETY: as above.
    is_ready().then(|| unsafe { (*MAIN.arena.get()).assume_init_ref() })
}

/// What the environment asks for, once the main arena was made.
pub(crate) fn setup() -> Option<&'static Setup> {
    // SAFETY: NOT_READY is gone, so the setup is not written any more.
    is_ready().then(|| unsafe { &*MAIN.setup.get() })
}

/// The configuration, once the main arena was made.
pub(crate) fn config() -> Option<&'static Config> {
    setup().map(|setup| &setup.config)
}

fn is_ready() -> bool {
    ATTENTION.load(Ordering::Acquire) & NOT_READY == 0
}

/// Deals with what [`ATTENTION`] says. Answers whether there is a main arena.
#[cold]
#[inline(never)]
fn attend() -> bool {
    let attention = ATTENTION.load(Ordering::Acquire);
    if attention & NOT_READY != 0 && !make_or_wait() {
        return false;
    }
    if attention >= FORK {
        let _ = fork::settle_child_early();
    }
    if attention & DEFERRED != 0 {
        drain_deferred();
    }
    true
}

/// Frees the main arena's deferred blocks, unless they have to wait on.
fn drain_deferred() {
    let Some(arena) = existing_main_arena() else {
        return;
    };
    if !arena.is_available() {
        return;
    }
    ATTENTION.fetch_and(!DEFERRED, Ordering::Relaxed);
    // SAFETY: deferred blocks were the callers' to free.
    arena
        .deferred
        .drain(|block| unsafe { arena.pool().free(block) });
}

/// Asks the next operation to free the main arena's deferred blocks.
pub(crate) fn note_deferred() {
    ATTENTION.fetch_or(DEFERRED, Ordering::Release);
}

/// Whether something is up that [`main_arena`] has to see to first.
#[inline(always)]
pub(crate) fn needs_attention() -> bool {
    ATTENTION.load(Ordering::Relaxed) != 0
}

/// Whether a fork is under way whose child will copy the pool: what is freed meanwhile must not be
/// handed out again before that.
pub(crate) fn is_fork_followed() -> bool {
    ATTENTION.load(Ordering::Relaxed) >= FORK
}

/// A fork that has to be followed begins.
pub(crate) fn note_fork_begins() {
    ATTENTION.fetch_add(FORK, Ordering::Relaxed);
}

/// A fork that had to be followed is over, in the parent.
pub(crate) fn note_fork_ends() {
    // In the child of a handler that interrupted a fork, it was forgotten.
    let _ = ATTENTION.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |attention| {
        attention.checked_sub(FORK)
    });
}

/// In a fork's child: no fork is under way here, and no other thread is making the main arena.
pub(crate) fn forget_other_threads() {
    ATTENTION.fetch_and(NOT_READY | DEFERRED, Ordering::Relaxed);
    let maker = MAKER.load(Ordering::Relaxed);
    if maker != ThreadPointer::current().get() {
        MAKER.store(0, Ordering::Relaxed);
    }
}

/// Makes the main arena, or waits until another thread has. Answers `false` if the calling thread
/// is making it: a signal handler interrupted it there.
fn make_or_wait() -> bool {
    let me = ThreadPointer::current().get();
    loop {
        if is_ready() {
            return true;
        }
        match MAKER.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                if !is_ready() {
                    make();
                    ATTENTION.fetch_and(!NOT_READY, Ordering::Release);
                }
                MAKER.store(0, Ordering::Release);
                return true;
            }
            Err(maker) if maker == me => return false,
            // It takes microseconds, and happens before a program has threads.
            // SAFETY: always allowed.
            Err(_) => unsafe {
                libc::sched_yield();
            },
        }
    }
}

fn make() {
    let _errno = KeepErrno::new();
    // SAFETY: this thread is the maker, and nobody reads either before it is done.
    let (setup, place) = unsafe { (&mut *MAIN.setup.get(), &mut *MAIN.arena.get()) };
    *setup = (product().configure)();
    let config = &setup.config;
    let (path, size) = (config.path(), config.size());
    let mapping = match config.backing() {
        BackingKind::TemporaryFile => Mapping::temporary_file(path, size),
        BackingKind::File => Mapping::file(path, size).or_else(|error| {
            // Such as a parent that handed its environment down, for which this is no reason not to
            // start.
            if error.is_device_in_use() {
                Mapping::anonymous(size)
            } else {
                Err(error)
            }
        }),
        _ => Mapping::anonymous(size),
    };
    match mapping
        .inspect(|mapping| {
            if config.prefers_huge_pages() {
                // Without them it is slower, and that is all.
                let _ = mapping.prefer_huge_pages();
            }
        })
        .map_err(ArenaError::Map)
        .and_then(|mapping| {
            if setup.commit_at_once {
                mapping
                    .commit(mapping.capacity())
                    .map_err(ArenaError::Commit)?;
            }
            let policy = config
                .purge_policy()
                .unwrap_or_else(|| default_purge_policy(&mapping));
            let arena = Arena::new(mapping)?;
            arena.set_purge_policy(policy);
            Ok(arena)
        }) {
        Ok(arena) => place.write(arena),
        Err(error) => (product().refuse)(config, &error),
    };
    foreign::note_break();
    exit_report::prepare(setup);
}
