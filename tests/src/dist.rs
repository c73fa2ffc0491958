//! The release as `cargo xtask dist` lays it out: built once for each test program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::library;

/// The directory with `bin`, `include` and `lib`.
///
/// `ALLOT_DIST` names one that is already there. Otherwise it is made in the target directory that
/// the tests run in, one for each test program, so that those that run side by side do not replace
/// each other's.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| library::given("ALLOT_DIST").unwrap_or_else(build))
}

/// The directory of the libraries.
///
/// # Panics
///
/// As [`directory`].
#[must_use]
pub fn libraries() -> PathBuf {
    directory().join("lib")
}

fn build() -> PathBuf {
    let target = library::target_directory().expect("tests run in a target directory");
    let program = env::current_exe().expect("a test program has a path");
    let name = program.file_stem().expect("a test program has a name");
    let directory = target.join("dist-of-tests").join(name);
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &target)
        .args(["xtask", "dist", "--output"])
        .arg(&directory)
        .stdin(Stdio::null())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo xtask dist failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory
}
