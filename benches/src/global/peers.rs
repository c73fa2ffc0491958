//! Which programs there are, and how they are built: in `benches/peers-global`, a workspace of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::preload::library::{cargo, directory};

/// A program with a global allocator.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The name in tables, of the program and of its feature.
    pub name: &'static str,
    /// The crate that the allocator comes from.
    package: &'static str,
}

/// All of them, ours first.
pub const PEERS: [Peer; 9] = [
    Peer {
        name: "allotment",
        package: "allotment",
    },
    Peer {
        name: "system",
        package: "",
    },
    Peer {
        name: "mimalloc2",
        package: "mimalloc",
    },
    Peer {
        name: "mimalloc3",
        package: "mimalloc",
    },
    Peer {
        name: "snmalloc",
        package: "snmalloc-rs",
    },
    Peer {
        name: "rpmalloc",
        package: "rpmalloc",
    },
    Peer {
        name: "jemalloc",
        package: "tikv-jemallocator",
    },
    Peer {
        name: "rusty_alloc",
        package: "rusty_alloc-api",
    },
    Peer {
        name: "talc",
        package: "talc",
    },
];

/// A program that has been built.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name in tables.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The crate and its version.
    pub origin: String,
}

impl Peer {
    /// Builds the program, in a folder that only this bench uses.
    ///
    /// # Errors
    /// When it cannot be built: cargo has said why on standard error.
    pub fn build(&self) -> Result<Program, String> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers-global/Cargo.toml");
        let target = directory("global")?;
        let words = [
            "build",
            "--release",
            "--bin",
            self.name,
            "--features",
            self.name,
            "--message-format=json-render-diagnostics",
            "--manifest-path",
        ];
        let mut arguments: Vec<_> = words.iter().map(OsStr::new).collect();
        arguments.push(manifest.as_os_str());
        arguments.push(OsStr::new("--target-dir"));
        arguments.push(target.as_os_str());
        let messages = cargo(&arguments)?;
        let path = executable(&messages, self.name)
            .ok_or_else(|| format!("cargo built no program {}", self.name))?;
        Ok(Program {
            name: self.name.to_owned(),
            path,
            origin: self.origin(&manifest.with_file_name("Cargo.lock")),
        })
    }

    /// The crate and its version, as the lock file has it.
    fn origin(&self, lock: &Path) -> String {
        let text = fs::read_to_string(lock).unwrap_or_default();
        match version(&text, self.package) {
            Some(version) => format!("crate {} {version}", self.package),
            None => "the standard library's System".to_owned(),
        }
    }
}

fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines
        .next()?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

/// The program among cargo's messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message["reason"] == "compiler-artifact" && message["target"]["name"] == name
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"mimalloc2"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"mimalloc2"},"executable":"/t/release/mimalloc2"}"#;
        assert_eq!(
            executable(messages, "mimalloc2").unwrap(),
            Path::new("/t/release/mimalloc2")
        );
        assert_eq!(executable(messages, "system"), None);
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"mimalloc\"\nversion = \"0.1.52\"\n";
        assert_eq!(version(lock, "mimalloc"), Some("0.1.52"));
        assert_eq!(version(lock, "rpmalloc"), None);
    }
}
