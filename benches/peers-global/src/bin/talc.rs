//! The workloads on talc behind a spin lock, over memory of the program's own.

use talc::{TalcLock, source::Claim};

/// What the largest rows need on two threads, several times over. No page is there before it is touched.
static mut MEMORY: [u8; 1 << 30] = [0; 1 << 30];

// SAFETY: nobody else uses the array.
#[global_allocator]
static ALLOCATOR: TalcLock<spin::Mutex<()>, Claim> =
    TalcLock::new(unsafe { Claim::array(&raw mut MEMORY) });

fn main() -> std::process::ExitCode {
    allotment_benches::global::driver::main()
}
