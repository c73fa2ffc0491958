//! The command line, and the measurements.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use allotment_benches::comparison::options::Options;
use allotment_benches::comparison::output::{self, Origin};
use allotment_benches::comparison::results::Results;
use allotment_benches::comparison::tables;
use allotment_benches::comparison::turns::{self, Sample};
use allotment_benches::in_region::peers::{KINDS, PEERS, Peer};
use allotment_benches::in_region::task::{Answer, Task, Work};
use allotment_benches::preload::process;
use allotment_benches::preload::selection::Selection;
use allotment_benches::preload::workload::Workload;
use clap::Parser;

use crate::fillings;

/// CPU time and use of memory inside one given region: ours beside its peers.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo bench -p allotment-benches --bench region -- --quick
  cargo bench -p allotment-benches --bench region -- --peer memkind --row pair
  cargo bench -p allotment-benches --bench region -- --fill-only
  cargo bench -p allotment-benches --bench region -- --kinds --threads 1,2,8")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    selection: Selection,
    /// The length of the region that time is measured in, in MiB: a power of two
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = power_of_two)]
    region: usize,
    /// The length of the region that is filled, in MiB: a power of two
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = power_of_two)]
    filled: usize,
    /// Kinds of our libmemkind beside those of memkind, instead of allocators in a region
    #[arg(long)]
    kinds: bool,
    /// Only how full the region gets
    #[arg(long, conflicts_with = "row")]
    fill_only: bool,
}

fn power_of_two(text: &str) -> Result<usize, String> {
    let number: usize = text
        .parse()
        .map_err(|error| format!("{text:?} is no number: {error}"))?;
    if number.is_power_of_two() && number <= 1 << 20 {
        Ok(number)
    } else {
        Err(format!("{number} is no power of two up to 1048576"))
    }
}

/// A peer that is there.
pub(super) struct Candidate {
    pub(super) name: String,
    origin: String,
    library: Option<PathBuf>,
}

impl Candidate {
    /// What a driver is asked for.
    pub(super) fn task(&self, mib: usize, work: Work) -> Task {
        Task {
            peer: self.name.clone(),
            library: self.library.clone(),
            region: mib << 20,
            work,
        }
    }
}

pub(super) fn driver() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_region-driver"))
}

pub(super) fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("region: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether ours succeeded everywhere.
fn run(arguments: &Arguments) -> Result<bool, String> {
    // Before anything is built: are there such rows?
    arguments
        .selection
        .plan(|row| fits(row, arguments.kinds), 0)?;
    let peers: &[Peer] = if arguments.kinds { &KINDS } else { &PEERS };
    let candidates = candidates(&arguments.options, peers)?;
    let mut succeeded = true;
    if !arguments.fill_only {
        succeeded &= time(arguments, &candidates)?;
    }
    if arguments.selection.row.is_empty() {
        succeeded &= fillings::run(&candidates, arguments.filled, arguments.selection.seed)?;
    }
    Ok(succeeded)
}

/// Ours and the peers that are wanted and there.
fn candidates(options: &Options, peers: &[Peer]) -> Result<Vec<Candidate>, String> {
    let mut candidates = Vec::new();
    for (number, peer) in peers.iter().enumerate() {
        if number > 0 && !options.wants(peer.name) {
            continue;
        }
        match peer.library() {
            Ok(library) => candidates.push(Candidate {
                name: peer.name.to_owned(),
                origin: peer.what.to_owned(),
                library,
            }),
            Err(error) if number == 0 => return Err(error),
            Err(error) => eprintln!("{} is left out: {error}", peer.name),
        }
    }
    for candidate in &candidates {
        println!("{:14}{}", candidate.name, candidate.origin);
    }
    Ok(candidates)
}

/// Not the classic workloads; and in regions only blocks that all peers take from them.
fn fits(workload: &Workload, kinds: bool) -> bool {
    !workload.is_classic() && (kinds || workload.size <= 64 << 10)
}

fn time(arguments: &Arguments, candidates: &[Candidate]) -> Result<bool, String> {
    let (options, selection) = (&arguments.options, &arguments.selection);
    let fits = |row: &_| fits(row, arguments.kinds);
    let (rows, jobs) = selection.plan(fits, candidates.len())?;
    let peers: Vec<_> = candidates
        .iter()
        .map(|candidate| candidate.name.clone())
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
        let work = Work::Workload {
            name: task.workload,
            threads: task.threads,
            effort: task.effort,
        };
        let task = candidates[turn.peer].task(arguments.region, work);
        match process::run(driver(), &task, None)? {
            Answer::Rows { rows, peak_rss_kib } => Ok(Sample::of(&rows, peak_rss_kib)),
            Answer::Filling(_) => Err("answered something else".to_owned()),
        }
    });
    tables::print(&results);
    let origins: Vec<_> = candidates
        .iter()
        .map(|candidate| Origin {
            name: candidate.name.clone(),
            origin: candidate.origin.clone(),
        })
        .collect();
    let name = if arguments.kinds { "kinds" } else { "region" };
    output::write(name, options, &results, &origins, repetitions, effort)?;
    Ok(results.ours_succeeded())
}
