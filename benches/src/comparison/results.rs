//! Ratios, means and the best peer of each row.

use serde::Serialize;

use crate::statistics::{geometric_mean, median, minimum};

/// What one peer reached in one row.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// CPU time in the unit of [`Row::unit`], one for each repetition that succeeded.
    pub samples: Vec<f64>,
    /// The most memory that the process had resident in each of them, in KiB.
    pub peak_rss_kib: Vec<f64>,
    /// What went wrong in the others.
    pub errors: Vec<String>,
}

/// One row: what all the peers reached.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name.
    pub name: String,
    /// The heading that it stands under: how many threads ran, or what else the rows of a table have in common.
    pub section: String,
    /// What the samples are counted in: "ns". The same in a section.
    pub unit: &'static str,
    /// In the order of [`Results::peers`].
    pub cells: Vec<Cell>,
}

impl Row {
    /// The name up to its first hyphen: without its size, or what else tells it from others of its kind.
    pub fn group(&self) -> &str {
        self.name
            .split_once('-')
            .map_or(self.name.as_str(), |(group, _)| group)
    }
}

/// The heading of the rows that so many threads ran.
pub fn threads_section(threads: u32) -> String {
    if threads == 1 {
        "1 thread".to_owned()
    } else {
        format!("{threads} threads")
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// What the samples are: "CPU time per operation".
    pub quantity: &'static str,
    /// The names of the peers.
    pub peers: Vec<String>,
    /// Ours among them.
    pub ours: usize,
    /// The one that the others are compared with.
    pub baseline: usize,
    /// The rows, in the order of the table.
    pub rows: Vec<Row>,
}

/// Which number of a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The smallest CPU time of the repetitions: what is left when nothing disturbs.
    Minimum,
    /// The median of the CPU times.
    Median,
    /// The median of the peaks of resident memory.
    PeakRss,
}

impl Measure {
    /// This number of a cell.
    pub fn of(self, cell: &Cell) -> Option<f64> {
        match self {
            Self::Minimum => minimum(&cell.samples),
            Self::Median => median(&cell.samples),
            Self::PeakRss => median(&cell.peak_rss_kib),
        }
    }
}

/// The fastest peer of a row, ours left aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// Which peer.
    pub peer: usize,
    /// Its CPU time.
    pub time: f64,
    /// How many times as long ours takes.
    pub ours_to_best: Option<f64>,
}

impl Results {
    /// These rows and then the other's.
    ///
    /// # Panics
    /// When the peers are not the same.
    #[must_use]
    pub fn and(mut self, other: Results) -> Results {
        assert_eq!(self.peers, other.peers);
        self.rows.extend(other.rows);
        self
    }

    /// A peer's number in a row, as a multiple of the baseline's.
    pub fn ratio(&self, row: &Row, peer: usize, measure: Measure) -> Option<f64> {
        let of = |peer: usize| measure.of(&row.cells[peer]);
        Some(of(peer)? / of(self.baseline)?)
    }

    /// The fastest peer of a row, by the minimum, ours left aside.
    pub fn best(&self, row: &Row) -> Option<Best> {
        let time = |peer: usize| Measure::Minimum.of(&row.cells[peer]);
        let (peer, best) = (0..self.peers.len())
            .filter(|&peer| peer != self.ours)
            .filter_map(|peer| Some((peer, time(peer)?)))
            .min_by(|(_, one), (_, other)| one.total_cmp(other))?;
        Some(Best {
            peer,
            time: best,
            ours_to_best: time(self.ours).map(|ours| ours / best),
        })
    }

    /// The geometric mean of a peer's ratios to the baseline over those rows that `select` names, as far as both have a
    /// number.
    pub fn mean(
        &self,
        peer: usize,
        measure: Measure,
        select: impl Fn(&Row) -> bool,
    ) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| select(row));
        let ratios: Vec<_> = rows
            .filter_map(|row| self.ratio(row, peer, measure))
            .collect();
        geometric_mean(&ratios)
    }

    /// The most memory that a peer had resident in any row, in KiB.
    pub fn peak_rss_kib(&self, peer: usize) -> Option<f64> {
        let peaks = self
            .rows
            .iter()
            .flat_map(|row| &row.cells[peer].peak_rss_kib);
        peaks.copied().max_by(f64::total_cmp)
    }

    /// In how many rows ours takes more than `limit` times as long as the best peer, and in how many both have a
    /// number.
    pub fn rows_above(&self, limit: f64) -> (usize, usize) {
        let ratios: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| self.best(row)?.ours_to_best)
            .collect();
        let above = ratios.iter().filter(|&&ratio| ratio > limit).count();
        (above, ratios.len())
    }

    /// Whether ours has a number everywhere.
    pub fn ours_succeeded(&self) -> bool {
        self.rows
            .iter()
            .all(|row| row.cells[self.ours].errors.is_empty())
    }

    /// The groups that the rows belong to, each once, in the order of the rows.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups = Vec::new();
        for group in self.rows.iter().map(Row::group) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    /// The headings that there are rows under, in the order of the rows.
    pub fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<_> = self.rows.iter().map(|row| row.section.as_str()).collect();
        sections.dedup();
        sections
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn cell(samples: &[f64], peak: f64) -> Cell {
        Cell {
            samples: samples.to_vec(),
            peak_rss_kib: samples.iter().map(|_| peak).collect(),
            errors: Vec::new(),
        }
    }

    /// Three peers, ours first, the baseline second; the third fails in the last row.
    pub(crate) fn results() -> Results {
        let row = |name: &str, threads, cells: [Cell; 3]| Row {
            name: name.to_owned(),
            section: threads_section(threads),
            unit: "ns",
            cells: cells.to_vec(),
        };
        Results {
            quantity: "CPU time per operation",
            peers: ["ours", "base", "other"].map(str::to_owned).to_vec(),
            ours: 0,
            baseline: 1,
            rows: vec![
                row(
                    "pair-16",
                    1,
                    [
                        cell(&[6.0, 5.0, 9.0], 100.0),
                        cell(&[10.0, 11.0], 200.0),
                        cell(&[4.0], 50.0),
                    ],
                ),
                row(
                    "pair-16",
                    2,
                    [cell(&[20.0], 400.0), cell(&[10.0], 100.0), cell(&[], 0.0)],
                ),
            ],
        }
    }

    #[test]
    fn ratios_are_to_the_baseline() {
        let results = results();
        let row = &results.rows[0];
        assert_eq!(results.ratio(row, 0, Measure::Minimum), Some(0.5));
        assert_eq!(results.ratio(row, 0, Measure::Median), Some(6.0 / 10.5));
        assert_eq!(results.ratio(row, 0, Measure::PeakRss), Some(0.5));
        assert_eq!(results.ratio(row, 1, Measure::Minimum), Some(1.0));
        assert_eq!(results.ratio(&results.rows[1], 2, Measure::Minimum), None);
    }

    #[test]
    fn the_best_peer_is_never_ours() {
        let results = results();
        let best = results.best(&results.rows[0]).unwrap();
        assert_eq!((best.peer, best.time), (2, 4.0));
        assert_eq!(best.ours_to_best, Some(1.25));
        let best = results.best(&results.rows[1]).unwrap();
        assert_eq!((best.peer, best.ours_to_best), (1, Some(2.0)));
        assert_eq!(results.rows_above(1.25), (1, 2));
    }

    #[test]
    fn rows_of_two_results_have_a_mean_together() {
        let mut other = results();
        other.rows.truncate(1);
        other.rows[0].name = "glibc-simple-16".to_owned();
        assert_eq!(other.groups(), ["glibc"]);
        let together = results().and(other);
        assert_eq!(together.rows.len(), 3);
        let mean = together.mean(0, Measure::PeakRss, |_| true).unwrap();
        // Of 1/2, 4 and 1/2.
        assert!((mean - 1.0).abs() < 1e-12);
    }

    #[test]
    fn means_leave_out_what_is_missing() {
        let results = results();
        let all = |_: &Row| true;
        assert!((results.mean(0, Measure::Minimum, all).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(results.mean(2, Measure::Minimum, all), Some(0.4));
        assert_eq!(
            results.mean(2, Measure::Minimum, |row| row.section == "2 threads"),
            None
        );
        assert_eq!(results.peak_rss_kib(0), Some(400.0));
        assert_eq!(results.sections(), ["1 thread", "2 threads"]);
        assert_eq!(results.groups(), ["pair"]);
    }
}
