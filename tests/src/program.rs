//! The machine's programs, and what the tests do about those that it does not have.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a program that not every machine has is there. Says so when it is not.
///
/// # Panics
///
/// When it is not, and `TESTS_REQUIRE` lists it.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !found {
        may_be_missing(program);
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Asserts that `TESTS_REQUIRE` does not list what is missing.
pub(crate) fn may_be_missing(name: &str) {
    let required = env::var("TESTS_REQUIRE").unwrap_or_default();
    let is_required = required
        .split_ascii_whitespace()
        .any(|listed| listed == name);
    assert!(!is_required, "{name} is not installed, and is required");
}

/// The directory of the scripts.
#[must_use]
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// The interpreter, with `scripts/NAME` to run.
#[must_use]
pub fn script(interpreter: &str, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(scripts().join(name));
    command
}
