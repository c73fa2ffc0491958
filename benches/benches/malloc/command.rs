//! The command line, and the order of the measurements.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use allotment_benches::preload::library::{self, Library, OURS};
use allotment_benches::preload::results::{Cell, Measure, Results, Row};
use allotment_benches::preload::task::{Effort, Task};
use allotment_benches::preload::workload::{self, Workload};
use allotment_benches::preload::{plot, process};
use allotment_benches::report;
use clap::Parser;
use serde::Serialize;

use crate::tables;

/// CPU time of malloc, free and their relatives, preloaded: ours beside its peers.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo bench -p allotment-benches --bench malloc -- --quick
  cargo bench -p allotment-benches --bench malloc -- --peer snmalloc --peer tcmalloc --row pair --row rand-64
  cargo bench -p allotment-benches --bench malloc -- --ours target/release/liballotment_malloc.so --threads 2")]
struct Arguments {
    /// Only peers whose name contains this; may be repeated. Ours and the baseline are always there
    #[arg(long, value_name = "NAME")]
    peer: Vec<String>,
    /// Only this row, or all rows whose name begins with this and a hyphen; may be repeated
    #[arg(long, value_name = "NAME")]
    row: Vec<String>,
    /// The peer that the others are compared with
    #[arg(long, value_name = "NAME", default_value = "mimalloc2")]
    baseline: String,
    /// How many threads run at once
    #[arg(long, value_name = "N,…", default_value = "1,2", value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Vec<u32>,
    /// How often each peer is measured in each row
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// How long each measurement lasts, in milliseconds of CPU time of each thread; half as long is warmed up
    #[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    milliseconds: u64,
    /// Two repetitions of 10 milliseconds
    #[arg(long, conflicts_with_all = ["repetitions", "milliseconds"])]
    quick: bool,
    /// The library to measure as ours, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    ours: Option<PathBuf>,
    /// Where to write all numbers, instead of bench/malloc.json in the target directory
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to draw the ratios, instead of bench/malloc.svg in the target directory
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The seed of the first repetition; the next takes the next number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A workload on a number of threads, and the rows that it fills.
struct Job {
    workload: Workload,
    threads: u32,
    rows: Vec<usize>,
}

/// What is written as JSON.
#[derive(Serialize)]
struct Output<'a> {
    processor: String,
    kernel: String,
    libraries: &'a [Library],
    repetitions: u32,
    effort: Effort,
    baseline: &'a str,
    rows: Vec<OutputRow<'a>>,
    means: Vec<OutputMean<'a>>,
}

#[derive(Serialize)]
struct OutputRow<'a> {
    row: &'a str,
    threads: u32,
    best_peer: Option<&'a str>,
    ours_to_best: Option<f64>,
    peers: Vec<OutputCell<'a>>,
}

#[derive(Serialize)]
struct OutputCell<'a> {
    peer: &'a str,
    minimum: Option<f64>,
    median: Option<f64>,
    ratio_of_minima: Option<f64>,
    #[serde(flatten)]
    cell: &'a Cell,
}

#[derive(Serialize)]
struct OutputMean<'a> {
    peer: &'a str,
    minimum: Option<f64>,
    median: Option<f64>,
    peak_rss: Option<f64>,
    highest_peak_rss_kib: Option<f64>,
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
    let (mut results, jobs) = plan(arguments)?;
    let ours = library::ours(arguments.ours.as_deref())?;
    let libraries = libraries(arguments, ours.library());
    results.peers = libraries
        .iter()
        .map(|library| library.name.clone())
        .collect();
    results.baseline = baseline(&results.peers, &arguments.baseline)?;
    for row in &mut results.rows {
        row.cells = vec![Cell::default(); libraries.len()];
    }
    for library in &libraries {
        println!("{:14}{}", library.name, library.origin);
    }
    let (repetitions, milliseconds) = if arguments.quick {
        (2, 10)
    } else {
        (arguments.repetitions, arguments.milliseconds)
    };
    let effort = Effort {
        warm_up_ms: milliseconds.div_ceil(2),
        measured_ms: milliseconds,
        seed: arguments.seed,
    };
    measure(&mut results, &jobs, &libraries, repetitions, effort);
    tables::print(&results);
    write(arguments, &results, &libraries, repetitions, effort)?;
    let failed = |row: &Row| !row.cells[results.ours].errors.is_empty();
    Ok(!results.rows.iter().any(failed))
}

/// The rows that are wanted, and what fills them.
fn plan(arguments: &Arguments) -> Result<(Results, Vec<Job>), String> {
    let mut results = Results {
        peers: Vec::new(),
        ours: 0,
        baseline: 0,
        rows: Vec::new(),
    };
    let mut jobs = Vec::new();
    let wanted = |row: &String| {
        arguments.row.is_empty() || arguments.row.iter().any(|name| is_called(row, name))
    };
    for &threads in &arguments.threads {
        for workload in workload::all() {
            let rows = workload.rows();
            if !workload.runs_on(threads) || !rows.iter().any(wanted) {
                continue;
            }
            let first = results.rows.len();
            results.rows.extend(rows.into_iter().map(|name| Row {
                name,
                threads,
                cells: Vec::new(),
            }));
            jobs.push(Job {
                workload,
                threads,
                rows: (first..results.rows.len()).collect(),
            });
        }
    }
    if jobs.is_empty() {
        let names: Vec<_> = workload::all().iter().flat_map(Workload::rows).collect();
        return Err(format!(
            "no row on {:?} threads is called {:?}; the rows are {}",
            arguments.threads,
            arguments.row,
            names.join(", ")
        ));
    }
    Ok((results, jobs))
}

fn is_called(row: &str, name: &str) -> bool {
    let rest = row.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Ours, then the peers.
fn libraries(arguments: &Arguments, ours: &Library) -> Vec<Library> {
    let wanted = |name: &str| {
        arguments.peer.is_empty()
            || name == arguments.baseline
            || arguments
                .peer
                .iter()
                .any(|part| name.contains(part.as_str()))
    };
    let (peers, missing) = library::peers(wanted);
    for line in missing {
        eprintln!("{line}");
    }
    let mut libraries = vec![ours.clone()];
    libraries.extend(peers);
    libraries
}

/// The peer that is called `wanted`; if that is missing, another mimalloc; at last whichever comes first.
fn baseline(peers: &[String], wanted: &str) -> Result<usize, String> {
    if let Some(found) = peers.iter().position(|peer| peer == wanted) {
        return Ok(found);
    }
    let other = peers.iter().position(|peer| peer.starts_with("mimalloc"));
    let found = other.or_else(|| peers.iter().position(|peer| peer != OURS));
    let found = found.ok_or("there is no peer to compare with")?;
    eprintln!(
        "no peer is called {wanted}: the baseline is {}",
        peers[found]
    );
    Ok(found)
}

/// Runs every job on every library, in turns: what disturbs the machine for a while disturbs all of them.
fn measure(
    results: &mut Results,
    jobs: &[Job],
    libraries: &[Library],
    repetitions: u32,
    effort: Effort,
) {
    let driver = Path::new(env!("CARGO_BIN_EXE_malloc-driver"));
    let start = Instant::now();
    for repetition in 0..repetitions {
        if !io::stderr().is_terminal() {
            eprintln!("repetition {} of {repetitions}", repetition + 1);
        }
        for (number, job) in jobs.iter().enumerate() {
            progress(&format!(
                "repetition {} of {repetitions}, {}/{} ({} of {})",
                repetition + 1,
                job.workload.name,
                job.threads,
                number + 1,
                jobs.len()
            ));
            for turn in 0..libraries.len() {
                let peer = (turn + repetition as usize + number) % libraries.len();
                let task = Task {
                    workload: job.workload.name.clone(),
                    threads: job.threads,
                    effort: Effort {
                        seed: effort.seed + u64::from(repetition),
                        ..effort
                    },
                    library: libraries[peer].path.clone(),
                };
                match process::run(driver, &task) {
                    Ok(answer) => {
                        for (&row, measurement) in job.rows.iter().zip(&answer.rows) {
                            let cell = &mut results.rows[row].cells[peer];
                            cell.samples.push(measurement.per_operation());
                            cell.peak_rss_kib.push(answer.peak_rss_kib as f64);
                        }
                    }
                    Err(error) => {
                        for &row in &job.rows {
                            results.rows[row].cells[peer].errors.push(error.clone());
                        }
                    }
                }
            }
        }
    }
    progress("");
    println!(
        "\n{} measurements in {:.0} s",
        repetitions as usize * jobs.len() * libraries.len(),
        start.elapsed().as_secs_f64()
    );
}

/// One line that replaces the one before, if somebody is there to see it.
fn progress(line: &str) {
    let mut error = io::stderr();
    if error.is_terminal() {
        // A terminal that is gone is no reason to stop.
        let _ = write!(error, "\r\x1b[K{line}");
    }
}

fn write(
    arguments: &Arguments,
    results: &Results,
    libraries: &[Library],
    repetitions: u32,
    effort: Effort,
) -> Result<(), String> {
    let directory = report::directory().map_err(|error| error.to_string())?;
    let json = arguments
        .json
        .clone()
        .unwrap_or_else(|| directory.join("malloc.json"));
    let svg = arguments
        .svg
        .clone()
        .unwrap_or_else(|| directory.join("malloc.svg"));
    let output = output(results, libraries, repetitions, effort);
    report::write_json_to(&json, &output)
        .map_err(|error| format!("{}: {error}", json.display()))?;
    fs::write(&svg, plot::draw(results)).map_err(|error| format!("{}: {error}", svg.display()))?;
    println!(
        "\nAll numbers: {}\nThe ratios: {}",
        json.display(),
        svg.display()
    );
    Ok(())
}

fn output<'a>(
    results: &'a Results,
    libraries: &'a [Library],
    repetitions: u32,
    effort: Effort,
) -> Output<'a> {
    let rows = results.rows.iter().map(|row| {
        let best = results.best(row);
        OutputRow {
            row: &row.name,
            threads: row.threads,
            best_peer: best.as_ref().map(|best| results.peers[best.peer].as_str()),
            ours_to_best: best.and_then(|best| best.ours_to_best),
            peers: results
                .peers
                .iter()
                .enumerate()
                .map(|(peer, name)| OutputCell {
                    peer: name,
                    minimum: Measure::Minimum.of(&row.cells[peer]),
                    median: Measure::Median.of(&row.cells[peer]),
                    ratio_of_minima: results.ratio(row, peer, Measure::Minimum),
                    cell: &row.cells[peer],
                })
                .collect(),
        }
    });
    let means = results
        .peers
        .iter()
        .enumerate()
        .map(|(peer, name)| OutputMean {
            peer: name,
            minimum: results.mean(peer, Measure::Minimum, |_| true),
            median: results.mean(peer, Measure::Median, |_| true),
            peak_rss: results.mean(peer, Measure::PeakRss, |_| true),
            highest_peak_rss_kib: results.peak_rss_kib(peer),
        });
    Output {
        processor: processor(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        libraries,
        repetitions,
        effort,
        baseline: &results.peers[results.baseline],
        rows: rows.collect(),
        means: means.collect(),
    }
}

/// The processor's name, as far as the system tells it.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}
