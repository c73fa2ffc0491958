//! The malloc family, preloaded, ours beside its peers: `cargo bench -p allotment-benches --bench malloc`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "malloc/command.rs"]
mod command;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("preloading is for Linux");
    ExitCode::FAILURE
}
