//! `libvmmalloc.so.1`: programs whose heap is a pool in a file, by `LD_PRELOAD`; its refusals to start, and
//! what the child of a fork gets.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use allotment_tests::process::{self, Outcome};
use allotment_tests::program::{is_installed, script, scripts};
use allotment_tests::stand_in::{Side, StandIn};
use allotment_tests::{c_source, dist, preload};

const LIBVMMALLOC: StandIn = StandIn {
    name: "libvmmalloc",
    soname: "libvmmalloc.so.1",
    link: "vmmalloc",
    header: "libvmmalloc.h",
    package: "libvmmalloc-dev",
};

const SYMBOLS: [&str; 15] = [
    "__free_hook",
    "__malloc_hook",
    "__memalign_hook",
    "__realloc_hook",
    "aligned_alloc",
    "calloc",
    "cfree",
    "free",
    "malloc",
    "malloc_usable_size",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "valloc",
];

/// The modes in which a child has a pool of its own.
const COPYING: [&str; 3] = ["1", "2", "3"];

fn library() -> PathBuf {
    dist::libraries().join(LIBVMMALLOC.soname)
}

/// Preloads the library into a program, with only these variables of the library's.
fn preload<'c>(command: &'c mut Command, variables: &[(&str, &str)]) -> &'c mut Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("VMMALLOC_") {
            command.env_remove(name);
        }
    }
    command.env("LD_PRELOAD", library());
    command.envs(variables.iter().copied())
}

/// Runs a program on a pool in a directory of its own, which must be empty at the end.
fn run(command: &mut Command, size: &str, fork: &str) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("a UTF-8 path").to_owned();
    let variables = [
        ("VMMALLOC_POOL_DIR", path.as_str()),
        ("VMMALLOC_POOL_SIZE", size),
        ("VMMALLOC_FORK", fork),
    ];
    let outcome = process::run(preload(command, &variables));
    let left = std::fs::read_dir(directory.path()).expect("the directory");
    assert_eq!(left.count(), 0, "{command:?} left files behind");
    outcome
}

fn passes(program: &str, arguments: &[&str], size: &str, fork: &str, expected: &str) {
    let program = c_source::program(program);
    let outcome = run(Command::new(&program).args(arguments), size, fork);
    let context = format!("{} with VMMALLOC_FORK={fork}", program.display());
    assert!(outcome.status.success(), "{context}: {outcome}");
    assert!(outcome.stderr.is_empty(), "{context}: {outcome}");
    assert_eq!(outcome.stdout_text(), expected, "{context}");
}

#[test]
fn exports_what_the_original_exports_without_versions() {
    let expected: BTreeSet<String> = SYMBOLS.map(str::to_owned).into();
    assert_eq!(LIBVMMALLOC.exports(Side::Ours), expected);
}

#[test]
fn the_header_has_the_numbers_and_suits_each_standard() {
    let ours = LIBVMMALLOC.macro_values(Side::Ours, "VMMALLOC_");
    assert_eq!(ours["VMMALLOC_MAJOR_VERSION"], 1);
    assert_eq!(ours["VMMALLOC_MINOR_VERSION"], 1);
    assert_eq!(ours["VMMALLOC_MIN_POOL"], 14 << 20);
    LIBVMMALLOC.check_standards();
}

#[test]
fn a_start_that_makes_no_sense_is_refused() {
    const DIR: &str = "VMMALLOC_POOL_DIR";
    const SIZE: &str = "VMMALLOC_POOL_SIZE";
    const FORK: &str = "VMMALLOC_FORK";
    let long = "x".repeat(5000);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "environment variable VMMALLOC_POOL_DIR not specified"),
        (
            &[(SIZE, "64M")],
            "environment variable VMMALLOC_POOL_DIR not specified",
        ),
        (
            &[(DIR, "/tmp")],
            "environment variable VMMALLOC_POOL_SIZE not specified",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "-1")],
            "negative VMMALLOC_POOL_SIZE",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "1048576")],
            "VMMALLOC_POOL_SIZE value is less than minimum (1048576 < 14680064)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "14680063")],
            "VMMALLOC_POOL_SIZE value is less than minimum (14680063 < 14680064)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "9223372036854775808")],
            "vmem pool creation failed: File too large",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "18446744073709551615")],
            "vmem pool creation failed: File too large",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "18446744073709551616")],
            "incorrect VMMALLOC_POOL_SIZE value (18446744073709551616)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "")],
            "VMMALLOC_POOL_SIZE value is less than minimum (0 < 14680064)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "64X")],
            "incorrect VMMALLOC_POOL_SIZE value (64X)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "many")],
            "incorrect VMMALLOC_POOL_SIZE value (many)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "64M"), (FORK, "4")],
            "incorrect VMMALLOC_FORK value (4)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "64M"), (FORK, "abc")],
            "incorrect VMMALLOC_FORK value (abc)",
        ),
        (
            &[(DIR, "/tmp"), (SIZE, "64M"), ("VMMALLOC_SIGNALS", "yes")],
            "incorrect VMMALLOC_SIGNALS value (yes)",
        ),
        (
            &[(DIR, "/absent"), (SIZE, "64M")],
            "vmem pool creation failed: No such file or directory",
        ),
        (
            &[(DIR, ""), (SIZE, "64M")],
            "vmem pool creation failed: No such file or directory",
        ),
        (
            &[(DIR, "/etc/passwd"), (SIZE, "64M")],
            "vmem pool creation failed: Not a directory",
        ),
        (
            &[(DIR, "/dev/null"), (SIZE, "64M")],
            "vmem pool creation failed: Invalid argument",
        ),
        (
            &[(DIR, &long), (SIZE, "64M")],
            "vmem pool creation failed: File name too long",
        ),
        (
            &[(DIR, "/dev/shm"), (SIZE, "8T")],
            "vmem pool creation failed: No space left on device",
        ),
        (
            &[
                (DIR, "/tmp"),
                (SIZE, "64M"),
                ("VMMALLOC_LOG_FILE", "/absent/log"),
            ],
            "VMMALLOC_LOG_FILE=/absent/log: No such file or directory",
        ),
    ];
    for (variables, text) in cases {
        let outcome = process::run(preload(&mut Command::new("/bin/true"), variables));
        assert_eq!(
            outcome.status.signal(),
            Some(libc::SIGABRT),
            "{text}: {outcome}"
        );
        assert_eq!(
            outcome.stderr_text(),
            format!("Error (libvmmalloc): {text}\n")
        );
    }
}

#[test]
fn sizes_may_have_suffixes_and_directories_any_name() {
    for size in ["14M", "14680064", " +64M", "16384K", "1g"] {
        let outcome = run(&mut Command::new("/bin/true"), size, "1");
        assert!(outcome.status.success(), "{size}: {outcome}");
        assert!(outcome.stderr.is_empty(), "{size}: {outcome}");
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in [&b"with space\nand line"[..], b"\xff\xfe\x80", b"%s%n"] {
        let strange = directory.path().join(OsStr::from_bytes(name));
        std::fs::create_dir(&strange).expect("a directory");
        let mut command = Command::new("/bin/true");
        preload(&mut command, &[("VMMALLOC_POOL_SIZE", "64M")]).env("VMMALLOC_POOL_DIR", &strange);
        let outcome = process::run(&mut command);
        assert!(outcome.status.success(), "{strange:?}: {outcome}");
        assert!(outcome.stderr.is_empty(), "{strange:?}: {outcome}");
    }
}

#[test]
fn statistics_and_the_log_go_where_they_are_asked_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log-");
    let mut command = Command::new("/bin/ls");
    preload(
        command.arg("/"),
        &[
            ("VMMALLOC_POOL_DIR", "/tmp"),
            ("VMMALLOC_POOL_SIZE", "64M"),
            ("VMMALLOC_LOG_STATS", "1"),
            ("VMMALLOC_LOG_LEVEL", "1"),
        ],
    );
    let outcome = process::run(&mut command);
    assert!(outcome.stderr_text().contains("libvmmalloc version 1.1\n"));
    assert!(outcome.stderr_text().contains("allocations"));
    let outcome = process::run(command.env("VMMALLOC_LOG_FILE", &log));
    assert!(outcome.status.success(), "{outcome}");
    assert!(outcome.stderr.is_empty(), "{outcome}");
    let files: Vec<PathBuf> = std::fs::read_dir(directory.path())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let text = std::fs::read_to_string(&files[0]).expect("the log");
    assert!(text.starts_with("<libvmmalloc>: <1> ["), "{text}");
    assert!(text.contains("allocations"), "{text}");
}

#[test]
fn semantics() {
    passes("vmmalloc_semantics.c", &[], "64M", "1", "ok\n");
}

#[test]
fn short_lived_threads_leave_nothing_behind() {
    passes("vmmalloc_short_lived.c", &["200"], "64M", "1", "ok\n");
    passes("vmmalloc_short_lived.c", &["2000"], "64M", "1", "ok\n");
}

#[test]
fn the_family_as_in_the_preload_library() {
    for name in [
        "cfree.c",
        "errno.c",
        "huge.c",
        "resize.c",
        "usable.c",
        "zeroing.c",
    ] {
        passes(name, &[], "512M", "1", "ok\n");
    }
    passes("exhaust.c", &["50"], "64M", "1", "ok\n");
    let plugin = c_source::shared_library("plugin.c");
    let plugin = plugin.to_str().expect("a UTF-8 path");
    // Pointers of the C library's own malloc, and calls when all destructors have run.
    passes("deepbind.c", &[plugin], "64M", "1", "ok\n");
    let expected = "atexit ok\ndestructor ok\nok\n";
    passes("lifecycle.c", &[plugin], "64M", "1", expected);
}

#[test]
fn neither_side_of_a_fork_sees_what_the_other_writes() {
    for fork in COPYING {
        passes("vmmalloc_both_sides.c", &[], "64M", fork, "ok\n");
        passes("fork_snapshot.c", &[], "64M", fork, "ok\n");
    }
    passes("fork_threads.c", &[], "16M", "1", "ok\n");
    passes("spawn.c", &[], "16M", "2", "ok\n");
}

#[test]
fn a_handler_of_a_fault_may_allocate() {
    for fork in COPYING {
        passes("vmmalloc_fault.c", &[], "64M", fork, "ok\n");
    }
}

/// Handlers that interrupt malloc, where that is asked for.
#[test]
fn any_handler_may_allocate_if_asked_for() {
    for name in ["signal.c", "nested_signals.c", "siglongjmp.c"] {
        let mut command = Command::new(c_source::program(name));
        command.env("VMMALLOC_SIGNALS", "1");
        let outcome = run(&mut command, "256M", "1");
        assert!(outcome.status.success(), "{name}: {outcome}");
        assert!(outcome.stderr.is_empty(), "{name}: {outcome}");
        assert_eq!(outcome.stdout_text(), "ok\n", "{name}");
    }
}

/// What became of a child whose copy of the pool may have no place, and of the whole program.
fn without_room(directory: &Path, fork: &str, how: &str) -> String {
    let mut command = Command::new(c_source::program("vmmalloc_no_room.c"));
    command.arg(directory).args(["20", how]);
    let path = directory.to_str().expect("a UTF-8 path");
    let variables = [
        ("VMMALLOC_POOL_DIR", path),
        ("VMMALLOC_POOL_SIZE", "32M"),
        ("VMMALLOC_FORK", fork),
    ];
    let outcome = process::run(preload(&mut command, &variables));
    let context = format!("VMMALLOC_FORK={fork}: {outcome}");
    assert!(outcome.status.success(), "{context}");
    let says_why = outcome
        .stderr_text()
        .contains("no copy of the pool for the child of a fork: ");
    assert_eq!(says_why, !outcome.stderr.is_empty(), "{context}");
    outcome.stdout_text()
}

#[test]
fn a_pool_does_not_need_its_directory_but_copies_in_files_do() {
    for (fork, child) in [("1", "goes on"), ("2", "Aborted"), ("3", "goes on")] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = directory.path().join("pool");
        std::fs::create_dir(&place).expect("a directory");
        let answer = without_room(&place, fork, "remove");
        assert_eq!(answer, format!("child: {child}\nok\n"), "{fork}");
    }
}

/// Runs this test alone in a place of its own where file systems can be mounted; not where that is not allowed.
fn with_mounts(test: &str, then: impl FnOnce()) {
    const INSIDE: &str = "INSIDE_OF_UNSHARE";
    if env::var_os(INSIDE).is_some() {
        return then();
    }
    let allowed = process::run(Command::new("unshare").args(["-rm", "true"]));
    if !is_installed("unshare") || !allowed.status.success() {
        eprintln!("skipped: file systems cannot be mounted here");
        return;
    }
    let mut again = Command::new("unshare");
    again
        .arg("-rm")
        .arg(env::current_exe().expect("a test program has a path"))
        .args(["--exact", test])
        .env("ALLOT_DIST", dist::directory())
        .env(INSIDE, "1");
    let outcome = process::run(&mut again);
    assert!(outcome.status.success(), "{outcome}");
    assert!(outcome.stdout_text().contains("1 passed"), "{outcome}");
}

fn mount(arguments: &[&str], place: &Path) {
    let outcome = process::run(Command::new("mount").args(arguments).arg(place));
    assert!(outcome.status.success(), "{outcome}");
}

#[test]
fn full_and_read_only_file_systems() {
    with_mounts("full_and_read_only_file_systems", || {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = directory.path();
        mount(&["-t", "tmpfs", "-o", "size=40M", "tmpfs"], place);
        for (fork, child) in [("1", "goes on"), ("2", "Aborted"), ("3", "goes on")] {
            let answer = without_room(place, fork, "keep");
            assert_eq!(answer, format!("child: {child}\nok\n"), "{fork}");
        }
        let path = place.to_str().expect("a UTF-8 path");
        let refused = |size: &str, why: &str| {
            let variables = [("VMMALLOC_POOL_DIR", path), ("VMMALLOC_POOL_SIZE", size)];
            let outcome = process::run(preload(&mut Command::new("/bin/true"), &variables));
            let text = format!("Error (libvmmalloc): vmem pool creation failed: {why}\n");
            assert_eq!(outcome.stderr_text(), text, "{size}: {outcome}");
        };
        refused("41M", "No space left on device");
        mount(&["-o", "remount,ro"], place);
        refused("14M", "Read-only file system");
        process::run(Command::new("umount").arg(place));
    });
}

#[test]
fn the_process_may_end_while_threads_allocate() {
    for _ in 0..10 {
        passes("vmmalloc_exit.c", &[], "64M", "1", "ok\n");
    }
}

#[test]
fn without_copies_children_may_execute_programs() {
    passes("vmmalloc_sharing.c", &[], "64M", "0", "ok\n");
}

/// Runs a program alone and under each fork mode with copies: nobody can tell the difference.
fn compare(size: &str, command: impl Fn(&Path) -> Command) {
    let alone = preload::with_directory(&command, process::run);
    assert!(alone.status.success(), "without us: {alone}");
    for fork in COPYING {
        let ours = preload::with_directory(&command, |command| run(command, size, fork));
        assert!(ours.status.success(), "VMMALLOC_FORK={fork}: {ours}");
        assert_eq!(ours.stdout_text(), alone.stdout_text(), "{fork}");
        assert_eq!(ours.stderr_text(), alone.stderr_text(), "{fork}");
    }
}

#[test]
fn python() {
    if is_installed("python3") {
        compare("192M", |_| {
            let mut python = script("python3", "python.py");
            python
                .env("PYTHONMALLOC", "malloc")
                .env("PYTHONHASHSEED", "0");
            python
        });
    }
}

#[test]
fn perl() {
    if is_installed("perl") {
        compare("256M", |_| {
            let mut perl = script("perl", "perl.pl");
            perl.env("PERL_HASH_SEED", "0");
            perl
        });
    }
}

#[test]
fn sqlite() {
    if is_installed("sqlite3") {
        compare("256M", |_| {
            let mut sqlite = Command::new("sqlite3");
            let read = format!(".read {}", scripts().join("sqlite.sql").display());
            sqlite.arg("-bail").arg("database").arg(read);
            sqlite
        });
    }
}

#[test]
fn git() {
    if is_installed("git") {
        compare("32M", |_| script("sh", "git.sh"));
    }
}

#[test]
fn bash_with_deep_forks() {
    if is_installed("bash") {
        compare("32M", |_| script("bash", "deep_forks.sh"));
    }
}

#[test]
fn exceptions_and_threads() {
    let containers = c_source::program("containers.cpp");
    compare("512M", |_| Command::new(&containers));
    let threads = c_source::program("threads.c");
    compare("1G", |_| {
        let mut command = Command::new(&threads);
        command.arg("64");
        command
    });
}

/// The server saves its data by a fork, again and again, while it is written to; the last file is whole.
#[test]
fn redis() {
    if !is_installed("redis-server") || !is_installed("redis-benchmark") {
        return;
    }
    for fork in COPYING {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = "\
            redis-server --port 0 --unixsocket \"$PWD/socket\" --daemonize no --save '' \
                --logfile log --dir . >/dev/null &\n\
            server=$!\n\
            unset LD_PRELOAD\n\
            for i in $(seq 200); do redis-cli -s socket ping >/dev/null 2>&1 && break; sleep 0.05; done\n\
            redis-benchmark -s socket -q -n 3000 -c 20 -r 500 -d 100 \
                -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset >/dev/null\n\
            for i in 1 2 3; do\n\
                redis-cli -s socket bgsave >/dev/null\n\
                redis-benchmark -s socket -q -n 1000 -c 20 -r 500 -d 100 -t set >/dev/null\n\
                while redis-cli -s socket info persistence | grep -q bgsave_in_progress:1; do sleep 0.05; done\n\
            done\n\
            redis-cli -s socket info persistence | grep -o 'last_bgsave_status:ok'\n\
            redis-cli -s socket shutdown nosave\n\
            wait $server && echo ended\n\
            redis-check-rdb dump.rdb | grep -o 'RDB looks OK'\n";
        let mut shell = Command::new("sh");
        shell.args(["-c", server]).current_dir(directory.path());
        let outcome = run(&mut shell, "128M", fork);
        assert_eq!(
            outcome.stdout_text(),
            "last_bgsave_status:ok\nended\nRDB looks OK\n",
            "VMMALLOC_FORK={fork}: {outcome}"
        );
    }
}
