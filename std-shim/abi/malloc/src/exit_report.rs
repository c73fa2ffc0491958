//! The figures that are reported when the process ends.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use allotment::config::{BackingKind, StatsFormat};
use allotment::mapping::FileKind;
use allotment::os_error::{KeepErrno, OsError};
use allotment::path_buffer::PathBuffer;
use allotment::report::Report;
use allotment::text_buffer::TextBuffer;
use allotment_core::Stats;

use crate::arena::Arena;
use crate::product::Setup;
use crate::{heap, message, runtime};

/// More of a path is not shown. Programs may exit from threads with small stacks.
const LONGEST_BACKING: usize = 1024;

/// A report with the longest names, every character escaped.
const LONGEST_REPORT: usize = 7 * LONGEST_BACKING + 1024;

/// When counting began, in nanoseconds of the monotonic clock.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// The counts when counting began: not zero in the child of a fork.
struct Base(UnsafeCell<Option<(Stats, usize)>>);

// SAFETY: written only while the process has one thread.
unsafe impl Sync for Base {}

static BASE: Base = Base(UnsafeCell::new(None));

fn now() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

/// A copy of the descriptor for standard error, since many programs close theirs before they end.
static STDERR: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);

/// At the process's start: makes ready for what the configuration asks.
pub(crate) fn prepare(setup: &Setup) {
    begin_counting();
    if setup.report_to.is_none() && setup.config.stats() != StatsFormat::Off {
        // SAFETY: only makes a new descriptor, out of the way of numbers that programs choose.
        let copy = unsafe { libc::fcntl(libc::STDERR_FILENO, libc::F_DUPFD_CLOEXEC, 900) };
        if copy >= 0 {
            STDERR.store(copy, Ordering::Relaxed);
        }
    }
}

/// Where the table goes: standard error, or its copy if it was closed, unless there is another place.
fn destination() -> i32 {
    if let Some(descriptor) = runtime::setup().and_then(|setup| setup.report_to) {
        return descriptor;
    }
    // SAFETY: only asks.
    let open = unsafe { libc::fcntl(libc::STDERR_FILENO, libc::F_GETFD) } >= 0;
    if open {
        libc::STDERR_FILENO
    } else {
        STDERR.load(Ordering::Relaxed)
    }
}

/// Counts from here on, at the process's start.
fn begin_counting() {
    BEGAN.store(now(), Ordering::Relaxed);
}

/// Counts from here on, in a fork's child.
///
/// # Safety
/// The caller is the only thread.
pub(crate) unsafe fn begin_counting_anew(arena: &Arena) {
    begin_counting();
    if !arena.is_interrupted() {
        // SAFETY: no other thread reads it.
        unsafe { *BASE.0.get() = Some((arena.pool().stats(), heap::failures())) };
    }
}

/// The pool's figures with what this process counted. Not to be called while the pool is locked by
/// the calling thread.
fn figures(arena: &Arena) -> Stats {
    let mut stats = arena.pool().stats();
    stats.failures = heap::failures();
    // SAFETY: written only while there was one thread.
    if let Some((base, failures)) = unsafe { &*BASE.0.get() } {
        stats.allocations = stats.allocations.wrapping_sub(base.allocations);
        stats.deallocations = stats.deallocations.wrapping_sub(base.deallocations);
        stats.reallocations = stats.reallocations.wrapping_sub(base.reallocations);
        stats.failures = stats.failures.wrapping_sub(*failures);
    }
    stats
}

/// Calls `f` with the report of this moment, unless it cannot be had because the calling thread
/// was interrupted inside an operation.
pub(crate) fn with_report(f: impl FnOnce(&Report<'_>)) -> bool {
    let (Some(arena), Some(config)) = (runtime::existing_main_arena(), runtime::config()) else {
        return false;
    };
    if arena.is_interrupted() {
        return false;
    }
    let mut backing = TextBuffer::<LONGEST_BACKING>::new();
    let is_named = config.backing() == BackingKind::File;
    let parent = config.path().parent();
    let (intro, path) = match arena.mapping().file_kind() {
        // The device asked for was another process's, or is a parent's; so is a file, without room beside it.
        None if is_named => ("anonymous memory instead of ", config.path().as_bytes()),
        None => ("anonymous memory", &[][..]),
        Some(FileKind::Named) => ("file ", config.path().as_bytes()),
        Some(FileKind::Device) => ("device ", config.path().as_bytes()),
        // The file asked for was another process's, or is a parent's.
        Some(FileKind::InsteadOfNamed) if is_named => ("temporary file in ", parent.as_bytes()),
        Some(_) => ("temporary file in ", config.path().as_bytes()),
    };
    // A TextBuffer takes everything.
    let _ = backing.write_str(intro);
    backing.push_lossy(path);
    let program = program_name();
    // SAFETY: only asks.
    let pid = unsafe { libc::getpid() } as u32;
    let elapsed = now().saturating_sub(BEGAN.load(Ordering::Relaxed));
    f(&Report::new(
        pid,
        program.as_str(),
        backing.as_str(),
        &figures(arena),
        elapsed,
    ));
    true
}

/// What the kernel calls the program: at most 15 bytes.
fn program_name() -> TextBuffer<64> {
    let mut name = [0u8; 16];
    let mut len = 0;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path ends with a null byte; the buffer is writable for its length.
    unsafe {
        let descriptor = libc::open(c"/proc/self/comm".as_ptr(), flags);
        if descriptor >= 0 {
            let read = libc::read(descriptor, name.as_mut_ptr().cast(), name.len());
            len = usize::try_from(read).unwrap_or(0);
            libc::close(descriptor);
        }
    }
    let mut text = TextBuffer::new();
    text.push_lossy(name[..len].strip_suffix(b"\n").unwrap_or(&name[..len]));
    text
}

/// Reports as the configuration asks. Runs after all other exit handlers and destructors; the heap
/// goes on working.
pub(crate) extern "C" fn at_exit(_: *mut core::ffi::c_void) {
    let Some(config) = runtime::config() else {
        return;
    };
    if config.stats() == StatsFormat::Off && config.stats_file().is_none() {
        return;
    }
    let _errno = KeepErrno::new();
    let reported = with_report(|report| {
        // Writing to a TextBuffer does not fail.
        match config.stats() {
            StatsFormat::Table => print(report, |report, text| report.write_table(text)),
            StatsFormat::Json => print(report, |report, text| {
                report.write_json(text)?;
                text.write_char('\n')
            }),
            _ => {}
        }
        if let Some(path) = config.stats_file() {
            let mut text = TextBuffer::<LONGEST_REPORT>::new();
            let _ = report
                .write_json(&mut text)
                .and_then(|()| text.write_char('\n'));
            if let Err(error) = append(path, text.as_str().as_bytes()) {
                let path = path.as_bytes().escape_ascii();
                message::line(format_args!("ALLOT_STATS_FILE={path}: {error}"));
            }
        }
    });
    if !reported {
        message::line(format_args!(
            "no statistics: the program ended inside an allocation"
        ));
    }
}

fn print(
    report: &Report<'_>,
    write: impl FnOnce(&Report<'_>, &mut TextBuffer<LONGEST_REPORT>) -> core::fmt::Result,
) {
    let mut text = TextBuffer::new();
    // Writing to a TextBuffer does not fail.
    let _ = write(report, &mut text);
    message::write_all(destination(), text.as_str().as_bytes());
}

/// One `write(2)`, so that the lines of several processes do not mix.
fn append(path: &PathBuffer, line: &[u8]) -> Result<(), OsError> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    // SAFETY: the path ends with a null byte; the line is readable.
    unsafe {
        let descriptor = libc::open(path.as_c_str().as_ptr(), flags, 0o666 as libc::c_uint);
        if descriptor < 0 {
            return Err(OsError::last());
        }
        let written = libc::write(descriptor, line.as_ptr().cast(), line.len());
        let result = if written < 0 {
            Err(OsError::last())
        } else {
            Ok(())
        };
        libc::close(descriptor);
        result
    }
}
