//! The command line, the tables and the check against the budget.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use allotment_benches::budget;
use allotment_benches::operation::Op;
use allotment_benches::peer::Peer;
use allotment_benches::peers::{self, Allotment, AllotmentUnsized, Visitor};
use allotment_benches::report;
use allotment_benches::source_lines::source_lines;
use allotment_benches::stepper::{self, Counted, Outcome, Watch};
use allotment_benches::table::Table;
use allotment_benches::trace::{self, Trace};
use clap::Parser;
use serde::Serialize;

/// Instructions per operation of each allocator, exactly, by single-stepping.
#[derive(Parser)]
struct Arguments {
    /// Steps through ours only, and fails if an operation exceeds its limit.
    #[arg(long)]
    check: bool,
    /// Steps through ours only, and shows where the worst operations spend their instructions.
    #[arg(long, conflicts_with = "check")]
    worst: bool,
    /// Only traces with one of these letters.
    #[arg(long, default_value = "ABCDEF")]
    traces: String,
    /// Only peers whose name contains this.
    #[arg(long, default_value = "")]
    peer: String,
    /// The seed of the traces.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps through at most about this many instructions of a peer per trace; what would come after is not counted.
    /// Ours is always counted whole.
    #[arg(long, default_value_t = 250_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The names of our own rows.
const OURS: [&str; 2] = [Allotment::NAME, AllotmentUnsized::NAME];

/// A peer, its type forgotten.
struct Runner {
    name: &'static str,
    count: fn(&Trace, u64, Option<Watch<'_>>) -> io::Result<Vec<Counted>>,
}

#[derive(Default)]
struct Runners(Vec<Runner>);

impl Visitor for Runners {
    fn visit<P: Peer>(&mut self) {
        self.0.push(Runner {
            name: P::NAME,
            count: stepper::count::<P>,
        });
    }
}

/// What the operations of one kind took.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    operations: usize,
    max: Option<u32>,
    mean: Option<f64>,
    /// The position of the worst in the trace.
    worst: Option<usize>,
}

impl Summary {
    fn of<'a>(counted: impl Iterator<Item = &'a Counted>) -> Self {
        let mut summary = Self::default();
        let mut sum = 0;
        for counted in counted {
            summary.operations += 1;
            sum += u64::from(counted.instructions);
            if summary.max.is_none_or(|max| counted.instructions > max) {
                summary.max = Some(counted.instructions);
                summary.worst = Some(counted.position);
            }
        }
        summary.mean = (summary.operations > 0).then(|| sum as f64 / summary.operations as f64);
        summary
    }
}

/// One peer's counts on one trace.
#[derive(Debug, Serialize)]
struct Row {
    peer: &'static str,
    trace: char,
    /// Allocations, failed ones too.
    allocate: Summary,
    /// Those of the allocations that failed.
    allocate_failed: Summary,
    free: Summary,
    /// Reallocations that left the block where it was; the others copy, and are not bounded.
    reallocate_in_place: Summary,
    /// The mean of an allocation and of a free together.
    pair_mean: Option<f64>,
    /// Whether the limit ended the counting before the trace did.
    cut_short: bool,
}

impl Row {
    fn new(peer: &'static str, trace: &Trace, counted: &[Counted], limit: u64) -> Self {
        let of = |wanted: fn(Op, Outcome) -> bool| {
            Summary::of(
                counted
                    .iter()
                    .filter(|one| wanted(trace.counted[one.position], one.outcome)),
            )
        };
        let allocate = of(|op, _| matches!(op, Op::Allocate { .. }));
        let free = of(|op, _| matches!(op, Op::Free { .. }));
        let total: u64 = counted
            .iter()
            .map(|counted| u64::from(counted.instructions))
            .sum();
        Self {
            peer,
            trace: trace.letter,
            allocate_failed: of(|op, outcome| {
                matches!(op, Op::Allocate { .. }) && outcome == Outcome::NoRoom
            }),
            reallocate_in_place: of(|op, outcome| {
                matches!(op, Op::Reallocate { .. }) && outcome == Outcome::InPlace
            }),
            pair_mean: allocate
                .mean
                .zip(free.mean)
                .map(|(allocate, free)| allocate + free),
            cut_short: total >= limit,
            allocate,
            free,
        }
    }

    fn cells(&self) -> Vec<String> {
        let max = |summary: &Summary| {
            summary
                .max
                .map_or_else(|| "-".to_owned(), |max| max.to_string())
        };
        let mean =
            |mean: Option<f64>| mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1}"));
        vec![
            self.peer.to_owned(),
            format!("{}{}", self.trace, if self.cut_short { "*" } else { "" }),
            max(&self.allocate),
            mean(self.allocate.mean),
            max(&self.free),
            mean(self.free.mean),
            mean(self.pair_mean),
            max(&self.allocate_failed),
            max(&self.reallocate_in_place),
        ]
    }
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut runners = Runners::default();
    peers::visit_all(&mut runners);
    let mut runners = runners.0;
    if arguments.check || arguments.worst {
        runners.retain(|runner| OURS.contains(&runner.name));
    }
    runners.retain(|runner| runner.name.contains(&arguments.peer));
    let mut traces = trace::traces(arguments.seed);
    traces.retain(|trace| arguments.traces.to_ascii_uppercase().contains(trace.letter));
    if traces.is_empty() || runners.is_empty() {
        eprintln!("no trace, or no peer, is left to step through");
        return ExitCode::FAILURE;
    }
    let result = if arguments.worst {
        show_worst(&runners, &traces)
    } else {
        tabulate(&runners, &traces, &arguments)
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Steps through everything and prints one row per peer and trace, and the worst and mean of each peer.
fn tabulate(runners: &[Runner], traces: &[Trace], arguments: &Arguments) -> io::Result<ExitCode> {
    println!(
        "Instructions per operation, from the first of the call up to and including its return.\n"
    );
    for trace in traces {
        println!(
            "  {}  {} ({} operations)",
            trace.letter,
            trace.description,
            trace.counted.len()
        );
    }
    println!("  *  cut short after {} instructions\n", arguments.limit);
    let headings = [
        "peer",
        "trace",
        "allocate max",
        "mean",
        "free max",
        "mean",
        "pair mean",
        "failed allocate max",
        "realloc in place max",
    ];
    let table = Table::new(20, &headings);
    let mut rows = Vec::new();
    for runner in runners {
        for trace in traces {
            let limit = if arguments.check {
                u64::MAX
            } else {
                arguments.limit
            };
            let counted = (runner.count)(trace, limit, None).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", runner.name))
            })?;
            let row = Row::new(runner.name, trace, &counted, limit);
            table.row(&row.cells());
            rows.push(row);
        }
        table.rule();
    }
    println!("Worst over the traces:\n");
    let worst = Table::new(20, &["peer", "allocate", "free", "pair mean of A"]);
    for runner in runners {
        let mine = || rows.iter().filter(|row| row.peer == runner.name);
        let max = |value: fn(&Row) -> Option<u32>| mine().filter_map(value).max();
        let cell = |max: Option<u32>| max.map_or_else(|| "-".to_owned(), |max| max.to_string());
        let pair = mine()
            .find(|row| row.trace == 'A')
            .and_then(|row| row.pair_mean);
        worst.row(&[
            runner.name.to_owned(),
            cell(max(|row| row.allocate.max)),
            cell(max(|row| row.free.max)),
            pair.map_or_else(|| "-".to_owned(), |pair| format!("{pair:.1}")),
        ]);
    }
    let path = report::write_json("instructions.json", &rows)?;
    println!("\nAll numbers: {}", path.display());
    Ok(if arguments.check {
        check(&rows)
    } else {
        ExitCode::SUCCESS
    })
}

/// Holds our rows against the limits, and says how far the aims are.
fn check(rows: &[Row]) -> ExitCode {
    let mut broken = 0;
    for row in rows {
        let limit = budget::limit_of(row.trace);
        let figures = [
            (
                "allocate",
                row.allocate.max.map(f64::from),
                f64::from(limit.allocate),
            ),
            ("free", row.free.max.map(f64::from), f64::from(limit.free)),
            ("mean pair", row.pair_mean, limit.pair),
        ];
        for (what, value, most) in figures {
            if let Some(value) = value.filter(|&value| value > most) {
                broken += 1;
                eprintln!(
                    "over the limit: {}, trace {}: {what} {value:.1}, at most {most}",
                    row.peer, row.trace
                );
            }
        }
    }
    println!(
        "Aims: allocate at most {}, free at most {}, mean pair at most {}.",
        budget::ALLOCATE_AIM,
        budget::FREE_AIM,
        budget::PAIR_AIM
    );
    if broken > 0 {
        return ExitCode::FAILURE;
    }
    println!("Within the limits of every trace.");
    ExitCode::SUCCESS
}

/// The worst operation of a kind over all traces, with the addresses of its instructions.
struct Worst {
    trace: char,
    position: usize,
    op: Op,
    addresses: Vec<usize>,
}

/// Prints, for the worst allocation and the worst free of each of our rows, a histogram over source lines in the order in
/// which they are first reached.
fn show_worst(runners: &[Runner], traces: &[Trace]) -> io::Result<ExitCode> {
    for runner in runners {
        let mut worst: BTreeMap<&str, Worst> = BTreeMap::new();
        for trace in traces {
            let mut watch = |position: usize, addresses: &[usize]| {
                let op = trace.counted[position];
                let kind = match op {
                    Op::Allocate { .. } => "allocate",
                    Op::Free { .. } => "free",
                    Op::Reallocate { .. } => return,
                };
                if worst
                    .get(kind)
                    .is_none_or(|worst| addresses.len() > worst.addresses.len())
                {
                    let addresses = addresses.to_vec();
                    worst.insert(
                        kind,
                        Worst {
                            trace: trace.letter,
                            position,
                            op,
                            addresses,
                        },
                    );
                }
            };
            (runner.count)(trace, u64::MAX, Some(&mut watch))?;
        }
        for (kind, worst) in worst {
            println!(
                "{}: worst {kind}: {} instructions, trace {}, operation {}: {:?}\n",
                runner.name,
                worst.addresses.len(),
                worst.trace,
                worst.position,
                worst.op
            );
            let lines = source_lines(&worst.addresses)?;
            let mut histogram: Vec<(&str, usize)> = Vec::new();
            for line in &lines {
                match histogram.iter_mut().find(|(known, _)| known == line) {
                    Some((_, count)) => *count += 1,
                    None => histogram.push((line, 1)),
                }
            }
            for (line, count) in histogram {
                println!("{count:>6}  {line}");
            }
            println!();
        }
    }
    Ok(ExitCode::SUCCESS)
}
