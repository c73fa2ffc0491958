//! The results for people.

use super::results::{Measure, Results, Row};
use crate::table::Table;

/// No row of ours should take more than this many times as long as the best peer's.
const LIMIT: f64 = 1.25;

/// How wide the column of the rows' names is.
const FIRST: usize = 20;

/// Prints a table of times for each section, one of the kinds of rows, and the means.
pub fn print(results: &Results) {
    for section in results.sections() {
        print_rows(results, section);
    }
    let groups = results.groups();
    if groups.len() < results.rows.len() {
        print_groups(results, &groups);
    }
    print_means(results, "Geometric means over all rows");
    print_errors(results);
}

/// Prints the means over all rows of the benches `programs` and `malloc` that are in the results.
pub fn print_together(results: &Results) {
    print_means(
        results,
        "Programs and classic workloads together: geometric means over all rows",
    );
}

/// Prints a table of the peaks of resident memory for each section.
pub fn print_memory(results: &Results) {
    for section in results.sections() {
        print_peaks(results, section);
    }
}

fn print_peaks(results: &Results, section: &str) {
    let baseline = &results.peers[results.baseline];
    println!("\n{section}: peak of resident memory, and multiples of {baseline}'s");
    let base = format!("{baseline} MiB");
    let ours = format!("{} MiB", results.peers[results.ours]);
    let mut headings = vec!["row", &base, &ours];
    let columns = columns(results);
    headings.extend(columns.iter().map(|&peer| results.peers[peer].as_str()));
    let table = Table::new(FIRST, &headings);
    for row in results.rows.iter().filter(|row| row.section == section) {
        let mib = |peer: usize| {
            cell(
                Measure::PeakRss
                    .of(&row.cells[peer])
                    .map(|kib| kib / 1024.0),
            )
        };
        let mut cells = vec![row.name.clone(), mib(results.baseline), mib(results.ours)];
        cells.extend(
            columns
                .iter()
                .map(|&peer| cell(results.ratio(row, peer, Measure::PeakRss))),
        );
        table.row(&cells);
    }
    table.rule();
    print_mean(&table, results, "mean", Measure::PeakRss, section);
}

/// The last lines of a section's table.
fn print_mean(table: &Table, results: &Results, name: &str, measure: Measure, section: &str) {
    let mut cells = vec![name.to_owned(), String::new(), String::new()];
    cells.extend(
        columns(results)
            .iter()
            .map(|&peer| cell(results.mean(peer, measure, |row| row.section == section))),
    );
    table.row(&cells);
}

/// The peers that get a column of ratios: the baseline's would be ones.
fn columns(results: &Results) -> Vec<usize> {
    (0..results.peers.len())
        .filter(|&peer| peer != results.baseline)
        .collect()
}

fn print_rows(results: &Results, section: &str) {
    let rows = || results.rows.iter().filter(|row| row.section == section);
    let unit = rows().next().map_or("", |row| row.unit);
    let baseline = &results.peers[results.baseline];
    println!(
        "\n{section}: {} in {unit}, and multiples of {baseline}'s",
        results.quantity
    );
    let base = format!("{baseline} {unit}");
    let ours = format!("{} {unit}", results.peers[results.ours]);
    let mut headings = vec!["row", &base, &ours];
    let columns = columns(results);
    headings.extend(columns.iter().map(|&peer| results.peers[peer].as_str()));
    headings.extend(["best peer   ", "ours/best"]);
    let table = Table::new(FIRST, &headings);
    for row in rows() {
        let time = |peer: usize| cell(Measure::Minimum.of(&row.cells[peer]));
        let mut cells = vec![row.name.clone(), time(results.baseline), time(results.ours)];
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
    print_mean(&table, results, "mean", Measure::Minimum, section);
    print_mean(&table, results, "mean of medians", Measure::Median, section);
}

fn print_groups(results: &Results, groups: &[&str]) {
    println!(
        "\nGeometric means over all rows of a kind, as multiples of {}'s",
        results.peers[results.baseline]
    );
    let mut headings = vec!["rows"];
    headings.extend(results.peers.iter().map(String::as_str));
    let table = Table::new(FIRST, &headings);
    for &group in groups {
        let mut cells = vec![group.to_owned()];
        cells
            .extend((0..results.peers.len()).map(|peer| {
                cell(results.mean(peer, Measure::Minimum, |row| row.group() == group))
            }));
        table.row(&cells);
    }
}

fn print_means(results: &Results, heading: &str) {
    println!(
        "\n{heading}, as multiples of {}'s",
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
                let row = format!("{} ({})", row.name, row.section);
                match lines.iter_mut().find(|(known, _)| *known == message) {
                    Some((_, rows)) if rows.contains(&row) => {}
                    Some((_, rows)) => rows.push(row),
                    None => lines.push((message, vec![row])),
                }
            }
        }
    }
    for (message, rows) in lines {
        println!("failed: {message}: {}", rows.join(", "));
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
