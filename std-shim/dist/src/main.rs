//! `cargo xtask`: what maintainers and packagers do with the workspace beside building it.

mod artifacts;
mod layout;
mod libraries;
mod pkg_config;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tasks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the release and lay out what a package ships: bin, include, lib, lib/pkgconfig
    ///
    /// The directory can be copied to any prefix as it is: `allot` finds the library in ../lib, and
    /// the pkg-config file finds its prefix by its own place. A directory that is there already is
    /// replaced when the new one is complete.
    #[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
    Dist {
        /// The directory to write [default: target/dist of the workspace]
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

const EXAMPLES: &str = "\
Examples:
  Into target/dist:
      cargo xtask dist

  For a package, to be moved to /usr:
      cargo xtask dist --output debian/tmp/usr";

fn main() -> ExitCode {
    let Task::Dist { output } = Cli::parse().task;
    let workspace = workspace();
    let output = output.unwrap_or_else(|| workspace.join("target/dist"));
    match dist(&workspace, &output) {
        Ok(()) => {
            println!("{}", output.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("cargo xtask dist: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dist(workspace: &Path, output: &Path) -> Result<(), String> {
    let command = artifacts::build(workspace, &artifacts::COMMAND)?;
    let preload_library = artifacts::build(workspace, &artifacts::PRELOAD_LIBRARY)?;
    let version = env!("CARGO_PKG_VERSION");
    layout::replace(output, |prefix| {
        layout::executable(&command, &prefix.join("bin/allot"))?;
        layout::executable(&preload_library, &prefix.join("lib/liballotment_malloc.so"))?;
        layout::headers(
            &workspace.join("std-shim/abi/include"),
            &prefix.join("include"),
        )?;
        layout::text(
            &pkg_config::malloc(version),
            &prefix.join("lib/pkgconfig/allotment-malloc.pc"),
        )?;
        libraries::LIBRARIES
            .iter()
            .try_for_each(|library| library.install(workspace, prefix))
    })
}

/// The workspace that this program belongs to.
fn workspace() -> PathBuf {
    // Cargo says it at run time, so that a moved checkout still works.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .ancestors()
        .nth(2)
        .map_or(package.clone(), Path::to_owned)
}
