//! The library as a file and as a guest: what it exports, what it says, what it refuses.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use allotment_tests::backing::Backing;
use allotment_tests::{library, preload, process};

const EXPORTS: [&str; 27] = [
    "__sysv_signal",
    "aligned_alloc",
    "bsd_signal",
    "calloc",
    "cfree",
    "free",
    "free_aligned_sized",
    "free_sized",
    "mallinfo",
    "mallinfo2",
    "malloc",
    "malloc_info",
    "malloc_stats",
    "malloc_trim",
    "malloc_usable_size",
    "mallopt",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "sigaction",
    "signal",
    "sigset",
    "ssignal",
    "sysv_signal",
    "valloc",
];

#[test]
fn exports_the_families_of_malloc_and_signal_and_nothing_else() {
    let mut nm = Command::new("nm");
    let outcome = process::run(nm.args(["-D", "--defined-only"]).arg(library::path()));
    assert!(outcome.status.success(), "{outcome}");
    let text = outcome.stdout_text();
    let exported: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2))
        .map(|symbol| symbol.split('@').next().unwrap_or(symbol))
        .collect();
    assert_eq!(exported, BTreeSet::from(EXPORTS));
}

#[test]
fn nonsense_in_the_environment_is_refused_with_one_line() {
    let wrong: [(&str, &[(&str, &str)]); 9] = [
        ("ALLOT_SIZE", &[("ALLOT_SIZE", "12Q")]),
        ("ALLOT_SIZE", &[("ALLOT_SIZE", "-1")]),
        ("ALLOT_SIZE", &[("ALLOT_SIZE", "0")]),
        ("ALLOT_SIZE", &[("ALLOT_SIZE", "99999999999999999999")]),
        ("ALLOT_SIZE", &[("ALLOT_SIZE", "99999999T")]),
        ("ALLOT_DIR", &[("ALLOT_DIR", "/nonexistent/directory")]),
        ("ALLOT_FILE", &[("ALLOT_FILE", "/")]),
        ("ALLOT_FILE", &[("ALLOT_FILE", "/dev/null")]),
        (
            "ALLOT_FILE",
            &[("ALLOT_FILE", "/tmp/a"), ("ALLOT_DIR", "/tmp")],
        ),
    ];
    for (variable, environment) in wrong {
        let mut command = Command::new("true");
        command
            .env("LD_PRELOAD", library::path())
            .envs(environment.iter().copied());
        let outcome = process::run(&mut command);
        let stderr = outcome.stderr_text();
        assert!(!outcome.status.success(), "{environment:?}: {outcome}");
        assert_eq!(outcome.signal(), None, "{environment:?}: {outcome}");
        assert!(
            stderr.starts_with("allotment: "),
            "{environment:?}: {outcome}"
        );
        assert!(stderr.contains(variable), "{environment:?}: {outcome}");
        assert_eq!(stderr.lines().count(), 1, "{environment:?}: {outcome}");
    }
}

#[test]
fn sizes_have_units() {
    for (size, bytes) in [("16M", 16 << 20), ("1G", 1 << 30), ("33554432", 32 << 20)] {
        let preloaded = preload::run_with(
            Backing::Anonymous,
            &mut Command::new("sort"),
            &[("ALLOT_SIZE", size)],
        );
        assert!(
            preloaded.outcome.status.success(),
            "{size}: {}",
            preloaded.outcome
        );
        let region = preloaded.records[0]["region_bytes"]
            .as_u64()
            .expect("a number");
        assert!(
            region <= bytes && region > bytes / 10 * 9,
            "{size}: a region of {region}"
        );
    }
}

#[test]
fn statistics_on_request() {
    // Not a shell: some end by _exit, which is no end that a library hears of.
    let seq = |value: &str| {
        let mut command = Command::new("seq");
        command.arg("2").env("LD_PRELOAD", library::path());
        let outcome = process::run(command.env("ALLOT_STATS", value));
        assert!(outcome.status.success(), "{outcome}");
        assert_eq!(outcome.stdout_text(), "1\n2\n");
        outcome.stderr_text()
    };
    assert_eq!(seq("0"), "");
    assert!(seq("1").to_lowercase().contains("peak"));
    assert_eq!(seq("table").lines().count(), seq("1").lines().count());
    let json: serde_json::Value = serde_json::from_str(&seq("json")).expect("JSON");
    let number = |field: &str| {
        json[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field}: {json}"))
    };
    assert!(
        number("allocations") > 0 && number("peak_bytes") > 0,
        "{json}"
    );
    assert!(number("peak_bytes") >= number("used_bytes"), "{json}");
    assert!(
        number("used_bytes") + number("free_bytes") <= number("region_bytes"),
        "{json}"
    );
    assert!(number("allocations") >= number("deallocations"), "{json}");
    assert_eq!(json["program"], "seq");
}

#[test]
fn a_named_file_is_made_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("pool");
    let mut command = Command::new("sh");
    // The children find the file taken by their parent, and go on without it.
    command
        .args(["-c", "echo one | cat | sort; seq 3 | tail -n 1"])
        .env("LD_PRELOAD", library::path())
        .env("ALLOT_FILE", &file)
        .env("ALLOT_SIZE", "64M");
    for _ in 0..2 {
        let outcome = process::run(&mut command);
        assert!(outcome.status.success(), "{outcome}");
        assert_eq!(outcome.stdout_text(), "one\n3\n");
        assert_eq!(outcome.stderr_text(), "");
        let metadata = fs::metadata(&file).expect("the file is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(directory.path())
            .expect("the directory")
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

#[test]
fn programs_pass_on_how_they_ended() {
    for (script, code, signal) in [
        ("exit 7", Some(7), None),
        ("kill -TERM $$", None, Some(15)),
        ("exit 0", Some(0), None),
    ] {
        let preloaded = preload::run(Backing::File, Command::new("sh").args(["-c", script]));
        assert_eq!(preloaded.outcome.status.code(), code, "{script}");
        assert_eq!(preloaded.outcome.signal(), signal, "{script}");
        assert_eq!(preloaded.outcome.stderr_text(), "", "{script}");
    }
}
