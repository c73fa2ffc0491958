//! Collects what the library says about each process, and prints it for people or machines.

use crate::complain;
use crate::environment::plain;
use crate::failure::Failure;
use crate::signals;
use crate::supervise::{End, Finished};
use allotment::report::Report;
use allotment::size::Size;
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How the statistics are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// The file that the processes append their records to. It is removed when this is dropped.
pub(crate) struct Collector(NamedTempFile);

impl Collector {
    /// Creates the file.
    ///
    /// # Errors
    /// [`Failure::Own`] if the directory for temporary files does not allow it.
    pub(crate) fn new() -> Result<Self, Failure> {
        let file = tempfile::Builder::new()
            .prefix("allot-")
            .suffix(".jsonl")
            .tempfile();
        file.map(Self).map_err(|error| {
            Failure::Own(format!(
                "cannot create a file for the statistics: {}",
                plain(&error)
            ))
        })
    }

    /// The file's absolute path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Reads the records and removes the file.
    pub(crate) fn collect(self, pid: u32) -> Result<Statistics, Failure> {
        // By its path and not by the open file: the library may have written a new one.
        let text = std::fs::read(self.path()).map_err(|error| {
            Failure::Own(format!("cannot read the statistics: {}", plain(&error)))
        })?;
        Ok(Statistics::parse(&text, pid))
    }
}

/// The records of the program and of the processes that it started.
pub(crate) struct Statistics {
    program: Option<Report<'static>>,
    others: Vec<Report<'static>>,
    unreadable: usize,
}

/// The document that `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    command: Vec<String>,
    pid: u32,
    exit_status: Option<u8>,
    signal: Option<i32>,
    process: Option<&'a Report<'static>>,
    other_processes: &'a [Report<'static>],
}

impl Statistics {
    fn parse(text: &[u8], pid: u32) -> Self {
        let mut statistics = Self {
            program: None,
            others: Vec::new(),
            unreadable: 0,
        };
        for line in text
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice::<Report<'static>>(line) {
                // The last one, should the number have been used twice.
                Ok(record) if record.pid == pid => {
                    statistics.others.extend(statistics.program.replace(record));
                }
                Ok(record) => statistics.others.push(record),
                Err(_) => statistics.unreadable += 1,
            }
        }
        statistics
    }

    /// Prints the statistics of a finished run.
    ///
    /// # Errors
    /// [`Failure::Own`] if the destination cannot be written.
    pub(crate) fn write(
        &self,
        command: &[OsString],
        finished: &Finished,
        format: Format,
        destination: Destination,
    ) -> Result<(), Failure> {
        if self.unreadable > 0 {
            complain(&format!(
                "{} records of processes are unreadable",
                self.unreadable
            ));
        }
        if self.program.is_none() {
            complain(&missing(&command[0], finished));
        }
        let text = match format {
            Format::Table => self.table(),
            Format::Json => self.json(command, finished),
        };
        destination.write(text.as_bytes())
    }

    fn table(&self) -> String {
        let mut text = String::new();
        if let Some(report) = &self.program {
            report
                .write_table(&mut text)
                .expect("a string takes any text");
        }
        text.extend(self.others());
        text
    }

    /// One line on the processes that the program started.
    fn others(&self) -> Option<String> {
        let others = &self.others;
        let peak = others.iter().map(|report| report.peak_bytes).max()?;
        let allocations: usize = others.iter().map(|report| report.allocations).sum();
        let failures: usize = others.iter().map(|report| report.failures).sum();
        Some(format!(
            "allotment: {} other process{}: {allocations} allocations, {failures} failures, \
             highest peak {}\n",
            others.len(),
            if others.len() == 1 { "" } else { "es" },
            Size(peak)
        ))
    }

    fn json(&self, command: &[OsString], finished: &Finished) -> String {
        let document = Document {
            command: command
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            pid: finished.pid,
            exit_status: match finished.end {
                End::Exited(status) => Some(status),
                End::Killed(_) => None,
            },
            signal: match finished.end {
                End::Exited(_) => None,
                End::Killed(signal) => Some(signal),
            },
            process: self.program.as_ref(),
            other_processes: &self.others,
        };
        let mut text = serde_json::to_string_pretty(&document).expect("plain data has a JSON form");
        text.push('\n');
        text
    }
}

/// Why there is no record of the program.
fn missing(program: &OsStr, finished: &Finished) -> String {
    let program = program.display();
    let Finished { pid, end } = finished;
    match end {
        End::Killed(signal) => format!(
            "no statistics of {program} (process {pid}): it was killed by {} and could not write them",
            signals::describe(*signal)
        ),
        End::Exited(_) => format!(
            "no statistics of {program} (process {pid}): it ended without running its exit \
             handlers (as _exit does), or the library was not preloaded into it"
        ),
    }
}

/// Where the statistics go.
pub(crate) enum Destination {
    /// Standard error, because standard output is the program's.
    StandardError,
    /// A regular file, which appears when it is complete.
    Whole(NamedTempFile, PathBuf),
    /// A pipe, a terminal, a device.
    Stream(File),
}

impl Destination {
    /// Makes sure, before the program runs, that the statistics can be written to `path`.
    ///
    /// # Errors
    /// [`Failure::Own`] if they cannot.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::StandardError);
        };
        Self::open_file(path).map_err(|error| cannot_write(path, &error))
    }

    fn open_file(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        if path.exists() && !path.is_file() {
            return Ok(Self::Stream(File::options().write(true).open(path)?));
        }
        // A link stays a link.
        let path = path.canonicalize().or_else(|_| std::path::absolute(path))?;
        let file = tempfile::Builder::new()
            .prefix(".allot-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(path.parent().unwrap_or(Path::new("/")))?;
        Ok(Self::Whole(file, path))
    }

    fn write(self, text: &[u8]) -> Result<(), Failure> {
        match self {
            // Nobody is left to tell when standard error is closed.
            Self::StandardError => {
                let _ = io::stderr().lock().write_all(text);
                Ok(())
            }
            Self::Whole(mut file, path) => file
                .write_all(text)
                .and_then(|()| file.persist(&path).map_err(io::Error::from).map(drop))
                .map_err(|error| cannot_write(&path, &error)),
            Self::Stream(mut file) => file
                .write_all(text)
                .map_err(|error| Failure::Own(format!("--output: {}", plain(&error)))),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Own(format!("--output {}: {}", path.display(), plain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use allotment_core::Stats;

    fn record(pid: u32, program: &'static str) -> String {
        let mut line = String::new();
        let report = Report::new(pid, program, "anonymous memory", &Stats::default(), 1);
        report.write_json(&mut line).unwrap();
        line + "\n"
    }

    #[test]
    fn the_program_is_told_from_the_others() {
        let text = record(7, "first") + &record(8, "other") + "half a li\n" + &record(7, "last");
        let statistics = Statistics::parse(text.as_bytes(), 7);
        assert_eq!(statistics.program.as_ref().unwrap().program, "last");
        let others: Vec<_> = statistics
            .others
            .iter()
            .map(|report| &*report.program)
            .collect();
        assert_eq!(others, ["other", "first"]);
        assert_eq!(statistics.unreadable, 1);
        assert!(statistics.table().contains("2 other processes"));
    }

    #[test]
    fn one_process_alone_has_no_line_on_others() {
        let statistics = Statistics::parse(record(7, "only").as_bytes(), 7);
        assert_eq!(statistics.others(), None);
        assert!(!statistics.table().contains("other"));
    }

    #[test]
    fn no_record_is_no_table() {
        let statistics = Statistics::parse(b"", 7);
        assert!(statistics.program.is_none());
        assert_eq!(statistics.table(), "");
    }
}
