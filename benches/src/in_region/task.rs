//! What the bench `region` asks a driver process for, and its answer: one line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fill::Filling;
use crate::preload::task::{Effort, Measurement};

/// One measurement: the only argument of a driver process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The name of the peer.
    pub peer: String,
    /// The peer's library, if it has one.
    pub library: Option<PathBuf>,
    /// The region's length in bytes.
    pub region: usize,
    /// What is done in it.
    pub work: Work,
}

/// What is done in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A workload of the bench `malloc`, for time.
    Workload {
        /// Its name.
        name: String,
        /// How many threads run it at once.
        threads: u32,
        /// How long, and from which random numbers.
        effort: Effort,
    },
    /// The region is filled, emptied and filled again.
    Fill {
        /// The name of the filling.
        name: String,
        /// The seed of its random numbers.
        seed: u64,
    },
}

/// The answer of a driver process that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// One measurement for each row of the workload.
    Rows {
        /// The measurements.
        rows: Vec<Measurement>,
        /// The most memory that the process had resident, in KiB.
        peak_rss_kib: u64,
    },
    /// What the filling has shown.
    Filling(Filling),
}
