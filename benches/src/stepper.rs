//! Counts the instructions of each operation by single-stepping (Linux, x86-64).
//!
//! A forked child plays the trace. Before a counted operation it stops at a breakpoint; from there its parent steps it, one
//! instruction at a time, until the child has cleared a word in shared memory, which it does right behind the call. What
//! is counted is the operation's own code: its first instruction up to and including its `ret`. The counts are exact,
//! and the same on a busy machine and an idle one. Between counted operations the child runs freely.
//!
//! A repeated string instruction (`rep movs`) counts once per repetition.

use std::arch::asm;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::{io, mem};

use crate::calls;
use crate::operation::{Op, Slot};
use crate::peer::Peer;
use crate::region::Region;
use crate::trace::Trace;

/// The instructions of one operation.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The operation's position among [`Trace::counted`].
    pub position: usize,
    /// The instructions that it took.
    pub instructions: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was not carried out: its slot was in the wrong state.
    Skipped,
    /// It did what it was asked, a reallocation by moving the block.
    Done,
    /// A reallocation that left the block where it was.
    InPlace,
    /// There was no room.
    NoRoom,
}

/// What the child and its parent share.
#[repr(C)]
struct Shared {
    /// Set by the child before a counted call, cleared right behind it.
    stepping: AtomicU32,
    /// The position of the operation that the child works on.
    position: AtomicU32,
    /// Set by the parent when the child shall play the rest without stops.
    enough: AtomicU32,
    /// One [`Outcome`] per counted operation.
    outcomes: [AtomicU8; 0],
}

/// A [`Shared`] with its outcomes, in memory that a fork does not copy.
struct SharedMemory {
    start: NonNull<Shared>,
    len: usize,
    operations: usize,
}

impl SharedMemory {
    fn map(operations: usize) -> io::Result<Self> {
        let len = size_of::<Shared>() + operations;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping is not at address zero");
        Ok(Self {
            start,
            len,
            operations,
        })
    }

    fn words(&self) -> &Shared {
        // SAFETY: the mapping is live, long enough, page-aligned, zeroed (valid for atomics), and never borrowed mutably.
        unsafe { self.start.as_ref() }
    }

    fn outcome(&self, position: usize) -> &AtomicU8 {
        assert!(position < self.operations);
        // SAFETY: the mapping has a byte for each of `operations` positions behind the words.
        unsafe {
            &*self
                .start
                .as_ptr()
                .cast::<AtomicU8>()
                .add(mem::offset_of!(Shared, outcomes) + position)
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every borrow of it has ended.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// What is shown an operation's position among [`Trace::counted`] and the addresses of its instructions.
pub type Watch<'a> = &'a mut dyn FnMut(usize, &[usize]);

/// Counts the instructions of `trace`'s operations on a fresh peer. Once `limit` instructions have been stepped through,
/// the rest is played without counting.
///
/// `watch`, if it is given, is shown the addresses of each operation's instructions, in order.
///
/// # Errors
/// When memory, a child, or the permission to trace it cannot be had, or when the child dies.
pub fn count<P: Peer>(
    trace: &Trace,
    limit: u64,
    watch: Option<Watch<'_>>,
) -> io::Result<Vec<Counted>> {
    let shared = SharedMemory::map(trace.counted.len())?;
    let mut region = Region::map(trace.region_bytes)?;
    let mut slots = vec![Slot::EMPTY; Op::slots(trace.setup.iter().chain(&trace.counted))];
    // SAFETY: the mapping is aligned to a page, writable, lives until after the fork's child has ended, and is used by
    // nobody else.
    let mut peer = Box::new(unsafe { P::new(region.start(), region.len()) });
    // SAFETY: the child does only what is allowed after a fork: it plays operations, without allocating from the process's
    // heap, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // Counts would be lost, not wrong, if an operation panicked: the parent sees how the child died.
            request_tracing();
            play(&mut *peer, &mut slots, trace, &shared);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
        child => Tracee(child).count(&shared, limit, watch),
    }
}

/// The exit status of a child that may not be traced.
const NOT_PERMITTED: i32 = 77;

/// In the child: asks to be traced, and waits for the tracer.
fn request_tracing() {
    // SAFETY: none of the calls touches memory; `_exit` ends the child without running the parent's exit handlers.
    unsafe {
        if libc::ptrace(
            libc::PTRACE_TRACEME,
            0,
            ptr::null_mut::<u8>(),
            ptr::null_mut::<u8>(),
        ) != 0
        {
            libc::_exit(NOT_PERMITTED);
        }
        libc::raise(libc::SIGSTOP);
    }
}

/// In the child: plays the setup freely, and the rest with a stop before each operation.
fn play<P: Peer>(peer: &mut P, slots: &mut [Slot], trace: &Trace, shared: &SharedMemory) {
    for &op in &trace.setup {
        carry_out(peer, &mut slots[op.slot() as usize], op, None);
    }
    for (position, &op) in trace.counted.iter().enumerate() {
        let words = shared.words();
        words.position.store(position as u32, Ordering::Relaxed);
        let stepping = if words.enough.load(Ordering::Relaxed) == 0 {
            Some(&words.stepping)
        } else {
            None
        };
        let outcome = carry_out(peer, &mut slots[op.slot() as usize], op, stepping);
        shared
            .outcome(position)
            .store(outcome as u8, Ordering::Relaxed);
    }
}

/// Carries an operation out, under the tracer's steps if `stepping` is given.
fn carry_out<P: Peer>(
    peer: &mut P,
    slot: &mut Slot,
    op: Op,
    stepping: Option<&AtomicU32>,
) -> Outcome {
    let (size, align) = (slot.size as usize, 1_usize << slot.align_log2);
    let peer = ptr::from_mut(peer).expose_provenance();
    let block = slot.ptr.expose_provenance();
    match op {
        Op::Allocate {
            size, align_log2, ..
        } if block == 0 => {
            let function = calls::allocate::<P> as *const () as usize;
            // SAFETY: `function` takes these arguments; an operation's size is at least 1 and below 4 GiB.
            let ptr = unsafe {
                call(
                    function,
                    [peer, size as usize, 1 << align_log2, 0, 0],
                    stepping,
                )
            };
            if ptr == 0 {
                return Outcome::NoRoom;
            }
            let ptr = ptr::with_exposed_provenance_mut(ptr);
            *slot = Slot {
                ptr,
                size,
                align_log2,
            };
            Outcome::Done
        }
        Op::Free { .. } if block != 0 => {
            let function = calls::deallocate::<P> as *const () as usize;
            slot.ptr = ptr::null_mut();
            // SAFETY: `function` takes these arguments; the slot's block is live and has this layout.
            unsafe { call(function, [peer, block, size, align, 0], stepping) };
            Outcome::Done
        }
        Op::Reallocate { size: new_size, .. } if block != 0 => {
            let function = calls::reallocate::<P> as *const () as usize;
            // SAFETY: `function` takes these arguments; the slot's block is live and has this layout.
            let ptr = unsafe {
                call(
                    function,
                    [peer, block, size, align, new_size as usize],
                    stepping,
                )
            };
            if ptr == 0 {
                return Outcome::NoRoom;
            }
            slot.ptr = ptr::with_exposed_provenance_mut(ptr);
            slot.size = new_size;
            if ptr == block {
                Outcome::InPlace
            } else {
                Outcome::Done
            }
        }
        _ => Outcome::Skipped,
    }
}

/// Calls the C function at `function`. If `stepping` is given, raises it and stops for the tracer before the call, and
/// clears it with the one instruction behind the call.
///
/// # Safety
/// `function` is an `extern "C"` function of up to five word-sized arguments, and may be called with these.
unsafe fn call(function: usize, arguments: [usize; 5], stepping: Option<&AtomicU32>) -> usize {
    let [first, second, third, fourth, fifth] = arguments;
    let result: usize;
    let quiet = AtomicU32::new(0);
    let stops = u32::from(stepping.is_some());
    let word = stepping.unwrap_or(&quiet).as_ptr();
    // SAFETY: the caller vouches for the call; everything that a C function may change is given up, `r12` is kept by C
    // functions, and the word that it points at is an atomic that lives on.
    unsafe {
        asm!(
            "test {stops:e}, {stops:e}",
            "jz 2f",
            "mov dword ptr [r12], 1",
            "int3",
            "2:",
            "call r13",
            "mov dword ptr [r12], 0",
            stops = in(reg) stops,
            in("r12") word,
            in("r13") function,
            inlateout("rdi") first => _,
            inlateout("rsi") second => _,
            inlateout("rdx") third => _,
            inlateout("rcx") fourth => _,
            inlateout("r8") fifth => _,
            lateout("rax") result,
            clobber_abi("C"),
        );
    }
    result
}

/// The instructions that are stepped through besides the operation's own: the `call` before it, the `mov` behind it.
const AROUND: u32 = 2;

/// A child that is stepped through; killed and reaped on drop.
struct Tracee(libc::pid_t);

impl Tracee {
    fn count(
        self,
        shared: &SharedMemory,
        limit: u64,
        mut watch: Option<Watch<'_>>,
    ) -> io::Result<Vec<Counted>> {
        // On one processor the kernel switches between parent and child without waking another one: several times faster.
        let _pinned = Pinned::here(self.0);
        match self.wait()? {
            Stop::Signal(libc::SIGSTOP) => {}
            Stop::Exited(NOT_PERMITTED) => return Err(not_permitted()),
            other => return Err(other.unexpected(shared)),
        }
        let mut counted = Vec::new();
        let mut total = 0;
        let mut addresses = Vec::new();
        loop {
            self.resume(libc::PTRACE_CONT)?;
            match self.wait()? {
                Stop::Signal(libc::SIGTRAP) => {}
                Stop::Exited(0) => break,
                other => return Err(other.unexpected(shared)),
            }
            let position = shared.words().position.load(Ordering::Relaxed) as usize;
            let mut steps = 0;
            while shared.words().stepping.load(Ordering::Relaxed) != 0 {
                if watch.is_some() {
                    addresses.push(self.instruction_address()?);
                }
                self.resume(libc::PTRACE_SINGLESTEP)?;
                match self.wait()? {
                    Stop::Signal(libc::SIGTRAP) => steps += 1,
                    other => return Err(other.unexpected(shared)),
                }
            }
            if let Some(watch) = &mut watch {
                watch(position, &addresses[1..addresses.len() - 1]);
                addresses.clear();
            }
            counted.push(Counted {
                position,
                instructions: steps - AROUND,
                outcome: Outcome::Done,
            });
            total += u64::from(steps);
            if total >= limit {
                shared.words().enough.store(1, Ordering::Relaxed);
            }
        }
        for counted in &mut counted {
            counted.outcome = match shared.outcome(counted.position).load(Ordering::Relaxed) {
                outcome if outcome == Outcome::InPlace as u8 => Outcome::InPlace,
                outcome if outcome == Outcome::NoRoom as u8 => Outcome::NoRoom,
                _ => Outcome::Done,
            };
        }
        Ok(counted)
    }

    fn wait(&self) -> io::Result<Stop> {
        let mut status = 0;
        loop {
            // SAFETY: `status` is valid for writes.
            if unsafe { libc::waitpid(self.0, &raw mut status, 0) } == self.0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(if libc::WIFSTOPPED(status) {
            Stop::Signal(libc::WSTOPSIG(status))
        } else if libc::WIFEXITED(status) {
            Stop::Exited(libc::WEXITSTATUS(status))
        } else {
            Stop::Killed(libc::WTERMSIG(status))
        })
    }

    fn resume(&self, request: libc::c_uint) -> io::Result<()> {
        // SAFETY: resuming a stopped tracee touches none of our memory.
        if unsafe {
            libc::ptrace(
                request,
                self.0,
                ptr::null_mut::<u8>(),
                ptr::null_mut::<u8>(),
            )
        } == 0
        {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// The address of the instruction that the next step carries out.
    fn instruction_address(&self) -> io::Result<usize> {
        let offset =
            mem::offset_of!(libc::user, regs) + mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: reads a word of the stopped tracee's registers; `errno` is this thread's own.
        unsafe {
            *libc::__errno_location() = 0;
            let word = libc::ptrace(libc::PTRACE_PEEKUSER, self.0, offset, ptr::null_mut::<u8>());
            if *libc::__errno_location() != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(word as usize)
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: a child that has been reaped already makes both calls fail without effect: its number is not used anew
        // while its parent has not waited for it, and the parent waits only here and in `wait`.
        unsafe {
            if libc::waitpid(self.0, &raw mut status, libc::WNOHANG) == 0 {
                libc::kill(self.0, libc::SIGKILL);
                libc::waitpid(self.0, &raw mut status, 0);
            }
        }
    }
}

/// Why a child is not running.
enum Stop {
    Signal(i32),
    Exited(i32),
    Killed(i32),
}

impl Stop {
    fn unexpected(self, shared: &SharedMemory) -> io::Error {
        let position = shared.words().position.load(Ordering::Relaxed);
        io::Error::other(match self {
            Self::Signal(signal) => {
                format!("operation {position} of the trace ended in signal {signal}")
            }
            Self::Exited(status) => {
                format!("the child left with status {status} at operation {position} of the trace")
            }
            Self::Killed(signal) => {
                format!("the child was killed by signal {signal} at operation {position}")
            }
        })
    }
}

fn not_permitted() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "this process may not trace its own child (PTRACE_TRACEME is refused; in a container, allow ptrace)",
    )
}

/// Keeps this thread and its child on one processor; on drop this thread may run anywhere again.
struct Pinned(libc::cpu_set_t);

impl Pinned {
    fn here(child: libc::pid_t) -> Option<Self> {
        // SAFETY: the sets are valid for reads and writes of their size, and a zeroed set is the empty set. A refusal only
        // costs speed.
        unsafe {
            let mut before: libc::cpu_set_t = mem::zeroed();
            let size = size_of::<libc::cpu_set_t>();
            let processor = usize::try_from(libc::sched_getcpu()).ok()?;
            if libc::sched_getaffinity(0, size, &raw mut before) != 0 {
                return None;
            }
            let mut one: libc::cpu_set_t = mem::zeroed();
            libc::CPU_SET(processor, &mut one);
            libc::sched_setaffinity(child, size, &raw const one);
            libc::sched_setaffinity(0, size, &raw const one);
            Some(Self(before))
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: the set is valid for reads of its size.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::Layout;
    use std::arch::naked_asm;

    use super::*;

    /// A peer whose operations are as long as is known.
    struct Known;

    impl Peer for Known {
        const NAME: &'static str = "known";

        unsafe fn new(_start: *mut u8, _len: usize) -> Self {
            Self
        }

        unsafe fn allocate(&mut self, layout: Layout) -> *mut u8 {
            // SAFETY: the function only counts down.
            unsafe { count_down(layout.size()) };
            ptr::without_provenance_mut(layout.align())
        }

        unsafe fn deallocate(&mut self, _ptr: *mut u8, layout: Layout) {
            // SAFETY: the function only counts down.
            unsafe { count_down(layout.size()) };
        }
    }

    /// Takes twice `turns` instructions, and one to return.
    #[unsafe(naked)]
    unsafe extern "C" fn count_down(turns: usize) {
        naked_asm!("2:", "dec rdi", "jnz 2b", "ret")
    }

    fn trace(counted: Vec<Op>) -> Trace {
        Trace {
            letter: 'T',
            description: "a test",
            region_bytes: 4096,
            setup: Vec::new(),
            counted,
        }
    }

    /// The counts, or nothing where tracing is not permitted.
    fn counts(ops: Vec<Op>, limit: u64) -> Option<Vec<Counted>> {
        match count::<Known>(&trace(ops), limit, None) {
            Ok(counted) => Some(counted),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn allocate(slot: u32, size: u32) -> Op {
        Op::Allocate {
            slot,
            size,
            align_log2: 4,
        }
    }

    #[test]
    fn each_instruction_is_counted_once() {
        let ops = vec![
            allocate(0, 10),
            allocate(1, 11),
            allocate(2, 111),
            Op::Free { slot: 1 },
            Op::Free { slot: 2 },
        ];
        let Some(counted) = counts(ops, u64::MAX) else {
            return;
        };
        let counts: Vec<u32> = counted.iter().map(|counted| counted.instructions).collect();
        assert_eq!(counts.len(), 5);
        assert_eq!(counts[1] - counts[0], 2);
        assert_eq!(counts[2] - counts[0], 202);
        assert_eq!(counts[4] - counts[3], 200);
        // The countdown itself and the calls around it.
        assert!(counts[0] >= 21, "{counts:?}");
    }

    #[test]
    fn operations_on_slots_in_the_wrong_state_are_skipped() {
        let ops = vec![
            Op::Free { slot: 0 },
            allocate(0, 5),
            allocate(0, 5),
            Op::Free { slot: 0 },
        ];
        let Some(counted) = counts(ops, u64::MAX) else {
            return;
        };
        assert_eq!(
            counted
                .iter()
                .map(|counted| counted.position)
                .collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn the_limit_ends_the_counting() {
        let ops = (0..100).map(|slot| allocate(slot, 50)).collect();
        let Some(counted) = counts(ops, 250) else {
            return;
        };
        assert!((2..=3).contains(&counted.len()), "{}", counted.len());
    }

    #[test]
    fn the_watch_sees_as_many_addresses_as_instructions() {
        let mut seen = Vec::new();
        let mut watch =
            |position: usize, addresses: &[usize]| seen.push((position, addresses.len() as u32));
        let Ok(counted) = count::<Known>(
            &trace(vec![allocate(0, 3), allocate(1, 4)]),
            u64::MAX,
            Some(&mut watch),
        ) else {
            return;
        };
        let counted: Vec<_> = counted
            .iter()
            .map(|counted| (counted.position, counted.instructions))
            .collect();
        assert_eq!(seen, counted);
    }
}
