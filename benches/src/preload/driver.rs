//! What a driver process does with its task.

use std::fs;
use std::path::Path;

use super::family::Family;
use super::task::{Answer, Task};
use super::workload::{self, Pattern};
use super::{handover, local, ring};

/// Does the task in this process, with the allocator that the process has.
///
/// # Errors
/// When the task makes no sense, or when the malloc family is not that of the library which the task names.
pub fn run(task: &Task) -> Result<Answer, String> {
    let workload = workload::all()
        .into_iter()
        .find(|workload| workload.name == task.workload)
        .ok_or_else(|| format!("no workload is called {:?}", task.workload))?;
    if !workload.runs_on(task.threads) {
        return Err(format!(
            "{} does not run on {} threads",
            workload.name, task.threads
        ));
    }
    let family = Family::resolve()?;
    let library = family.library();
    check_library(&library, task.library.as_deref())?;
    let rows = match workload.pattern {
        Pattern::Handover => handover::run(family, workload.size, task.effort).to_vec(),
        Pattern::Ring => vec![ring::run(family, workload.size, task.effort)],
        _ => vec![local::run(family, &workload, task.threads, task.effort)],
    };
    Ok(Answer {
        library,
        rows,
        peak_rss_kib: peak_rss_kib()?,
    })
}

/// `loaded` must be `wanted`; without one, the C library's.
fn check_library(loaded: &Path, wanted: Option<&Path>) -> Result<(), String> {
    let right = match wanted {
        Some(wanted) => match (loaded.canonicalize(), wanted.canonicalize()) {
            (Ok(loaded), Ok(wanted)) => loaded == wanted,
            _ => false,
        },
        None => loaded
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("libc.")),
    };
    if right {
        return Ok(());
    }
    let wanted = wanted.unwrap_or(Path::new("the C library"));
    Err(format!(
        "malloc comes from {}, not from {}",
        loaded.display(),
        wanted.display()
    ))
}

/// The most memory that this process has had resident since it was executed, see
/// [`proc_pid_status(5)`](https://man7.org/linux/man-pages/man5/proc_pid_status.5.html). `getrusage` would not do: it
/// counts in what the parent had when it forked.
fn peak_rss_kib() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("/proc/self/status: {error}"))?;
    parse_peak(&status).ok_or_else(|| "/proc/self/status has no VmHWM".to_owned())
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preload::task::Effort;

    fn task(workload: &str, threads: u32) -> Task {
        Task {
            workload: workload.to_owned(),
            threads,
            effort: Effort {
                warm_up_ms: 0,
                measured_ms: 0,
                seed: 1,
            },
            library: None,
        }
    }

    #[test]
    fn answers_with_a_measurement_for_each_row() {
        assert_eq!(run(&task("pair-16", 1)).unwrap().rows.len(), 1);
        let answer = run(&task("xfree-64k", 2)).unwrap();
        assert_eq!(answer.rows.len(), 2);
        assert!(answer.peak_rss_kib > 0);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        assert!(run(&task("pair-17", 1)).unwrap_err().contains("pair-17"));
        assert!(run(&task("xfree-16", 1)).unwrap_err().contains("1 threads"));
        let mut other = task("pair-16", 1);
        other.library = Some("/nowhere/libother.so".into());
        assert!(run(&other).unwrap_err().contains("/nowhere/libother.so"));
    }

    #[test]
    fn peak_is_read_from_the_status() {
        assert_eq!(
            parse_peak("VmPeak:\t  100 kB\nVmHWM:\t    5824 kB\n"),
            Some(5824)
        );
        assert_eq!(parse_peak("VmPeak:\t  100 kB\n"), None);
    }
}
