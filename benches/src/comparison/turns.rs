//! The order of the measurements: in turns, so that what disturbs the machine for a while disturbs all peers.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use super::results::Results;
#[cfg(target_os = "linux")]
use crate::preload::task::Measurement;

/// What one process has shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// CPU time for each row that the job fills, in the units of their sections.
    pub times: Vec<f64>,
    /// The most memory that was resident, in KiB.
    pub peak_rss_kib: f64,
}

impl Sample {
    /// What a driver process has answered.
    #[cfg(target_os = "linux")]
    pub fn of(rows: &[Measurement], peak_rss_kib: u64) -> Self {
        Self {
            times: rows.iter().map(|row| row.per_operation()).collect(),
            peak_rss_kib: peak_rss_kib as f64,
        }
    }
}

/// One turn: a job is run on a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The job's number.
    pub job: usize,
    /// The peer's number.
    pub peer: usize,
    /// Which repetition it is, from 0.
    pub repetition: u32,
}

/// Runs each of the jobs, of which each has a name and the rows that it fills, on each of the peers, `repetitions`
/// times, through `run`, and puts the samples into the rows.
pub fn take(
    results: &mut Results,
    jobs: &[(String, Vec<usize>)],
    repetitions: u32,
    mut run: impl FnMut(Turn) -> Result<Sample, String>,
) {
    let start = Instant::now();
    let peers = results.peers.len();
    for repetition in 0..repetitions {
        if !io::stderr().is_terminal() {
            eprintln!("repetition {} of {repetitions}", repetition + 1);
        }
        for (job, (name, rows)) in jobs.iter().enumerate() {
            progress(&format!(
                "repetition {} of {repetitions}, {name} ({} of {})",
                repetition + 1,
                job + 1,
                jobs.len()
            ));
            for turn in 0..peers {
                // Each repetition and each job begins with another peer.
                let peer = (turn + repetition as usize + job) % peers;
                let outcome = run(Turn {
                    job,
                    peer,
                    repetition,
                });
                for (place, &row) in rows.iter().enumerate() {
                    let cell = &mut results.rows[row].cells[peer];
                    match &outcome {
                        Ok(sample) => {
                            cell.samples.push(sample.times[place]);
                            cell.peak_rss_kib.push(sample.peak_rss_kib);
                        }
                        Err(error) => cell.errors.push(error.clone()),
                    }
                }
            }
        }
    }
    progress("");
    println!(
        "\n{} measurements in {:.0} s",
        repetitions as usize * jobs.len() * peers,
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

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_a_failure_leaves_its_message() {
        let mut results = results();
        let jobs = [("one".to_owned(), vec![0]), ("other".to_owned(), vec![1])];
        let before = results.rows[1].cells[0].samples.len();
        let mut first = Vec::new();
        take(&mut results, &jobs, 2, |turn| {
            if !first.contains(&(turn.job, turn.repetition, turn.peer)) {
                first.push((turn.job, turn.repetition, turn.peer));
            }
            if turn.peer == 2 {
                return Err("broken".to_owned());
            }
            Ok(Sample {
                times: vec![1.5],
                peak_rss_kib: 7.0,
            })
        });
        assert_eq!(first.len(), 12);
        assert_ne!(first[0].2, first[6].2);
        let row = &results.rows[1];
        assert_eq!(row.cells[0].samples.len(), before + 2);
        assert_eq!(row.cells[2].errors, ["broken", "broken"]);
    }
}
