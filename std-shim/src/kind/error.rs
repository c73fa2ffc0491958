//! Why there is no kind.

use core::fmt;

use crate::mapping::MapError;
use crate::os_error::OsError;
use crate::path_buffer::PathError;
use crate::pools::SharedPoolError;

/// Why there is no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KindError {
    /// The directory's name is no path.
    Path(PathError),
    /// There is no mapping.
    Map(MapError),
    /// The memory of a live kind overlaps that of the new one.
    Overlaps,
    /// There is no pool in the memory: it is too small, or its first pages cannot be had.
    Pool(SharedPoolError),
    /// The machine has no memory of that kind.
    Unavailable,
    /// The system refused a step: what was attempted, and its answer.
    System(&'static str, OsError),
}

impl KindError {
    /// The system's answer, 0 if it is not the system that refused.
    #[must_use]
    pub fn os_error(&self) -> OsError {
        match self {
            KindError::Map(error) => error.error,
            KindError::System(_, error) => *error,
            _ => OsError(0),
        }
    }
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KindError::Path(error) => write!(f, "{error}"),
            KindError::Map(error) => write!(f, "{error}"),
            KindError::Overlaps => f.write_str("the memory overlaps that of a live kind"),
            KindError::Pool(error) => write!(f, "{error}"),
            KindError::Unavailable => f.write_str("this machine has no memory of that kind"),
            KindError::System(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

impl core::error::Error for KindError {}

impl From<PathError> for KindError {
    fn from(error: PathError) -> KindError {
        KindError::Path(error)
    }
}

impl From<MapError> for KindError {
    fn from(error: MapError) -> KindError {
        KindError::Map(error)
    }
}
