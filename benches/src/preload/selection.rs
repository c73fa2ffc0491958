//! The part of the command line that chooses workloads, and what it means.

use clap::Args;

use super::task::{Effort, Task};
use super::workload::{self, Workload};
use crate::comparison::options::is_called;
use crate::comparison::results::{Cell, Row, threads_section};

const THREADS: [u32; 2] = [1, 2];
const REPETITIONS: u32 = 5;
const MILLISECONDS: u64 = 40;
const SEED: u64 = 1;

/// Which workloads are measured, and for how long.
#[derive(Args, Clone, Debug)]
pub struct Selection {
    /// Only this row, or all rows whose name begins with this and a hyphen; may be repeated
    #[arg(long, value_name = "NAME")]
    pub row: Vec<String>,
    /// How many threads run at once
    #[arg(long, value_name = "N,…", default_values_t = THREADS, value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Vec<u32>,
    /// How often each peer is measured in each row
    #[arg(long, value_name = "N", default_value_t = REPETITIONS, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
    /// How long each measurement lasts, in milliseconds of CPU time of each thread; half as long is warmed up
    #[arg(long, value_name = "MS", default_value_t = MILLISECONDS, value_parser = clap::value_parser!(u64).range(1..))]
    milliseconds: u64,
    /// Two repetitions of 10 milliseconds
    #[arg(long, conflicts_with_all = ["repetitions", "milliseconds"])]
    quick: bool,
    /// The seed of the first repetition; the next takes the next number
    #[arg(long, default_value_t = SEED)]
    pub seed: u64,
}

impl Default for Selection {
    /// What an empty command line means.
    fn default() -> Self {
        Self {
            row: Vec::new(),
            threads: THREADS.to_vec(),
            repetitions: REPETITIONS,
            milliseconds: MILLISECONDS,
            quick: false,
            seed: SEED,
        }
    }
}

/// A workload on a number of threads, and the rows that it fills.
#[derive(Clone, Debug)]
pub struct Job {
    /// The workload.
    pub workload: Workload,
    /// The number of threads.
    pub threads: u32,
    /// The places of its rows in the table.
    pub rows: Vec<usize>,
}

impl Job {
    /// Its name on the way, and its rows.
    pub fn named(&self) -> (String, Vec<usize>) {
        let name = format!("{}/{}", self.workload.name, self.threads);
        (name, self.rows.clone())
    }

    /// What a driver process is asked for in a repetition, but for the library.
    pub fn task(&self, effort: Effort, repetition: u32) -> Task {
        Task {
            workload: self.workload.name.clone(),
            threads: self.threads,
            effort: Effort {
                seed: effort.seed + u64::from(repetition),
                ..effort
            },
            library: None,
        }
    }
}

impl Selection {
    /// How often each peer is measured.
    pub fn repetitions(&self) -> u32 {
        if self.quick { 2 } else { self.repetitions }
    }

    /// How long each measurement lasts.
    pub fn effort(&self) -> Effort {
        let milliseconds = if self.quick { 10 } else { self.milliseconds };
        Effort {
            warm_up_ms: milliseconds.div_ceil(2),
            measured_ms: milliseconds,
            seed: self.seed,
        }
    }

    /// The rows that are wanted of the workloads that `fit`, each with a cell for each of so many peers, and what fills
    /// them.
    ///
    /// # Errors
    /// When there are none: which there would be.
    pub fn plan(
        &self,
        fit: impl Fn(&Workload) -> bool,
        peers: usize,
    ) -> Result<(Vec<Row>, Vec<Job>), String> {
        let workloads: Vec<_> = workload::all().into_iter().filter(fit).collect();
        let wanted =
            |row: &String| self.row.is_empty() || self.row.iter().any(|name| is_called(row, name));
        let (mut rows, mut jobs) = (Vec::new(), Vec::new());
        for &threads in &self.threads {
            for workload in &workloads {
                let names = workload.rows();
                if !workload.runs_on(threads) || !names.iter().any(wanted) {
                    continue;
                }
                let first = rows.len();
                rows.extend(names.into_iter().map(|name| Row {
                    name,
                    section: threads_section(threads),
                    unit: "ns",
                    cells: vec![Cell::default(); peers],
                }));
                jobs.push(Job {
                    workload: workload.clone(),
                    threads,
                    rows: (first..rows.len()).collect(),
                });
            }
        }
        if jobs.is_empty() {
            let names: Vec<_> = workloads.iter().flat_map(Workload::rows).collect();
            return Err(format!(
                "no row on {:?} threads is called {:?}; the rows are {}",
                self.threads,
                self.row,
                names.join(", ")
            ));
        }
        Ok((rows, jobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(row: &[&str], threads: &[u32]) -> Selection {
        Selection {
            row: row.iter().map(|&row| row.to_owned()).collect(),
            threads: threads.to_vec(),
            milliseconds: 5,
            seed: 7,
            ..Selection::default()
        }
    }

    #[test]
    fn rows_are_chosen_by_group_and_threads() {
        let (rows, jobs) = selection(&["xfree-16", "churn"], &[1, 2])
            .plan(|_| true, 3)
            .unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names
                .iter()
                .filter(|name| name.starts_with("churn"))
                .count(),
            6
        );
        // The workload of a row fills its sister, too.
        assert!(names.contains(&"xalloc-16") && rows[0].cells.len() == 3);
        assert_eq!(
            jobs.iter().map(|job| job.rows.len()).sum::<usize>(),
            rows.len()
        );
        let error = selection(&["nothing"], &[1]).plan(|_| true, 1).unwrap_err();
        assert!(error.contains("pair-16"), "{error}");
    }

    #[test]
    fn each_repetition_has_its_seed() {
        let selection = selection(&["pair-16"], &[1]);
        let (_, jobs) = selection.plan(|_| true, 1).unwrap();
        let task = jobs[0].task(selection.effort(), 2);
        assert_eq!((task.effort.seed, task.effort.warm_up_ms), (9, 3));
    }
}
