//! `MEMKIND_DEFAULT` and the others that are always there.

use core::ffi::c_int;

use crate::code::{Code, SUCCESS};
use crate::kind::{Memkind, Server, StaticPool};
use crate::places::{DAX_KMEM_NODES, HBW_NODES, Manner, Place};

/// A static kind, as the programs' variables have it.
#[derive(Debug)]
#[repr(transparent)]
pub struct StaticKind(*const Memkind);

// SAFETY: it is only read.
unsafe impl Sync for StaticKind {}

/// How many static kinds there are: dynamic ones are numbered from here on.
pub(crate) const COUNT: usize = 26;

const fn system(partition: u32, name: &str) -> Memkind {
    Memkind::new(partition, name, Server::System)
}

const fn at(partition: u32, name: &str, place: Place) -> Memkind {
    Memkind::new(partition, name, Server::Static(place, StaticPool::new()))
}

const fn hbw(manner: Manner) -> Place {
    Place::Listed(HBW_NODES, manner)
}

const fn dax(manner: Manner) -> Place {
    Place::Listed(DAX_KMEM_NODES, manner)
}

/// All of them, by their numbers.
static KINDS: [Memkind; COUNT] = [
    system(0, "memkind_default"),
    at(1, "memkind_hbw", hbw(Manner::Bind)),
    at(2, "memkind_hbw_hugetlb", Place::ListedHuge),
    at(3, "memkind_hbw_preferred", hbw(Manner::Prefer)),
    at(4, "memkind_hbw_preferred_hugetlb", Place::ListedHuge),
    at(5, "memkind_hugetlb", Place::HugePages),
    at(6, "memkind_hbw_gbtlb", Place::ListedGigantic),
    at(7, "memkind_hbw_preferred_gbtlb", Place::ListedGigantic),
    at(8, "memkind_gbtlb", Place::Gigantic),
    at(9, "memkind_hbw_interleave", hbw(Manner::Interleave)),
    at(10, "memkind_interleave", Place::Interleave),
    at(11, "memkind_regular", Place::Regular),
    at(12, "memkind_hbw_all", hbw(Manner::Bind)),
    at(13, "memkind_hbw_all_hugetlb", Place::ListedHuge),
    at(14, "memkind_dax_kmem", dax(Manner::Bind)),
    at(15, "memkind_dax_kmem_all", dax(Manner::Bind)),
    at(16, "memkind_dax_kmem_preferred", dax(Manner::Prefer)),
    at(17, "memkind_dax_kmem_interleave", dax(Manner::Interleave)),
    at(18, "memkind_highest_capacity", Place::Largest(Manner::Bind)),
    at(
        19,
        "memkind_highest_capacity_preferred",
        Place::Largest(Manner::Prefer),
    ),
    at(
        20,
        "memkind_highest_capacity_local",
        Place::LargestNear(Manner::Bind),
    ),
    at(
        21,
        "memkind_highest_capacity_local_preferred",
        Place::LargestNear(Manner::Prefer),
    ),
    at(22, "memkind_lowest_latency_local", Place::Fastest),
    at(23, "memkind_lowest_latency_local_preferred", Place::Fastest),
    at(24, "memkind_highest_bandwidth_local", Place::Fastest),
    at(
        25,
        "memkind_highest_bandwidth_local_preferred",
        Place::Fastest,
    ),
];

macro_rules! variables {
    ($($name:ident = $number:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[unsafe(no_mangle)]
            pub static $name: StaticKind = StaticKind(&raw const KINDS[$number]);
        )*
    };
}

variables! {
    MEMKIND_DEFAULT = 0;
    MEMKIND_HBW = 1;
    MEMKIND_HBW_HUGETLB = 2;
    MEMKIND_HBW_PREFERRED = 3;
    MEMKIND_HBW_PREFERRED_HUGETLB = 4;
    MEMKIND_HUGETLB = 5;
    MEMKIND_HBW_GBTLB = 6;
    MEMKIND_HBW_PREFERRED_GBTLB = 7;
    MEMKIND_GBTLB = 8;
    MEMKIND_HBW_INTERLEAVE = 9;
    MEMKIND_INTERLEAVE = 10;
    MEMKIND_REGULAR = 11;
    MEMKIND_HBW_ALL = 12;
    MEMKIND_HBW_ALL_HUGETLB = 13;
    MEMKIND_DAX_KMEM = 14;
    MEMKIND_DAX_KMEM_ALL = 15;
    MEMKIND_DAX_KMEM_PREFERRED = 16;
    MEMKIND_DAX_KMEM_INTERLEAVE = 17;
    MEMKIND_HIGHEST_CAPACITY = 18;
    MEMKIND_HIGHEST_CAPACITY_PREFERRED = 19;
    MEMKIND_HIGHEST_CAPACITY_LOCAL = 20;
    MEMKIND_HIGHEST_CAPACITY_LOCAL_PREFERRED = 21;
    MEMKIND_LOWEST_LATENCY_LOCAL = 22;
    MEMKIND_LOWEST_LATENCY_LOCAL_PREFERRED = 23;
    MEMKIND_HIGHEST_BANDWIDTH_LOCAL = 24;
    MEMKIND_HIGHEST_BANDWIDTH_LOCAL_PREFERRED = 25;
}

/// The static kinds.
pub(crate) fn all() -> &'static [Memkind] {
    &KINDS
}

/// Whether an address is that of a static kind.
pub(crate) fn contains(kind: *const Memkind) -> bool {
    KINDS.as_ptr_range().contains(&kind)
}

pub(crate) fn kind(number: usize) -> *mut Memkind {
    (&raw const KINDS[number]).cast_mut()
}

pub(crate) fn default_kind() -> *mut Memkind {
    kind(0)
}

/// `memkind_get_kind_by_partition`: the static kind of a number, or `MEMKIND_ERROR_UNAVAILABLE`.
///
/// # Safety
/// `found` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memkind_get_kind_by_partition(
    partition: c_int,
    found: *mut *mut Memkind,
) -> c_int {
    match usize::try_from(partition) {
        Ok(number) if number < COUNT => {
            // SAFETY: the caller's promise.
            unsafe { found.write(kind(number)) };
            SUCCESS
        }
        _ => Code::Unavailable.number(),
    }
}
