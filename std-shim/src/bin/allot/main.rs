//! The command `allot`: runs any program with its heap in a pool.
//!
//! `allot --help` and the help of each subcommand have examples.

mod cli;
mod elf;
mod environment;
mod failure;
mod named_file;
mod preload_library;
mod program;
mod run;
mod signals;
mod statistics;
mod supervise;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Subcommand::Run(arguments) => run::run(&arguments),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(failure.status())
        }
    }
}

/// Writes one line on standard error, marked as ours. A closed standard error is no reason to fail.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "allot: {message}");
}
