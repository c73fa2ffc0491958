//! The results for people.

use allotment_benches::preload::results::{Measure, Results, Row};
use allotment_benches::table::Table;

/// No row of ours should take more than this many times as long as the best peer's.
const LIMIT: f64 = 1.25;

/// Prints a table for each number of threads, and the means.
pub(super) fn print(results: &Results) {
    for threads in results.thread_counts() {
        println!(
            "\n{threads} thread{}: nanoseconds of CPU time per operation, and multiples of {}'s",
            if threads == 1 { "" } else { "s" },
            results.peers[results.baseline]
        );
        print_rows(results, threads);
    }
    print_groups(results);
    print_means(results);
    print_errors(results);
}

fn print_rows(results: &Results, threads: u32) {
    let base = format!("{} ns", results.peers[results.baseline]);
    let ours = format!("{} ns", results.peers[results.ours]);
    let mut headings = vec!["row", &base, &ours];
    let columns: Vec<_> = (0..results.peers.len())
        .filter(|&peer| peer != results.baseline)
        .collect();
    headings.extend(columns.iter().map(|&peer| results.peers[peer].as_str()));
    headings.extend(["best peer   ", "ours/best"]);
    let table = Table::new(15, &headings);
    for row in results.rows.iter().filter(|row| row.threads == threads) {
        let nanoseconds = |peer: usize| cell(Measure::Minimum.of(&row.cells[peer]));
        let mut cells = vec![
            row.name.clone(),
            nanoseconds(results.baseline),
            nanoseconds(results.ours),
        ];
        cells.extend(
            columns
                .iter()
                .map(|&peer| cell(results.ratio(row, peer, Measure::Minimum))),
        );
        if let Some(best) = results.best(row) {
            cells.push(results.peers[best.peer].clone());
            cells.push(cell(best.ours_to_best));
        }
        table.row(&cells);
    }
    table.rule();
    for (name, measure) in [
        ("mean", Measure::Minimum),
        ("mean of medians", Measure::Median),
    ] {
        let mut cells = vec![name.to_owned(), String::new(), String::new()];
        cells.extend(
            columns
                .iter()
                .map(|&peer| cell(results.mean(peer, measure, |row| row.threads == threads))),
        );
        table.row(&cells);
    }
}

fn print_groups(results: &Results) {
    println!(
        "\nGeometric means over all rows of a kind, as multiples of {}'s",
        results.peers[results.baseline]
    );
    let mut headings = vec!["rows"];
    headings.extend(results.peers.iter().map(String::as_str));
    let table = Table::new(15, &headings);
    for group in results.groups() {
        let mut cells = vec![group.to_owned()];
        cells
            .extend((0..results.peers.len()).map(|peer| {
                cell(results.mean(peer, Measure::Minimum, |row| row.group() == group))
            }));
        table.row(&cells);
    }
}

fn print_means(results: &Results) {
    println!(
        "\nGeometric means over all rows, as multiples of {}'s",
        results.peers[results.baseline]
    );
    let table = Table::new(
        14,
        &[
            "peer",
            "minimum",
            "median",
            "peak memory",
            "highest peak MiB",
        ],
    );
    let all = |_: &Row| true;
    for (peer, name) in results.peers.iter().enumerate() {
        table.row(&[
            name.clone(),
            cell(results.mean(peer, Measure::Minimum, all)),
            cell(results.mean(peer, Measure::Median, all)),
            cell(results.mean(peer, Measure::PeakRss, all)),
            cell(results.peak_rss_kib(peer).map(|kib| kib / 1024.0)),
        ]);
    }
    let (above, rows) = results.rows_above(LIMIT);
    println!(
        "\nOurs takes more than {LIMIT} times as long as the best peer in {above} of {rows} rows."
    );
}

/// What went wrong, each message once with the rows that it belongs to.
fn print_errors(results: &Results) {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for row in &results.rows {
        for (peer, cell) in row.cells.iter().enumerate() {
            for error in &cell.errors {
                let message = format!("{}: {error}", results.peers[peer]);
                let row = format!("{}/{}", row.name, row.threads);
                match lines.iter_mut().find(|(known, _)| *known == message) {
                    Some((_, rows)) if rows.contains(&row) => {}
                    Some((_, rows)) => rows.push(row),
                    None => lines.push((message, vec![row])),
                }
            }
        }
    }
    for (message, rows) in lines {
        println!("failed: {message} (in {})", rows.join(", "));
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| {
            // Three digits that say something.
            if value < 0.1 {
                format!("{value:.4}")
            } else if value < 100.0 {
                format!("{value:.2}")
            } else {
                format!("{value:.0}")
            }
        },
    )
}
