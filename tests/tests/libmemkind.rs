//! `libmemkind.so.0` as programs see it: the same programs on ours and, where it is installed, on
//! Debian's. `cargo test -p allotment-tests --test libmemkind -- --ignored --nocapture` runs some for a minute each, and
//! shows their figures.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use allotment_tests::process::{self, Outcome};
use allotment_tests::stand_in::{Side, StandIn};
use allotment_tests::{c_source, dist, stand_in_programs};

const LIBMEMKIND: StandIn = StandIn {
    name: "libmemkind",
    soname: "libmemkind.so.0",
    link: "memkind",
    header: "memkind.h",
    package: "libmemkind-dev",
};

/// What the headers declare.
const FUNCTIONS: [&str; 29] = [
    "memkind_calloc",
    "memkind_check_available",
    "memkind_check_dax_path",
    "memkind_config_delete",
    "memkind_config_new",
    "memkind_config_set_memory_usage_policy",
    "memkind_config_set_path",
    "memkind_config_set_size",
    "memkind_create_fixed",
    "memkind_create_kind",
    "memkind_create_pmem",
    "memkind_create_pmem_with_config",
    "memkind_defrag_reallocate",
    "memkind_destroy_kind",
    "memkind_detect_kind",
    "memkind_error_message",
    "memkind_free",
    "memkind_get_capacity",
    "memkind_get_kind_by_partition",
    "memkind_get_stat",
    "memkind_get_version",
    "memkind_malloc",
    "memkind_malloc_usable_size",
    "memkind_posix_memalign",
    "memkind_realloc",
    "memkind_set_bg_threads",
    "memkind_stats_print",
    "memkind_update_cached_stats",
    "MEMKIND_DEFAULT",
];

/// Numbers of the header.
const NUMBERS: [&str; 40] = [
    "MEMKIND_MEMTYPE_DEFAULT",
    "MEMKIND_MEMTYPE_HIGH_BANDWIDTH",
    "MEMKIND_POLICY_BIND_LOCAL",
    "MEMKIND_POLICY_BIND_ALL",
    "MEMKIND_POLICY_PREFERRED_LOCAL",
    "MEMKIND_POLICY_INTERLEAVE_LOCAL",
    "MEMKIND_POLICY_INTERLEAVE_ALL",
    "MEMKIND_POLICY_MAX_VALUE",
    "MEMKIND_MASK_PAGE_SIZE_2MB",
    "MEMKIND_MAX_KIND",
    "MEMKIND_ERROR_MESSAGE_SIZE",
    "MEMKIND_PMEM_MIN_SIZE",
    "MEMKIND_SUCCESS",
    "MEMKIND_ERROR_UNAVAILABLE",
    "MEMKIND_ERROR_MBIND",
    "MEMKIND_ERROR_MMAP",
    "MEMKIND_ERROR_MALLOC",
    "MEMKIND_ERROR_ENVIRON",
    "MEMKIND_ERROR_INVALID",
    "MEMKIND_ERROR_TOOMANY",
    "MEMKIND_ERROR_BADOPS",
    "MEMKIND_ERROR_HUGETLB",
    "MEMKIND_ERROR_MEMTYPE_NOT_AVAILABLE",
    "MEMKIND_ERROR_OPERATION_FAILED",
    "MEMKIND_ERROR_ARENAS_CREATE",
    "MEMKIND_ERROR_RUNTIME",
    "MEMKIND_MEM_USAGE_POLICY_DEFAULT",
    "MEMKIND_MEM_USAGE_POLICY_CONSERVATIVE",
    "MEMKIND_MEM_USAGE_POLICY_MAX_VALUE",
    "MEMKIND_STAT_TYPE_RESIDENT",
    "MEMKIND_STAT_TYPE_ACTIVE",
    "MEMKIND_STAT_TYPE_ALLOCATED",
    "MEMKIND_STAT_TYPE_MAX_VALUE",
    "MEMKIND_STAT_PRINT_JSON_FORMAT",
    "MEMKIND_STAT_PRINT_OMIT_GENERAL",
    "MEMKIND_STAT_PRINT_OMIT_MUTEX",
    "MEMKIND_STAT_PRINT_OMIT_EXTENT",
    "MEMKIND_PARTITION_REGULAR",
    "MEMKIND_PARTITION_HIGHEST_CAPACITY",
    "MEMKIND_NUM_BASE_KIND",
];

/// Beginnings of the names of the original's own parts, which it exports but its installed headers do
/// not declare.
const INTERNAL: [&str; 18] = [
    "jemk_",
    "memkind_arena_",
    "memkind_bijective_get_arena",
    "memkind_dax_kmem_",
    "memkind_default_",
    "memkind_fixed_",
    "memkind_hbw_",
    "memkind_hugetlb_",
    "memkind_interleave_",
    "memkind_nohugepage_madvise",
    "memkind_pmem_",
    "memkind_posix_check_alignment",
    "memkind_preferred_",
    "memkind_regular_",
    "memkind_set_arena_map_len",
    "memkind_thread_get_arena",
    "tbb_",
    "memtier_policy_",
];

stand_in_programs! {
    LIBMEMKIND,
    compared: alignment calloc create detect errors fixed heap memtier overlap static_kinds statistics;
    ours: defragment foreign fork fork_exit fork_threads giving_back key_value_store limits refill report
        threads;
}

#[test]
fn exports_what_the_original_declares() {
    let ours = LIBMEMKIND.exports(Side::Ours);
    for name in FUNCTIONS {
        assert!(ours.contains(name), "{name}");
    }
    if LIBMEMKIND.original_is_installed() {
        let theirs = LIBMEMKIND.exports(Side::Theirs);
        let is_internal = |name: &str| {
            name.ends_with("_OPS") || INTERNAL.iter().any(|start| name.starts_with(start))
        };
        let missing: BTreeSet<_> = theirs
            .difference(&ours)
            .filter(|name| !is_internal(name))
            .collect();
        assert!(missing.is_empty(), "not exported: {missing:?}");
        let more: Vec<_> = ours.difference(&theirs).collect();
        assert_eq!(more, ["memkind_set_allow_zero_allocs"]);
    }
}

#[test]
fn the_header_has_the_same_numbers() {
    let ours = LIBMEMKIND.integers(Side::Ours, &NUMBERS);
    assert_eq!(ours["MEMKIND_ERROR_INVALID"], -13);
    if LIBMEMKIND.original_is_installed() {
        assert_eq!(ours, LIBMEMKIND.integers(Side::Theirs, &NUMBERS));
    }
}

#[test]
fn the_header_has_the_same_functions() {
    LIBMEMKIND.check_function_types(&FUNCTIONS);
}

#[test]
fn the_header_suits_each_standard() {
    LIBMEMKIND.check_standards();
}

/// A program of ours, compiled into a directory of its own.
fn compile(
    compiler: &str,
    source: &str,
    flags: &[&str],
    side: Side,
) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory to compile in");
    let program = directory.path().join("program");
    let mut command = LIBMEMKIND.compiler(compiler, side);
    command.args(["-O2", "-g", "-Wall", "-Wextra", "-pthread"]);
    if side == Side::Ours {
        command.arg("-Werror");
    }
    command.args(flags).arg("-o").arg(&program);
    command.arg(c_source::directory().join("libmemkind").join(source));
    let outcome = process::run(command.arg("-lmemkind"));
    assert!(outcome.status.success(), "{outcome}");
    (directory, program)
}

fn run_on_ours(program: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments);
    command.env("LD_LIBRARY_PATH", dist::libraries());
    process::run(&mut command)
}

#[test]
fn containers_live_in_kinds() {
    let expected = c_source::directory().join("libmemkind/expected/allocators.out");
    let expected = fs::read_to_string(expected).expect("what is expected");
    for standard in ["-std=c++11", "-std=c++17", "-std=c++20"] {
        let (_directory, program) = compile("c++", "allocators.cpp", &[standard], Side::Ours);
        let outcome = run_on_ours(&program, &[]);
        assert!(outcome.status.success(), "{standard}: {outcome}");
        assert_eq!(outcome.stdout_text(), expected, "{standard}");
    }
    if LIBMEMKIND.original_is_installed() {
        let (_directory, program) = compile("c++", "allocators.cpp", &["-std=c++17"], Side::Theirs);
        let theirs = process::run(&mut Command::new(&program));
        assert_eq!(theirs.stdout_text(), expected, "on the original: {theirs}");
        let moved = run_on_ours(&program, &[]);
        assert_eq!(
            moved.stdout_text(),
            expected,
            "built against the original: {moved}"
        );
    }
}

#[test]
#[ignore = "takes a minute"]
fn key_value_store_for_a_minute() {
    run_for_a_minute("key_value_store");
}

#[test]
#[ignore = "takes a minute"]
fn threads_for_a_minute() {
    run_for_a_minute("threads");
}

#[test]
#[ignore = "takes a minute"]
fn fork_threads_for_a_minute() {
    run_for_a_minute("fork_threads");
}

fn run_for_a_minute(name: &str) {
    let flags = ["-std=gnu11"];
    let (_directory, program) = compile("cc", &format!("{name}.c"), &flags, Side::Ours);
    let outcome = run_on_ours(&program, &["60"]);
    assert!(outcome.status.success(), "{outcome}");
    let expected = c_source::directory().join(format!("libmemkind/expected/{name}.txt"));
    let expected = fs::read_to_string(expected).expect("what is expected");
    assert_eq!(outcome.stdout_text(), expected, "{outcome}");
    eprintln!("{name}: {}", outcome.stderr_text());
}
