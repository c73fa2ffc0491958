//! The ABI of malloc as C, POSIX and glibc define it, on each backing, from the first call
//! in the loader to the last in exit handlers, over forks and in signal handlers.

use std::process::Command;

use allotment_tests::backing::Backing;
use allotment_tests::{c_source, preload};

/// Runs `c/NAME` on each backing. It must print exactly `expected` and nothing else.
fn run_on_each(name: &str, arguments: &[&str], expected: &str) {
    let program = c_source::program(name);
    for backing in Backing::ALL {
        let preloaded = preload::run(backing, Command::new(&program).args(arguments));
        let context = format!("{name} on {backing}");
        preloaded.expect_success(&context);
        assert_eq!(preloaded.outcome.stdout_text(), expected, "{context}");
    }
}

fn passes(name: &str) {
    run_on_each(name, &[], "ok\n");
}

fn plugin() -> String {
    c_source::shared_library("plugin.c")
        .into_os_string()
        .into_string()
        .expect("a UTF-8 path")
}

#[test]
fn sizes_that_cannot_be_had_fail_in_every_entry_point() {
    passes("huge.c");
}

#[test]
fn success_leaves_errno_alone() {
    passes("errno.c");
}

#[test]
fn results_are_aligned() {
    passes("alignment.c");
}

#[test]
fn calloc_zeroes_dirty_memory() {
    passes("zeroing.c");
}

#[test]
fn realloc_keeps_the_contents() {
    passes("resize.c");
}

#[test]
fn all_usable_bytes_can_be_used() {
    passes("usable.c");
}

#[test]
fn statistics_are_ours() {
    passes("statistics.c");
}

#[test]
fn free_memory_goes_back_as_the_policy_says() {
    let program = c_source::program("giving_back.c");
    for policy in ["never", "at-once", "1"] {
        let preloaded = preload::run_with(
            Backing::Anonymous,
            Command::new(&program).arg(policy),
            &[("ALLOT_PURGE", policy)],
        );
        preloaded.expect_success(policy);
        assert_eq!(preloaded.outcome.stdout_text(), "ok\n", "{policy}");
    }
}

#[test]
fn free_with_a_size() {
    passes("sized_free.c");
}

#[test]
fn cfree_is_there_for_old_programs() {
    passes("cfree.c");
}

#[test]
fn before_main_after_main_in_threads_and_plugins() {
    // `ok` is still in stdio's buffer when the exit handlers write.
    run_on_each(
        "lifecycle.c",
        &[&plugin()],
        "atexit ok\ndestructor ok\nok\n",
    );
}

#[test]
fn pointers_of_libc_go_to_libc() {
    run_on_each("deepbind.c", &[&plugin()], "ok\n");
}

#[test]
fn fork_with_threads_inside_malloc() {
    passes("fork_threads.c");
}

#[test]
fn fork_with_threads_inside_stdio() {
    passes("fork_stdio.c");
}

#[test]
fn fork_in_a_signal_handler_inside_malloc() {
    passes("fork_signal.c");
}

#[test]
fn fork_separates_parent_and_child() {
    passes("fork_snapshot.c");
}

#[test]
fn malloc_in_a_signal_handler_inside_malloc() {
    passes("signal.c");
}

#[test]
fn signal_handlers_are_what_the_program_installed() {
    passes("sigaction.c");
}

#[test]
fn signal_handlers_interrupt_malloc_and_one_another() {
    passes("nested_signals.c");
}

#[test]
fn signal_handlers_left_by_siglongjmp() {
    passes("siglongjmp.c");
}

#[test]
fn signal_handlers_left_by_exceptions_and_thread_ends() {
    passes("signal_unwind.cpp");
}

#[test]
fn spawn_vfork_system_popen() {
    passes("spawn.c");
}
