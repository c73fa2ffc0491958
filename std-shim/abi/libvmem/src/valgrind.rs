//! What valgrind's memcheck is told, so that it knows the blocks of a pool: it then reports leaks, overruns and
//! uses after free as it does for malloc's.
//!
//! Programs talk to valgrind by a sequence of instructions that does nothing on a processor. Without valgrind
//! not even that is run. Under it, each block is followed by some bytes that nobody may access, the last of
//! which keep the size that was asked for.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes behind each block.
pub(crate) const GUARD: usize = 32;

/// `VG_USERREQ__RUNNING_ON_VALGRIND` and so on, of `valgrind.h`.
const RUNNING: usize = 0x1001;
const CREATE_POOL: usize = 0x1303;
const DESTROY_POOL: usize = 0x1304;
const POOL_ALLOCATE: usize = 0x1305;
const POOL_FREE: usize = 0x1306;
const CHANGE_ERROR_DISABLEMENT: usize = 0x1801;
/// `VG_USERREQ__MAKE_MEM_NOACCESS` and `_DEFINED`, of `memcheck.h`: those of a tool begin with its initials.
const FORBID: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
const DEFINE: usize = FORBID + 2;

static RUNS: AtomicBool = AtomicBool::new(false);

/// Whether the program runs under valgrind.
#[inline(always)]
pub(crate) fn runs() -> bool {
    RUNS.load(Ordering::Relaxed)
}

/// Finds out whether the program runs under valgrind.
pub(crate) fn initialize() {
    RUNS.store(request(RUNNING, [0; 4]) != 0, Ordering::Relaxed);
}

/// Asks valgrind; 0 without it.
fn request(code: usize, [a, b, c, d]: [usize; 4]) -> usize {
    let message = [code, a, b, c, d, 0];
    ask(&message)
}

#[cfg(target_arch = "x86_64")]
fn ask(message: &[usize; 6]) -> usize {
    let answer;
    // SAFETY: on a processor the rotations add up to nothing, and a register is exchanged with itself.
    // Valgrind reads the message and puts its answer into rdx.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            inout("rdx") 0usize => answer,
            in("rax") core::ptr::from_ref(message),
        );
    }
    answer
}

#[cfg(not(target_arch = "x86_64"))]
fn ask(_: &[usize; 6]) -> usize {
    0
}

/// Errors in the allocator's own accesses are not reported while this lives.
pub(crate) struct Quiet(());

impl Quiet {
    pub(crate) fn new() -> Quiet {
        if runs() {
            request(CHANGE_ERROR_DISABLEMENT, [1, 0, 0, 0]);
        }
        Quiet(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if runs() {
            request(CHANGE_ERROR_DISABLEMENT, [usize::MAX, 0, 0, 0]);
        }
    }
}

/// A pool was made.
pub(crate) fn pool_made(handle: usize) {
    if runs() {
        request(CREATE_POOL, [handle, GUARD / 2, 0, 0]);
    }
}

/// A pool, with all its blocks, is about to go.
pub(crate) fn pool_goes(handle: usize, len: usize) {
    if runs() {
        request(DESTROY_POOL, [handle, 0, 0, 0]);
        request(DEFINE, [handle, len, 0, 0]);
    }
}

/// A block of `usable` bytes, [`GUARD`] more than `size` at least, was handed out for `size` bytes.
pub(crate) fn allocated(
    handle: usize,
    block: NonNull<u8>,
    size: usize,
    usable: usize,
    zeroed: bool,
) {
    let address = block.addr().get();
    // SAFETY: the word is in the guard.
    unsafe { size_of_guarded(block, usable).write(size) };
    request(POOL_ALLOCATE, [handle, address, size, 0]);
    request(FORBID, [address + size, usable - size, 0, 0]);
    if zeroed {
        request(DEFINE, [address, size, 0, 0]);
    }
}

/// A block is about to be given back.
pub(crate) fn freed(handle: usize, block: NonNull<u8>) {
    request(POOL_FREE, [handle, block.addr().get(), 0, 0]);
}

/// What a block of `usable` bytes was asked for with.
pub(crate) fn size_of(block: NonNull<u8>, usable: usize) -> usize {
    let _quiet = Quiet::new();
    // SAFETY: the word is in the guard.
    unsafe { size_of_guarded(block, usable).read() }
}

/// The last aligned word of a block.
fn size_of_guarded(block: NonNull<u8>, usable: usize) -> *mut usize {
    let word = core::mem::size_of::<usize>();
    block
        .as_ptr()
        .wrapping_add((usable & !(word - 1)) - word)
        .cast()
}
