//! What a driver process does with its task.

use super::fill;
use super::peers;
use super::task::{Answer, Task, Work};
use crate::preload::driver::{measure, peak_rss_kib};
use crate::region::Region;

/// Does the task in this process.
///
/// # Errors
/// When the task makes no sense, or when the peer does not take the region.
pub fn run(task: &Task) -> Result<Answer, String> {
    // The workload's pages are touched by the workload: a peer that leaves pages alone is not to pay for them.
    let region = Region::map(task.region).map_err(|error| format!("the region: {error}"))?;
    let peer = peers::find(&task.peer)?;
    // The peer has the region for the rest of this process.
    let start = std::mem::ManuallyDrop::new(region).start();
    // SAFETY: a mapping that nobody else knows and that is never unmapped.
    let family = unsafe { (peer.open)(start, task.region, task.library.as_deref()) }?;
    match &task.work {
        Work::Workload {
            name,
            threads,
            effort,
        } => Ok(Answer::Rows {
            rows: measure(family, name, *threads, *effort)?,
            peak_rss_kib: peak_rss_kib()?,
        }),
        Work::Fill { name, seed } => {
            let sizes = fill::SIZES
                .iter()
                .find(|sizes| sizes.name == name)
                .ok_or_else(|| format!("no filling is called {name:?}"))?;
            Ok(Answer::Filling(fill::run(
                family,
                task.region,
                *sizes,
                *seed,
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preload::task::Effort;

    // One test for all: a process has one region.
    #[test]
    fn ours_works_in_a_region() {
        let mut task = Task {
            peer: "allotment".to_owned(),
            library: None,
            region: 64 << 20,
            work: Work::Workload {
                name: "churn-1k".to_owned(),
                threads: 2,
                effort: Effort {
                    warm_up_ms: 0,
                    measured_ms: 0,
                    seed: 1,
                },
            },
        };
        let Answer::Rows { rows, .. } = run(&task).unwrap() else {
            panic!("a workload is answered with rows");
        };
        assert!(rows[0].operations > 0);
        task.peer = "nobody".to_owned();
        assert!(run(&task).unwrap_err().contains("nobody"));
    }
}
