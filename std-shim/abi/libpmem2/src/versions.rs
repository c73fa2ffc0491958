//! The symbols once more, under the version that PMDK 1.x gave them.
//!
//! A linker's version script gives a symbol one version. The other one, which programs that were linked with
//! PMDK 1.x ask for, is an alias of its own: a jump to the first.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use core::arch::global_asm;

#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp "
    };
}

#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b "
    };
}

macro_rules! aliases {
    ($($name:literal)*) => {$(
        global_asm!(
            concat!(".pushsection .text.version_1_", $name, ",\"ax\",@progbits"),
            concat!(".globl version_1_", $name),
            concat!(".type version_1_", $name, ",@function"),
            concat!("version_1_", $name, ":"),
            concat!(jump!(), $name),
            concat!(".size version_1_", $name, ", . - version_1_", $name),
            concat!(".symver version_1_", $name, ",", $name, "@LIBPMEM2_1.0"),
            ".popsection",
        );
    )*};
}

aliases! {
    "pmem2_badblock_clear"
    "pmem2_badblock_context_delete"
    "pmem2_badblock_context_new"
    "pmem2_badblock_next"
    "pmem2_config_delete"
    "pmem2_config_new"
    "pmem2_config_set_length"
    "pmem2_config_set_offset"
    "pmem2_config_set_protection"
    "pmem2_config_set_required_store_granularity"
    "pmem2_config_set_sharing"
    "pmem2_config_set_vm_reservation"
    "pmem2_deep_flush"
    "pmem2_errormsg"
    "pmem2_get_drain_fn"
    "pmem2_get_flush_fn"
    "pmem2_get_memcpy_fn"
    "pmem2_get_memmove_fn"
    "pmem2_get_memset_fn"
    "pmem2_get_persist_fn"
    "pmem2_map_delete"
    "pmem2_map_from_existing"
    "pmem2_map_get_address"
    "pmem2_map_get_size"
    "pmem2_map_get_store_granularity"
    "pmem2_map_new"
    "pmem2_perror"
    "pmem2_source_alignment"
    "pmem2_source_delete"
    "pmem2_source_device_id"
    "pmem2_source_device_usc"
    "pmem2_source_from_anon"
    "pmem2_source_from_fd"
    "pmem2_source_get_fd"
    "pmem2_source_numa_node"
    "pmem2_source_pread_mcsafe"
    "pmem2_source_pwrite_mcsafe"
    "pmem2_source_size"
    "pmem2_vm_reservation_delete"
    "pmem2_vm_reservation_extend"
    "pmem2_vm_reservation_get_address"
    "pmem2_vm_reservation_get_size"
    "pmem2_vm_reservation_map_find"
    "pmem2_vm_reservation_map_find_first"
    "pmem2_vm_reservation_map_find_last"
    "pmem2_vm_reservation_map_find_next"
    "pmem2_vm_reservation_map_find_prev"
    "pmem2_vm_reservation_new"
    "pmem2_vm_reservation_shrink"
}
