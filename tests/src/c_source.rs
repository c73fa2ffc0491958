//! Compiles the C and C++ programs under `c/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::process;

/// Flags of every build. The programs do on purpose what compilers warn of, and what
/// they may leave out when they know malloc's meaning.
const FLAGS: [&str; 6] = ["-O1", "-g", "-w", "-pthread", "-fno-builtin", "-fno-lto"];

/// The directory of the sources.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c")
}

/// Compiles `c/NAME` (`.c` or `.cpp`) and returns the program's path.
///
/// # Panics
///
/// When the compiler is missing or fails.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    compile(name, "", &["-ldl"])
}

/// Compiles `c/NAME` as a shared library and returns its path.
///
/// # Panics
///
/// When the compiler is missing or fails.
#[must_use]
pub fn shared_library(name: &str) -> PathBuf {
    compile(name, ".so", &["-shared", "-fPIC"])
}

fn compile(name: &str, suffix: &str, flags: &[&str]) -> PathBuf {
    let output = build_directory().join(format!("{}{suffix}", name.replace('.', "_")));
    let compiler = if name.ends_with(".cpp") { "c++" } else { "cc" };
    let outcome = process::run(
        Command::new(compiler)
            .args(FLAGS)
            .arg("-o")
            .arg(&output)
            .arg(directory().join(name))
            .args(flags),
    );
    assert!(outcome.status.success(), "{compiler} {name}: {outcome}");
    output
}

/// A directory of each caller's own to compile in: tests that share a source run side by side.
pub(crate) fn build_directory() -> PathBuf {
    tempfile::tempdir_in(builds())
        .expect("a directory to compile in")
        .keep()
}

/// What all builds of this test program lie in. It goes at the program's end.
fn builds() -> &'static Path {
    static BUILDS: OnceLock<TempDir> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(builds) = BUILDS.get() {
            let _ = std::fs::remove_dir_all(builds.path());
        }
    }
    BUILDS
        .get_or_init(|| {
            // SAFETY: `remove` touches only BUILDS, which is never dropped, and cannot unwind
            // into C: everything in it returns errors.
            unsafe { libc::atexit(remove) };
            tempfile::tempdir().expect("a temporary directory")
        })
        .path()
}
