//! The command line, and the measurements.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use allotment_benches::comparison::options::Options;
use allotment_benches::comparison::{output, tables};
use allotment_benches::preload::selection::Selection;
use allotment_benches::preload::{library, rows};
use clap::Parser;

/// CPU time of malloc, free and their relatives, preloaded: ours beside its peers.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo bench -p allotment-benches --bench malloc -- --quick
  cargo bench -p allotment-benches --bench malloc -- --peer snmalloc --peer tcmalloc --row pair --row rand-64
  cargo bench -p allotment-benches --bench malloc -- --ours target/release/liballotment_malloc.so --threads 2")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    selection: Selection,
    /// The library to measure as ours, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    ours: Option<PathBuf>,
}

pub(super) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("malloc: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether ours succeeded everywhere.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let (options, selection) = (&arguments.options, &arguments.selection);
    // Before anything is built: are there such rows?
    selection.plan(|_| true, 0)?;
    let ours = library::ours(arguments.ours.as_deref())?;
    let libraries = library::all(&ours, |peer| options.wants(peer));
    let (repetitions, effort) = (selection.repetitions(), selection.effort());
    let results = rows::measure(
        Path::new(env!("CARGO_BIN_EXE_malloc-driver")),
        &libraries,
        options.baseline_among(&library::names(&libraries), 0)?,
        selection.plan(|_| true, libraries.len())?,
        repetitions,
        effort,
    );
    tables::print(&results);
    let origins = library::origins(&libraries);
    output::write("malloc", options, &results, &origins, repetitions, effort)?;
    Ok(results.ours_succeeded())
}
