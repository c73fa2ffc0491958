//! `allot run`.

use crate::cli::RunArguments;
use crate::complain;
use crate::environment::{self, plain};
use crate::failure::Failure;
use crate::preload_library;
use crate::program;
use crate::signals::Inherited;
use crate::statistics::{Collector, Destination, Format};
use crate::supervise;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Runs the program; the exit status to pass on.
///
/// # Errors
/// A [`Failure`] of `allot` itself: then the program has not run, or its statistics could not be
/// written.
pub(crate) fn run(arguments: &RunArguments) -> Result<u8, Failure> {
    let inherited = Inherited::capture();
    let (name, rest) = arguments
        .program
        .split_first()
        .expect("the parser requires a program");
    let file = program::find(name, std::env::var_os("PATH"))?;

    let mut command = Command::new(&file);
    command.arg0(name).args(rest);
    environment::set_pool(&mut command, arguments)?;
    environment::set_preload(&mut command, &preload_library::find()?)?;
    if let Some(obstacle) = program::obstacle_to_preloading(&file) {
        complain(&format!("warning: {obstacle}; it will use its own heap"));
    }
    supervise::keep_signal_state(&mut command, inherited);

    let Some(format) = format(arguments) else {
        return Err(cannot_execute(&file, &command.exec()));
    };
    let destination = Destination::open(arguments.output.as_deref())?;
    let collector = Collector::new()?;
    environment::set_statistics(&mut command, collector.path());
    let finished = supervise::run(&mut command).map_err(|error| cannot_execute(&file, &error))?;
    collector
        .collect(finished.pid)?
        .write(&arguments.program, &finished, format, destination)?;
    Ok(finished.end.pass_on())
}

/// What to print at the end, if anything.
fn format(arguments: &RunArguments) -> Option<Format> {
    match (arguments.json, arguments.stats) {
        (true, _) => Some(Format::Json),
        (false, true) => Some(Format::Table),
        (false, false) => None,
    }
}

fn cannot_execute(file: &Path, error: &io::Error) -> Failure {
    let reason = match error.raw_os_error() {
        // The file was there a moment ago, so it is what it needs that is missing.
        Some(libc::ENOENT) => "its interpreter or loader is missing".into(),
        _ => plain(error),
    };
    Failure::NotExecutable(format!("cannot run {}: {reason}", file.display()))
}
