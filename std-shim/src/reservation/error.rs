//! Why a reservation or a map cannot be had.

use core::fmt;

use super::Granularity;
use crate::os_error::OsError;
use crate::source::SourceError;

/// Why an operation on a reservation failed. The reservation is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReservationError {
    /// The address is not a multiple of the page size, or, for a map, of what the source needs.
    AddressUnaligned {
        /// The address.
        address: usize,
        /// What it should be a multiple of.
        alignment: usize,
    },
    /// The offset, in the reservation or in the source, is not a multiple of the page size or of what
    /// the source needs.
    OffsetUnaligned {
        /// The offset.
        offset: usize,
        /// What it should be a multiple of.
        alignment: usize,
    },
    /// The length is not a multiple of the page size or of what the source needs.
    LengthUnaligned {
        /// The length.
        len: usize,
        /// What it should be a multiple of.
        alignment: usize,
    },
    /// The offset is beyond the end of the reservation.
    OffsetOutOfRange {
        /// The offset.
        offset: usize,
        /// Bytes of the reservation.
        size: usize,
    },
    /// Nothing is no length, or it reaches beyond the end of the reservation.
    LengthOutOfRange {
        /// Where in the reservation.
        offset: usize,
        /// The length.
        len: usize,
        /// Bytes of the reservation.
        size: usize,
    },
    /// A reservation of no bytes.
    SizeZero,
    /// Something is mapped there.
    Occupied {
        /// The address that was asked for.
        address: usize,
        /// The length that was asked for.
        len: usize,
    },
    /// Only a part at the start or at the end can be cut off.
    NotAtAnEnd,
    /// All of it is to be cut off: delete the reservation.
    WholeReservation,
    /// There are maps in it.
    NotEmpty,
    /// The map is in use elsewhere: there are other handles to it.
    InUse,
    /// The source cannot be used.
    Source(SourceError),
    /// There is nothing in the source.
    SourceEmpty,
    /// The part asked for is not inside the source.
    BeyondSource {
        /// Where in the source.
        offset: usize,
        /// The length; 0 for all the rest.
        len: usize,
        /// Bytes of the source.
        size: usize,
    },
    /// A Device DAX cannot be mapped privately.
    PrivateDeviceDax,
    /// The file is not open for what the map would allow.
    NoAccess,
    /// The map would need a larger granularity than was required.
    GranularityNotSupported {
        /// What was required.
        required: Granularity,
        /// What the source has.
        available: Granularity,
    },
    /// The system refused.
    System {
        /// What was attempted, such as `cannot reserve addresses`.
        step: &'static str,
        /// The system's answer.
        error: OsError,
    },
}

impl ReservationError {
    pub(super) fn system(step: &'static str) -> impl Fn(OsError) -> ReservationError {
        move |error| ReservationError::System { step, error }
    }
}

impl From<SourceError> for ReservationError {
    fn from(error: SourceError) -> ReservationError {
        ReservationError::Source(error)
    }
}

impl fmt::Display for ReservationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ReservationError as E;
        match *self {
            E::AddressUnaligned { address, alignment } => write!(
                f,
                "the address {address:#x} is not a multiple of {alignment:#x}"
            ),
            E::OffsetUnaligned { offset, alignment } => {
                write!(f, "the offset {offset} is not a multiple of {alignment}")
            }
            E::LengthUnaligned { len, alignment } => {
                write!(f, "the length {len} is not a multiple of {alignment}")
            }
            E::OffsetOutOfRange { offset, size } => write!(
                f,
                "the offset {offset} is beyond the end of the reservation of {size} bytes"
            ),
            E::LengthOutOfRange { offset, len, size } => write!(
                f,
                "{len} bytes at the offset {offset} are not a part of the reservation of {size} bytes"
            ),
            E::SizeZero => f.write_str("a reservation needs at least a page"),
            E::Occupied { address, len } => write!(
                f,
                "something is mapped in the {len} bytes from the address {address:#x}"
            ),
            E::NotAtAnEnd => {
                f.write_str("a reservation can only be shrunk at its start or at its end")
            }
            E::WholeReservation => {
                f.write_str("the whole reservation cannot be cut off: delete it")
            }
            E::NotEmpty => f.write_str("there are maps in that part of the reservation"),
            E::InUse => f.write_str("the map is in use: there are other handles to it"),
            E::Source(error) => write!(f, "the source cannot be mapped: {error}"),
            E::SourceEmpty => f.write_str("the source is empty"),
            E::BeyondSource { offset, len, size } => write!(
                f,
                "the part of {len} bytes at the offset {offset} is not inside the source of {size} bytes"
            ),
            E::PrivateDeviceDax => f.write_str("a Device DAX cannot be mapped privately"),
            E::NoAccess => f.write_str(
                "the file is not open for that: to write to a shared map, open it for reading and writing",
            ),
            E::GranularityNotSupported {
                required,
                available,
            } => write!(
                f,
                "stores would be persistent by the {available}, and by the {required} is required: \
                 the file is not on DAX, or the file system or kernel does not support MAP_SYNC"
            ),
            E::System { step, error } => write!(f, "{step}: {error}"),
        }
    }
}

impl core::error::Error for ReservationError {}
