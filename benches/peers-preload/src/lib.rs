//! Empty: only this package's dependencies matter, and of them only their sources.
