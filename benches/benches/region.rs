//! Allocators that share one given region among threads: `cargo bench -p allotment-benches --bench region`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[path = "region/command.rs"]
mod command;
#[cfg(target_os = "linux")]
#[path = "region/fillings.rs"]
mod fillings;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("this bench is for Linux");
    ExitCode::FAILURE
}
