//! Making kinds, and their end.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use allotment::kind::{self, Kind, KindOptions, Policy};
use allotment::message;
use allotment::os_error::{KeepErrno, OsError};

use crate::code::{Code, SUCCESS};
use crate::config::Config;
use crate::environment;
use crate::kind::{Memkind, Pmem, Server};
use crate::memtier::count;
use crate::places::{Manner, Place};
use crate::statics;

/// `MEMKIND_MAX_KIND`: so many may be made.
const MOST: usize = 512;

/// `MEMKIND_PMEM_MIN_SIZE`.
const LEAST_PMEM: usize = 16 << 20;

/// Limits of pmem kinds are multiples of this.
const CHUNK: usize = 2 << 20;

/// Which numbers of dynamic kinds are taken, a bit each. No lock: a fork may come at any time.
static NUMBERS: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// A number of a dynamic kind, given back when it is dropped.
struct Number(usize);

impl Number {
    fn take() -> Result<Number, Code> {
        for (at, word) in NUMBERS.iter().enumerate() {
            let taken = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                (bits != u64::MAX).then_some(bits | (bits + 1))
            });
            if let Ok(bits) = taken {
                return Ok(Number(at * 64 + bits.trailing_ones() as usize));
            }
        }
        Err(Code::TooMany)
    }

    fn keep(self) -> c_uint {
        let number = self.0 + statics::COUNT;
        core::mem::forget(self);
        number as c_uint
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS[self.0 / 64].fetch_and(!(1 << (self.0 % 64)), Ordering::Relaxed);
    }
}

/// Calls `f` for each kind, none of which ends meanwhile.
pub(crate) fn for_each(mut f: impl FnMut(&Memkind)) {
    statics::all().iter().for_each(&mut f);
    kind::for_each_tag(|tag| {
        let kind: *mut Memkind = tag.cast();
        if !statics::contains(kind) {
            // SAFETY: kinds lose their tag before they end.
            f(unsafe { &*kind });
        }
    });
}

/// A kind that the system refused: the code, and what it said.
type Refusal = (Code, OsError);

fn plain(code: Code) -> Refusal {
    (code, OsError(0))
}

/// Answers a C caller: the kind or null, and the code.
///
/// # Safety
/// `place` can be written to.
unsafe fn answer(
    function: &str,
    place: *mut *mut Memkind,
    result: Result<Box<Memkind>, Refusal>,
) -> c_int {
    let (address, code) = match result {
        Ok(kind) => (Box::into_raw(kind), SUCCESS),
        Err((code, error)) => {
            if environment::get(c"MEMKIND_DEBUG") == Some(c"1") {
                message::line(format_args!("{function}: {code:?}: {error}"));
            }
            if error.0 != 0 {
                error.set();
            }
            (null_mut(), code.number())
        }
    };
    // SAFETY: the caller's promise.
    unsafe { place.write(address) };
    if let Some(kind) = NonNull::new(address) {
        // SAFETY: it was made above.
        let kind = unsafe { kind.as_ref() };
        // The number may have been another kind's.
        count::reset(kind);
        if let Server::Pool(pool) = &kind.server {
            pool.set_tag(address.cast());
        }
    }
    code
}

/// `memkind_create_pmem`.
///
/// # Safety
/// `dir` is a string, and `kind` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_create_pmem(
    dir: *const c_char,
    max_size: usize,
    kind: *mut *mut Memkind,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let errno = KeepErrno::new();
        let result = create_pmem(dir, max_size, Policy::Decay);
        drop(errno);
        answer("memkind_create_pmem", kind, result)
    }
}

/// `memkind_create_pmem_with_config`.
///
/// # Safety
/// `cfg` is from [`memkind_config_new`](crate::config::memkind_config_new), with a path, and `kind`
/// can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_create_pmem_with_config(
    cfg: *mut Config,
    kind: *mut *mut Memkind,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let errno = KeepErrno::new();
        let cfg = &*cfg;
        let result = match cfg.policy {
            0 => create_pmem(cfg.pmem_dir, cfg.pmem_size, Policy::Decay),
            1 => create_pmem(cfg.pmem_dir, cfg.pmem_size, Policy::Conservative),
            _ => Err(plain(Code::Invalid)),
        };
        drop(errno);
        answer("memkind_create_pmem_with_config", kind, result)
    }
}

/// # Safety
/// `dir` is null or a string.
unsafe fn create_pmem(
    dir: *const c_char,
    max_size: usize,
    policy: Policy,
) -> Result<Box<Memkind>, Refusal> {
    if dir.is_null() || (max_size != 0 && max_size < LEAST_PMEM) {
        return Err(plain(Code::Invalid));
    }
    // SAFETY: the caller's promise.
    let dir = unsafe { CStr::from_ptr(dir) };
    environment::check_arenas().map_err(plain)?;
    let fork = environment::fork().map_err(plain)?;
    let number = Number::take().map_err(plain)?;
    // A limit beyond all numbers is none.
    let limit = max_size.checked_next_multiple_of(CHUNK).unwrap_or(0);
    let path = if dir.is_empty() { c"/" } else { dir };
    let policy = environment::policy().unwrap_or(policy);
    let pool = KindOptions::new()
        .policy(policy)
        .fork(fork)
        .pmem(Path::new(OsStr::from_bytes(path.to_bytes())), limit)
        .map_err(|error| (Code::Invalid, error.os_error()))?;
    let fd = pool.descriptor().unwrap_or(-1);
    // The device ends where it does.
    let limit = if pool.is_on_device() {
        pool.capacity()
    } else {
        limit
    };
    let name = format!("pmem{fd:08x}");
    let mut pmem = Pmem::new(CString::from(dir), fd, limit);
    let private: *mut Pmem = &raw mut *pmem;
    let mut kind = Box::new(Memkind::new(number.keep(), &name, Server::Pool(pool)));
    kind.private = private.cast();
    kind.pmem = Some(pmem);
    Ok(kind)
}

/// `memkind_create_fixed`.
///
/// # Safety
/// The memory is mapped and used by nobody else from the first allocation until the kind's end;
/// `kind` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_create_fixed(
    addr: *mut c_void,
    size: usize,
    kind: *mut *mut Memkind,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let errno = KeepErrno::new();
        let result = create_fixed(addr, size);
        drop(errno);
        answer("memkind_create_fixed", kind, result)
    }
}

/// # Safety
/// As for [`memkind_create_fixed`].
unsafe fn create_fixed(addr: *mut c_void, size: usize) -> Result<Box<Memkind>, Refusal> {
    environment::check_arenas().map_err(plain)?;
    let fits = isize::try_from(size).is_ok() && addr.addr().checked_add(size).is_some();
    if !fits {
        return Err(plain(Code::Invalid));
    }
    let number = Number::take().map_err(plain)?;
    // Memory at null is none, whatever the size: nothing can be allocated there.
    let (start, len) = match NonNull::new(addr.cast::<u8>()) {
        Some(start) => (start, size),
        None => (NonNull::dangling(), 0),
    };
    // SAFETY: the caller's promise.
    let pool: Kind = unsafe { KindOptions::new().fixed_raw(start, len) }
        .map_err(|error| (Code::Invalid, error.os_error()))?;
    let name = format!("fixed{addr:p}");
    Ok(Box::new(Memkind::new(
        number.keep(),
        &name,
        Server::Pool(pool),
    )))
}

/// `memkind_create_kind`: a static kind, by type of memory (bits), policy and page size (21 or 0).
///
/// # Safety
/// `kind` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_create_kind(
    memtype_flags: c_uint,
    policy: c_int,
    flags: c_uint,
    kind: *mut *mut Memkind,
) -> c_int {
    match choose(memtype_flags, policy, flags) {
        Ok(number) => {
            // SAFETY: the caller's promise.
            unsafe { kind.write(statics::kind(number)) };
            SUCCESS
        }
        Err((code, error)) => {
            if error.0 != 0 {
                error.set();
            }
            code.number()
        }
    }
}

/// The number of the static kind for a choice.
fn choose(memtype: c_uint, policy: c_int, flags: c_uint) -> Result<usize, Refusal> {
    const ORDINARY: c_uint = 1;
    const HIGH_BANDWIDTH: c_uint = 2;
    const BOTH: c_uint = ORDINARY | HIGH_BANDWIDTH;
    const LARGE_PAGES: c_uint = 21;
    let invalid = Err(plain(Code::Invalid));
    if flags & !LARGE_PAGES != 0 {
        return invalid;
    }
    let large = flags == LARGE_PAGES;
    // Whether there is high bandwidth memory, without which ordinary memory may serve.
    let high = Place::Listed(crate::places::HBW_NODES, Manner::Bind).check();
    let number = match (memtype, policy, large) {
        (ORDINARY, 2, _) => return Ok(0),
        (ORDINARY, 0, true) => return invalid,
        (BOTH, 4, false) => return Ok(10),
        (HIGH_BANDWIDTH, 0, false) => 1,
        (HIGH_BANDWIDTH, 0, true) => 2,
        (HIGH_BANDWIDTH, 1, false) => 12,
        (HIGH_BANDWIDTH, 1, true) => 13,
        (HIGH_BANDWIDTH, 2, _) if high.is_err() => return Ok(0),
        (HIGH_BANDWIDTH, 2, false) => 3,
        (HIGH_BANDWIDTH, 2, true) => 4,
        (HIGH_BANDWIDTH, 4, false) => 9,
        _ => return invalid,
    };
    high.map_err(|(code, _)| (code, OsError(libc::EINVAL)))?;
    Ok(number)
}

/// `memkind_destroy_kind`: 0. Static kinds stay.
///
/// # Safety
/// `kind` is a live kind, that is not used any more if it is not a static one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_destroy_kind(kind: *mut Memkind) -> c_int {
    if statics::contains(kind) {
        return SUCCESS;
    }
    let _errno = KeepErrno::new();
    // SAFETY: made by `answer`, and given up by the caller.
    let kind = unsafe { Box::from_raw(kind) };
    if let Server::Pool(pool) = &kind.server {
        // From here on `for_each` does not come by.
        pool.set_tag(null_mut());
    }
    let number = Number(kind.partition as usize - statics::COUNT);
    // First the kind: its number is used again.
    drop(kind);
    drop(number);
    SUCCESS
}
