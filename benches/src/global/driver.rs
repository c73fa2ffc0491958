//! What each of the programs does: the workload that its argument names, on its own global allocator.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use super::adapter::Global;
use crate::preload::driver::{find, measure_simple, peak_rss_kib};
use crate::preload::task::{Answer, Task};

/// The `main` of each of the programs. Its only argument is a task as JSON; it prints the answer as JSON.
pub fn main() -> ExitCode {
    match answer() {
        Ok(answer) => {
            println!("{answer}");
            // SAFETY: the other threads have ended, and standard output, which is written line by line, holds nothing
            // back. What allocators do at the end of a process is not measured.
            unsafe { libc::_exit(0) }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer() -> Result<String, String> {
    let mut arguments = env::args().skip(1);
    let (Some(task), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: PROGRAM TASK (the bench `global` runs this)".to_owned());
    };
    let task = serde_json::from_str(&task).map_err(|error| format!("not a task: {error}"))?;
    let answer = run(&task)?;
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

/// Does the task in this process.
///
/// # Errors
/// When the task makes no sense.
pub fn run(task: &Task) -> Result<Answer, String> {
    let workload = find(&task.workload, task.threads)?;
    if workload.is_classic() {
        return Err(format!("{} is for malloc and free of C", workload.name));
    }
    let library: io::Result<PathBuf> = env::current_exe();
    Ok(Answer {
        library: library.map_err(|error| error.to_string())?,
        rows: measure_simple(Global, &workload, task.threads, task.effort),
        peak_rss_kib: peak_rss_kib()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preload::task::Effort;

    #[test]
    fn workloads_run_with_sizes() {
        for (name, threads) in [
            ("pair-16", 1),
            ("rand-1k", 1),
            ("churn-16k", 2),
            ("calloc-1k", 1),
            ("align4k-100", 1),
            ("regrow-64k", 1),
            ("xfree-1k", 2),
        ] {
            let task = Task {
                workload: name.to_owned(),
                threads,
                effort: Effort {
                    warm_up_ms: 0,
                    measured_ms: 0,
                    seed: 1,
                },
                library: None,
            };
            let answer = run(&task).unwrap();
            assert!(answer.rows.iter().all(|row| row.operations > 0), "{name}");
        }
    }

    #[test]
    fn classic_workloads_are_refused() {
        let task = Task {
            workload: "classic-sh6".to_owned(),
            threads: 1,
            effort: Effort {
                warm_up_ms: 0,
                measured_ms: 0,
                seed: 1,
            },
            library: None,
        };
        assert!(run(&task).unwrap_err().contains("classic-sh6"));
    }
}
