//! The results for machines, and the files.

use std::fs;

use serde::Serialize;

use super::options::Options;
use super::plot;
use super::results::{Cell, Measure, Results};
use crate::report;

/// A peer and where it comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// The name in tables.
    pub name: String,
    /// Where it comes from, with its version if that is known.
    pub origin: String,
}

#[derive(Serialize)]
struct Output<'a, E> {
    processor: String,
    kernel: String,
    peers: &'a [Origin],
    quantity: &'a str,
    repetitions: u32,
    effort: E,
    baseline: &'a str,
    rows: Vec<OutputRow<'a>>,
    means: Vec<OutputMean<'a>>,
}

#[derive(Serialize)]
struct OutputRow<'a> {
    row: &'a str,
    section: &'a str,
    unit: &'a str,
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
    ratio_of_medians: Option<f64>,
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

/// Writes the results to the files `NAME.json` and `NAME.svg`, or to those that the command line names, and prints
/// where they are. `effort` says how each sample was taken.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    name: &str,
    options: &Options,
    results: &Results,
    peers: &[Origin],
    repetitions: u32,
    effort: impl Serialize,
) -> Result<(), String> {
    let directory = report::directory().map_err(|error| error.to_string())?;
    let path = |wanted: &Option<_>, ending: &str| {
        wanted
            .clone()
            .unwrap_or_else(|| directory.join(format!("{name}.{ending}")))
    };
    let json = path(&options.json, "json");
    let svg = path(&options.svg, "svg");
    report::write_json_to(&json, &output(results, peers, repetitions, effort))
        .map_err(|error| format!("{}: {error}", json.display()))?;
    fs::write(&svg, plot::draw(results)).map_err(|error| format!("{}: {error}", svg.display()))?;
    println!(
        "\nAll numbers: {}\nThe ratios: {}",
        json.display(),
        svg.display()
    );
    Ok(())
}

fn output<'a, E>(
    results: &'a Results,
    peers: &'a [Origin],
    repetitions: u32,
    effort: E,
) -> Output<'a, E> {
    let rows = results.rows.iter().map(|row| {
        let best = results.best(row);
        let cells = results.peers.iter().zip(&row.cells).enumerate();
        OutputRow {
            row: &row.name,
            section: &row.section,
            unit: row.unit,
            best_peer: best.as_ref().map(|best| results.peers[best.peer].as_str()),
            ours_to_best: best.and_then(|best| best.ours_to_best),
            peers: cells
                .map(|(peer, (name, cell))| OutputCell {
                    peer: name,
                    minimum: Measure::Minimum.of(cell),
                    median: Measure::Median.of(cell),
                    ratio_of_minima: results.ratio(row, peer, Measure::Minimum),
                    ratio_of_medians: results.ratio(row, peer, Measure::Median),
                    cell,
                })
                .collect(),
        }
    });
    let means = results.peers.iter().enumerate().map(|(peer, name)| {
        let mean = |measure| results.mean(peer, measure, |_| true);
        OutputMean {
            peer: name,
            minimum: mean(Measure::Minimum),
            median: mean(Measure::Median),
            peak_rss: mean(Measure::PeakRss),
            highest_peak_rss_kib: results.peak_rss_kib(peer),
        }
    });
    Output {
        processor: processor(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        peers,
        quantity: results.quantity,
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

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn the_output_has_every_sample_and_every_mean() {
        let results = results();
        let value = serde_json::to_value(output(&results, &[], 3, ())).unwrap();
        assert_eq!(value["baseline"], "base");
        assert_eq!(value["rows"][0]["section"], "1 thread");
        assert_eq!(value["rows"][0]["unit"], "ns");
        assert_eq!(value["rows"][0]["best_peer"], "other");
        assert_eq!(value["rows"][0]["peers"][0]["samples"][2], 9.0);
        assert_eq!(value["means"].as_array().unwrap().len(), 3);
    }
}
