//! Writes a directory tree that is complete or not there.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::libraries;

/// Fills a new directory beside `directory` by `fill`, then puts it in the place of `directory`.
/// When anything fails, `directory` is as it was.
pub(crate) fn replace(
    directory: &Path,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let directory = std::path::absolute(directory).map_err(at(directory))?;
    let parent = directory
        .parent()
        .ok_or("the root directory cannot be replaced")?;
    if directory.exists() && !is_ours_to_replace(&directory).map_err(at(&directory))? {
        return Err(format!(
            "{} has files in it that no earlier run wrote; remove them first",
            directory.display()
        ));
    }
    fs::create_dir_all(parent).map_err(at(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".dist-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(at(parent))?;
    let (new, old) = (staging.path().join("new"), staging.path().join("old"));
    fs::create_dir(&new).map_err(at(&new))?;
    fill(&new)?;

    let had_one = directory.exists();
    if had_one {
        fs::rename(&directory, &old).map_err(at(&directory))?;
    }
    if let Err(error) = fs::rename(&new, &directory) {
        if had_one {
            fs::rename(&old, &directory).map_err(at(&directory))?;
        }
        return Err(at(&directory)(error));
    }
    staging.close().map_err(at(parent))
}

/// Whether every file in the directory could be from an earlier run, as its name says, so that a
/// mistyped path costs nobody their files.
fn is_ours_to_replace(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let ours = if entry.file_type()?.is_dir() {
            is_ours_to_replace(&entry.path())?
        } else {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.contains("allot") || libraries::is_part(&name)
        };
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies an executable or a shared library.
pub(crate) fn executable(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    fs::copy(from, to).map_err(at(from))?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(at(to))
}

/// Copies every header of a directory and of those in it.
pub(crate) fn headers(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let path = entry.map_err(at(from))?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        if path.is_dir() {
            headers(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|e| e == "h") {
            text(
                &fs::read_to_string(&path).map_err(at(&path))?,
                &to.join(name),
            )?;
        }
    }
    Ok(())
}

/// Writes a text file.
pub(crate) fn text(contents: &str, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    fs::write(to, contents).map_err(at(to))?;
    fs::set_permissions(to, Permissions::from_mode(0o644)).map_err(at(to))
}

/// Makes a symbolic link to a file beside it.
pub(crate) fn symbolic_link(target: &str, link: &Path) -> Result<(), String> {
    make_parent(link)?;
    symlink(target, link).map_err(at(link))
}

/// Makes the directory that a file is to be in.
pub(crate) fn make_parent(file: &Path) -> Result<(), String> {
    file.parent().map_or(Ok(()), |parent| {
        fs::create_dir_all(parent).map_err(at(parent))
    })
}

/// Turns an error into a message that names the path.
fn at(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(prefix: &Path) -> Result<(), String> {
        text("new", &prefix.join("bin/allot"))
    }

    #[test]
    fn the_new_tree_replaces_the_old_one() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("deep/dist");
        replace(&directory, fill).unwrap();
        text("stale", &directory.join("lib/liballotment_old.so")).unwrap();
        text("stale", &directory.join("lib/libpmem.so.1")).unwrap();
        symbolic_link("libpmem.so.1", &directory.join("lib/libpmem.so")).unwrap();
        replace(&directory, fill).unwrap();
        assert_eq!(
            fs::read_to_string(directory.join("bin/allot")).unwrap(),
            "new"
        );
        assert!(!directory.join("lib").exists());
        let left: Vec<_> = fs::read_dir(parent.path().join("deep")).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing but the result is left: {left:?}");
    }

    #[test]
    fn a_failure_leaves_the_old_tree() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("dist");
        replace(&directory, fill).unwrap();
        let failed = replace(&directory, |prefix| {
            text("half", &prefix.join("bin/allot"))?;
            Err("no space".into())
        });
        assert_eq!(failed.unwrap_err(), "no space");
        assert_eq!(
            fs::read_to_string(directory.join("bin/allot")).unwrap(),
            "new"
        );
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_peoples_directories_are_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("prefix");
        replace(&directory, fill).unwrap();
        text("mine", &directory.join("bin/tool")).unwrap();
        assert!(
            replace(&directory, fill)
                .unwrap_err()
                .contains("no earlier run")
        );
        assert_eq!(
            fs::read_to_string(directory.join("bin/tool")).unwrap(),
            "mine"
        );
    }
}
