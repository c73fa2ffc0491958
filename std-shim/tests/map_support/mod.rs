//! What the tests of mapping share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::env;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set in a test that runs itself again under other conditions.
const AGAIN: &str = "MAP_TEST_AGAIN";

/// Whether this is the second run of a test that runs itself again.
pub(crate) fn is_second_run() -> bool {
    env::var_os(AGAIN).is_some()
}

/// Runs the test of this name again, in a process of its own, with environment variables.
pub(crate) fn run_again(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    expect_success(
        command
            .envs(variables.iter().copied())
            .args(["--exact", test, "--nocapture"]),
    );
}

/// Runs the test of this name again where it may mount, behind a shell script that does, with environment
/// variables. Says so if the system does not allow it.
pub(crate) fn run_again_after_mounting(test: &str, script: &str, variables: &[(&str, &str)]) {
    let allowed = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/tmp"])
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped {test}: `unshare -rm` may not mount here");
        return;
    }
    let mut command = Command::new("unshare");
    command
        .envs(variables.iter().copied())
        .args(["-rm", "sh", "-ec", &format!("{script}\nexec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"]);
    expect_success(&mut command);
}

fn expect_success(command: &mut Command) {
    let output = command.env(AGAIN, "1").output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && text(&output.stdout).contains("1 passed"),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// The lines of `/proc/self/maps`.
pub(crate) fn maps() -> String {
    fs::read_to_string("/proc/self/maps").unwrap()
}

/// The open descriptors, sorted, without the one that reads them.
pub(crate) fn descriptors() -> Vec<String> {
    let directory = fs::File::open("/proc/self/fd").unwrap();
    let own = directory.as_raw_fd().to_string();
    let mut names: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| !to.starts_with("/proc")))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| *name != own)
        .collect();
    names.sort();
    names
}

/// Whether every page of a range is mapped.
pub(crate) fn is_mapped(start: usize, len: usize) -> bool {
    let address = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: without flags it writes nothing, and refuses what is not mapped.
    unsafe { libc::msync(address, len, libc::MS_ASYNC) == 0 }
}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Sets a limit of this process, soft and hard.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, limit: u64) {
    let limit = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}
