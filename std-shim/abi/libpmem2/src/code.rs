//! The numbers that calls return: 0, `PMEM2_E_*`, or an error number of the system, negated.

use core::ffi::c_int;

use allotment::os_error::OsError;
use allotment::reservation::ReservationError;
use allotment::source::SourceError;

pub(crate) const NOSUPP: c_int = -100_001;
pub(crate) const INVALID_FILE_HANDLE: c_int = -100_004;
pub(crate) const INVALID_FILE_TYPE: c_int = -100_005;
pub(crate) const MAP_RANGE: c_int = -100_006;
pub(crate) const MAPPING_EXISTS: c_int = -100_007;
pub(crate) const GRANULARITY_NOT_SET: c_int = -100_008;
pub(crate) const GRANULARITY_NOT_SUPPORTED: c_int = -100_009;
pub(crate) const OFFSET_OUT_OF_RANGE: c_int = -100_010;
pub(crate) const OFFSET_UNALIGNED: c_int = -100_011;
pub(crate) const INVALID_ALIGNMENT_FORMAT: c_int = -100_012;
pub(crate) const INVALID_ALIGNMENT_VALUE: c_int = -100_013;
pub(crate) const INVALID_SIZE_FORMAT: c_int = -100_014;
pub(crate) const LENGTH_UNALIGNED: c_int = -100_015;
pub(crate) const MAPPING_NOT_FOUND: c_int = -100_016;
pub(crate) const BUFFER_TOO_SMALL: c_int = -100_017;
pub(crate) const SOURCE_EMPTY: c_int = -100_018;
pub(crate) const INVALID_SHARING_VALUE: c_int = -100_019;
pub(crate) const SRC_DEVDAX_PRIVATE: c_int = -100_020;
pub(crate) const ADDRESS_UNALIGNED: c_int = -100_022;
pub(crate) const DEEP_FLUSH_RANGE: c_int = -100_024;
pub(crate) const DAX_REGION_NOT_FOUND: c_int = -100_026;
pub(crate) const CANNOT_READ_BOUNDS: c_int = -100_028;
pub(crate) const NO_BAD_BLOCK_FOUND: c_int = -100_029;
pub(crate) const LENGTH_OUT_OF_RANGE: c_int = -100_030;
pub(crate) const INVALID_PROT_FLAG: c_int = -100_031;
pub(crate) const NO_ACCESS: c_int = -100_032;
pub(crate) const VM_RESERVATION_NOT_EMPTY: c_int = -100_033;
pub(crate) const MAP_EXISTS: c_int = -100_034;
pub(crate) const FILE_DESCRIPTOR_NOT_SET: c_int = -100_035;
pub(crate) const SOURCE_TYPE_NOT_SUPPORTED: c_int = -100_036;
pub(crate) const IO_FAIL: c_int = -100_037;

/// The system's error number, negated.
pub(crate) fn of_system(error: OsError) -> c_int {
    -error.0
}

pub(crate) fn of_source(error: &SourceError) -> c_int {
    match *error {
        SourceError::Descriptor(OsError(libc::EBADF)) | SourceError::NotReadable => {
            INVALID_FILE_HANDLE
        }
        SourceError::Directory | SourceError::OtherType => INVALID_FILE_TYPE,
        SourceError::Alignment(_) => INVALID_ALIGNMENT_VALUE,
        SourceError::Sysfs {
            attribute: "align",
            error: OsError(libc::EINVAL),
        } => INVALID_ALIGNMENT_FORMAT,
        SourceError::Sysfs {
            attribute: "size",
            error: OsError(libc::EINVAL),
        } => INVALID_SIZE_FORMAT,
        _ => of_system(error.os_error()),
    }
}

pub(crate) fn of_reservation(error: &ReservationError) -> c_int {
    use ReservationError as E;
    match error {
        E::AddressUnaligned { .. } => ADDRESS_UNALIGNED,
        E::OffsetUnaligned { .. } => OFFSET_UNALIGNED,
        E::LengthUnaligned { .. } => LENGTH_UNALIGNED,
        E::OffsetOutOfRange { .. } => OFFSET_OUT_OF_RANGE,
        E::LengthOutOfRange { .. } | E::SizeZero => LENGTH_OUT_OF_RANGE,
        E::Occupied { .. } => MAPPING_EXISTS,
        E::NotAtAnEnd | E::WholeReservation => NOSUPP,
        E::NotEmpty => VM_RESERVATION_NOT_EMPTY,
        E::InUse => -libc::EBUSY,
        E::Source(error) => of_source(error),
        E::SourceEmpty => SOURCE_EMPTY,
        E::BeyondSource { .. } => MAP_RANGE,
        E::PrivateDeviceDax => SRC_DEVDAX_PRIVATE,
        E::NoAccess => NO_ACCESS,
        E::GranularityNotSupported { .. } => GRANULARITY_NOT_SUPPORTED,
        E::System { error, .. } => match error.0 {
            libc::ENOTSUP => NOSUPP,
            libc::EEXIST => MAPPING_EXISTS,
            _ => of_system(*error),
        },
        _ => -libc::EINVAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_negated_but_for_two() {
        let system = |error| {
            of_reservation(&ReservationError::System {
                step: "",
                error: OsError(error),
            })
        };
        assert_eq!(system(libc::ENOMEM), -libc::ENOMEM);
        assert_eq!(system(libc::EOPNOTSUPP), NOSUPP);
        assert_eq!(system(libc::EEXIST), MAPPING_EXISTS);
    }

    #[test]
    fn what_sysfs_says() {
        let sysfs = |attribute, error| {
            of_source(&SourceError::Sysfs {
                attribute,
                error: OsError(error),
            })
        };
        assert_eq!(sysfs("align", libc::EINVAL), INVALID_ALIGNMENT_FORMAT);
        assert_eq!(sysfs("size", libc::EINVAL), INVALID_SIZE_FORMAT);
        assert_eq!(sysfs("size", libc::EACCES), -libc::EACCES);
        assert_eq!(sysfs("subsystem", libc::ENOENT), -libc::ENOENT);
    }
}
