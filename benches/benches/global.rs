//! Global allocators of Rust programs, ours beside its peers: `cargo bench -p allotment-benches --bench global`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "global/command.rs"]
mod command;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("this bench is for Linux");
    ExitCode::FAILURE
}
