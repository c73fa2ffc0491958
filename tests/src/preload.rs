//! Runs a program on a pool, and beside it without one.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::backing::{Backing, Place};
use crate::library;
use crate::process::{self, Outcome};

/// A run of a program with our library preloaded.
#[derive(Debug)]
pub struct Preloaded {
    /// How it ended and what it wrote.
    pub outcome: Outcome,
    /// What the library recorded at the end of each process that ended by `exit`:
    /// one JSON object a process.
    pub records: Vec<Value>,
}

impl Preloaded {
    /// Allocations of all processes that left a record.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.records
            .iter()
            .filter_map(|record| record["allocations"].as_u64())
            .sum()
    }

    /// Asserts that the program ended well, said nothing on standard error, and really
    /// took its memory from us.
    ///
    /// # Panics
    ///
    /// Otherwise.
    pub fn expect_success(&self, context: &str) {
        let outcome = &self.outcome;
        assert!(outcome.status.success(), "{context}: {outcome}");
        assert!(
            outcome.stderr.is_empty(),
            "{context}: not silent: {outcome}"
        );
        assert!(
            self.allocations() > 0,
            "{context}: no allocation went to the pool: {outcome}"
        );
    }
}

/// Runs `command` with the library preloaded, its pools on `backing`.
///
/// # Panics
///
/// When the program hangs or does not start, when the pools leave a file behind, or
/// when a record is not JSON.
pub fn run(backing: Backing, command: &mut Command) -> Preloaded {
    run_with(backing, command, &[])
}

/// As [`run`], with more environment, as in `[("ALLOT_SIZE", "16M")]`.
///
/// # Panics
///
/// As [`run`].
pub fn run_with(
    backing: Backing,
    command: &mut Command,
    environment: &[(&str, &str)],
) -> Preloaded {
    let place = backing.place();
    let preloaded = run_at(&place, command, environment);
    let left_over = place.left_over();
    assert!(
        left_over.is_empty(),
        "{command:?} left files behind: {left_over:?}"
    );
    preloaded
}

fn run_at(place: &Place, command: &mut Command, environment: &[(&str, &str)]) -> Preloaded {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let records = directory.path().join("records");
    command
        .env("LD_PRELOAD", library::path())
        .env("ALLOT_STATS_FILE", &records)
        .envs(place.environment())
        .envs(environment.iter().copied());
    let outcome = process::run(command);
    let records = fs::read_to_string(&records).unwrap_or_default();
    let records = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    Preloaded { outcome, records }
}

/// Runs the same command twice, alone and on `backing`, each in a fresh directory that
/// `command` gets, and asserts that nobody can tell the difference: exit code, standard
/// output and standard error are the same.
///
/// # Panics
///
/// When they differ, when the run without us fails, or when fewer than
/// `least_allocations` came to us.
pub fn compare(
    backing: Backing,
    least_allocations: u64,
    command: impl Fn(&Path) -> Command,
) -> Preloaded {
    let alone = with_directory(&command, process::run);
    assert!(alone.status.success(), "without us: {alone}");
    let preloaded = with_directory(&command, |command| run(backing, command));
    let outcome = &preloaded.outcome;
    assert!(
        outcome.status == alone.status,
        "on {backing}: {outcome}\n=== without us\n{alone}"
    );
    same_text("standard output", &alone.stdout, &outcome.stdout, backing);
    same_text("standard error", &alone.stderr, &outcome.stderr, backing);
    let allocations = preloaded.allocations();
    assert!(
        allocations >= least_allocations,
        "on {backing}: only {allocations} allocations came to the pools, not {least_allocations}"
    );
    preloaded
}

/// Runs the command that `command` makes for a fresh directory there, with nothing in its environment but
/// its own variables and the same few for every run.
///
/// # Panics
///
/// When the directory cannot be made.
pub fn with_directory<T>(
    command: impl Fn(&Path) -> Command,
    run: impl FnOnce(&mut Command) -> T,
) -> T {
    let directory: TempDir = tempfile::tempdir().expect("a temporary directory");
    let mut command = command(directory.path());
    let own: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command
        .current_dir(directory.path())
        .env_clear()
        .envs(plain_environment(directory.path()))
        .envs(own);
    run(&mut command)
}

/// The same few variables for every run, so that output depends on nothing else.
fn plain_environment(home: &Path) -> BTreeMap<&'static str, OsString> {
    let mut environment = BTreeMap::from([
        ("HOME", home.as_os_str().to_owned()),
        ("LC_ALL", "C.UTF-8".into()),
        ("TMPDIR", ".".into()),
        ("TZ", "UTC".into()),
    ]);
    environment.extend(env::var_os("PATH").map(|path| ("PATH", path)));
    environment
}

fn same_text(what: &str, alone: &[u8], preloaded: &[u8], backing: Backing) {
    if alone == preloaded {
        return;
    }
    let (alone, preloaded) = (
        String::from_utf8_lossy(alone),
        String::from_utf8_lossy(preloaded),
    );
    let differ = alone
        .lines()
        .zip(preloaded.lines())
        .position(|(left, right)| left != right);
    let line = differ.unwrap_or_else(|| alone.lines().count().min(preloaded.lines().count()));
    panic!(
        "on {backing}: {what} differs at line {}:\nwithout us: {}\nwith us:    {}",
        line + 1,
        alone.lines().nth(line).unwrap_or("(end)"),
        preloaded.lines().nth(line).unwrap_or("(end)"),
    );
}
