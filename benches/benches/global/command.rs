//! The command line, and the measurements.

use std::process::ExitCode;

use allotment_benches::comparison::options::Options;
use allotment_benches::comparison::output::{self, Origin};
use allotment_benches::comparison::results::Results;
use allotment_benches::comparison::tables;
use allotment_benches::comparison::turns::{self, Sample};
use allotment_benches::global::peers::{PEERS, Program};
use allotment_benches::preload::process;
use allotment_benches::preload::selection::Selection;
use allotment_benches::preload::task::Answer;
use allotment_benches::preload::workload::Workload;
use clap::Parser;

/// CPU time of Rust programs' global allocators: ours beside its peers.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo bench -p allotment-benches --bench global -- --quick
  cargo bench -p allotment-benches --bench global -- --peer system --peer jemalloc --row churn")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    selection: Selection,
}

pub(super) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("global: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether ours succeeded everywhere.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let (options, selection) = (&arguments.options, &arguments.selection);
    let fit = |workload: &Workload| !workload.is_classic();
    // Before anything is built: are there such rows?
    selection.plan(fit, 0)?;
    let programs = programs(options)?;
    let (rows, jobs) = selection.plan(fit, programs.len())?;
    let peers: Vec<_> = programs
        .iter()
        .map(|program| program.name.clone())
        .collect();
    let mut results = Results {
        quantity: "CPU time per operation",
        ours: 0,
        baseline: options.baseline_among(&peers, 0)?,
        peers,
        rows,
    };
    let names: Vec<_> = jobs.iter().map(|job| job.named()).collect();
    let (repetitions, effort) = (selection.repetitions(), selection.effort());
    turns::take(&mut results, &names, repetitions, |turn| {
        let task = jobs[turn.job].task(effort, turn.repetition);
        let answer: Answer = process::run(&programs[turn.peer].path, &task, None)?;
        Ok(Sample::of(&answer.rows, answer.peak_rss_kib))
    });
    tables::print(&results);
    let origins: Vec<_> = programs
        .iter()
        .map(|program| Origin {
            name: program.name.clone(),
            origin: program.origin.clone(),
        })
        .collect();
    output::write("global", options, &results, &origins, repetitions, effort)?;
    Ok(results.ours_succeeded())
}

/// Ours, and the peers that are wanted and can be built.
fn programs(options: &Options) -> Result<Vec<Program>, String> {
    let mut programs = Vec::new();
    for (number, peer) in PEERS.iter().enumerate() {
        if number > 0 && !options.wants(peer.name) {
            continue;
        }
        match peer.build() {
            Ok(program) => programs.push(program),
            Err(error) if number == 0 => return Err(error),
            Err(error) => eprintln!("{} is left out: {error}", peer.name),
        }
    }
    for program in &programs {
        println!("{:14}{}", program.name, program.origin);
    }
    Ok(programs)
}
