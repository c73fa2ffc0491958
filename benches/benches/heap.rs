//! The time of random workloads, ours beside the peers: `cargo bench -p allotment-benches --bench heap`.

use std::process::ExitCode;
use std::time::Duration;

use allotment_benches::cpu_time::thread_cpu_time;
use allotment_benches::operation::Op;
use allotment_benches::peer::Peer;
use allotment_benches::peers::{self, Visitor};
use allotment_benches::player::{OutOfMemory, Player};
use allotment_benches::region::Region;
use allotment_benches::report;
use allotment_benches::statistics::{geometric_mean, median};
use allotment_benches::table::Table;
use allotment_benches::workload::{REGION_BYTES, Script, WORKLOADS};
use clap::Parser;
use serde::Serialize;

/// Time per operation of each allocator, as ratios to ours.
#[derive(Parser)]
struct Arguments {
    /// How often each peer plays each workload; the median counts.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Operations per workload and round.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..))]
    operations: u32,
    /// Only workloads whose name contains this.
    #[arg(long, default_value = "")]
    workload: String,
    /// Only peers whose name contains this (ours is always there).
    #[arg(long, default_value = "")]
    peer: String,
    /// The seed of the workloads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A round of a peer that takes longer than this is its last on the workload.
const PATIENCE: Duration = Duration::from_secs(1);

/// A peer, its type forgotten.
struct Runner {
    name: &'static str,
    run: fn(&mut Region, &Script) -> Result<Duration, OutOfMemory>,
}

/// Plays a workload on a fresh peer and returns the CPU time of its measured part.
fn run<P: Peer>(region: &mut Region, script: &Script) -> Result<Duration, OutOfMemory> {
    let slots = Op::slots(script.warm_up.iter().chain(&script.measured));
    let mut player = Player::<P>::new(region, slots);
    player.play(&script.warm_up)?;
    let start = thread_cpu_time();
    player.play(&script.measured)?;
    Ok(thread_cpu_time() - start)
}

#[derive(Default)]
struct Runners(Vec<Runner>);

impl Visitor for Runners {
    fn visit<P: Peer>(&mut self) {
        self.0.push(Runner {
            name: P::NAME,
            run: run::<P>,
        });
    }
}

/// One peer's result on one workload.
#[derive(Serialize)]
struct Measured {
    peer: &'static str,
    /// The median over the rounds; nothing if the peer ran out of memory.
    nanoseconds_per_operation: Option<f64>,
    /// How many times our own time it took.
    ratio: Option<f64>,
    rounds: Vec<f64>,
}

#[derive(Serialize)]
struct Row {
    workload: &'static str,
    operations: usize,
    peers: Vec<Measured>,
}

#[derive(Serialize)]
struct Output {
    region_bytes: usize,
    seed: u64,
    workloads: Vec<Row>,
    /// The geometric mean of each peer's ratios.
    means: Vec<(&'static str, Option<f64>)>,
}

/// Plays one workload on every peer, in turns.
fn measure(runners: &[Runner], region: &mut Region, script: &Script, rounds: u32) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); runners.len()];
    let mut done = vec![false; runners.len()];
    for round in 0..rounds as usize {
        for turn in 0..runners.len() {
            // Each round begins with another peer: whoever follows a cache-hungry one changes.
            let peer = (round + turn) % runners.len();
            if done[peer] {
                continue;
            }
            match (runners[peer].run)(region, script) {
                Ok(time) => {
                    times[peer].push(time.as_secs_f64() * 1e9 / script.measured.len() as f64);
                    done[peer] = time > PATIENCE;
                }
                Err(OutOfMemory) => {
                    times[peer].clear();
                    done[peer] = true;
                }
            }
        }
    }
    times
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut runners = Runners::default();
    peers::visit_all(&mut runners);
    let mut runners = runners.0;
    let ours = runners[0].name;
    runners.retain(|runner| runner.name == ours || runner.name.contains(&arguments.peer));
    let workloads: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| workload.name.contains(&arguments.workload))
        .collect();
    if workloads.is_empty() {
        eprintln!("no workload's name contains {:?}", arguments.workload);
        return ExitCode::FAILURE;
    }
    let mut region = match Region::map(REGION_BYTES) {
        Ok(region) => region,
        Err(error) => {
            eprintln!("no region of {REGION_BYTES} bytes: {error}");
            return ExitCode::FAILURE;
        }
    };
    region.populate();

    println!(
        "CPU time per operation: ours in nanoseconds, the peers as multiples of ours (above 1: slower than ours)."
    );
    println!(
        "Region {} MiB, median of {} rounds.\n",
        REGION_BYTES >> 20,
        arguments.rounds
    );
    let mut headings = vec!["workload", "ours ns"];
    headings.extend(runners[1..].iter().map(|runner| runner.name));
    let table = Table::new(18, &headings);

    let mut rows = Vec::new();
    let mut ratios = vec![Vec::new(); runners.len()];
    for workload in workloads {
        let script = workload.script(arguments.operations as usize, arguments.seed);
        let times = measure(&runners, &mut region, &script, arguments.rounds);
        let our_median = median(&times[0]);
        let mut cells = vec![workload.name.to_owned(), cell(our_median)];
        let mut measured = Vec::new();
        for (peer, (runner, rounds)) in runners.iter().zip(times).enumerate() {
            let median = median(&rounds);
            let ratio = median.zip(our_median).map(|(time, ours)| time / ours);
            ratios[peer].extend(ratio);
            if peer > 0 {
                cells.push(cell(ratio));
            }
            measured.push(Measured {
                peer: runner.name,
                nanoseconds_per_operation: median,
                ratio,
                rounds,
            });
        }
        table.row(&cells);
        rows.push(Row {
            workload: workload.name,
            operations: script.measured.len(),
            peers: measured,
        });
    }
    table.rule();
    let means: Vec<_> = runners
        .iter()
        .zip(&ratios)
        .map(|(runner, ratios)| (runner.name, geometric_mean(ratios)))
        .collect();
    let mut cells = vec!["geometric mean".to_owned(), String::new()];
    cells.extend(means[1..].iter().map(|&(_, mean)| cell(mean)));
    table.row(&cells);

    let output = Output {
        region_bytes: REGION_BYTES,
        seed: arguments.seed,
        workloads: rows,
        means,
    };
    match report::write_json("heap.json", &output) {
        Ok(path) => println!("\nAll numbers: {}", path.display()),
        Err(error) => {
            eprintln!("heap.json could not be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
