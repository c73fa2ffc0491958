//! What a driver process does with its task.

use std::fs;
use std::path::Path;

use super::allocator::Allocator;
use super::family::Family;
use super::task::{Answer, Effort, Measurement, Task};
use super::workload::{self, Pattern, Workload};
use super::{classic, handover, local, ring};

/// Does the task in this process, with the allocator that the process has.
///
/// # Errors
/// When the task makes no sense, or when the malloc family is not that of the library which the task names.
pub fn run(task: &Task) -> Result<Answer, String> {
    let family = Family::resolve()?;
    let library = family.library();
    check_library(&library, task.library.as_deref())?;
    Ok(Answer {
        library,
        rows: measure(family, &task.workload, task.threads, task.effort)?,
        peak_rss_kib: peak_rss_kib()?,
    })
}

/// Runs the workload of this name: one measurement for each of its rows.
///
/// # Errors
/// When there is none, or when it does not run on so many threads.
pub fn measure(
    family: Family,
    name: &str,
    threads: u32,
    effort: Effort,
) -> Result<Vec<Measurement>, String> {
    let workload = find(name, threads)?;
    Ok(match workload.pattern {
        Pattern::Classic(which) => vec![classic::run(family, which, threads, effort)],
        _ => measure_simple(family, &workload, threads, effort),
    })
}

/// Runs a workload that is none of the classic ones: one measurement for each of its rows.
pub fn measure_simple<A: Allocator>(
    allocator: A,
    workload: &Workload,
    threads: u32,
    effort: Effort,
) -> Vec<Measurement> {
    match workload.pattern {
        Pattern::Handover => handover::run(allocator, workload.size, effort).to_vec(),
        Pattern::Ring => vec![ring::run(allocator, workload.size, effort)],
        _ => vec![local::run(allocator, workload, threads, effort)],
    }
}

/// The workload of this name, if it runs on so many threads.
///
/// # Errors
/// When there is none, or when it does not.
pub fn find(name: &str, threads: u32) -> Result<Workload, String> {
    let workload = workload::all()
        .into_iter()
        .find(|workload| workload.name == name)
        .ok_or_else(|| format!("no workload is called {name:?}"))?;
    if !workload.runs_on(threads) {
        return Err(format!("{name} does not run on {threads} threads"));
    }
    Ok(workload)
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
///
/// # Errors
/// When the system does not say.
pub fn peak_rss_kib() -> Result<u64, String> {
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
