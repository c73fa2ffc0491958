//! Results for machines.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Serialize;

/// The folder for what benches write: `bench` in cargo's target directory. Makes it if need be.
///
/// # Errors
/// What the file system reports.
pub fn directory() -> io::Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
        PathBuf::from,
    );
    let directory = target.join("bench");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Writes `value` as JSON to `bench/NAME` in cargo's target directory, and returns the path.
///
/// # Errors
/// What the file system reports.
pub fn write_json(name: &str, value: &impl Serialize) -> io::Result<PathBuf> {
    let path = directory()?.join(name);
    write_json_to(&path, value)?;
    Ok(path)
}

/// Writes `value` as JSON to `path`.
///
/// # Errors
/// What the file system reports.
pub fn write_json_to(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text)
}
