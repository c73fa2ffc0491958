//! A C library of ours held beside the one that it stands in for: the same programs, built
//! against each and run on each.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Outcome};
use crate::{c_source, differences, dist, program};

/// Position independent, so that the low addresses are free. The programs do on purpose what
/// compilers warn of.
const FLAGS: [&str; 8] = [
    "-std=gnu11",
    "-O2",
    "-g",
    "-w",
    "-pthread",
    "-fPIE",
    "-pie",
    "-fno-builtin",
];

/// A library that has an original.
#[derive(Debug)]
pub struct StandIn {
    /// The directory of its programs under `c/`, and the name in messages.
    pub name: &'static str,
    /// The file that the loader looks for.
    pub soname: &'static str,
    /// What follows `-l`.
    pub link: &'static str,
    /// The header that programs include.
    pub header: &'static str,
    /// Debian's package of the original with its header.
    pub package: &'static str,
}

/// Against which library a program is built, or on which it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What `cargo xtask dist` made.
    Ours,
    /// What the system's compiler and loader find by themselves.
    Theirs,
}

impl StandIn {
    /// Runs `c/NAME/PROGRAM.c` on our library, built against our header and, where the original is
    /// installed, against its header. It must print what `c/NAME/expected/PROGRAM.txt` says, and
    /// on the original the same, but for what `c/NAME/differences.txt` lists.
    ///
    /// # Panics
    ///
    /// When it does not, or ends otherwise than well.
    pub fn check(&self, program: &str) {
        let expected = self.check_ours(program);
        if !self.original_is_installed() {
            return;
        }
        let built = self.compile(program, Side::Theirs);
        let theirs = self.run(&built, Side::Theirs);
        assert!(
            theirs.status.success(),
            "{program} on the original: {theirs}"
        );
        let listed = self.differences();
        differences::compare(program, &theirs.stdout_text(), &expected, &listed)
            .unwrap_or_else(|wrong| panic!("{program} on the original and on ours:\n{wrong}"));
        let moved = self.run(&built, Side::Ours);
        self.expect(
            program,
            "built against the original, run on ours",
            &moved,
            &expected,
        );
    }

    /// As [`StandIn::check`], on our library only: for what the original crashes on, hangs on or
    /// answers by chance. Returns what was expected and printed.
    ///
    /// # Panics
    ///
    /// As [`StandIn::check`].
    pub fn check_ours(&self, program: &str) -> String {
        let path = self.directory().join(format!("expected/{program}.txt"));
        let expected = fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        let built = self.compile(program, Side::Ours);
        let outcome = self.run(&built, Side::Ours);
        self.expect(program, "on ours", &outcome, &expected);
        expected
    }

    /// Asserts that every program is in the list, every one that is compared has an expected
    /// output and no expectation or difference is for a program that is not there.
    ///
    /// # Panics
    ///
    /// Otherwise.
    pub fn check_completeness(&self, programs: &[&str]) {
        let stems = |directory: &Path, extension: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(directory)
                .unwrap_or_else(|e| panic!("cannot read {}: {e}", directory.display()));
            entries
                .map(|entry| entry.expect("a directory entry").path())
                .filter(|path| path.extension().is_some_and(|found| found == extension))
                .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
                .collect()
        };
        let programs: BTreeSet<String> = programs.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(stems(&self.directory(), "c"), programs);
        assert_eq!(stems(&self.directory().join("expected"), "txt"), programs);
        for difference in self.differences() {
            assert!(programs.contains(&difference.program), "{difference:?}");
        }
    }

    /// The symbols that the library offers, as `name@version`, the default ones with `@@`.
    ///
    /// # Panics
    ///
    /// When the library or `nm` is missing.
    #[must_use]
    pub fn exports(&self, side: Side) -> BTreeSet<String> {
        let library = match side {
            Side::Ours => dist::libraries().join(self.soname),
            Side::Theirs => {
                let mut compiler = Command::new("cc");
                compiler.arg(format!("-print-file-name={}", self.soname));
                PathBuf::from(process::run(&mut compiler).stdout_text().trim())
            }
        };
        let mut nm = Command::new("nm");
        nm.args(["--dynamic", "--defined-only", "--with-symbol-versions"]);
        let outcome = process::run(nm.arg(&library));
        assert!(outcome.status.success(), "{outcome}");
        // The versions themselves are absolute symbols.
        let text = outcome.stdout_text();
        let symbols = text.lines().filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            (words.next()? != "A").then(|| words.next().map(str::to_owned))?
        });
        symbols.collect()
    }

    /// The preprocessor's macros that begin with the prefix, after the header was included, with
    /// their values as numbers.
    ///
    /// # Panics
    ///
    /// When the header does not compile, or a macro without parameters is no number.
    #[must_use]
    pub fn macro_values(&self, side: Side, prefix: &str) -> BTreeMap<String, i64> {
        let include = format!("#include <{}>\n", self.header);
        let source = scratch("macros.c", &include);
        let mut compiler = self.compiler("cc", side);
        let outcome = process::run(compiler.args(["-dM", "-E"]).arg(&source));
        assert!(outcome.status.success(), "{outcome}");
        let text = outcome.stdout_text();
        let names = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
            let is_number = name.starts_with(prefix) && !name.contains('(') && !value.contains('"');
            is_number.then_some(name)
        });
        self.integers(side, &names.collect::<Vec<_>>())
    }

    /// The values of integer expressions in a program that includes the header.
    ///
    /// # Panics
    ///
    /// When one does not compile.
    #[must_use]
    pub fn integers(&self, side: Side, expressions: &[&str]) -> BTreeMap<String, i64> {
        let mut program = format!(
            "#include <stddef.h>\n#include <stdio.h>\n#include <{}>\nint main(void) {{\n",
            self.header
        );
        for expression in expressions {
            program += &format!("printf(\"%lld\\n\", (long long)({expression}));\n");
        }
        program += "return 0;\n}\n";
        let outcome = self.output_of("cc", side, "integers.c", &program);
        let text = outcome.stdout_text();
        let numbers = text.lines().map(|line| line.parse().expect("a number"));
        let values: BTreeMap<String, i64> = expressions
            .iter()
            .map(|&name| name.to_owned())
            .zip(numbers)
            .collect();
        assert_eq!(values.len(), expressions.len(), "{outcome}");
        values
    }

    /// The types of functions as a C++ compiler names them.
    ///
    /// # Panics
    ///
    /// When the header does not declare one of them.
    #[must_use]
    pub fn function_types(&self, side: Side, functions: &[&str]) -> Vec<String> {
        let mut program = format!(
            "#include <cstdio>\n#include <typeinfo>\n#include <{}>\nint main() {{\n",
            self.header
        );
        for name in functions {
            program += &format!("std::puts(typeid(decltype({name})).name());\n");
        }
        program += "return 0;\n}\n";
        let outcome = self.output_of("c++", side, "types.cpp", &program);
        let types = outcome.stdout_text();
        functions
            .iter()
            .zip(types.lines())
            .map(|(name, found)| format!("{name} {found}"))
            .collect()
    }

    /// Compiles a program that needs only the header, and runs it.
    fn output_of(&self, compiler: &str, side: Side, name: &str, text: &str) -> Outcome {
        let source = scratch(name, text);
        let built = source.with_extension("");
        let mut compiler = self.compiler(compiler, side);
        let outcome = process::run(compiler.arg("-o").arg(&built).arg(&source));
        assert!(outcome.status.success(), "{outcome}");
        process::run(&mut Command::new(&built))
    }

    /// Asserts that our header declares the functions and, where the original is installed, with the
    /// same types.
    ///
    /// # Panics
    ///
    /// Otherwise.
    pub fn check_function_types(&self, functions: &[&str]) {
        let ours = self.function_types(Side::Ours, functions);
        assert_eq!(ours.len(), functions.len());
        if self.original_is_installed() {
            assert_eq!(ours, self.function_types(Side::Theirs, functions));
        }
    }

    /// Asserts that a file that includes only our header compiles without a warning in each
    /// standard of C and C++.
    ///
    /// # Panics
    ///
    /// Otherwise.
    pub fn check_standards(&self) {
        let text = format!("#include <{0}>\n#include <{0}>\n", self.header);
        let standards = [
            ("c.c", "cc", &["c99", "c11", "c17", "gnu99"][..]),
            (
                "c.cpp",
                "c++",
                &["c++11", "c++14", "c++17", "c++20", "gnu++17"],
            ),
        ];
        for (name, compiler, standards) in standards {
            let source = scratch(name, &text);
            for standard in standards {
                let mut compiler = self.compiler(compiler, Side::Ours);
                compiler
                    .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"])
                    .arg(format!("-std={standard}"));
                let outcome = process::run(compiler.arg(&source));
                assert!(outcome.status.success(), "{standard}: {outcome}");
            }
        }
    }

    /// Whether the original and its header are installed. Says so when they are not; where
    /// `TESTS_REQUIRE` lists the package, that is a failure.
    ///
    /// # Panics
    ///
    /// As it says.
    #[must_use]
    pub fn original_is_installed(&self) -> bool {
        let text = format!(
            "#include <{}>\nint main(void) {{ return 0; }}\n",
            self.header
        );
        let source = scratch("probe.c", &text);
        let mut compiler = self.compiler("cc", Side::Theirs);
        compiler.arg("-o").arg(source.with_extension(""));
        compiler.arg(&source).arg(format!("-l{}", self.link));
        let found = process::run(&mut compiler).status.success();
        if !found {
            program::may_be_missing(self.package);
            eprintln!("not compared: {} is not installed", self.package);
        }
        found
    }

    fn directory(&self) -> PathBuf {
        c_source::directory().join(self.name)
    }

    fn differences(&self) -> Vec<differences::Difference> {
        let path = self.directory().join("differences.txt");
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        differences::parse(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()))
    }

    /// A compiler that finds the headers and the library of that side.
    ///
    /// # Panics
    ///
    /// When our side cannot be made.
    #[must_use]
    pub fn compiler(&self, name: &str, side: Side) -> Command {
        let mut compiler = Command::new(name);
        if side == Side::Ours {
            compiler.arg("-I").arg(dist::directory().join("include"));
            compiler.arg("-L").arg(dist::libraries());
        }
        compiler
    }

    fn compile(&self, program: &str, side: Side) -> PathBuf {
        let built = scratch(program, "");
        let mut compiler = self.compiler("cc", side);
        compiler
            .args(FLAGS)
            .arg("-o")
            .arg(&built)
            .arg(self.directory().join(format!("{program}.c")))
            .arg(format!("-l{}", self.link));
        let outcome = process::run(&mut compiler);
        assert!(
            outcome.status.success(),
            "{program}.c against {side:?}: {outcome}"
        );
        built
    }

    /// Runs a program in an empty directory, with nothing in the environment that it could mean.
    fn run(&self, program: &Path, side: Side) -> Outcome {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .expect("the directory is ours");
        let mut command = Command::new(program);
        command
            .current_dir(directory.path())
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("LC_ALL", "C")
            // Every symbol must be there, called or not.
            .env("LD_BIND_NOW", "1");
        if side == Side::Ours {
            command.env("LD_LIBRARY_PATH", dist::libraries());
        }
        process::run(&mut command)
    }

    fn expect(&self, program: &str, how: &str, outcome: &Outcome, expected: &str) {
        let context = format!("{}: {program}, {how}", self.name);
        let text = outcome.stdout_text();
        if let Err(wrong) = differences::compare(program, expected, &text, &[]) {
            panic!("{context}: expected (theirs) and printed (ours):\n{wrong}\n{outcome}");
        }
        assert!(outcome.status.success(), "{context}: {outcome}");
        assert!(outcome.stderr.is_empty(), "{context}: {outcome}");
        assert_eq!(text, expected, "{context}: another order");
    }
}

/// A test for each program of a stand-in: [`StandIn::check`] for those that are compared,
/// [`StandIn::check_ours`] for the others, and one that none was forgotten.
#[macro_export]
macro_rules! stand_in_programs {
    ($library:ident, compared: $($compared:ident)*; ours: $($ours:ident)*;) => {
        mod on_both {
            $(
                #[test]
                fn $compared() {
                    super::$library.check(stringify!($compared));
                }
            )*
        }

        mod on_ours {
            $(
                #[test]
                fn $ours() {
                    super::$library.check_ours(stringify!($ours));
                }
            )*
        }

        #[test]
        fn every_program_is_run() {
            $library.check_completeness(&[$(stringify!($compared),)* $(stringify!($ours),)*]);
        }
    };
}

/// A file with that text, in a directory of its own.
fn scratch(name: &str, text: &str) -> PathBuf {
    let file = c_source::build_directory().join(name);
    fs::write(&file, text).expect("a file can be written");
    file
}
