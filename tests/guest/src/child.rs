//! A child process that does one thing.

/// Runs `f` in a child of a fork, waits for it, and answers what `f` did; 100 and more if the child was
/// ended by a signal.
///
/// # Panics
/// If there can be no child.
pub fn run(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child uses what the forking thread has, and leaves without running anything of the parent's.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(99);
        // SAFETY: ends the child.
        unsafe { libc::_exit(result) };
    }
    assert!(child > 0, "no child");
    let mut status = 0;
    // SAFETY: the result is writable.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        100 + libc::WTERMSIG(status)
    }
}
