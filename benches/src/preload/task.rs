//! What the bench asks a driver process for, and its answer: one line of JSON each.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One measurement: the only argument of a driver process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The name of the workload.
    pub workload: String,
    /// How many threads run it at once.
    pub threads: u32,
    /// How long, and from which random numbers.
    pub effort: Effort,
    /// The library that `malloc` must come from; nothing for that of the C library.
    pub library: Option<PathBuf>,
}

/// How long a measurement lasts, in CPU time of each thread. At least eight rounds warm up and three are measured, however
/// long they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// The part before the clock starts, in milliseconds.
    pub warm_up_ms: u64,
    /// The measured part, in milliseconds.
    pub measured_ms: u64,
    /// The seed of the workload's random numbers.
    pub seed: u64,
}

impl Effort {
    /// Whether a warm-up of `rounds` rounds and `time` is enough.
    pub fn is_warm(self, rounds: u64, time: Duration) -> bool {
        // Blocks that come back from another thread may take some rounds until they are used again.
        rounds >= 8 && time >= Duration::from_millis(self.warm_up_ms)
    }

    /// Whether `rounds` rounds that took `time` are enough for a measurement.
    pub fn is_measured(self, rounds: u64, time: Duration) -> bool {
        rounds >= 3 && time >= Duration::from_millis(self.measured_ms)
    }
}

/// The answer of a driver process that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The library that all of the malloc family came from.
    pub library: PathBuf,
    /// One measurement for each row of the workload, in the order of
    /// [`Workload::rows`](super::workload::Workload::rows).
    pub rows: Vec<Measurement>,
    /// The most memory that the process had resident, in KiB.
    pub peak_rss_kib: u64,
}

/// CPU time over a number of operations, summed over the threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// CPU time in nanoseconds.
    pub nanoseconds: f64,
    /// How many operations took it.
    pub operations: u64,
}

impl Measurement {
    /// `operations` that took `time`.
    pub fn new(time: Duration, operations: u64) -> Self {
        Self {
            nanoseconds: time.as_secs_f64() * 1e9,
            operations,
        }
    }

    /// Both measurements together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds + other.nanoseconds,
            operations: self.operations + other.operations,
        }
    }

    /// Nanoseconds per operation.
    pub fn per_operation(self) -> f64 {
        self.nanoseconds / self.operations as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_add_up_over_threads() {
        let one = Measurement::new(Duration::from_micros(1), 100);
        let other = Measurement::new(Duration::from_micros(3), 100);
        assert_eq!(one.plus(other).per_operation(), 20.0);
    }

    #[test]
    fn neither_time_nor_rounds_alone_are_enough() {
        let effort = Effort {
            warm_up_ms: 10,
            measured_ms: 20,
            seed: 1,
        };
        assert!(!effort.is_warm(7, Duration::from_secs(1)));
        assert!(!effort.is_warm(1000, Duration::from_millis(9)));
        assert!(effort.is_warm(8, Duration::from_millis(10)));
        assert!(!effort.is_measured(2, Duration::from_secs(1)));
        assert!(effort.is_measured(3, Duration::from_millis(20)));
    }
}
