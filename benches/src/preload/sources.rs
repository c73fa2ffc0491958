//! Peers that are compiled from the sources in their crates, as their own build files make their shared libraries: a
//! crate alone gives no library whose `malloc` others see.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use serde_json::Value;

use super::library::{self, Library};

/// How a peer is compiled. Paths are relative to the crate.
#[derive(Debug)]
pub struct Source {
    /// The name in tables.
    pub name: &'static str,
    /// The crate that holds the sources, one of those that `peers-preload/Cargo.toml` names.
    package: &'static str,
    /// The version of the allocator itself.
    version: &'static str,
    compiler: &'static str,
    include: &'static str,
    files: &'static [&'static str],
    flags: &'static [&'static str],
}

/// All of them.
pub const SOURCES: [Source; 4] = [
    Source {
        name: "mimalloc2",
        package: "libmimalloc-sys",
        version: "2.3.2",
        compiler: "cc",
        include: "c_src/mimalloc/v2/include",
        files: &["c_src/mimalloc/v2/src/static.c"],
        flags: MIMALLOC_FLAGS,
    },
    Source {
        name: "mimalloc3",
        package: "libmimalloc-sys",
        version: "3.3.2",
        compiler: "cc",
        include: "c_src/mimalloc/v3/include",
        files: &["c_src/mimalloc/v3/src/static.c"],
        flags: MIMALLOC_FLAGS,
    },
    Source {
        name: "snmalloc",
        package: "snmalloc-sys",
        version: "0.7.6",
        compiler: "c++",
        include: "upstream/src",
        files: &[
            "upstream/src/snmalloc/override/malloc.cc",
            "upstream/src/snmalloc/override/new.cc",
        ],
        flags: &[
            "-std=c++20",
            "-DNDEBUG",
            "-DSNMALLOC_USE_CXX11_THREAD_ATEXIT_DIRECT",
            "-DSNMALLOC_USE_WAIT_ON_ADDRESS=1",
            "-DSNMALLOC_CHECK_LOADS=false",
            "-DSNMALLOC_PAGEID=false",
            "-DSNMALLOC_EXPORT=__attribute__((visibility(\"default\")))",
            "-mcx16",
            "-mprfchw",
            "-ftls-model=initial-exec",
            "-fvisibility=hidden",
            "-fno-rtti",
            "-fomit-frame-pointer",
            "-ffunction-sections",
            "-static-libstdc++",
        ],
    },
    Source {
        name: "rpmalloc",
        package: "rpmalloc-sys",
        version: "1.4.3",
        compiler: "cc",
        include: "rpmalloc/rpmalloc",
        files: &["rpmalloc/rpmalloc/rpmalloc.c"],
        flags: &[
            "-std=gnu11",
            "-DNDEBUG",
            "-D_GNU_SOURCE=1",
            "-DENABLE_PRELOAD=1",
            "-DENABLE_OVERRIDE=1",
            "-funroll-loops",
            "-fvisibility=hidden",
            "-Wno-attributes",
        ],
    },
];

const MIMALLOC_FLAGS: &[&str] = &[
    "-std=gnu11",
    "-DNDEBUG",
    "-DMI_BUILD_RELEASE",
    "-DMI_MALLOC_OVERRIDE",
    "-DMI_SHARED_LIB",
    "-DMI_SHARED_LIB_EXPORT",
    "-ftls-model=initial-exec",
    "-fvisibility=hidden",
    "-fno-builtin-malloc",
];

/// Compiles a peer, unless it has been compiled by the same command before.
///
/// # Errors
/// When the sources cannot be fetched or compiled.
pub fn build(source: &Source) -> Result<Library, String> {
    let root = package_root(source.package)?;
    let directory = library::directory("preload")?;
    let output = directory.join(format!("lib{}.so", source.name));
    let record = output.with_extension("command");
    let line = format!("{:?}\n", command(source, &root, &output));
    if !output.exists() || fs::read_to_string(&record).ok().as_ref() != Some(&line) {
        eprintln!("{} makes {}", source.compiler, output.display());
        // Under another name at first: somebody else may be using the old one.
        let new = output.with_extension(format!("new-{}", process::id()));
        run(command(source, &root, &new))?;
        fs::rename(&new, &output).map_err(|error| format!("{}: {error}", output.display()))?;
        fs::write(&record, line).map_err(|error| format!("{}: {error}", record.display()))?;
    }
    Ok(Library {
        name: source.name.to_owned(),
        path: Some(output),
        origin: format!(
            "{} {}, from the crate {}",
            source.name, source.version, source.package
        ),
    })
}

fn command(source: &Source, root: &Path, output: &Path) -> Command {
    let mut command = Command::new(source.compiler);
    command
        .args(["-O3", "-fPIC", "-shared", "-pthread"])
        .args(source.flags)
        .arg("-I")
        .arg(root.join(source.include))
        .arg("-o")
        .arg(output)
        .args(source.files.iter().map(|file| root.join(file)));
    command
}

fn run(mut command: Command) -> Result<(), String> {
    let compiler = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{compiler} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    let first = messages
        .lines()
        .find(|line| line.contains("error"))
        .unwrap_or("no message");
    Err(format!("{compiler}: {}: {first}", output.status))
}

/// The folder that cargo has unpacked a crate into; cargo fetches it if need be.
fn package_root(package: &str) -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers-preload/Cargo.toml");
    let arguments = [
        "metadata",
        "--quiet",
        "--locked",
        "--format-version",
        "1",
        "--manifest-path",
    ];
    let mut arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    arguments.push(manifest.as_os_str());
    let metadata = library::cargo(&arguments)?;
    root_in(&metadata, package).ok_or_else(|| format!("cargo knows no crate {package}"))
}

fn root_in(metadata: &str, package: &str) -> Option<PathBuf> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let packages = metadata["packages"].as_array()?;
    let manifest = packages
        .iter()
        .find(|candidate| candidate["name"] == package)?["manifest_path"]
        .as_str()?;
    Some(Path::new(manifest).parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_is_found_in_the_metadata() {
        let metadata = r#"{"packages":[{"name":"cc","manifest_path":"/r/cc-1/Cargo.toml"},
            {"name":"snmalloc-sys","manifest_path":"/r/snmalloc-sys-0.7.6/Cargo.toml"}]}"#;
        assert_eq!(
            root_in(metadata, "snmalloc-sys").unwrap(),
            Path::new("/r/snmalloc-sys-0.7.6")
        );
        assert_eq!(root_in(metadata, "other"), None);
    }

    #[test]
    fn every_source_is_compiled_for_preloading() {
        for source in &SOURCES {
            let command = command(source, Path::new("/crate"), Path::new("/out/libx.so"));
            let arguments: Vec<_> = command.get_args().collect();
            for flag in ["-O3", "-fPIC", "-shared"] {
                assert!(
                    arguments.contains(&OsStr::new(flag)),
                    "{}: {flag}",
                    source.name
                );
            }
            assert!(
                arguments.contains(&OsStr::new("/out/libx.so")),
                "{}",
                source.name
            );
        }
    }

    #[test]
    fn a_compiler_that_is_missing_is_named() {
        let error = run(Command::new("no-such-compiler")).unwrap_err();
        assert!(error.contains("no-such-compiler"), "{error}");
    }
}
