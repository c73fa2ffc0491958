//! `liballotment_malloc.so`: the malloc family over one pool, for `LD_PRELOAD`. Its functions are those
//! of [`allotment_malloc_family`]; here is what the environment says in variables that begin with
//! `ALLOT_` (see [`allotment::config`]).
#![cfg(target_os = "linux")]

use allotment::arena::ArenaError;
use allotment::config::{BackingKind, Config};
pub use allotment_malloc_family::exports;
use allotment_malloc_family::message::refuse_to_start;
use allotment_malloc_family::product::{Product, Setup};
use allotment_malloc_family::{environment, product};

product!(PRODUCT);

static PRODUCT: Product = Product {
    configure,
    refuse,
    lax_posix_memalign: false,
};

/// Reads the configuration. A variable that makes no sense ends the process.
///
/// A program that runs with more rights than its caller (`AT_SECURE`, `getauxval(3)`) gets the
/// defaults: its caller must not make it write files.
fn configure() -> Setup {
    let mut config = Config::new();
    // SAFETY: only asks.
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        environment::for_each_entry(|entry| {
            if let Err(error) = config.apply(entry) {
                refuse_to_start(format_args!("{error}"));
            }
        });
    }
    if let Err(error) = config.make_absolute() {
        refuse_to_start(format_args!("{error}"));
    }
    Setup {
        config,
        ..Setup::new()
    }
}

fn refuse(config: &Config, error: &ArenaError) -> ! {
    refuse_to_start(format_args!("{}: {error}", Origin(config)))
}

/// The variable that a pool which cannot be made goes back to.
struct Origin<'a>(&'a Config);

impl core::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let path = self.0.path().as_bytes().escape_ascii();
        match (self.0.backing(), self.0.size()) {
            (BackingKind::TemporaryFile, _) => write!(f, "ALLOT_DIR={path}"),
            (BackingKind::File, _) => write!(f, "ALLOT_FILE={path}"),
            (_, Some(size)) => write!(f, "ALLOT_SIZE={size}"),
            _ => f.write_str("no pool"),
        }
    }
}
