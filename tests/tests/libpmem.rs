//! `libpmem.so.1` as programs see it: the same programs on ours and, where it is installed, on
//! Debian's.

use std::collections::BTreeSet;
use std::process::Command;

use allotment_tests::stand_in::{Side, StandIn};
use allotment_tests::{c_source, dist, process, stand_in_programs};

const LIBPMEM: StandIn = StandIn {
    name: "libpmem",
    soname: "libpmem.so.1",
    link: "pmem",
    header: "libpmem.h",
    package: "libpmem-dev",
};

/// What PMDK 1.x has.
const FUNCTIONS: [&str; 23] = [
    "pmem_check_version",
    "pmem_deep_drain",
    "pmem_deep_flush",
    "pmem_deep_persist",
    "pmem_drain",
    "pmem_errormsg",
    "pmem_flush",
    "pmem_has_auto_flush",
    "pmem_has_hw_drain",
    "pmem_is_pmem",
    "pmem_map_file",
    "pmem_memcpy",
    "pmem_memcpy_nodrain",
    "pmem_memcpy_persist",
    "pmem_memmove",
    "pmem_memmove_nodrain",
    "pmem_memmove_persist",
    "pmem_memset",
    "pmem_memset_nodrain",
    "pmem_memset_persist",
    "pmem_msync",
    "pmem_persist",
    "pmem_unmap",
];

/// What PMDK 2.1 added.
const LOG_FUNCTIONS: [&str; 3] = [
    "pmem_log_get_threshold",
    "pmem_log_set_function",
    "pmem_log_set_threshold",
];

stand_in_programs! {
    LIBPMEM,
    compared: addresses copy errors files flush is_pmem leaks limits map_file system_calls threads
        unmap;
    ours: aligned_threads log;
}

#[test]
fn exports_what_pmdk_exports() {
    let expected: BTreeSet<String> = FUNCTIONS
        .iter()
        .chain(&LOG_FUNCTIONS)
        .map(|name| format!("{name}@@LIBPMEM_1.0"))
        .collect();
    let ours = LIBPMEM.exports(Side::Ours);
    assert_eq!(ours, expected);
    if LIBPMEM.original_is_installed() {
        let theirs = LIBPMEM.exports(Side::Theirs);
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(missing.is_empty(), "not exported: {missing:?}");
    }
}

#[test]
fn the_header_has_the_same_numbers() {
    let ours = LIBPMEM.macro_values(Side::Ours, "PMEM_");
    assert_eq!(ours["PMEM_MAJOR_VERSION"], 1);
    assert_eq!(ours["PMEM_FILE_TMPFILE"], 8);
    if LIBPMEM.original_is_installed() {
        for (name, value) in LIBPMEM.macro_values(Side::Theirs, "PMEM_") {
            assert_eq!(ours.get(&name), Some(&value), "{name}");
        }
    }
}

#[test]
fn the_header_has_the_same_functions() {
    LIBPMEM.check_function_types(&FUNCTIONS);
}

#[test]
fn the_header_suits_each_standard() {
    LIBPMEM.check_standards();
}

/// Debian's libpmemobj and its own tools, on our library instead of Debian's. Forced to take the
/// file for persistent memory, so that it flushes and copies past the caches.
#[test]
fn what_lies_above_it_runs_on_ours() {
    let probe = "echo '#include <libpmemobj.h>' | cc -fsyntax-only -x c - 2>/dev/null";
    let has_header = process::run(Command::new("sh").args(["-c", probe]));
    if !has_header.status.success() {
        eprintln!("skipped: libpmemobj-dev is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("objects");
    let source = c_source::directory().join("libpmem/above/objects.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu11", "-O2", "-w", "-o"])
        .arg(&program);
    let outcome = process::run(compiler.arg(source).arg("-lpmemobj"));
    assert!(outcome.status.success(), "{outcome}");
    let mut command = Command::new(&program);
    command
        .current_dir(directory.path())
        .env("LD_LIBRARY_PATH", dist::libraries())
        .env("PMEM_IS_PMEM_FORCE", "1");
    let outcome = process::run(&mut command);
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(
        outcome.stdout_text(),
        "filled: 1000 of 1000 nodes, sum 499500, 0 damaged bytes\n\
         copy: same\n\
         set and overlapping move: same\n\
         child: exit code 3\n\
         recovered: 1500 of 1500 nodes, sum 624250, 0 damaged bytes\n\
         check: 1\n"
    );
}
