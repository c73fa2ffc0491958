//! The programs: how each is called, and what for.
//!
//! Each run does the same work, prints the same, and takes some tenths of a second. The scripts are in
//! `benches/programs`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::inputs;

/// A program and its work.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name in tables.
    pub name: &'static str,
    /// The name of its file.
    pub binary: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// The file that it reads on standard input.
    pub input: Option<&'static str>,
    /// What it finds in its environment, beside what all find.
    pub environment: &'static [(&'static str, &'static str)],
    /// For a server: who talks to it until all is done. The server alone is measured.
    pub client: Option<Client>,
    /// What must be there before: made once, outside of what is measured.
    prepare: Prepare,
}

/// Who talks to a server.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The name of its file.
    pub binary: &'static str,
    /// Its arguments for the work.
    pub arguments: &'static [&'static str],
    /// The file that it reads on standard input.
    pub input: &'static str,
    /// Its arguments to ask whether the server listens.
    pub greeting: &'static [&'static str],
    /// Its arguments to send the server home.
    pub farewell: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Prepare {
    /// Writes a script.
    Script(&'static str, &'static str),
    /// Makes something in the folder.
    Make(fn(&Path) -> Result<(), String>),
}

macro_rules! script {
    ($name:literal) => {
        Prepare::Script($name, include_str!(concat!("../../programs/", $name)))
    };
}

const PLAIN: Program = Program {
    name: "",
    binary: "",
    package: "",
    arguments: &[],
    input: None,
    environment: &[],
    client: None,
    prepare: Prepare::Make(|_| Ok(())),
};

/// All of them, in the order of the tables.
pub const PROGRAMS: [Program; 18] = [
    Program {
        name: "python3",
        binary: "python3",
        package: "python3",
        arguments: &["work.py"],
        // Else it asks malloc for 256 KiB or 1 MiB at a time only.
        environment: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")],
        prepare: script!("work.py"),
        ..PLAIN
    },
    Program {
        name: "perl",
        binary: "perl",
        package: "perl",
        arguments: &["work.pl"],
        environment: &[("PERL_HASH_SEED", "0"), ("PERL_PERTURB_KEYS", "0")],
        prepare: script!("work.pl"),
        ..PLAIN
    },
    Program {
        name: "ruby",
        binary: "ruby",
        package: "ruby",
        arguments: &["work.rb"],
        prepare: script!("work.rb"),
        ..PLAIN
    },
    Program {
        name: "lua",
        binary: "lua5.4",
        package: "lua5.4",
        arguments: &["work.lua"],
        prepare: script!("work.lua"),
        ..PLAIN
    },
    Program {
        name: "tclsh",
        binary: "tclsh",
        package: "tcl",
        arguments: &["work.tcl"],
        prepare: script!("work.tcl"),
        ..PLAIN
    },
    Program {
        name: "php",
        binary: "php",
        package: "php-cli",
        arguments: &["-n", "-d", "memory_limit=-1", "work.php"],
        environment: &[("USE_ZEND_ALLOC", "0")],
        prepare: script!("work.php"),
        ..PLAIN
    },
    Program {
        name: "mawk",
        binary: "mawk",
        package: "mawk",
        arguments: &["-f", "work.awk"],
        prepare: script!("work.awk"),
        ..PLAIN
    },
    Program {
        name: "gawk",
        binary: "gawk",
        package: "gawk",
        arguments: &["-f", "work.awk"],
        prepare: script!("work.awk"),
        ..PLAIN
    },
    Program {
        name: "bc",
        binary: "bc",
        package: "bc",
        arguments: &["-l", "work.bc"],
        prepare: script!("work.bc"),
        ..PLAIN
    },
    Program {
        name: "jq",
        binary: "jq",
        package: "jq",
        arguments: &["-n", "-f", "work.jq"],
        prepare: script!("work.jq"),
        ..PLAIN
    },
    Program {
        name: "sqlite3",
        binary: "sqlite3",
        package: "sqlite3",
        arguments: &[":memory:"],
        input: Some("work.sql"),
        prepare: script!("work.sql"),
        ..PLAIN
    },
    Program {
        name: "redis",
        binary: "redis-server",
        package: "redis",
        arguments: &[
            "--port",
            "0",
            "--unixsocket",
            "redis.socket",
            "--save",
            "",
            "--appendonly",
            "no",
            "--loglevel",
            "warning",
        ],
        client: Some(Client {
            binary: "redis-cli",
            arguments: &["-s", "redis.socket", "--pipe"],
            input: "redis.commands",
            greeting: &["-s", "redis.socket", "ping"],
            farewell: &["-s", "redis.socket", "shutdown", "nosave"],
        }),
        prepare: Prepare::Make(inputs::redis_commands),
        ..PLAIN
    },
    Program {
        name: "git",
        binary: "git",
        package: "git",
        arguments: &[
            "--git-dir=repository.git",
            "log",
            "-p",
            "--stat",
            "--format=%H %an %s",
            "--no-color",
        ],
        prepare: Prepare::Make(inputs::git_repository),
        ..PLAIN
    },
    Program {
        name: "gcc",
        binary: "gcc",
        package: "gcc",
        arguments: &["-O1", "-S", "-o", "/dev/stdout", "functions.c"],
        prepare: Prepare::Make(inputs::c_program),
        ..PLAIN
    },
    Program {
        name: "g++",
        binary: "g++",
        package: "g++",
        arguments: &["-std=c++17", "-O0", "-S", "-o", "/dev/stdout", "work.cc"],
        prepare: script!("work.cc"),
        ..PLAIN
    },
    Program {
        name: "bison",
        binary: "bison",
        package: "bison",
        arguments: &["-o", "/dev/null", "grammar.y"],
        prepare: Prepare::Make(inputs::grammar),
        ..PLAIN
    },
    Program {
        name: "z3",
        binary: "z3",
        package: "z3",
        arguments: &["problem.smt2"],
        prepare: Prepare::Make(inputs::problem),
        ..PLAIN
    },
    Program {
        name: "gs",
        binary: "gs",
        package: "ghostscript",
        arguments: &[
            "-q",
            "-dBATCH",
            "-dNOPAUSE",
            "-dSAFER",
            "-sDEVICE=ppmraw",
            "-r72",
            "-sOutputFile=/dev/null",
            "work.ps",
        ],
        prepare: script!("work.ps"),
        ..PLAIN
    },
];

impl Program {
    /// Where it is, and its client; nothing if one of them is not on this machine.
    pub fn find(&self) -> Option<Found> {
        Some(Found {
            program: *self,
            path: find(self.binary)?,
            client: match self.client {
                Some(client) => Some(find(client.binary)?),
                None => None,
            },
        })
    }

    /// Makes what it needs in `directory`.
    ///
    /// # Errors
    /// When that fails.
    pub fn prepare(&self, directory: &Path) -> Result<(), String> {
        match self.prepare {
            Prepare::Script(name, text) => write(directory, name, text),
            Prepare::Make(make) => make(directory),
        }
    }
}

/// A program that is on this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub program: Program,
    /// Its file.
    pub path: PathBuf,
    /// The client's file.
    pub client: Option<PathBuf>,
}

/// Writes a file of the folder.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = directory.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The file of a command. The system's folders come first: elsewhere there may be scripts that stand in front of it.
pub(super) fn find(binary: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/bin"]
        .into_iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|directory| directory.join(binary))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = PROGRAMS.iter().map(|program| program.name).collect();
        assert_eq!(names.len(), PROGRAMS.len());
    }

    #[test]
    fn commands_are_looked_for_in_the_systems_folders_first() {
        assert!(find("sh").unwrap().starts_with("/usr/bin"));
        assert_eq!(find("no-such-command"), None);
    }
}
