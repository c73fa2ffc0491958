//! The command line, and the order of the runs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use allotment_benches::comparison::options::Options;
use allotment_benches::comparison::results::{Cell, Results, Row};
use allotment_benches::comparison::turns::{self, Sample};
use allotment_benches::comparison::{output, tables};
use allotment_benches::preload::library::{self, Library};
use allotment_benches::preload::selection::Selection;
use allotment_benches::preload::workload::Workload;
use allotment_benches::preload::{process, rows};
use allotment_benches::programs::program::{Found, PROGRAMS};
use allotment_benches::programs::run::{Outcome, Run};
use allotment_benches::report;
use clap::Parser;

/// CPU time and memory of whole programs with an allocator preloaded: ours beside its peers.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo bench -p allotment-benches --bench programs -- --repetitions 1
  cargo bench -p allotment-benches --bench programs -- --classic false
  cargo bench -p allotment-benches --bench programs -- --peer jemalloc --program python3 --program git")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Only this program; may be repeated
    #[arg(long, value_name = "NAME")]
    program: Vec<String>,
    /// Also the classic rows of the bench `malloc`, and the means over programs and rows together [default: true, but
    /// false with --program]
    #[arg(long, value_name = "BOOL")]
    classic: Option<bool>,
    /// How often each program is run with each peer, and each row measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// The library to measure as ours, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    ours: Option<PathBuf>,
}

pub(super) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("programs: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all programs succeeded with ours.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let programs = programs(arguments)?;
    let ours = library::ours(arguments.ours.as_deref())?;
    let libraries = library::all(&ours, |peer| arguments.options.wants(peer));
    let peers = library::names(&libraries);
    let baseline = arguments.options.baseline_among(&peers, 0)?;
    let mut results = Results {
        quantity: "CPU time",
        ours: 0,
        baseline,
        peers,
        rows: programs
            .iter()
            .map(|found| Row {
                name: found.program.name.to_owned(),
                section: "Whole programs".to_owned(),
                unit: "ms",
                cells: vec![Cell::default(); libraries.len()],
            })
            .collect(),
    };
    measure(&mut results, &programs, &libraries, arguments.repetitions)?;
    tables::print(&results);
    tables::print_memory(&results);
    if arguments.classic.unwrap_or(arguments.program.is_empty()) {
        let classic = classic(&libraries, baseline, arguments.repetitions)?;
        tables::print(&classic);
        tables::print_memory(&classic);
        results = results.and(classic);
        tables::print_together(&results);
    }
    output::write(
        "programs",
        &arguments.options,
        &results,
        &library::origins(&libraries),
        arguments.repetitions,
        (),
    )?;
    Ok(results.ours_succeeded())
}

/// The classic rows, measured as the bench `malloc` does.
fn classic(libraries: &[Library], baseline: usize, repetitions: u32) -> Result<Results, String> {
    let selection = Selection::default();
    Ok(rows::measure(
        Path::new(env!("CARGO_BIN_EXE_malloc-driver")),
        libraries,
        baseline,
        selection.plan(Workload::is_classic, libraries.len())?,
        repetitions,
        selection.effort(),
    ))
}

/// Those that are wanted and on this machine.
fn programs(arguments: &Arguments) -> Result<Vec<Found>, String> {
    let known = |name: &String| PROGRAMS.iter().any(|program| program.name == name);
    if let Some(unknown) = arguments.program.iter().find(|&name| !known(name)) {
        let names: Vec<_> = PROGRAMS.iter().map(|program| program.name).collect();
        return Err(format!(
            "no program is called {unknown:?}; they are {}",
            names.join(", ")
        ));
    }
    let wanted = |name: &str| {
        arguments.program.is_empty() || arguments.program.iter().any(|wanted| wanted == name)
    };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for program in PROGRAMS.iter().filter(|program| wanted(program.name)) {
        match program.find() {
            Some(program) => found.push(program),
            None => missing.push(program),
        }
    }
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
        eprintln!(
            "{} left out; to have them: apt-get install {}",
            names.join(", "),
            packages.join(" ")
        );
    }
    if found.is_empty() {
        return Err("none of the programs is on this machine".to_owned());
    }
    Ok(found)
}

/// Runs every program with every library, each time from a process of its own. A program must print the same each time.
fn measure(
    results: &mut Results,
    programs: &[Found],
    libraries: &[Library],
    repetitions: u32,
) -> Result<(), String> {
    let driver = Path::new(env!("CARGO_BIN_EXE_program-driver"));
    let root = directory()?;
    let mut jobs = Vec::new();
    for (row, found) in programs.iter().enumerate() {
        let name = found.program.name;
        let directory = root.join(name);
        fs::create_dir_all(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        found
            .program
            .prepare(&directory)
            .map_err(|error| format!("{name} cannot be prepared: {error}"))?;
        jobs.push((name.to_owned(), vec![row]));
    }
    let mut printed = HashMap::new();
    turns::take(results, &jobs, repetitions, |turn| {
        let found = &programs[turn.job];
        let directory = root.join(found.program.name);
        let run = Run::new(found, &directory, libraries[turn.peer].path.as_deref());
        let outcome: Outcome = process::run(driver, &run, None)?;
        let first = printed.entry(turn.job).or_insert(outcome.printed);
        if *first != outcome.printed {
            return Err(format!(
                "printed something else than at first: {} bytes instead of {}, or others",
                outcome.printed.0, first.0
            ));
        }
        Ok(Sample {
            times: vec![outcome.milliseconds],
            peak_rss_kib: outcome.peak_rss_kib as f64,
        })
    });
    Ok(())
}

/// Where the programs work.
fn directory() -> Result<PathBuf, String> {
    let directory = report::directory()
        .map_err(|error| error.to_string())?
        .join("programs");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    directory
        .canonicalize()
        .map_err(|error| format!("{}: {error}", directory.display()))
}
