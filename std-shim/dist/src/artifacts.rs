//! Builds the release and finds the files that cargo made.

use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the release consists of.
pub(crate) struct Artifacts {
    /// The executable `allot`.
    pub(crate) command: PathBuf,
    /// `liballotment_malloc.so`.
    pub(crate) library: PathBuf,
}

/// Builds in the release profile. Cargo itself says where the files are, so any target directory
/// and any configured target will do.
pub(crate) fn build(workspace: &Path) -> Result<Artifacts, String> {
    let packages = ["allotment", "allotment-malloc"];
    // One build for each: together they would share their features, and the library would carry
    // what only the command needs.
    let [command, library] = packages
        .map(|package| messages(workspace, package).and_then(|text| produced(&text, package)));
    Ok(Artifacts {
        command: command?,
        library: library?,
    })
}

fn messages(workspace: &Path, package: &str) -> Result<String, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--release", "--package", package])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("building {package} failed: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("cargo's answer: {error}"))
}

/// The executable, else the shared library, of `package` among cargo's messages.
fn produced(messages: &str, package: &str) -> Result<PathBuf, String> {
    let of_package = |message: &Value| {
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        let directory = if package == "allotment" {
            "std-shim"
        } else {
            "std-shim/abi/malloc"
        };
        message["reason"] == "compiler-artifact"
            && Path::new(manifest)
                .parent()
                .is_some_and(|path| path.ends_with(directory))
    };
    let file = |message: Value| {
        if let Some(executable) = message["executable"].as_str() {
            return Some(PathBuf::from(executable));
        }
        let names = message["filenames"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str);
        names
            .map(PathBuf::from)
            .find(|path| path.extension().is_some_and(|end| end == "so"))
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(of_package)
        .find_map(file)
        .ok_or_else(|| format!("cargo built no file to ship from {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","manifest_path":"/w/std-shim/Cargo.toml","executable":null,"filenames":["/t/liballotment.rlib"]}
{"reason":"compiler-artifact","manifest_path":"/w/std-shim/abi/malloc/Cargo.toml","executable":null,"filenames":["/t/liballotment_malloc.so"]}
{"reason":"compiler-artifact","manifest_path":"/w/std-shim/Cargo.toml","executable":"/t/allot","filenames":["/t/allot"]}
{"reason":"build-finished","success":true}"#;

    #[test]
    fn files_are_told_apart_by_their_package() {
        assert_eq!(
            produced(MESSAGES, "allotment").unwrap(),
            Path::new("/t/allot")
        );
        let library = produced(MESSAGES, "allotment-malloc").unwrap();
        assert_eq!(library, Path::new("/t/liballotment_malloc.so"));
    }

    #[test]
    fn nothing_built_is_an_error() {
        assert!(produced(r#"{"reason":"build-finished","success":true}"#, "allotment").is_err());
    }
}
