//! `libpmem2.so.1` as programs see it: the same programs on ours and, where it is installed, on
//! Debian's.

use std::collections::BTreeSet;

use allotment_tests::stand_in::{Side, StandIn};
use allotment_tests::stand_in_programs;

const LIBPMEM2: StandIn = StandIn {
    name: "libpmem2",
    soname: "libpmem2.so.1",
    link: "pmem2",
    header: "libpmem2.h",
    package: "libpmem2-dev",
};

/// What both PMDK 1.12 and 2.x have.
const FUNCTIONS: [&str; 49] = [
    "pmem2_badblock_clear",
    "pmem2_badblock_context_delete",
    "pmem2_badblock_context_new",
    "pmem2_badblock_next",
    "pmem2_config_delete",
    "pmem2_config_new",
    "pmem2_config_set_length",
    "pmem2_config_set_offset",
    "pmem2_config_set_protection",
    "pmem2_config_set_required_store_granularity",
    "pmem2_config_set_sharing",
    "pmem2_config_set_vm_reservation",
    "pmem2_deep_flush",
    "pmem2_errormsg",
    "pmem2_get_drain_fn",
    "pmem2_get_flush_fn",
    "pmem2_get_memcpy_fn",
    "pmem2_get_memmove_fn",
    "pmem2_get_memset_fn",
    "pmem2_get_persist_fn",
    "pmem2_map_delete",
    "pmem2_map_from_existing",
    "pmem2_map_get_address",
    "pmem2_map_get_size",
    "pmem2_map_get_store_granularity",
    "pmem2_map_new",
    "pmem2_perror",
    "pmem2_source_alignment",
    "pmem2_source_delete",
    "pmem2_source_device_id",
    "pmem2_source_device_usc",
    "pmem2_source_from_anon",
    "pmem2_source_from_fd",
    "pmem2_source_get_fd",
    "pmem2_source_numa_node",
    "pmem2_source_pread_mcsafe",
    "pmem2_source_pwrite_mcsafe",
    "pmem2_source_size",
    "pmem2_vm_reservation_delete",
    "pmem2_vm_reservation_extend",
    "pmem2_vm_reservation_get_address",
    "pmem2_vm_reservation_get_size",
    "pmem2_vm_reservation_map_find",
    "pmem2_vm_reservation_map_find_first",
    "pmem2_vm_reservation_map_find_last",
    "pmem2_vm_reservation_map_find_next",
    "pmem2_vm_reservation_map_find_prev",
    "pmem2_vm_reservation_new",
    "pmem2_vm_reservation_shrink",
];

/// What PMDK 1.12 has for libminiasync, and 2.x dropped.
const DROPPED: [&str; 4] = [
    "pmem2_config_set_vdm",
    "pmem2_memcpy_async",
    "pmem2_memmove_async",
    "pmem2_memset_async",
];

/// The header's values that are no macros, and what is inside of its structure.
const CONSTANTS: [&str; 8] = [
    "PMEM2_GRANULARITY_BYTE",
    "PMEM2_GRANULARITY_CACHE_LINE",
    "PMEM2_GRANULARITY_PAGE",
    "PMEM2_SHARED",
    "PMEM2_PRIVATE",
    "sizeof(struct pmem2_badblock)",
    "offsetof(struct pmem2_badblock, offset)",
    "offsetof(struct pmem2_badblock, length)",
];

stand_in_programs! {
    LIBPMEM2,
    compared: config errors existing find granularity leaks limits map persist ras reservation
        reserved_maps sequences source threads;
    ours: bystanders robust;
}

#[test]
fn exports_what_pmdk_exports_in_both_versions() {
    let expected: BTreeSet<String> = FUNCTIONS
        .iter()
        .flat_map(|name| {
            [
                format!("{name}@LIBPMEM2_1.0"),
                format!("{name}@@LIBPMEM2_2.0"),
            ]
        })
        .collect();
    let ours = LIBPMEM2.exports(Side::Ours);
    assert_eq!(ours, expected);
    if LIBPMEM2.original_is_installed() {
        let names = |symbols: BTreeSet<String>| -> BTreeSet<String> {
            let plain = symbols.iter().map(|name| name.replace("@@", "@"));
            plain.collect()
        };
        let dropped: BTreeSet<String> = DROPPED
            .iter()
            .map(|name| format!("{name}@LIBPMEM2_1.0"))
            .collect();
        let ours = names(ours);
        let theirs = names(LIBPMEM2.exports(Side::Theirs));
        let missing: BTreeSet<_> = theirs.difference(&ours).cloned().collect();
        assert!(
            missing.is_subset(&dropped),
            "not exported: {:?}",
            missing.difference(&dropped)
        );
    }
}

#[test]
fn the_header_has_the_same_numbers() {
    let mut ours = LIBPMEM2.macro_values(Side::Ours, "PMEM2_");
    assert_eq!(ours["PMEM2_E_IO_FAIL"], -100_037);
    ours.extend(LIBPMEM2.integers(Side::Ours, &CONSTANTS));
    if LIBPMEM2.original_is_installed() {
        let mut theirs = LIBPMEM2.macro_values(Side::Theirs, "PMEM2_");
        theirs.extend(LIBPMEM2.integers(Side::Theirs, &CONSTANTS));
        for (name, value) in theirs {
            assert_eq!(ours.get(&name), Some(&value), "{name}");
        }
    }
}

#[test]
fn the_header_has_the_same_functions() {
    LIBPMEM2.check_function_types(&FUNCTIONS);
}

#[test]
fn the_header_suits_each_standard() {
    LIBPMEM2.check_standards();
}
