//! Builds the release and finds the files that cargo made.

use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package of the workspace that makes one file to ship.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// Its directory in the workspace.
    pub(crate) directory: &'static str,
    pub(crate) kind: Kind,
}

/// What a package makes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Executable,
    SharedLibrary,
    StaticLibrary,
}

/// Makes `allot`.
pub(crate) const COMMAND: Package = Package {
    name: "allotment",
    directory: "std-shim",
    kind: Kind::Executable,
};

/// Makes `liballotment_malloc.so`.
pub(crate) const PRELOAD_LIBRARY: Package = Package {
    name: "allotment-malloc",
    directory: "std-shim/abi/malloc",
    kind: Kind::SharedLibrary,
};

/// Builds a package in the release profile. Cargo itself says where the file is, so any target
/// directory and any configured target will do.
///
/// One build for each package: together they would share their features, and the libraries would
/// carry what only the command needs.
pub(crate) fn build(workspace: &Path, package: &Package) -> Result<PathBuf, String> {
    produced(&messages(workspace, package.name)?, package)
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

/// The file of a package among cargo's messages.
fn produced(messages: &str, package: &Package) -> Result<PathBuf, String> {
    let of_package = |message: &Value| {
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        message["reason"] == "compiler-artifact"
            && Path::new(manifest)
                .parent()
                .is_some_and(|path| path.ends_with(package.directory))
    };
    let library = |message: &Value, extension: &str| {
        let names = message["filenames"].as_array()?.iter();
        names
            .filter_map(Value::as_str)
            .map(PathBuf::from)
            .find(|path| path.extension().is_some_and(|end| end == extension))
    };
    let file = |message: Value| match package.kind {
        Kind::Executable => message["executable"].as_str().map(PathBuf::from),
        Kind::SharedLibrary => library(&message, "so"),
        Kind::StaticLibrary => library(&message, "a"),
    };
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(of_package)
        .find_map(file)
        .ok_or_else(|| format!("cargo built no file to ship from {}", package.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","manifest_path":"/w/std-shim/Cargo.toml","executable":null,"filenames":["/t/liballotment.rlib"]}
{"reason":"compiler-artifact","manifest_path":"/w/std-shim/abi/malloc/Cargo.toml","executable":null,"filenames":["/t/liballotment_malloc.so"]}
{"reason":"compiler-artifact","manifest_path":"/w/std-shim/abi/libpmem/Cargo.toml","executable":null,"filenames":["/t/liballotment_libpmem.a"]}
{"reason":"compiler-artifact","manifest_path":"/w/std-shim/Cargo.toml","executable":"/t/allot","filenames":["/t/allot"]}
{"reason":"build-finished","success":true}"#;

    #[test]
    fn files_are_told_apart_by_their_package() {
        let file = |package| produced(MESSAGES, package).unwrap();
        assert_eq!(file(&COMMAND), Path::new("/t/allot"));
        assert_eq!(
            file(&PRELOAD_LIBRARY),
            Path::new("/t/liballotment_malloc.so")
        );
        let libpmem = &crate::libraries::LIBRARIES[0].package;
        assert_eq!(file(libpmem), Path::new("/t/liballotment_libpmem.a"));
    }

    #[test]
    fn nothing_built_is_an_error() {
        assert!(produced(r#"{"reason":"build-finished","success":true}"#, &COMMAND).is_err());
    }
}
