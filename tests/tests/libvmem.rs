//! `libvmem.so.1` as programs see it: what they print on ours is what the original does, or what is better
//! on purpose.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use allotment_tests::stand_in::{Side, StandIn};
use allotment_tests::{c_source, dist, process, program, stand_in_programs};

const LIBVMEM: StandIn = StandIn {
    name: "libvmem",
    soname: "libvmem.so.1",
    link: "vmem",
    header: "libvmem.h",
    package: "libvmem-dev",
};

const FUNCTIONS: [&str; 16] = [
    "vmem_aligned_alloc",
    "vmem_calloc",
    "vmem_check",
    "vmem_check_version",
    "vmem_create",
    "vmem_create_in_region",
    "vmem_delete",
    "vmem_errormsg",
    "vmem_free",
    "vmem_malloc",
    "vmem_malloc_usable_size",
    "vmem_realloc",
    "vmem_set_funcs",
    "vmem_stats_print",
    "vmem_strdup",
    "vmem_wcsdup",
];

stand_in_programs! {
    LIBVMEM,
    compared: ;
    ours: allocate create damage fork fork_exit full functions log messages misuse planted pools region
        signals statistics threads;
}

#[test]
fn exports_what_the_original_exports() {
    let expected: BTreeSet<String> = FUNCTIONS
        .iter()
        .map(|name| format!("{name}@@LIBVMEM_1.0"))
        .collect();
    assert_eq!(LIBVMEM.exports(Side::Ours), expected);
}

#[test]
fn the_header_has_the_numbers() {
    let ours = LIBVMEM.macro_values(Side::Ours, "VMEM_");
    assert_eq!(ours["VMEM_MAJOR_VERSION"], 1);
    assert_eq!(ours["VMEM_MINOR_VERSION"], 1);
    assert_eq!(ours["VMEM_MIN_POOL"], 14 << 20);
}

#[test]
fn the_header_has_the_functions() {
    let types = LIBVMEM.function_types(Side::Ours, &FUNCTIONS);
    assert_eq!(types.len(), FUNCTIONS.len());
    assert!(
        types.contains(&"vmem_create FP4vmemPKcmE".to_owned()),
        "{types:?}"
    );
}

#[test]
fn the_header_suits_each_standard() {
    LIBVMEM.check_standards();
}

#[test]
fn each_library_can_be_opened_while_a_program_runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = c_source::program("dlopen.c");
    for (library, function) in [
        ("libpmem.so.1", "pmem_errormsg"),
        ("libpmem2.so.1", "pmem2_errormsg"),
        ("libvmem.so.1", "vmem_errormsg"),
        ("libmemkind.so.0", "memkind_get_version"),
        ("libvmmalloc.so.1", "malloc"),
        ("liballotment_malloc.so", "malloc"),
    ] {
        let mut command = Command::new(&program);
        command
            .arg(dist::libraries().join(library))
            .arg(function)
            .env("VMMALLOC_POOL_DIR", directory.path())
            .env("VMMALLOC_POOL_SIZE", "64M");
        let outcome = process::run(&mut command);
        assert_eq!(outcome.stdout_text(), "an answer\n", "{library}: {outcome}");
        assert!(outcome.status.success(), "{library}: {outcome}");
    }
}

#[test]
fn handlers_that_are_there_before_the_library_may_fork() {
    let program = c_source::program("fork_in_handler.c");
    for when in ["before", "parent", "child"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(&program);
        command
            .arg(dist::libraries().join(LIBVMEM.soname))
            .arg(directory.path())
            .arg(when);
        let outcome = process::run(&mut command);
        assert!(outcome.status.success(), "{when}: {outcome}");
        let expected = "0 failed, goes on, signals as before\n";
        assert_eq!(outcome.stdout_text(), expected, "{when}: {outcome}");
    }
}

/// Builds a program in `c` with our header and library.
fn build(directory: &Path, source: &str) -> PathBuf {
    let program = directory.join("program");
    let mut compiler = LIBVMEM.compiler("cc", Side::Ours);
    compiler
        .args(["-O0", "-g", "-w", "-pthread", "-fno-builtin"])
        .arg("-o")
        .arg(&program)
        .arg(c_source::directory().join(source))
        .arg("-lvmem");
    let outcome = process::run(&mut compiler);
    assert!(outcome.status.success(), "{outcome}");
    program
}

#[test]
fn valgrind_knows_the_blocks_of_a_pool() {
    if !program::is_installed("valgrind") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = build(directory.path(), "memcheck/vmem.c");
    let run = |mistake: &str| {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--quiet", "--leak-check=full", "--error-exitcode=9"])
            .arg(&program)
            .arg(mistake)
            .env("LD_LIBRARY_PATH", dist::libraries());
        process::run(&mut valgrind)
    };
    let clean = run("none");
    assert!(clean.status.success(), "{clean}");
    assert!(clean.stderr.is_empty(), "{clean}");
    for (mistake, texts) in [
        (
            "overrun",
            &[
                "Invalid write of size 1",
                "0 bytes after a block of size 10",
            ][..],
        ),
        (
            "use after free",
            &[
                "Invalid read of size 1",
                "3 bytes inside a block of size 10 free'd",
            ],
        ),
        ("uninitialised", &["depends on uninitialised value"]),
        ("leak", &["blocks are definitely lost", "vmem_malloc"]),
    ] {
        let outcome = run(mistake);
        assert_eq!(outcome.status.code(), Some(9), "{mistake}: {outcome}");
        assert_eq!(outcome.stdout_text(), "end\n", "{mistake}: {outcome}");
        for text in texts {
            assert!(
                outcome.stderr_text().contains(text),
                "{mistake}, {text}: {outcome}"
            );
        }
    }
}

/// `cargo test --test libvmem -- --ignored`.
#[test]
#[ignore = "takes a minute"]
fn no_false_alarm_in_a_minute_beside_busy_threads() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = build(directory.path(), "libvmem/damage.c");
    let mut minute = Command::new(program);
    minute
        .arg("60")
        .current_dir(directory.path())
        .env("LD_LIBRARY_PATH", dist::libraries());
    let outcome = process::run(&mut minute);
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(outcome.stdout_text(), "beside busy threads: 0 alarms\n");
}
