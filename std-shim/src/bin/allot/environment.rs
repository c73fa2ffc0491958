//! The environment that the program gets: `LD_PRELOAD` and the library's `ALLOT_` variables.

use crate::cli::{BackingArguments, RunArguments};
use crate::failure::Failure;
use crate::{complain, named_file};
use allotment::config::Config;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the library appends one JSON line for each process that ends.
pub(crate) const STATS_FILE: &str = "ALLOT_STATS_FILE";
const STATS: &str = "ALLOT_STATS";
const BACKINGS: [&str; 3] = ["ALLOT_DIR", "ALLOT_FILE", "ALLOT_ANONYMOUS"];

/// Sets the pool that the flags ask for. What no flag mentions is inherited.
///
/// Paths are made absolute, because the program's children may work in another directory.
///
/// # Errors
/// [`Failure::Own`] if the directory or file cannot be what it has to be, [`Failure::Usage`] if an
/// inherited variable makes no sense.
pub(crate) fn set_pool(command: &mut Command, arguments: &RunArguments) -> Result<(), Failure> {
    if let Some((name, value)) = backing(&arguments.backing)? {
        for other in BACKINGS {
            command.env_remove(other);
        }
        command.env(name, value);
    }
    if let Some(size) = arguments.size {
        command.env("ALLOT_SIZE", size.to_string());
    }
    validate(command)
}

/// Refuses what the library would refuse in the program's environment, before the program starts.
fn validate(command: &Command) -> Result<(), Failure> {
    let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
    }
    let entries: Vec<Vec<u8>> = variables
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    Config::from_environment(entries.iter().map(Vec::as_slice))
        .map(drop)
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// Makes the library write its statistics to `file` and nowhere else.
pub(crate) fn set_statistics(command: &mut Command, file: &Path) {
    command.env_remove(STATS).env(STATS_FILE, file);
}

/// Puts the library in front of what is preloaded already.
///
/// # Errors
/// [`Failure::Own`] if the loader could not read the library's path: see [`preload_list`].
pub(crate) fn set_preload(command: &mut Command, library: &Path) -> Result<(), Failure> {
    command.env(
        "LD_PRELOAD",
        preload_list(library, std::env::var_os("LD_PRELOAD"))?,
    );
    Ok(())
}

/// The value of `LD_PRELOAD`. Spaces and colons separate its entries and cannot be quoted
/// (`ld.so(8)`), so the library's path must be free of them.
fn preload_list(library: &Path, inherited: Option<OsString>) -> Result<OsString, Failure> {
    if library
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| matches!(byte, b' ' | b':'))
    {
        return Err(Failure::Own(format!(
            "the dynamic loader cannot preload {}: the path has a space or a colon in it\n\
             copy the library to another directory and set ALLOT_LIBRARY to its path",
            library.display()
        )));
    }
    let mut list = library.as_os_str().to_owned();
    if let Some(inherited) = inherited.filter(|list| !list.is_empty()) {
        let first = inherited
            .as_bytes()
            .split(|byte| matches!(byte, b' ' | b':'))
            .next();
        if first == Some(list.as_bytes()) {
            return Ok(inherited);
        }
        list.push(":");
        list.push(inherited);
    }
    Ok(list)
}

fn backing(arguments: &BackingArguments) -> Result<Option<(&'static str, OsString)>, Failure> {
    if let Some(directory) = &arguments.dir {
        let directory = absolute("--dir", directory)?;
        match directory.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(refused("--dir", &directory, "it is not a directory")),
            Err(error) => return Err(refused("--dir", &directory, &plain(&error))),
        }
        return Ok(Some(("ALLOT_DIR", directory.into_os_string())));
    }
    if let Some(file) = &arguments.file {
        let file = absolute("--file", file)?;
        match named_file::check(&file) {
            Ok(Some(warning)) => complain(&warning),
            Ok(None) => {}
            Err(reason) => return Err(refused("--file", &file, &reason)),
        }
        return Ok(Some(("ALLOT_FILE", file.into_os_string())));
    }
    Ok(arguments
        .anonymous
        .then(|| ("ALLOT_ANONYMOUS", OsStr::new("1").to_owned())))
}

fn absolute(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| refused(flag, path, &plain(&error)))
}

fn refused(flag: &str, path: &Path, reason: &str) -> Failure {
    Failure::Own(format!("{flag} {}: {reason}", path.display()))
}

/// The system's message without Rust's "(os error 2)".
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(library: &str, inherited: Option<&str>) -> Result<OsString, Failure> {
        preload_list(Path::new(library), inherited.map(OsString::from))
    }

    #[test]
    fn the_library_comes_first() {
        assert_eq!(list("/l.so", None).unwrap(), "/l.so");
        assert_eq!(list("/l.so", Some("")).unwrap(), "/l.so");
        assert_eq!(
            list("/l.so", Some("/a.so /b.so")).unwrap(),
            "/l.so:/a.so /b.so"
        );
    }

    #[test]
    fn the_library_is_not_listed_twice_in_a_row() {
        assert_eq!(list("/l.so", Some("/l.so:/a.so")).unwrap(), "/l.so:/a.so");
        assert_eq!(list("/l.so", Some("/l.so.1")).unwrap(), "/l.so:/l.so.1");
    }

    #[test]
    fn paths_that_the_loader_would_split_are_refused() {
        assert!(list("/my projects/l.so", None).is_err());
        assert!(list("/a:b/l.so", None).is_err());
    }
}
