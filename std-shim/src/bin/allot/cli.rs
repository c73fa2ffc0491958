//! The command line.

use allotment::config::MIN_POOL;
use allotment::size::Size;
use clap::{ArgGroup, Args, Parser, Subcommand as ClapSubcommand};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  Run a program with its heap in anonymous memory, and say at the end what it used:
      allot run --stats -- python3 -c 'print(sum(range(10**6)))'

  Run a program with its heap in an unlinked temporary file on a DAX file system:
      allot run --dir /mnt/pmem --size 8G -- sqlite3 data.db

  See all that `run` can do:
      allot run --help";

const RUN_EXAMPLES: &str = "\
Environment:
  The flags set ALLOT_DIR, ALLOT_FILE, ALLOT_ANONYMOUS and ALLOT_SIZE for the program and for every
  process that it starts. A variable that is set already holds unless a flag says otherwise.
  ALLOT_HUGE_PAGES  0: do not ask for huge pages for a heap in anonymous memory
  ALLOT_PURGE    when free memory goes back to the system: never, at-once, or after so many seconds
                 in which nobody needs it (10 for a heap in anonymous memory)
  ALLOT_LIBRARY  the path of liballotment_malloc.so, where it is neither next to allot nor in ../lib

Exit status:
  The program's own. A program that is killed by a signal ends allot by the same signal. Otherwise:
  2    an argument or a variable makes no sense
  125  allot itself failed
  126  the program was found but cannot be run
  127  the program was not found

Examples:
  A heap in anonymous memory, with a table at the end:
      allot run --stats -- python3 script.py

  A heap of at most 512 MiB in an unlinked temporary file in /mnt/pmem:
      allot run --dir /mnt/pmem --size 512M -- sort big.txt

  A heap in a file that stays:
      allot run --file /mnt/pmem/heap -- ./server

  A heap on a Device DAX, such as CXL memory; the program's children have theirs in anonymous memory:
      allot run --file /dev/dax0.0 -- ./server

  The statistics as JSON, in a file:
      allot run --json --output heap.json -- make -j4";

/// Runs any program with its heap in a pool: in anonymous memory, in a file, on a device.
#[derive(Debug, Parser)]
#[command(name = "allot", version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Subcommand,
}

/// What `allot` can do.
#[derive(Debug, ClapSubcommand)]
pub(crate) enum Subcommand {
    /// Run a program with its whole heap in a pool
    ///
    /// The library liballotment_malloc.so is preloaded into the program and into every process
    /// that it starts, each of which has a pool of its own. Without --stats and --json, allot
    /// replaces itself by the program.
    #[command(after_help = RUN_EXAMPLES, after_long_help = RUN_EXAMPLES)]
    Run(RunArguments),
}

/// The arguments of `allot run`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("statistics").args(["stats", "json"]).multiple(true)))]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) backing: BackingArguments,

    /// The largest size of the pool in bytes, or with K, M, G or T: 64M, 2G; at least 1M. Without it,
    /// a device is used whole
    #[arg(long, value_name = "SIZE", value_parser = SizeParser)]
    pub(crate) size: Option<usize>,

    /// Print at the end what the program did with its heap, as a table on standard error
    #[arg(long)]
    pub(crate) stats: bool,

    /// Print the statistics as one JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the statistics to FILE instead of standard error
    #[arg(long, value_name = "FILE", requires = "statistics")]
    pub(crate) output: Option<PathBuf>,

    /// The program and its arguments
    #[arg(
        value_name = "PROGRAM",
        required = true,
        trailing_var_arg = true,
        num_args = 1..
    )]
    pub(crate) program: Vec<OsString>,
}

/// Where the pool's memory comes from; anonymous memory when nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct BackingArguments {
    /// Keep the heap in an unlinked temporary file in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Keep the heap in this file, created if missing, or Device DAX; what it held is lost
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,

    /// Keep the heap in anonymous memory (the default)
    #[arg(long)]
    pub(crate) anonymous: bool,
}

/// Sizes as the library itself reads them.
#[derive(Clone)]
struct SizeParser;

impl clap::builder::TypedValueParser for SizeParser {
    type Value = usize;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<usize, clap::Error> {
        let reason = match allotment::size::parse(value.as_bytes()) {
            Ok(size) if size >= MIN_POOL => return Ok(size),
            Ok(_) => format!("too small (give at least {})", Size(MIN_POOL)),
            Err(error) => error.to_string(),
        };
        let flag = argument.map_or_else(|| "--size".to_owned(), ToString::to_string);
        let message = format!(
            "invalid value '{}' for '{flag}': {reason}\n",
            value.display()
        );
        Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_arguments(line: &[&str]) -> Result<RunArguments, clap::Error> {
        let Subcommand::Run(arguments) =
            Cli::try_parse_from(["allot", "run"].iter().chain(line))?.command;
        Ok(arguments)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_belongs_to_the_program() {
        let arguments = run_arguments(&["ls", "--size", "3", "--stats", "--", "-x"]).unwrap();
        assert_eq!(
            arguments.program,
            ["ls", "--size", "3", "--stats", "--", "-x"]
        );
        assert!(!arguments.stats && arguments.size.is_none());
    }

    #[test]
    fn a_double_dash_ends_the_flags() {
        let arguments = run_arguments(&["--stats", "--", "--odd-name", "--json"]).unwrap();
        assert_eq!(arguments.program, ["--odd-name", "--json"]);
        assert!(arguments.stats && !arguments.json);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(run_arguments(&["--sise", "3", "ls"]).is_err());
    }

    #[test]
    fn one_backing_at_most() {
        for pair in [
            &["--dir", "/tmp", "--file", "x", "ls"][..],
            &["--dir", "/tmp", "--anonymous", "ls"],
            &["--file", "x", "--anonymous", "ls"],
        ] {
            let error = run_arguments(pair).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        }
    }

    #[test]
    fn sizes_are_checked_at_once() {
        let arguments = run_arguments(&["--size", "64M", "ls"]).unwrap();
        assert_eq!(arguments.size, Some(64 << 20));
        let error = run_arguments(&["--size", "12Q", "ls"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ValueValidation);
        assert!(error.to_string().contains("12Q"));
    }
}
