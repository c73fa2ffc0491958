//! What the environment asks of a run.
//!
//! | variable | value | the command's flag |
//! |---|---|---|
//! | `ALLOT_ANONYMOUS` | `1`: the pool in anonymous memory (also the default) | `--anonymous` |
//! | `ALLOT_DIR` | a directory: the pool in an unlinked temporary file there | `--dir` |
//! | `ALLOT_FILE` | a file or Device DAX: the pool in it | `--file` |
//! | `ALLOT_SIZE` | the most that the pool may hold, such as `64M`; at least 1 MiB | `--size` |
//! | `ALLOT_HUGE_PAGES` | `0`: do not ask for huge pages for an anonymous pool | |
//! | `ALLOT_PURGE` | when memory that is free goes back to the system: `never`, `at-once`, or after so many seconds in which nobody needs it | |
//! | `ALLOT_STATS` | `0`, `1` or `table`, `json`: a report on standard error at exit | `--stats`, `--json` |
//! | `ALLOT_STATS_FILE` | a file: one line of JSON is appended at exit | |
//!
//! An empty value is the same as none. The first three exclude one another.

use core::fmt;
use core::time::Duration;

use allotment_core::PurgePolicy;

use crate::path_buffer::{PathBuffer, PathError};
use crate::size::{self, Size, SizeError};

/// The least size of a pool under a whole program.
pub const MIN_POOL: usize = 1 << 20;

/// Where the pool's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackingKind {
    /// Anonymous memory, committed as it is touched.
    Anonymous,
    /// An unlinked temporary file in the directory [`Config::path`].
    TemporaryFile,
    /// The file or Device DAX [`Config::path`].
    File,
}

/// How the report at exit is printed on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatsFormat {
    /// Not at all.
    #[default]
    Off,
    /// As a table for people.
    Table,
    /// As one line of JSON.
    Json,
}

/// A run's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    anonymous: bool,
    dir: bool,
    file: bool,
    path: PathBuffer,
    size: Option<usize>,
    no_huge_pages: bool,
    purge: Option<PurgePolicy>,
    stats: StatsFormat,
    stats_file: PathBuffer,
}

/// A variable that was refused. Its [`Display`](fmt::Display) form is one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError<'e> {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: &'e [u8],
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is no size.
    Size(SizeError),
    /// It is a size below [`MIN_POOL`].
    TooSmall,
    /// It is no path.
    Path(PathError),
    /// It is none of these words.
    OneOf(&'static str),
    /// It cannot go together with this other variable.
    Excludes(&'static str),
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A long value would hide what is wrong with it.
        let shown = &self.value[..self.value.len().min(80)];
        let more = if shown.len() < self.value.len() {
            "..."
        } else {
            ""
        };
        write!(f, "{}={}{more}: ", self.name, shown.escape_ascii())?;
        match self.reason {
            Reason::Size(error) => write!(f, "{error}"),
            Reason::TooSmall => write!(f, "too small (give at least {})", Size(MIN_POOL)),
            Reason::Path(error) => write!(f, "{error}"),
            Reason::OneOf(words) => write!(f, "not understood (give {words})"),
            Reason::Excludes(other) => write!(f, "cannot go together with {other}"),
        }
    }
}

impl core::error::Error for ConfigError<'_> {}

impl Config {
    /// Nothing asked for: an anonymous pool, no report.
    #[must_use]
    pub const fn new() -> Config {
        Config {
            anonymous: false,
            dir: false,
            file: false,
            path: PathBuffer::new(),
            size: None,
            no_huge_pages: false,
            purge: None,
            stats: StatsFormat::Off,
            stats_file: PathBuffer::new(),
        }
    }

    /// Reads an environment: entries of the form `NAME=value`. Entries with other names than the
    /// module's table has are passed over.
    ///
    /// # Errors
    /// The first entry that makes no sense, by itself or with those before it.
    ///
    /// ```
    /// let env: [&[u8]; 2] = [b"HOME=/root", b"ALLOT_SIZE=12Q"];
    /// let error = allotment::config::Config::from_environment(env).unwrap_err();
    /// assert_eq!(error.to_string(), "ALLOT_SIZE=12Q: unknown suffix \"Q\" (use K, M, G or T)");
    /// ```
    pub fn from_environment<'e>(
        entries: impl IntoIterator<Item = &'e [u8]>,
    ) -> Result<Config, ConfigError<'e>> {
        let mut config = Config::new();
        for entry in entries {
            config.apply(entry)?;
        }
        Ok(config)
    }

    /// Takes in one entry of an environment.
    ///
    /// # Errors
    /// If the entry makes no sense, by itself or with those before it.
    pub fn apply<'e>(&mut self, entry: &'e [u8]) -> Result<(), ConfigError<'e>> {
        let Some(rest) = entry.strip_prefix(b"ALLOT_") else {
            return Ok(());
        };
        let Some(equals) = rest.iter().position(|&b| b == b'=') else {
            return Ok(());
        };
        let (name, value) = (&rest[..equals], &rest[equals + 1..]);
        if value.is_empty() {
            return Ok(());
        }
        let refuse = |name, reason| {
            Err(ConfigError {
                name,
                value,
                reason,
            })
        };
        match name {
            b"ANONYMOUS" => {
                const NAME: &str = "ALLOT_ANONYMOUS";
                match value {
                    b"1" => match self.chosen() {
                        Some(other) if other != NAME => {
                            return refuse(NAME, Reason::Excludes(other));
                        }
                        _ => self.anonymous = true,
                    },
                    b"0" => {}
                    _ => return refuse(NAME, Reason::OneOf("0 or 1")),
                }
            }
            b"DIR" | b"FILE" => {
                let name = if name == b"DIR" {
                    "ALLOT_DIR"
                } else {
                    "ALLOT_FILE"
                };
                match self.chosen() {
                    Some(other) if other != name => return refuse(name, Reason::Excludes(other)),
                    _ => {}
                }
                match PathBuffer::from_bytes(value) {
                    Ok(path) => self.path = path,
                    Err(error) => return refuse(name, Reason::Path(error)),
                }
                self.dir = name == "ALLOT_DIR";
                self.file = !self.dir;
            }
            b"SIZE" => {
                const NAME: &str = "ALLOT_SIZE";
                match size::parse(value) {
                    Ok(size) if size < MIN_POOL => return refuse(NAME, Reason::TooSmall),
                    Ok(size) => self.size = Some(size),
                    Err(error) => return refuse(NAME, Reason::Size(error)),
                }
            }
            b"HUGE_PAGES" => match value {
                b"0" => self.no_huge_pages = true,
                b"1" => self.no_huge_pages = false,
                _ => return refuse("ALLOT_HUGE_PAGES", Reason::OneOf("0 or 1")),
            },
            b"PURGE" => match parse_purge(value) {
                Some(policy) => self.purge = Some(policy),
                None => {
                    let words = "never, at-once or a number of seconds";
                    return refuse("ALLOT_PURGE", Reason::OneOf(words));
                }
            },
            b"STATS" => {
                self.stats = match value {
                    b"0" => StatsFormat::Off,
                    b"1" | b"table" => StatsFormat::Table,
                    b"json" => StatsFormat::Json,
                    _ => return refuse("ALLOT_STATS", Reason::OneOf("0, 1, table or json")),
                };
            }
            b"STATS_FILE" => match PathBuffer::from_bytes(value) {
                Ok(path) => self.stats_file = path,
                Err(error) => return refuse("ALLOT_STATS_FILE", Reason::Path(error)),
            },
            _ => {}
        }
        Ok(())
    }

    /// Which of the variables that exclude one another was given.
    fn chosen(&self) -> Option<&'static str> {
        match (self.anonymous, self.dir, self.file) {
            (true, ..) => Some("ALLOT_ANONYMOUS"),
            (_, true, _) => Some("ALLOT_DIR"),
            (.., true) => Some("ALLOT_FILE"),
            _ => None,
        }
    }

    /// Where the pool's memory comes from.
    #[must_use]
    pub fn backing(&self) -> BackingKind {
        match (self.dir, self.file) {
            (true, _) => BackingKind::TemporaryFile,
            (_, true) => BackingKind::File,
            _ => BackingKind::Anonymous,
        }
    }

    /// The directory or file of [`Config::backing`]; empty for an anonymous pool.
    #[must_use]
    pub fn path(&self) -> &PathBuffer {
        &self.path
    }

    /// The most that the pool may hold, in bytes, if it was said.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        self.size
    }

    /// Whether an anonymous pool is to ask for huge pages. It is, if nothing was said.
    #[must_use]
    pub fn prefers_huge_pages(&self) -> bool {
        !self.no_huge_pages
    }

    /// When memory that is free goes back to the system, if it was said; else it depends on the memory: see
    /// [`default_purge_policy`](crate::arena::default_purge_policy). The space of a file is kept in any
    /// case: see [`Mapping::release`](crate::mapping::Mapping::release).
    #[must_use]
    pub fn purge_policy(&self) -> Option<PurgePolicy> {
        self.purge
    }

    /// The report on standard error.
    #[must_use]
    pub fn stats(&self) -> StatsFormat {
        self.stats
    }

    /// The file that one line of JSON is appended to, if it was given.
    #[must_use]
    pub fn stats_file(&self) -> Option<&PathBuffer> {
        (!self.stats_file.is_empty()).then_some(&self.stats_file)
    }

    /// Names all paths from the root, since the program may change its working directory.
    ///
    /// # Errors
    /// The path that becomes too long.
    pub fn make_absolute(&mut self) -> Result<(), ConfigError<'_>> {
        if self.dir || self.file {
            match self.path.absolute() {
                Ok(path) => self.path = path,
                Err(error) => {
                    let name = if self.dir { "ALLOT_DIR" } else { "ALLOT_FILE" };
                    return Err(ConfigError {
                        name,
                        value: self.path.as_bytes(),
                        reason: Reason::Path(error),
                    });
                }
            }
        }
        if !self.stats_file.is_empty() {
            match self.stats_file.absolute() {
                Ok(path) => self.stats_file = path,
                Err(error) => {
                    let value = self.stats_file.as_bytes();
                    return Err(ConfigError {
                        name: "ALLOT_STATS_FILE",
                        value,
                        reason: Reason::Path(error),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

fn parse_purge(value: &[u8]) -> Option<PurgePolicy> {
    match value {
        b"never" => Some(PurgePolicy::Never),
        b"at-once" | b"0" => Some(PurgePolicy::AtOnce),
        _ => {
            let seconds: u32 = core::str::from_utf8(value).ok()?.parse().ok()?;
            Some(PurgePolicy::Decay(Duration::from_secs(seconds.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'e>(entries: &[&'e str]) -> Result<Config, ConfigError<'e>> {
        Config::from_environment(entries.iter().map(|e| e.as_bytes()))
    }

    #[test]
    fn defaults() {
        let config = read(&[
            "PATH=/bin",
            "ALLOT_LIBRARY=/x",
            "ALLOT_SIZE=",
            "ALLOTMENT=1",
            "ALLOT_DIR",
        ])
        .unwrap();
        assert_eq!(config.backing(), BackingKind::Anonymous);
        assert_eq!(config.size(), None);
        assert_eq!(config.stats(), StatsFormat::Off);
        assert!(config.stats_file().is_none());
        assert!(config.prefers_huge_pages());
    }

    #[test]
    fn all_variables() {
        let config = read(&[
            "ALLOT_DIR=/dev/shm",
            "ALLOT_SIZE=64M",
            "ALLOT_STATS=json",
            "ALLOT_STATS_FILE=/tmp/x",
        ])
        .unwrap();
        assert_eq!(config.backing(), BackingKind::TemporaryFile);
        assert_eq!(config.path().as_bytes(), b"/dev/shm");
        assert_eq!(config.size(), Some(64 << 20));
        assert_eq!(config.stats(), StatsFormat::Json);
        assert_eq!(config.stats_file().unwrap().as_bytes(), b"/tmp/x");
        assert!(!read(&["ALLOT_HUGE_PAGES=0"]).unwrap().prefers_huge_pages());
        assert!(read(&["ALLOT_HUGE_PAGES=1"]).unwrap().prefers_huge_pages());
        let config = read(&["ALLOT_FILE=heap", "ALLOT_ANONYMOUS=0", "ALLOT_STATS=1"]).unwrap();
        assert_eq!(config.backing(), BackingKind::File);
        assert_eq!(config.stats(), StatsFormat::Table);
        assert_eq!(
            read(&["ALLOT_ANONYMOUS=1"]).unwrap().backing(),
            BackingKind::Anonymous
        );
    }

    #[test]
    fn when_free_memory_goes_back() {
        let policy = |entries: &[&str]| read(entries).unwrap().purge_policy();
        let three = PurgePolicy::Decay(Duration::from_secs(3));
        assert_eq!(policy(&[]), None);
        assert_eq!(policy(&["ALLOT_DIR=/tmp", "ALLOT_PURGE=3"]), Some(three));
        assert_eq!(policy(&["ALLOT_PURGE=never"]), Some(PurgePolicy::Never));
        assert_eq!(policy(&["ALLOT_PURGE=at-once"]), Some(PurgePolicy::AtOnce));
        assert_eq!(policy(&["ALLOT_PURGE=0"]), Some(PurgePolicy::AtOnce));
    }

    #[test]
    fn nonsense_is_named() {
        for (entries, message) in [
            (
                &["ALLOT_SIZE=12Q"][..],
                "ALLOT_SIZE=12Q: unknown suffix \"Q\" (use K, M, G or T)",
            ),
            (
                &["ALLOT_SIZE=4K"],
                "ALLOT_SIZE=4K: too small (give at least 1 MiB)",
            ),
            (
                &["ALLOT_STATS=yes"],
                "ALLOT_STATS=yes: not understood (give 0, 1, table or json)",
            ),
            (
                &["ALLOT_HUGE_PAGES=always"],
                "ALLOT_HUGE_PAGES=always: not understood (give 0 or 1)",
            ),
            (
                &["ALLOT_PURGE=-1"],
                "ALLOT_PURGE=-1: not understood (give never, at-once or a number of seconds)",
            ),
            (
                &["ALLOT_ANONYMOUS=yes"],
                "ALLOT_ANONYMOUS=yes: not understood (give 0 or 1)",
            ),
            (
                &["ALLOT_DIR=/a", "ALLOT_FILE=/b"],
                "ALLOT_FILE=/b: cannot go together with ALLOT_DIR",
            ),
            (
                &["ALLOT_FILE=/b", "ALLOT_ANONYMOUS=1"],
                "ALLOT_ANONYMOUS=1: cannot go together with ALLOT_FILE",
            ),
            (
                &["ALLOT_ANONYMOUS=1", "ALLOT_DIR=/a"],
                "ALLOT_DIR=/a: cannot go together with ALLOT_ANONYMOUS",
            ),
        ] {
            assert_eq!(read(entries).unwrap_err().to_string(), message);
        }
        let long = format!("ALLOT_FILE={}", "a".repeat(5000));
        let message = read(&[&long]).unwrap_err().to_string();
        assert!(
            message.ends_with("aaa...: the path is too long") && message.len() < 200,
            "{message}"
        );
    }

    #[test]
    fn paths_become_absolute() {
        let mut config = read(&["ALLOT_FILE=heap", "ALLOT_STATS_FILE=s"]).unwrap();
        config.make_absolute().unwrap();
        assert!(
            config.path().as_bytes().starts_with(b"/")
                && config.path().as_bytes().ends_with(b"/heap")
        );
        assert!(config.stats_file().unwrap().as_bytes().starts_with(b"/"));
    }
}
