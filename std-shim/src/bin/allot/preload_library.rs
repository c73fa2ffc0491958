//! Where `liballotment_malloc.so` is. In a checkout under `cargo run`, it is built first.

use crate::complain;
use crate::environment::plain;
use crate::failure::Failure;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

const FILE_NAME: &str = "liballotment_malloc.so";
const PACKAGE: &str = "allotment-malloc";
/// So long a build may take before it is worth a line.
const PATIENCE: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_millis(10);

/// The absolute path of the library: `$ALLOT_LIBRARY`, else next to the executable, else `../lib`
/// of the executable.
///
/// # Errors
/// [`Failure::Own`] with the places that were looked at, or with why the build failed.
pub(crate) fn find() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("ALLOT_LIBRARY").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(Failure::Own(format!(
                "ALLOT_LIBRARY={}: no such file",
                path.display()
            )));
        }
        return std::path::absolute(&path)
            .map_err(|error| Failure::Own(format!("{}: {}", path.display(), plain(&error))));
    }

    let executable = env::current_exe().map_err(|error| {
        Failure::Own(format!(
            "cannot find out where allot itself is: {}",
            plain(&error)
        ))
    })?;
    let directory = executable.parent().unwrap_or(Path::new("/"));
    if let Some(build) = Build::of_checkout(directory) {
        build.run()?;
    }
    let candidates = [
        Some(directory.join(FILE_NAME)),
        directory
            .parent()
            .map(|prefix| prefix.join("lib").join(FILE_NAME)),
    ];
    let candidates: Vec<PathBuf> = candidates.into_iter().flatten().collect();
    candidates
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| {
            let places: Vec<String> = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            Failure::Own(format!(
                "{FILE_NAME} is neither of {}\n\
             build it with `cargo build --release -p {PACKAGE}`, or set ALLOT_LIBRARY to its path",
                places.join(" and ")
            ))
        })
}

/// How to build the library beside an executable that cargo built.
struct Build {
    cargo: PathBuf,
    manifest: PathBuf,
    target_directory: PathBuf,
    profile: String,
}

impl Build {
    /// `Some` if cargo runs this executable out of a checkout of ours, as `cargo run` and
    /// `cargo test` do: they name themselves and the package in the environment.
    fn of_checkout(directory: &Path) -> Option<Self> {
        let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
        let manifest = package.join("abi/malloc/Cargo.toml");
        // The lock that cargo keeps in each profile's directory: an installed command has none.
        if !manifest.is_file() || !directory.join(".cargo-lock").is_file() {
            return None;
        }
        let profile = match directory.file_name().and_then(OsStr::to_str)? {
            "debug" => "dev",
            other => other,
        };
        Some(Self {
            cargo: PathBuf::from(env::var_os("CARGO")?),
            manifest,
            target_directory: directory.parent()?.to_owned(),
            profile: profile.to_owned(),
        })
    }

    fn run(&self) -> Result<(), Failure> {
        let failed = |reason: &str| Failure::Own(format!("cannot build {FILE_NAME}: {reason}"));
        let mut command = Command::new(&self.cargo);
        command
            .args([
                "build",
                "--quiet",
                "--package",
                PACKAGE,
                "--profile",
                &self.profile,
            ])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(&self.target_directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // What is to be preloaded into the program is not for the compiler.
        command.env_remove("LD_PRELOAD");
        let mut child = command.spawn().map_err(|error| failed(&plain(&error)))?;
        let status = wait(&mut child).map_err(|error| failed(&plain(&error)))?;
        if status.success() {
            Ok(())
        } else {
            Err(failed(&format!("cargo: {status}")))
        }
    }
}

/// Waits for the build, and says what is going on if that takes long.
fn wait(child: &mut Child) -> std::io::Result<ExitStatus> {
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(POLL);
        waited += POLL;
    }
    complain(&format!("building {FILE_NAME}"));
    child.wait()
}
