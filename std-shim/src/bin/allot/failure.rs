//! Why the command itself gave up, and the exit status that says so.

use std::fmt;

/// The command's own failures. The exit statuses are those of `env`, `nohup` and `timeout`.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A variable of the environment makes no sense: 2, as for arguments.
    Usage(String),
    /// `allot` could not do its part: 125.
    Own(String),
    /// The program is there but cannot be run: 126.
    NotExecutable(String),
    /// There is no such program: 127.
    NotFound(String),
}

impl Failure {
    /// The exit status of `allot`.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Own(_) => 125,
            Self::NotExecutable(_) => 126,
            Self::NotFound(_) => 127,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message)
            | Self::Own(message)
            | Self::NotExecutable(message)
            | Self::NotFound(message) => f.write_str(message),
        }
    }
}
