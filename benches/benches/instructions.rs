//! The instructions of each operation on adversarial traces, ours beside the peers:
//! `cargo bench -p allotment-benches --bench instructions`, with `-- --check` to hold ours against its limits.

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "instructions/command.rs"]
mod command;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> ExitCode {
    command::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> ExitCode {
    eprintln!(
        "counting instructions needs Linux on x86-64 (it single-steps a child through ptrace)"
    );
    ExitCode::FAILURE
}
