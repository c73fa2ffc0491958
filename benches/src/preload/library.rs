//! The shared libraries that are preloaded: ours and the peers'.

use std::env::{self, consts};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use serde_json::Value;

use super::sources;
use crate::comparison::output::Origin;
use crate::report;

/// The name of ours.
pub const OURS: &str = "allotment";

/// An allocator to measure.
#[derive(Clone, Debug)]
pub struct Library {
    /// The name in tables.
    pub name: String,
    /// What to preload; nothing for the C library's own.
    pub path: Option<PathBuf>,
    /// Where it comes from, with its version if that is known.
    pub origin: String,
}

/// A shared library that a Debian package brings.
struct Packaged {
    name: &'static str,
    file: &'static str,
    package: &'static str,
}

const PACKAGED: [Packaged; 4] = [
    Packaged {
        name: "mimalloc-deb",
        file: "libmimalloc.so.2",
        package: "libmimalloc2.0",
    },
    Packaged {
        name: "jemalloc",
        file: "libjemalloc.so.2",
        package: "libjemalloc2",
    },
    Packaged {
        name: "tcmalloc",
        file: "libtcmalloc_minimal.so.4",
        package: "libtcmalloc-minimal4",
    },
    Packaged {
        name: "tbbmalloc",
        file: "libtbbmalloc_proxy.so.2",
        package: "libtbbmalloc2",
    },
];

/// Ours, then the peers that are wanted. Prints what they are, and on standard error which are missing.
pub fn all(ours: &Ours, wanted: impl Fn(&str) -> bool) -> Vec<Library> {
    let (peers, missing) = peers(wanted);
    for line in missing {
        eprintln!("{line}");
    }
    let mut libraries = vec![ours.library().clone()];
    libraries.extend(peers);
    for library in &libraries {
        println!("{:14}{}", library.name, library.origin);
    }
    libraries
}

/// Their names.
pub fn names(libraries: &[Library]) -> Vec<String> {
    libraries
        .iter()
        .map(|library| library.name.clone())
        .collect()
}

/// Their names and origins.
pub fn origins(libraries: &[Library]) -> Vec<Origin> {
    libraries
        .iter()
        .map(|library| Origin {
            name: library.name.clone(),
            origin: library.origin.clone(),
        })
        .collect()
}

/// The peers that there are, and a line for each that is missing: what to do about it.
pub fn peers(wanted: impl Fn(&str) -> bool) -> (Vec<Library>, Vec<String>) {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    if wanted("glibc") {
        found.push(Library {
            name: "glibc".to_owned(),
            path: None,
            origin: "the C library".to_owned(),
        });
    }
    for source in sources::SOURCES.iter().filter(|source| wanted(source.name)) {
        match sources::build(source) {
            Ok(library) => found.push(library),
            Err(error) => missing.push(format!("{} is left out: {error}", source.name)),
        }
    }
    let mut packages = Vec::new();
    for packaged in PACKAGED.iter().filter(|packaged| wanted(packaged.name)) {
        match installed(packaged.file) {
            Some(path) => found.push(Library {
                name: packaged.name.to_owned(),
                origin: origin(packaged.package),
                path: Some(path),
            }),
            None => packages.push(packaged),
        }
    }
    if !packages.is_empty() {
        let column = |of: fn(&Packaged) -> &str| {
            packages
                .iter()
                .map(|packaged| of(packaged))
                .collect::<Vec<_>>()
        };
        missing.push(format!(
            "{} left out; to have them: apt-get install {}",
            column(|packaged| packaged.name).join(", "),
            column(|packaged| packaged.package).join(" ")
        ));
    }
    (found, missing)
}

/// A shared library in the folders of `LD_LIBRARY_PATH` or where distributions put them.
pub fn installed(file: &str) -> Option<PathBuf> {
    let multiarch = format!("{}-linux-gnu", consts::ARCH);
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let distributions = ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/lib"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(distributions)
        .flat_map(|directory| [directory.join(&multiarch), directory])
        .map(|directory| directory.join(file))
        .find(|path| path.exists())
}

/// The package with its version, if `dpkg` knows it.
fn origin(package: &str) -> String {
    let version = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    format!("package {package} {version}").trim_end().to_owned()
}

/// Ours, in a copy that is removed with the value: somebody may build again while the bench runs.
#[derive(Debug)]
pub struct Ours(Library);

impl Ours {
    /// The copy.
    pub fn library(&self) -> &Library {
        &self.0
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some(copy) = &self.0.path {
            // A file that stays behind in the target directory does no harm.
            let _ = fs::remove_file(copy);
        }
    }
}

/// Ours: the library at `path`, else the release of this workspace, built now.
///
/// # Errors
/// When there is no such file, or when it cannot be built.
pub fn ours(path: Option<&Path>) -> Result<Ours, String> {
    let (built, origin) = match path {
        Some(path) => (path.to_owned(), path.display().to_string()),
        None => (build()?, "this workspace".to_owned()),
    };
    let copy = directory("preload")?.join(format!("liballotment_malloc-{}.so", process::id()));
    fs::copy(&built, &copy).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(Ours(Library {
        name: OURS.to_owned(),
        path: Some(copy),
        origin,
    }))
}

/// Where the bench keeps what it makes, in a folder of this name.
pub(crate) fn directory(name: &str) -> Result<PathBuf, String> {
    let directory = report::directory()
        .map_err(|error| format!("the bench's folder: {error}"))?
        .join(name);
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    // The loader and the driver compare whole paths.
    directory
        .canonicalize()
        .map_err(|error| format!("{}: {error}", directory.display()))
}

/// Runs cargo, and returns what it prints.
pub(crate) fn cargo(arguments: &[&OsStr]) -> Result<String, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {arguments:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("cargo's answer: {error}"))
}

fn build() -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let arguments = [
        "build",
        "--release",
        "--package",
        "allotment-malloc",
        "--manifest-path",
    ];
    let mut arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    arguments.push(manifest.as_os_str());
    arguments.push(OsStr::new("--message-format=json-render-diagnostics"));
    let messages = cargo(&arguments)?;
    built(&messages).ok_or_else(|| "cargo built no liballotment_malloc.so".to_owned())
}

/// A library of this workspace's release, made now, in the bench's folder.
///
/// # Errors
/// When it cannot be made.
pub fn released(file: &str) -> Result<PathBuf, String> {
    let place = directory("release")?;
    let arguments = ["xtask", "dist", "--output"].map(OsStr::new);
    let arguments: Vec<_> = arguments.into_iter().chain([place.as_os_str()]).collect();
    cargo(&arguments)?;
    let library = place.join("lib").join(file);
    if library.exists() {
        Ok(library)
    } else {
        Err(format!("the release has no {file}"))
    }
}

/// The shared library among cargo's messages.
fn built(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message["reason"] == "compiler-artifact"
                && message["target"]["name"] == "allotment_malloc"
        })
        .find_map(|message| {
            let files = message["filenames"].as_array()?.iter();
            files
                .filter_map(Value::as_str)
                .map(PathBuf::from)
                .find(|path| path.extension().is_some_and(|extension| extension == "so"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_among_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"allotment"},"filenames":["/t/liballotment.so"]}
{"reason":"compiler-artifact","target":{"name":"allotment_malloc"},"filenames":["/t/liballotment_malloc.d","/t/liballotment_malloc.so"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            built(messages).unwrap(),
            Path::new("/t/liballotment_malloc.so")
        );
        assert_eq!(built("{\"reason\":\"build-finished\"}"), None);
    }

    #[test]
    fn only_wanted_peers_are_looked_for() {
        let (found, missing) = peers(|name| name == "glibc");
        assert_eq!(found.len(), 1);
        assert!(found[0].path.is_none());
        assert!(missing.is_empty());
    }

    #[test]
    fn the_copy_goes_with_the_value() {
        let ours = ours(Some(&env::current_exe().unwrap())).unwrap();
        let copy = ours.library().path.clone().unwrap();
        assert!(copy.exists());
        drop(ours);
        assert!(!copy.exists());
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        let error = ours(Some(Path::new("/nowhere/libours.so"))).unwrap_err();
        assert!(error.contains("/nowhere/libours.so"), "{error}");
    }
}
