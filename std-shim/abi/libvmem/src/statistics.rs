//! The statistics that people read.

use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};

use allotment::os_error::KeepErrno;
use allotment::size::Size;
use allotment::source::page;
use allotment_core::{ClassStats, Stats};

use crate::create::invalid_handle;
use crate::log;
use crate::memory::Kind;
use crate::pool::{Pool, Vmem};
use crate::valgrind::Quiet;

/// Which parts are printed.
struct Parts {
    general: bool,
    merged: bool,
    blocks: bool,
    bins: bool,
    large: bool,
}

impl Parts {
    /// All but those whose letters are given. Other letters mean nothing.
    fn without(letters: &[u8]) -> Parts {
        let wanted = |letter| !letters.contains(&letter);
        Parts {
            general: wanted(b'g'),
            merged: wanted(b'm'),
            blocks: wanted(b'a'),
            bins: wanted(b'b'),
            large: wanted(b'l'),
        }
    }
}

/// `vmem_stats_print(3)`: prints a pool's statistics by the program's print function, into the log's
/// file, or on standard error. Letters in `opts` leave parts out: `g` what the pool is, `m` its sums,
/// `a` its blocks, `b` its size classes, `l` large allocations. `errno` is kept, but `EINVAL` for what
/// is no live pool, and `EAGAIN` in a signal handler that interrupted an operation with the pool's lock.
///
/// # Safety
/// `opts` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmem_stats_print(vmp: *mut Vmem, opts: *const c_char) {
    const FUNCTION: &str = "vmem_stats_print";
    // SAFETY: the caller's promise.
    let letters = (!opts.is_null()).then(|| unsafe { CStr::from_ptr(opts) }.to_bytes());
    let letters = letters.unwrap_or_default();
    log::write(
        log::CALLS,
        FUNCTION,
        format_args!("vmp {vmp:p} opts \"{}\"", letters.escape_ascii()),
    );
    let Some(pool) = Pool::find(vmp) else {
        return invalid_handle(FUNCTION, vmp);
    };
    if pool.fails_as_interrupted(FUNCTION) {
        return;
    }
    let _errno = KeepErrno::new();
    let _quiet = Quiet::new();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, pool, &Parts::without(letters));
    log::print(&text);
}

fn write(text: &mut String, pool: &Pool, parts: &Parts) -> fmt::Result {
    let stats = pool.shared().arena().pool().stats();
    let mut classes: Vec<ClassStats> = Vec::new();
    pool.shared()
        .arena()
        .pool()
        .for_each_class(|class| classes.push(class));
    writeln!(text, "___ Begin libvmem statistics ___")?;
    if parts.general {
        write_general(text, pool, &stats)?;
    }
    if parts.merged {
        write_merged(text, pool, &stats)?;
    }
    if parts.blocks {
        write_blocks(text, pool)?;
    }
    if parts.bins {
        write_bins(text, &classes)?;
    }
    if parts.large {
        write_large(text, &stats, &classes)?;
    }
    writeln!(text, "--- End libvmem statistics ---")
}

/// One figure a line, under each other.
fn line(text: &mut String, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(text, "  {name:<22}{value:>16}")
}

fn write_general(text: &mut String, pool: &Pool, stats: &Stats) -> fmt::Result {
    let memory = pool.memory();
    let kind = match memory.kind() {
        Kind::File => "a temporary file",
        Kind::Device => "a Device DAX",
        Kind::Region => "the program's memory",
    };
    writeln!(text, "Pool {:p}, in {kind}:", pool.handle())?;
    line(text, "size", memory.len())?;
    line(text, "", Size(memory.len()))?;
    line(text, "page size", page::size())?;
    line(text, "allocator's own", stats.overhead_bytes)
}

fn write_merged(text: &mut String, pool: &Pool, stats: &Stats) -> fmt::Result {
    writeln!(text, "Sums:")?;
    line(text, "allocated bytes", stats.used_bytes)?;
    line(text, "peak bytes", stats.peak_bytes)?;
    line(text, "free bytes", stats.free_bytes)?;
    line(text, "live allocations", stats.live_blocks)?;
    line(text, "allocations", stats.allocations)?;
    line(text, "frees", stats.deallocations)?;
    line(text, "reallocations", stats.reallocations)?;
    let failures = pool.record().map_or(0, |record| {
        record.failures.load(core::sync::atomic::Ordering::Relaxed)
    });
    line(text, "failures", failures)
}

fn write_blocks(text: &mut String, pool: &Pool) -> fmt::Result {
    let (mut used, mut used_bytes, mut free, mut free_bytes, mut largest) = (0, 0, 0, 0, 0);
    pool.shared().arena().pool().for_each_block(|block| {
        if block.used {
            used += 1;
            used_bytes += block.size;
        } else {
            free += 1;
            free_bytes += block.size;
            largest = largest.max(block.size);
        }
    });
    writeln!(
        text,
        "Blocks, which also hold the slabs of small allocations:"
    )?;
    line(text, "used blocks", used)?;
    line(text, "used bytes", used_bytes)?;
    line(text, "free blocks", free)?;
    line(text, "free bytes", free_bytes)?;
    line(text, "largest free", largest)
}

fn write_bins(text: &mut String, classes: &[ClassStats]) -> fmt::Result {
    writeln!(text, "Size classes:")?;
    writeln!(
        text,
        "  {:>10}{:>10}{:>12}{:>12}{:>16}",
        "size", "slabs", "objects", "used", "used bytes"
    )?;
    for class in classes {
        writeln!(
            text,
            "  {:>10}{:>10}{:>12}{:>12}{:>16}",
            class.size,
            class.slabs,
            class.objects,
            class.used_objects,
            class.used_objects * class.size
        )?;
    }
    Ok(())
}

/// What is not an object of a slab.
fn write_large(text: &mut String, stats: &Stats, classes: &[ClassStats]) -> fmt::Result {
    let objects: usize = classes.iter().map(|class| class.used_objects).sum();
    let bytes: usize = classes
        .iter()
        .map(|class| class.used_objects * class.size)
        .sum();
    writeln!(text, "Large allocations, each a block of its own:")?;
    line(
        text,
        "allocations",
        stats.live_blocks.saturating_sub(objects),
    )?;
    line(text, "bytes", stats.used_bytes.saturating_sub(bytes))
}
