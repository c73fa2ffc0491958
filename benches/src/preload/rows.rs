//! Rows of the bench `malloc`: measured on one shared library after the other.

use std::path::Path;

use super::library::{self, Library};
use super::process;
use super::selection::Job;
use super::task::{Answer, Effort, Task};
use crate::comparison::results::{Results, Row};
use crate::comparison::turns::{self, Sample};

/// Runs the jobs, which fill the rows, on each of the libraries, of which the first is ours. `driver` is the program
/// `malloc-driver`.
pub fn measure(
    driver: &Path,
    libraries: &[Library],
    baseline: usize,
    (rows, jobs): (Vec<Row>, Vec<Job>),
    repetitions: u32,
    effort: Effort,
) -> Results {
    let mut results = Results {
        quantity: "CPU time per operation",
        ours: 0,
        baseline,
        peers: library::names(libraries),
        rows,
    };
    let names: Vec<_> = jobs.iter().map(Job::named).collect();
    turns::take(&mut results, &names, repetitions, |turn| {
        let library = libraries[turn.peer].path.clone();
        let task = Task {
            library: library.clone(),
            ..jobs[turn.job].task(effort, turn.repetition)
        };
        let answer: Answer = process::run(driver, &task, library.as_deref())?;
        Ok(Sample::of(&answer.rows, answer.peak_rss_kib))
    });
    results
}
