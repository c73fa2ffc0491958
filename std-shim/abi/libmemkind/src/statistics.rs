//! `memkind_get_stat` and `memkind_stats_print`.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::Write;
use core::sync::atomic::Ordering;

use allotment::kind::Space;
use allotment::text_buffer::TextBuffer;

use crate::code::{Code, SUCCESS};
use crate::create;
use crate::kind::{Memkind, Server};

/// What the statistics of a kind are about, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    resident: usize,
    active: usize,
    allocated: usize,
    /// The most that there can be.
    capacity: usize,
    /// What is left, and the largest block of it.
    free: usize,
    largest: usize,
}

const PAGE: usize = 4096;

impl Figures {
    fn of(kind: &Memkind) -> Figures {
        if let Server::System = kind.server {
            // SAFETY: only asks.
            let info = unsafe { libc::mallinfo2() };
            let resident = info.arena + info.hblkhd;
            let allocated = info.uordblks + info.hblkhd;
            return Figures {
                resident,
                active: allocated.next_multiple_of(PAGE).min(resident),
                allocated,
                capacity: resident,
                free: info.fordblks,
                largest: 0,
            };
        }
        kind.pool_in_use()
            .map_or_else(Figures::default, |pool| Figures::from(pool.space()))
    }

    fn add(&mut self, other: Figures) {
        self.resident += other.resident;
        self.active += other.active;
        self.allocated += other.allocated;
        self.capacity = self.capacity.saturating_add(other.capacity);
        self.free = self.free.saturating_add(other.free);
        self.largest = self.largest.max(other.largest);
    }
}

impl From<Space> for Figures {
    fn from(space: Space) -> Figures {
        let active = (space.used + space.slab_free).next_multiple_of(PAGE);
        Figures {
            resident: space.committed,
            active: active.min(space.committed),
            allocated: space.used,
            capacity: space.capacity,
            free: space.free,
            largest: space.largest,
        }
    }
}

/// `memkind_update_cached_stats`: figures are made when they are asked for; brings `struct memkind_pmem` up
/// to date.
#[unsafe(no_mangle)]
pub extern "C" fn memkind_update_cached_stats() -> c_int {
    create::for_each(|kind| {
        let Some(pmem) = &kind.pmem else {
            return;
        };
        let committed = kind
            .pool_in_use()
            .and_then(|pool| pool.arena())
            .map_or(0, |arena| arena.mapping().committed());
        pmem.current_size.store(committed, Ordering::Relaxed);
        pmem.offset.store(committed, Ordering::Relaxed);
    });
    SUCCESS
}

/// `memkind_get_stat`: of a kind, or of all together if it is null.
///
/// # Safety
/// `kind` is null or a live kind, and `value` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_get_stat(
    kind: *mut Memkind,
    stat: c_int,
    value: *mut usize,
) -> c_int {
    let figure: fn(Figures) -> usize = match stat {
        0 => |figures| figures.resident,
        1 => |figures| figures.active,
        2 => |figures| figures.allocated,
        _ => return Code::Invalid.number(),
    };
    let mut figures = Figures::default();
    // SAFETY: the caller's promise.
    unsafe {
        match kind.as_ref() {
            Some(kind) => figures = Figures::of(kind),
            None => create::for_each(|kind| figures.add(Figures::of(kind))),
        }
        value.write(figure(figures));
    }
    SUCCESS
}

/// A function that takes a piece of a report.
type WriteCallback = unsafe extern "C" fn(*mut c_void, *const c_char);

/// `memkind_stats_print`: a line for each kind in use, or a JSON object. Options are a set of bits, of which
/// nine are known.
///
/// # Safety
/// `write_cb` is null or can be called with `cbopaque` and strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_stats_print(
    write_cb: Option<WriteCallback>,
    cbopaque: *mut c_void,
    opts: c_int,
) -> c_int {
    const JSON: c_int = 1;
    const KNOWN: c_int = (1 << 9) - 1;
    if opts & !KNOWN != 0 {
        return Code::Invalid.number();
    }
    let json = opts & JSON != 0;
    // The lock is not held while the caller's function runs.
    let mut rows: Vec<([c_char; 64], Figures)> = Vec::new();
    create::for_each(|kind| {
        if kind.pool_in_use().is_some() || matches!(kind.server, Server::System) {
            rows.push((kind.name, Figures::of(kind)));
        }
    });
    let mut text = TextBuffer::<512>::new();
    let mut put = |line: core::fmt::Arguments<'_>| {
        text = TextBuffer::new();
        let _ = text.write_fmt(line);
        let _ = text.write_char('\0');
        // SAFETY: a null byte ends the text; the rest is the caller's promise.
        unsafe {
            match write_cb {
                Some(write) => write(cbopaque, text.as_str().as_ptr().cast()),
                None => {
                    let bytes = text.as_str().as_bytes();
                    allotment::message::write_all(2, &bytes[..bytes.len() - 1]);
                }
            }
        }
    };
    put(format_args!(
        "{}",
        if json { "{\"kinds\":[" } else { TITLE }
    ));
    for (at, (name, figures)) in rows.iter().enumerate() {
        // SAFETY: names end with a null byte.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let name = name.to_str().unwrap_or("?");
        let Figures {
            resident,
            active,
            allocated,
            capacity,
            free,
            largest,
        } = figures;
        if json {
            let comma = if at == 0 { "" } else { "," };
            put(format_args!(
                "{comma}{{\"name\":\"{name}\",\"allocated\":{allocated},\"active\":{active},\
                 \"resident\":{resident},\"capacity\":{capacity},\"free\":{free},\
                 \"largest\":{largest}}}"
            ));
        } else {
            put(format_args!(
                "{name:<40} {allocated:>15} {active:>15} {resident:>15} {capacity:>20} \
                 {free:>20} {largest:>20}\n"
            ));
        }
    }
    if json {
        put(format_args!("]}}\n"));
    }
    SUCCESS
}

/// The first line of the table.
const TITLE: &str = concat!(
    "kind                                           allocated          active        resident",
    "             capacity                 free              largest\n"
);
