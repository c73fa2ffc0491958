//! Finds the program as `execvp(3)` does, and says early what would go wrong.

use crate::elf::{Elf, read_up_to};
use crate::failure::Failure;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What `execvp` searches when `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// The kernel follows as many interpreters of interpreters.
const INTERPRETERS_MAX: usize = 5;

/// The file that `name` stands for: `name` itself if it has a slash, else the first executable file
/// of that name in `PATH`.
///
/// # Errors
/// [`Failure::NotFound`], or [`Failure::NotExecutable`] if there is only a file without permission.
pub(crate) fn find(name: &OsStr, path: Option<OsString>) -> Result<PathBuf, Failure> {
    let shown = name.display();
    if name.is_empty() {
        return Err(Failure::NotFound("the program's name is empty".into()));
    }
    if name.as_bytes().contains(&b'/') {
        return match executable(Path::new(name)) {
            Verdict::Yes => Ok(PathBuf::from(name)),
            Verdict::No(reason) => Err(Failure::NotExecutable(format!(
                "cannot run {shown}: {reason}"
            ))),
            Verdict::Absent => Err(Failure::NotFound(format!("no such program: {shown}"))),
        };
    }
    let mut refusal = None;
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
    for directory in std::env::split_paths(&path) {
        // An empty entry means the current directory.
        let candidate = Path::new(".").join(directory).join(name);
        match executable(&candidate) {
            Verdict::Yes => return Ok(candidate),
            Verdict::No(reason) => {
                refusal.get_or_insert_with(|| {
                    Failure::NotExecutable(format!("cannot run {}: {reason}", candidate.display()))
                });
            }
            Verdict::Absent => {}
        }
    }
    Err(refusal.unwrap_or_else(|| Failure::NotFound(format!("no such program in PATH: {shown}"))))
}

enum Verdict {
    Yes,
    No(&'static str),
    Absent,
}

fn executable(path: &Path) -> Verdict {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Verdict::No("it is a directory"),
        Ok(_) if may_execute(path) => Verdict::Yes,
        Ok(_) => Verdict::No("permission denied (is it executable?)"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Verdict::No("permission denied")
        }
        Err(_) => Verdict::Absent,
    }
}

fn may_execute(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `path` is a C string that lives until the call returns.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// Why preloading will not work for the program at `path`, if that can be told from its file.
///
/// A guess to warn with: what cannot be read is taken to be fine.
pub(crate) fn obstacle_to_preloading(path: &Path) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..INTERPRETERS_MAX {
        let shown = path.display();
        match script_interpreter(&path) {
            Some(interpreter) => path = interpreter,
            None => {
                let theirs = Elf::inspect(&path).ok()??;
                let ours = Elf::inspect(Path::new("/proc/self/exe")).ok()??;
                return if theirs.architecture != ours.architecture {
                    Some(format!("{shown} is built for another architecture"))
                } else if theirs.interpreter.is_none() {
                    Some(format!(
                        "{shown} is statically linked, so it has a malloc of its own"
                    ))
                } else if theirs.loader_name() != ours.loader_name() {
                    Some(format!(
                        "{shown} is linked against another C library (its loader is {})",
                        String::from_utf8_lossy(theirs.interpreter.as_deref().unwrap_or_default())
                    ))
                } else if gains_privileges(&path) {
                    Some(format!(
                        "{shown} gains privileges (set-user-ID, set-group-ID or capabilities), \
                         and the loader ignores LD_PRELOAD for such programs"
                    ))
                } else {
                    None
                };
            }
        }
    }
    None
}

/// The interpreter that the first line of a script names.
fn script_interpreter(path: &Path) -> Option<PathBuf> {
    let mut start = [0; 256];
    let length = read_up_to(&File::open(path).ok()?, &mut start, 0).ok()?;
    let line = start[..length]
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    let word = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsString::from_vec(word.to_vec())))
}

/// Whether executing the file switches the loader to its secure mode (`AT_SECURE`, `ld.so(8)`).
fn gains_privileges(path: &Path) -> bool {
    // SAFETY: these two only read the process's credentials.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let changes_identity = |file: Metadata| {
        file.mode() & libc::S_ISUID != 0 && file.uid() != user
            || file.mode() & libc::S_ISGID != 0
                && file.mode() & libc::S_IXGRP != 0
                && file.gid() != group
    };
    path.metadata().is_ok_and(changes_identity) || user != 0 && has_capabilities(path)
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both are C strings; a null buffer of length 0 asks for the attribute's length only.
    unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            std::ptr::null_mut(),
            0,
        ) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_bare_name_is_searched_in_path_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path = || Some(OsString::from(directory.path()));

        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(
            find("tool".as_ref(), path()),
            Err(Failure::NotExecutable(_))
        ));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find("tool".as_ref(), path()).unwrap(), file);
        assert!(matches!(
            find("other".as_ref(), path()),
            Err(Failure::NotFound(_))
        ));
        assert!(matches!(
            find("".as_ref(), path()),
            Err(Failure::NotFound(_))
        ));
    }

    #[test]
    fn an_executable_later_in_path_is_taken() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(first.path().join("tool"), "").unwrap();
        let good = second.path().join("tool");
        std::fs::write(&good, "").unwrap();
        std::fs::set_permissions(&good, PermissionsExt::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        assert_eq!(find("tool".as_ref(), Some(path)).unwrap(), good);
    }

    #[test]
    fn scripts_lead_to_their_interpreter() {
        let mut script = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut script, b"#! \t/usr/bin/env python3\n").unwrap();
        let interpreter = script_interpreter(script.path()).unwrap();
        assert_eq!(interpreter, Path::new("/usr/bin/env"));
        assert_eq!(script_interpreter(Path::new("/proc/self/exe")), None);
    }

    #[test]
    fn this_test_could_be_preloaded() {
        assert_eq!(
            obstacle_to_preloading(&std::env::current_exe().unwrap()),
            None
        );
    }
}
