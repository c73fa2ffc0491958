//! What the environment says about the pool, and the refusal to start where it makes no sense.

use core::fmt::{self, Write};

use allotment::arena::ArenaError;
use allotment::config::Config;
use allotment::mapping::CopyPlace;
use allotment::message::write_all;
use allotment::os_error::OsError;
use allotment::path_buffer::PathBuffer;
use allotment::size::{self, SizeError};
use allotment::text_buffer::TextBuffer;
use allotment_malloc_family::environment;
use allotment_malloc_family::product::{Fork, Setup};

use crate::log::Log;

/// The least size of a pool.
const LEAST: usize = 14 << 20;

/// The most of a variable's value that is kept: a path.
const LONGEST: usize = libc::PATH_MAX as usize;

/// The value of a variable, cut off where no sensible one could be so long.
struct Value {
    bytes: [u8; LONGEST],
    len: usize,
    is_set: bool,
}

impl Value {
    const fn new() -> Value {
        Value {
            bytes: [0; LONGEST],
            len: 0,
            is_set: false,
        }
    }

    /// Takes the value from an entry `NAME=value` with this name. The first one counts.
    fn take(&mut self, name: &[u8], entry: &[u8]) {
        let value = entry
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value.filter(|_| !self.is_set) {
            self.len = value.len().min(LONGEST);
            self.bytes[..self.len].copy_from_slice(&value[..self.len]);
            self.is_set = true;
        }
    }

    fn get(&self) -> Option<&[u8]> {
        self.is_set.then_some(&self.bytes[..self.len])
    }
}

/// Reads the environment. What makes no sense ends the process. Nothing in here allocates.
pub(crate) fn configure() -> Setup {
    let mut dir = Value::new();
    let mut size = Value::new();
    let mut fork = Value::new();
    let mut signals = Value::new();
    let mut log_level = Value::new();
    let mut log_file = Value::new();
    let mut log_stats = Value::new();
    environment::for_each_entry(|entry| {
        dir.take(b"VMMALLOC_POOL_DIR", entry);
        size.take(b"VMMALLOC_POOL_SIZE", entry);
        fork.take(b"VMMALLOC_FORK", entry);
        signals.take(b"VMMALLOC_SIGNALS", entry);
        log_level.take(b"VMMALLOC_LOG_LEVEL", entry);
        log_file.take(b"VMMALLOC_LOG_FILE", entry);
        log_stats.take(b"VMMALLOC_LOG_STATS", entry);
    });
    // A program that runs with more rights than its caller must not write files for it.
    // SAFETY: only asks.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        log_file = Value::new();
    }
    let log = Log::open(
        log_level.get().unwrap_or_default(),
        log_file.get().unwrap_or_default(),
    );
    // SAFETY: only asks.
    let pid = unsafe { libc::getpid() };
    log.line(
        "configure",
        format_args!("pid {pid}: libvmmalloc version 1.1"),
    );

    let Some(dir) = dir.get() else {
        refuse_to_start(format_args!(
            "environment variable VMMALLOC_POOL_DIR not specified"
        ));
    };
    let Some(size) = size.get() else {
        refuse_to_start(format_args!(
            "environment variable VMMALLOC_POOL_SIZE not specified"
        ));
    };
    let size = pool_size(size);
    let fork = fork.get().map_or(Fork::Copy(CopyPlace::Memory), fork_mode);
    let handlers_allocate = signals.get().is_some_and(handlers_allocate);
    let with_stats = log_stats.get() == Some(b"1");
    Setup {
        config: config(dir, size, with_stats),
        commit_at_once: true,
        fork,
        local_heaps: !handlers_allocate,
        report_to: log.file(),
    }
}

/// The pool's size from the variable's value.
fn pool_size(value: &[u8]) -> usize {
    let text = value.trim_ascii_start();
    if text.starts_with(b"-") {
        refuse_to_start(format_args!("negative VMMALLOC_POOL_SIZE"));
    }
    let size = match size::parse(text.strip_prefix(b"+").unwrap_or(text)) {
        Ok(size) => size,
        Err(SizeError::Empty | SizeError::Zero) => 0,
        Err(_) => refuse_to_start(format_args!(
            "incorrect VMMALLOC_POOL_SIZE value ({})",
            Shown(value)
        )),
    };
    if size < LEAST {
        refuse_to_start(format_args!(
            "VMMALLOC_POOL_SIZE value is less than minimum ({size} < {LEAST})"
        ));
    }
    size
}

/// What the child of a fork gets, from the variable's value.
fn fork_mode(value: &[u8]) -> Fork {
    match value {
        b"0" => Fork::Share,
        b"1" => Fork::Copy(CopyPlace::Memory),
        b"2" => Fork::Copy(CopyPlace::File),
        b"3" => Fork::Copy(CopyPlace::FileOrMemory),
        _ => refuse_to_start(format_args!(
            "incorrect VMMALLOC_FORK value ({})",
            Shown(value)
        )),
    }
}

/// Whether signal handlers may interrupt malloc and call it, from the variable's value.
fn handlers_allocate(value: &[u8]) -> bool {
    match value {
        b"0" => false,
        b"1" => true,
        _ => refuse_to_start(format_args!(
            "incorrect VMMALLOC_SIGNALS value ({})",
            Shown(value)
        )),
    }
}

/// The same as a configuration: a temporary file in the directory.
fn config(dir: &[u8], size: usize, with_stats: bool) -> Config {
    if dir.is_empty() {
        no_pool(OsError(libc::ENOENT));
    }
    let Ok(dir) = PathBuffer::from_bytes(dir).and_then(|dir| dir.absolute()) else {
        no_pool(OsError(libc::ENAMETOOLONG));
    };
    if is_character_device(&dir) {
        no_pool(OsError(libc::EINVAL));
    }
    const NAME: &[u8] = b"ALLOT_DIR=";
    let mut entry = [0u8; NAME.len() + LONGEST];
    let len = NAME.len() + dir.as_bytes().len();
    entry[..NAME.len()].copy_from_slice(NAME);
    entry[NAME.len()..len].copy_from_slice(dir.as_bytes());
    let mut size_entry = TextBuffer::<40>::new();
    // A TextBuffer takes everything.
    let _ = write!(size_entry, "ALLOT_SIZE={size}");
    let mut config = Config::new();
    let stats: &[u8] = if with_stats {
        b"ALLOT_STATS=table"
    } else {
        b""
    };
    for entry in [&entry[..len], size_entry.as_str().as_bytes(), stats] {
        if let Err(error) = config.apply(entry) {
            refuse_to_start(format_args!("{error}"));
        }
    }
    config
}

fn is_character_device(path: &PathBuffer) -> bool {
    let mut status = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is a string, `status` is writable; all-zero bytes are a valid value of it.
    unsafe {
        libc::stat(path.as_c_str().as_ptr(), status.as_mut_ptr()) == 0
            && status.assume_init().st_mode & libc::S_IFMT == libc::S_IFCHR
    }
}

/// Ends the process because there is no pool.
pub(crate) fn refuse(_: &Config, error: &ArenaError) -> ! {
    match error {
        ArenaError::Map(error) if error.error.0 != 0 => no_pool(error.error),
        ArenaError::Commit(error) => no_pool(*error),
        other => refuse_to_start(format_args!("vmem pool creation failed: {other}")),
    }
}

fn no_pool(error: OsError) -> ! {
    refuse_to_start(format_args!("vmem pool creation failed: {error}"))
}

/// Says on standard error why the program cannot be started, and ends the process as `abort` does.
#[cold]
pub(crate) fn refuse_to_start(text: fmt::Arguments<'_>) -> ! {
    let mut line = TextBuffer::<{ LONGEST + 256 }>::new();
    // A TextBuffer takes everything.
    let _ = writeln!(line, "Error (libvmmalloc): {text}");
    write_all(libc::STDERR_FILENO, line.as_str().as_bytes());
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

/// The beginning of a value: a long one would hide what is wrong.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        let shown = &self.0[..self.0.len().min(MOST)];
        let more = if shown.len() < self.0.len() {
            "..."
        } else {
            ""
        };
        write!(f, "{}{more}", shown.escape_ascii())
    }
}
