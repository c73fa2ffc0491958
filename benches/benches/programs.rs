//! Whole programs with ours and its peers preloaded: `cargo bench -p allotment-benches --bench programs`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "programs/command.rs"]
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
