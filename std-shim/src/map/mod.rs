//! Mapping files and Device DAX as persistent memory.
//!
//! ```text
//! options       the builder, and libpmem's function
//!   request       all steps and checks in their order
//!     open          open, create, length, space         flags   error
//!     place         an aligned address that nobody else uses
//!       hint          PMEM_MMAP_HINT
//! file_map      a mapping that unmaps itself
//!   unmap         any range of pages       deep     deep flushing
//!     why_not_pmem  whether addresses are persistent memory, and if not, why
//!       ranges        the list of what was mapped here
//! ```

mod deep;
mod error;
mod file_map;
mod flags;
mod hint;
mod open;
mod options;
mod place;
mod ranges;
mod request;
mod unmap;
mod why_not_pmem;

pub use deep::{deep_drain, deep_persist};
pub use error::{MapFileError, MapFileFailure};
pub use file_map::FileMap;
pub use flags::Flags;
pub use options::{MapOptions, map_file};
pub use unmap::unmap;
pub use why_not_pmem::{WhyNotPmem, is_pmem, why_not_pmem};

/// Reads the environment variable `PMEM_MMAP_HINT`, unless that was done. The first mapping does it, too; a
/// library that has to see the environment as it was at the start calls it then.
pub fn initialize() {
    hint::hint();
}
