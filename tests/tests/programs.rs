//! Real, unmodified programs whose whole heap is ours, on each backing: nobody can tell
//! the difference from a run without us.

use std::process::Command;

use allotment_tests::backing::Backing;
use allotment_tests::program::{script, scripts};
use allotment_tests::{c_source, preload};

/// A test on each backing for each function, skipped where its program is not installed.
macro_rules! on_each_backing {
    ($($function:ident needs $program:literal,)*) => {$(
        mod $function {
            use allotment_tests::backing::Backing;
            use allotment_tests::program;

            fn run(backing: Backing) {
                if program::is_installed($program) {
                    super::programs::$function(backing);
                }
            }

            #[test]
            fn on_anonymous_memory() {
                run(Backing::Anonymous);
            }

            #[test]
            fn on_a_file() {
                run(Backing::File);
            }

            #[test]
            fn on_shared_memory() {
                run(Backing::SharedMemory);
            }
        }
    )*};
}

on_each_backing! {
    python needs "python3",
    python_with_its_own_allocator needs "python3",
    perl needs "perl",
    sqlite needs "sqlite3",
    git needs "git",
    compiler needs "cc",
    shell_pipeline needs "sh",
    bash needs "bash",
    sort needs "sort",
    threads needs "cc",
    containers needs "c++",
    node needs "node",
    ruby needs "ruby",
    tcl needs "tclsh",
}

mod programs {
    use super::*;

    pub(super) fn python(backing: Backing) {
        preload::compare(backing, 1_000_000, |_| {
            let mut python = script("python3", "python.py");
            // Or it hides its small objects from malloc.
            python
                .env("PYTHONMALLOC", "malloc")
                .env("PYTHONHASHSEED", "0");
            python
        });
    }

    pub(super) fn python_with_its_own_allocator(backing: Backing) {
        preload::compare(backing, 10_000, |_| {
            let mut python = script("python3", "python.py");
            python.env("PYTHONHASHSEED", "0");
            python
        });
    }

    pub(super) fn perl(backing: Backing) {
        preload::compare(backing, 100_000, |_| {
            let mut perl = script("perl", "perl.pl");
            perl.env("PERL_HASH_SEED", "0");
            perl
        });
    }

    pub(super) fn sqlite(backing: Backing) {
        preload::compare(backing, 10_000, |_| {
            let mut sqlite = Command::new("sqlite3");
            sqlite
                .arg("-bail")
                .arg("database")
                .arg(format!(".read {}", scripts().join("sqlite.sql").display()));
            sqlite
        });
    }

    pub(super) fn git(backing: Backing) {
        preload::compare(backing, 10_000, |_| script("sh", "git.sh"));
    }

    pub(super) fn compiler(backing: Backing) {
        preload::compare(backing, 10_000, |_| {
            let mut shell = script("sh", "compile.sh");
            shell.arg(c_source::directory());
            shell
        });
    }

    pub(super) fn shell_pipeline(backing: Backing) {
        preload::compare(backing, 1_000, |_| script("sh", "pipeline.sh"));
    }

    pub(super) fn bash(backing: Backing) {
        preload::compare(backing, 10_000, |_| script("bash", "bash.sh"));
    }

    pub(super) fn sort(backing: Backing) {
        preload::compare(backing, 100, |_| script("sh", "sort.sh"));
    }

    pub(super) fn threads(backing: Backing) {
        let program = c_source::program("threads.c");
        preload::compare(backing, 100_000, |_| {
            let mut threads = Command::new(&program);
            threads.arg("64");
            threads
        });
    }

    pub(super) fn containers(backing: Backing) {
        let program = c_source::program("containers.cpp");
        preload::compare(backing, 100_000, |_| Command::new(&program));
    }

    pub(super) fn node(backing: Backing) {
        preload::compare(backing, 10_000, |_| script("node", "node.js"));
    }

    pub(super) fn ruby(backing: Backing) {
        preload::compare(backing, 100_000, |_| script("ruby", "ruby.rb"));
    }

    pub(super) fn tcl(backing: Backing) {
        preload::compare(backing, 1_000, |_| script("tclsh", "tcl.tcl"));
    }
}
