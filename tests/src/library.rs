//! The preload library that the tests run on: built once for each test program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The path of `liballotment_malloc.so`.
///
/// `ALLOT_LIBRARY` names one that is already there. Otherwise Cargo builds it, in
/// release mode, into the target directory that the tests run in; Cargo's own lock on
/// that directory keeps test programs that run side by side apart.
///
/// # Panics
///
/// When the library cannot be built.
#[must_use]
pub fn path() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| given("ALLOT_LIBRARY").unwrap_or_else(build))
}

/// What an environment variable names, if it is set: then that must be there.
pub(crate) fn given(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    match path.canonicalize() {
        Ok(path) => Some(path),
        Err(e) => panic!("{variable}={}: {e}", path.display()),
    }
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "--package", "allotment-malloc"])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(target) = target_directory() {
        cargo.arg("--target-dir").arg(target);
    }
    let output = cargo.output().expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo build --release --package allotment-malloc failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = String::from_utf8(output.stdout).expect("Cargo's messages are UTF-8");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "allotment_malloc")
        .find_map(|message| message["filenames"][0].as_str().map(PathBuf::from))
        .expect("Cargo names the library that it built")
}

/// The target directory that this program was built in: Cargo marks it with a file.
pub(crate) fn target_directory() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let marked = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map(Path::to_path_buf)
}
