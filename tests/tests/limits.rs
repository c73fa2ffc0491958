//! Pools that come to their end: by their own size, by a limit of the process, by a full
//! device. The program sees NULL and ENOMEM, never a signal.

use std::process::Command;

use allotment_tests::backing::Backing;
use allotment_tests::{c_source, preload, process};

#[test]
fn a_full_pool_says_so_and_recovers() {
    let program = c_source::program("exhaust.c");
    for backing in Backing::ALL {
        for (size, least) in [("16M", "14"), ("48M", "44")] {
            let preloaded = preload::run_with(
                backing,
                Command::new(&program).arg(least),
                &[("ALLOT_SIZE", size)],
            );
            let context = format!("{size} on {backing}");
            preloaded.expect_success(&context);
            assert_eq!(preloaded.outcome.stdout_text(), "ok\n", "{context}");
        }
    }
}

/// The default size is more than the limit allows: the pool is as large as it can be.
#[test]
fn a_limit_of_the_address_space() {
    let program = c_source::program("exhaust.c");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -v 300000 && exec \"$0\" 60"])
        .arg(&program);
    let preloaded = preload::run(Backing::Anonymous, &mut shell);
    preloaded.expect_success("under ulimit -v");
    assert_eq!(preloaded.outcome.stdout_text(), "ok\n");
}

/// A file system that is smaller than the pool: it is full before the pool is.
#[test]
fn a_full_device() {
    let mounts = "mount -t tmpfs -o size=24m none \"$1\"";
    let in_namespace = |script: &str, more: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
            .arg(directory.path())
            .args(more);
        process::run(&mut unshare)
    };
    if !in_namespace(mounts, &[]).status.success() {
        eprintln!("skipped: this machine allows no mount in a namespace of one's own");
        return;
    }
    let program = c_source::program("exhaust.c");
    let script = format!(
        "{mounts} && LD_PRELOAD=\"$2\" ALLOT_DIR=\"$1\" ALLOT_SIZE=1G \"$3\" 16; \
         status=$?; ls -A \"$1\"; exit $status"
    );
    let library = allotment_tests::library::path()
        .to_str()
        .expect("a UTF-8 path");
    let outcome = in_namespace(&script, &[library, program.to_str().expect("a UTF-8 path")]);
    assert!(outcome.status.success(), "{outcome}");
    assert_eq!(
        (
            outcome.stdout_text().as_str(),
            outcome.stderr_text().as_str()
        ),
        ("ok\n", "")
    );
}
