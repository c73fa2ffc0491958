//! The command `allot`, run as a user runs it.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const ALLOT: &str = env!("CARGO_BIN_EXE_allot");
const LIBRARY: &str = "liballotment_malloc.so";

/// The library, built once: by `allot` itself, which finds cargo in its environment here as it does
/// under `cargo run`.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(ALLOT)
            .args(["run", "true"])
            .env_remove("ALLOT_LIBRARY")
            .output()
            .expect("allot starts");
        assert!(output.status.success(), "{}", errors(&output));
        let library = Path::new(ALLOT).with_file_name(LIBRARY);
        assert!(
            library.is_file(),
            "the library is built next to the executable"
        );
        library
    })
}

/// `allot` with the library at hand and nothing inherited that changes what it does.
fn allot() -> Command {
    let mut command = Command::new(ALLOT);
    for variable in [
        "LD_PRELOAD",
        "ALLOT_DIR",
        "ALLOT_FILE",
        "ALLOT_ANONYMOUS",
        "ALLOT_SIZE",
    ] {
        command.env_remove(variable);
    }
    command
        .env_remove("ALLOT_STATS")
        .env_remove("ALLOT_STATS_FILE")
        .env("ALLOT_LIBRARY", library())
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    allot()
        .arg("run")
        .args(arguments)
        .output()
        .expect("allot starts")
}

fn output(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that `allot` failed with `status` and said `text`.
#[track_caller]
fn assert_refused(arguments: &[&str], status: i32, text: &str) {
    let result = run(arguments);
    assert_eq!(result.status.code(), Some(status), "{}", errors(&result));
    assert!(
        errors(&result).contains(text),
        "{:?} is not in: {}",
        text,
        errors(&result)
    );
    assert_eq!(output(&result), "", "standard output is the program's");
}

/// A new file of the mode 0755.
///
/// Another process writes it: were it open for writing here, a test that forks at that moment would
/// keep it so, and it could not be executed ("text file busy").
fn executable(directory: &Path, name: &str, contents: &[u8]) -> PathBuf {
    let source = directory.join(format!("{name}.source"));
    std::fs::write(&source, contents).expect("the directory can be written");
    let path = directory.join(name);
    install(&source, &path);
    path
}

fn install(from: &Path, to: &Path) {
    let status = Command::new("install")
        .args(["-m", "755"])
        .args([from, to])
        .status();
    assert!(status.expect("coreutils are installed").success());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

// Help

#[test]
fn every_help_has_examples() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["run", "--help"],
        &["run", "-h"],
        &["help", "run"],
    ] {
        let help = Command::new(ALLOT)
            .args(arguments)
            .output()
            .expect("allot starts");
        assert_eq!(help.status.code(), Some(0));
        assert!(output(&help).contains("Examples:"), "{arguments:?}");
        assert!(output(&help).contains("allot run --stats"), "{arguments:?}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let version = Command::new(ALLOT)
        .arg("--version")
        .output()
        .expect("allot starts");
    assert_eq!(
        output(&version),
        format!("allot {}\n", env!("CARGO_PKG_VERSION"))
    );
}

// Exit statuses and signals

#[test]
fn the_exit_status_is_the_programs() {
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(
        run(&["--stats", "sh", "-c", "exit 7"]).status.code(),
        Some(7)
    );
    assert_eq!(run(&["--json", "true"]).status.code(), Some(0));
}

#[test]
fn a_program_killed_by_a_signal_ends_allot_by_it() {
    for signal in [
        libc::SIGTERM,
        libc::SIGKILL,
        libc::SIGABRT,
        libc::SIGSEGV,
        libc::SIGUSR1,
    ] {
        let script = format!("kill -{signal} $$");
        assert_eq!(run(&["sh", "-c", &script]).status.signal(), Some(signal));
        let result = run(&["--stats", "sh", "-c", &script]);
        assert_eq!(result.status.signal(), Some(signal));
        assert!(
            !result.status.core_dumped(),
            "only the program itself may dump core"
        );
        assert!(
            errors(&result).contains("killed by signal"),
            "{}",
            errors(&result)
        );
    }
}

#[test]
fn signals_are_passed_on() {
    for (name, signal) in [
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("TERM", libc::SIGTERM),
        ("USR1", libc::SIGUSR1),
    ] {
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.02; done");
        let mut command = allot();
        command
            .args(["run", "--stats", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // A shell cannot trap what was ignored when it started, such as SIGHUP under nohup.
        // SAFETY: `signal` may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::signal(signal, libc::SIG_DFL);
                Ok(())
            });
        }
        let mut child = command.spawn().expect("allot starts");
        wait_for_line(&mut child.stdout, "ready");
        send(child.id(), signal);
        assert_eq!(
            child.wait().expect("allot is our child").code(),
            Some(9),
            "SIG{name}"
        );
    }
}

#[test]
fn allot_stops_when_the_program_stops() {
    let mut child = allot()
        .args(["run", "--stats", "sh", "-c", "kill -STOP $$; exit 4"])
        .stderr(Stdio::null())
        .spawn()
        .expect("allot starts");
    let mut status = 0;
    // SAFETY: `status` has room for the answer, and the child is not waited for elsewhere yet.
    let waited =
        unsafe { libc::waitpid(child.id() as libc::pid_t, &raw mut status, libc::WUNTRACED) };
    assert_eq!(waited, child.id() as libc::pid_t);
    assert!(libc::WIFSTOPPED(status));
    send(child.id(), libc::SIGCONT);
    assert_eq!(child.wait().expect("allot is our child").code(), Some(4));
}

#[test]
fn the_program_inherits_the_signal_state() {
    let state = |arguments: &[&str]| {
        let result = allot_under_env(arguments);
        let text = output(&result);
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), 2, "{}", errors(&result));
        lines
    };
    let cat = ["cat", "/proc/self/status"];
    let expected = state(&cat);
    assert_eq!(state(&[&[ALLOT, "run"], &cat[..]].concat()), expected);
    assert_eq!(
        state(&[&[ALLOT, "run", "--stats"], &cat[..]].concat()),
        expected
    );
}

#[test]
fn an_ignored_sigchld_does_not_lose_the_status() {
    let result = allot_under_env(&[ALLOT, "run", "--stats", "sh", "-c", "exit 6"]);
    assert_eq!(result.status.code(), Some(6), "{}", errors(&result));
}

/// Runs a command with some signals ignored and one blocked.
fn allot_under_env(arguments: &[&str]) -> Output {
    Command::new("env")
        .args([
            "--ignore-signal=PIPE",
            "--ignore-signal=CHLD",
            "--block-signal=USR2",
        ])
        .args(arguments)
        .env("ALLOT_LIBRARY", library())
        .output()
        .expect("coreutils are installed")
}

fn wait_for_line(stream: &mut Option<impl Read>, line: &str) {
    let mut text = String::new();
    let stream = stream.as_mut().expect("the stream is piped");
    BufReader::new(stream)
        .read_line(&mut text)
        .expect("the stream is open");
    assert_eq!(text.trim_end(), line);
}

fn send(process: u32, signal: i32) {
    // SAFETY: kill has no preconditions on memory, and the process is our child, not yet waited for.
    assert_eq!(unsafe { libc::kill(process as libc::pid_t, signal) }, 0);
}

// Errors

#[test]
fn what_cannot_be_run_is_refused() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "text").expect("the directory is ours");
    let orphan = executable(directory.path(), "orphan", b"#!/no/such/interpreter\n");

    assert_refused(
        &["no-such-program"],
        127,
        "no such program in PATH: no-such-program",
    );
    assert_refused(
        &["./no/such/program"],
        127,
        "no such program: ./no/such/program",
    );
    assert_refused(&[""], 127, "empty");
    assert_refused(&[text(directory.path())], 126, "directory");
    assert_refused(&[text(&plain)], 126, "permission denied");
    assert_refused(&[text(&orphan)], 126, "interpreter");
    assert_refused(&["--stats", text(&orphan)], 126, "interpreter");
}

#[test]
fn nonsense_is_refused() {
    assert_refused(&["--size", "12Q", "true"], 2, "12Q");
    assert_refused(&["--size", "", "true"], 2, "--size");
    assert_refused(&["--size", "0", "true"], 2, "--size");
    assert_refused(&["--size", "4K", "true"], 2, "at least 1 MiB");
    assert_refused(&["--size", "99999999T", "true"], 2, "99999999T");
    assert_refused(
        &["--dir", "/tmp", "--anonymous", "true"],
        2,
        "cannot be used with",
    );
    assert_refused(
        &["--dir", "/tmp", "--file", "x", "true"],
        2,
        "cannot be used with",
    );
    assert_refused(&["--sise", "1M", "true"], 2, "--sise");
    assert_refused(&["--output", "x", "true"], 2, "--stats");
    assert_refused(&[], 2, "PROGRAM");
}

#[test]
fn variables_that_make_no_sense_are_refused() {
    for (name, value) in [("ALLOT_SIZE", "12Q"), ("ALLOT_ANONYMOUS", "maybe")] {
        let result = allot()
            .env(name, value)
            .args(["run", "true"])
            .output()
            .expect("allot starts");
        assert_eq!(result.status.code(), Some(2));
        assert!(
            errors(&result).contains(&format!("{name}={value}")),
            "{}",
            errors(&result)
        );
    }
}

#[test]
fn backings_that_cannot_be_are_refused() {
    assert_refused(
        &["--dir", "/no/such/place", "true"],
        125,
        "--dir /no/such/place: No such file",
    );
    assert_refused(&["--dir", "/dev/null", "true"], 125, "not a directory");
    assert_refused(
        &["--file", "/no/such/place/heap", "true"],
        125,
        "/no/such/place: No such file",
    );
    for other in ["/dev/null", "/dev/zero", "/"] {
        assert_refused(
            &["--file", other, "true"],
            125,
            "neither a regular file nor a Device DAX",
        );
    }
}

#[test]
fn the_library_is_looked_for_in_clear_places() {
    let result = allot()
        .env("ALLOT_LIBRARY", "/no/such.so")
        .args(["run", "true"])
        .output();
    let result = result.expect("allot starts");
    assert_eq!(result.status.code(), Some(125));
    assert!(
        errors(&result).contains("ALLOT_LIBRARY=/no/such.so"),
        "{}",
        errors(&result)
    );

    // As it is installed.
    let prefix = tempfile::tempdir().expect("there is room for temporary files");
    for name in ["bin", "lib"] {
        std::fs::create_dir(prefix.path().join(name)).expect("the directory is ours");
    }
    let command = prefix.path().join("bin/allot");
    install(Path::new(ALLOT), &command);
    let installed = || {
        let mut command = Command::new(&command);
        command
            .args(["run", "env"])
            .env_remove("LD_PRELOAD")
            .env_remove("ALLOT_LIBRARY");
        command.output().expect("allot starts")
    };
    let result = installed();
    assert_eq!(result.status.code(), Some(125));
    for place in ["bin", "lib"] {
        let place = prefix.path().join(place).join(LIBRARY);
        assert!(
            errors(&result).contains(text(&place)),
            "{}",
            errors(&result)
        );
    }
    let library_copy = prefix.path().join("lib").join(LIBRARY);
    std::fs::copy(library(), &library_copy).expect("the directory is ours");
    let expected = format!("LD_PRELOAD={}", library_copy.display());
    assert!(output(&installed()).lines().any(|line| line == expected));
}

#[test]
fn a_library_that_the_loader_cannot_name_is_refused() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let spaced = directory.path().join("with space.so");
    std::fs::copy(library(), &spaced).expect("the directory is ours");
    let result = allot()
        .env("ALLOT_LIBRARY", &spaced)
        .args(["run", "true"])
        .output();
    let result = result.expect("allot starts");
    assert_eq!(result.status.code(), Some(125));
    assert!(errors(&result).contains("space"), "{}", errors(&result));
}

// Programs that cannot be preloaded

/// A statically linked program of 132 bytes that exits with status 5.
#[cfg(target_arch = "x86_64")]
fn static_program() -> Vec<u8> {
    const START: u64 = 0x40_0000;
    // mov eax, 60 (exit); mov edi, 5; syscall
    let code = [0xb8, 60, 0, 0, 0, 0xbf, 5, 0, 0, 0, 0x0f, 0x05];
    let length = 120 + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64, version
    for word in [START + 120, 64, 0] {
        elf.extend(u64::to_le_bytes(word)); // entry, program headers, section headers
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // one program header
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load, readable and executable
    for word in [0, START, START, length, length, 4096] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_static_program_runs_with_a_warning() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let program = executable(directory.path(), "static", &static_program());
    let result = run(&[text(&program)]);
    assert_eq!(result.status.code(), Some(5), "{}", errors(&result));
    assert!(errors(&result).contains("warning") && errors(&result).contains("statically linked"));

    let script = format!("#!{}\n", program.display());
    let script = executable(directory.path(), "script", script.as_bytes());
    let result = run(&["--stats", text(&script)]);
    assert_eq!(result.status.code(), Some(5));
    assert!(
        errors(&result).contains("statically linked"),
        "{}",
        errors(&result)
    );
    assert!(
        errors(&result).contains("no statistics"),
        "{}",
        errors(&result)
    );
}

#[test]
fn a_set_user_id_program_runs_with_a_warning() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let real = ["/usr/bin/true", "/bin/true"]
        .into_iter()
        .find(|path| Path::new(path).is_file());
    let contents = std::fs::read(real.expect("true is installed")).expect("true can be read");
    let program = executable(directory.path(), "other", &contents);
    assert_eq!(
        errors(&run(&[text(&program)])),
        "",
        "nothing to warn of yet"
    );
    if std::os::unix::fs::chown(&program, Some(65534), None).is_err() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).expect("we are root");
    let result = run(&[text(&program)]);
    assert_eq!(result.status.code(), Some(0), "{}", errors(&result));
    assert!(
        errors(&result).contains("set-user-ID"),
        "{}",
        errors(&result)
    );
}

// What the program gets

/// The program's environment.
fn environment(arguments: &[&str], inherited: &[(&str, &str)]) -> Vec<String> {
    let result = allot()
        .arg("run")
        .args(arguments)
        .arg("env")
        .envs(inherited.iter().copied())
        .output()
        .expect("allot starts");
    assert!(result.status.success(), "{}", errors(&result));
    let kept = |line: &&str| {
        let ours = line.starts_with("ALLOT_") && !line.starts_with("ALLOT_LIBRARY=");
        ours || line.starts_with("LD_PRELOAD=")
    };
    let mut lines: Vec<String> = output(&result)
        .lines()
        .filter(kept)
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn flags_become_variables() {
    let preload = format!("LD_PRELOAD={}", library().display());
    assert_eq!(environment(&[], &[]), std::slice::from_ref(&preload));
    assert_eq!(
        environment(&["--anonymous", "--size", "64M"], &[]),
        [
            "ALLOT_ANONYMOUS=1".to_owned(),
            "ALLOT_SIZE=67108864".to_owned(),
            preload.clone()
        ]
    );
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let file = directory.path().join("heap");
    assert_eq!(
        environment(&["--file", text(&file)], &[]),
        [format!("ALLOT_FILE={}", file.display()), preload]
    );
}

#[test]
fn flags_override_variables() {
    let preload = format!("LD_PRELOAD={}", library().display());
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    assert_eq!(
        environment(
            &["--dir", text(directory.path())],
            &[("ALLOT_FILE", "/no/such/place/heap")]
        ),
        [
            format!("ALLOT_DIR={}", directory.path().display()),
            preload.clone()
        ]
    );
    assert_eq!(
        environment(&[], &[("ALLOT_SIZE", "32M")]),
        ["ALLOT_SIZE=32M".to_owned(), preload]
    );
}

#[test]
fn what_was_preloaded_stays_so() {
    // Any library will do, ours under another name too.
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let other = directory.path().join("other.so");
    std::fs::copy(library(), &other).expect("the directory is ours");
    assert_eq!(
        environment(&["--anonymous"], &[("LD_PRELOAD", text(&other))])[1],
        format!("LD_PRELOAD={}:{}", library().display(), other.display())
    );
}

#[test]
fn relative_paths_hold_in_other_directories() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let result = allot()
        .current_dir(directory.path())
        .args([
            "run",
            "--dir",
            ".",
            "--",
            "sh",
            "-c",
            "cd /; echo $ALLOT_DIR",
        ])
        .output()
        .expect("allot starts");
    let told = output(&result);
    assert!(Path::new(told.trim_end()).is_absolute(), "{told}");
    assert_eq!(
        Path::new(told.trim_end())
            .canonicalize()
            .expect("it exists"),
        directory.path().canonicalize().expect("it exists")
    );
}

#[test]
fn the_arguments_arrive_as_they_are() {
    let arguments = ["--", "printf", "%s|", "", "a b", "--stats", "--", "-x", "é"];
    assert_eq!(output(&run(&arguments)), "|a b|--stats|--|-x|é|");
    let result = run(&["sh", "-c", "echo $0", "name"]);
    assert_eq!(output(&result), "name\n");
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let result = allot()
        .args(["run", "printf", "%s"])
        .arg(odd)
        .output()
        .expect("allot starts");
    assert_eq!(result.stdout, b"\xff\xfe");
}

// Statistics

/// The fields of each process's record.
const FIELDS: [&str; 17] = [
    "pid",
    "program",
    "backing",
    "region_bytes",
    "overhead_bytes",
    "used_bytes",
    "free_bytes",
    "peak_bytes",
    "largest_free",
    "fragmentation",
    "live_blocks",
    "allocations",
    "deallocations",
    "reallocations",
    "failures",
    "elapsed_ns",
    "calls_per_second",
];

/// The document of `--json`, which is all of standard error.
#[track_caller]
fn document(result: &Output) -> Value {
    serde_json::from_slice(&result.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", errors(result)))
}

#[test]
fn the_table_is_on_standard_error() {
    let result = run(&["--stats", "--", "ls", "-l", "/"]);
    assert!(result.status.success());
    assert!(
        output(&result).contains("usr"),
        "the program's output is its own"
    );
    assert!(!output(&result).contains("peak"));
    for word in ["peak", "live", "largest free", "fragmentation", "calls"] {
        assert!(
            errors(&result).contains(word),
            "{word} is missing: {}",
            errors(&result)
        );
    }
}

#[test]
fn json_has_every_figure() {
    let result = run(&["--json", "--", "ls", "-l", "/"]);
    let document = document(&result);
    assert_eq!(document["command"], serde_json::json!(["ls", "-l", "/"]));
    assert_eq!(document["exit_status"], 0);
    assert_eq!(document["signal"], Value::Null);
    assert_eq!(document["other_processes"], serde_json::json!([]));
    let process = &document["process"];
    assert_eq!(process["pid"], document["pid"]);
    assert_eq!(process["program"], "ls");
    for field in FIELDS {
        assert!(!process[field].is_null(), "{field} is missing: {process}");
    }
    let figure = |field: &str| process[field].as_u64().expect("figures are numbers");
    let parts = figure("used_bytes") + figure("free_bytes") + figure("overhead_bytes");
    assert_eq!(parts, figure("region_bytes"));
    assert!(figure("peak_bytes") >= figure("used_bytes"));
    assert!(figure("allocations") > 0 && figure("allocations") >= figure("deallocations"));
    let share = process["fragmentation"]
        .as_f64()
        .expect("figures are numbers");
    assert!((0.0..=1.0).contains(&share));
}

#[test]
fn every_backing_serves() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let file = directory.path().join("heap");
    let expected = output(&run(&["--anonymous", "ls", "/"]));
    for backing in [
        &["--anonymous"][..],
        &["--dir", text(directory.path())],
        &["--file", text(&file)],
        &["--dir", "/dev/shm", "--size", "256M"],
    ] {
        let result = run(&[backing, &["--json", "ls", "/"]].concat());
        assert_eq!(output(&result), expected);
        assert!(
            document(&result)["process"]["allocations"].as_u64() > Some(0),
            "{backing:?}"
        );
    }
    assert!(file.is_file(), "a named file stays");
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("it exists")
            .count(),
        1
    );
}

#[test]
fn other_processes_are_listed_too() {
    let script = "ls / >/dev/null; ls / >/dev/null; exec ls /";
    let result = run(&["--json", "sh", "-c", script]);
    let document = document(&result);
    assert_eq!(document["process"]["program"], "ls");
    let others = document["other_processes"]
        .as_array()
        .expect("it is a list");
    assert_eq!(
        others
            .iter()
            .filter(|process| process["program"] == "ls")
            .count(),
        2
    );
    assert!(
        others
            .iter()
            .all(|process| process["pid"] != document["pid"])
    );

    let result = run(&["--stats", "sh", "-c", script]);
    assert!(
        errors(&result).contains("other processes"),
        "{}",
        errors(&result)
    );
}

#[test]
fn a_missing_record_is_explained() {
    let result = run(&["--stats", "sh", "-c", "kill -KILL $$"]);
    assert!(
        errors(&result).contains("no statistics of sh"),
        "{}",
        errors(&result)
    );

    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let file = directory.path().join("heap.json");
    let result = run(&[
        "--json",
        "--output",
        text(&file),
        "sh",
        "-c",
        "kill -KILL $$",
    ]);
    assert!(errors(&result).contains("signal 9"), "{}", errors(&result));
    let document: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it was written")).expect("it is JSON");
    assert_eq!(document["process"], Value::Null);
    assert_eq!(document["signal"], 9);
    assert_eq!(document["exit_status"], Value::Null);
}

#[test]
fn the_output_file_is_complete_or_not_there() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    let file = directory.path().join("heap.json");
    let result = run(&["--json", "--output", text(&file), "ls", "/"]);
    assert_eq!(errors(&result), "");
    let document: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it was written")).expect("it is JSON");
    assert_eq!(document["process"]["program"], "ls");
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("it exists")
            .count(),
        1
    );

    // Refused before the program runs.
    let marker = directory.path().join("marker");
    for output in ["/no/such/place/heap.json", text(directory.path())] {
        let arguments = ["--json", "--output", output, "touch", text(&marker)];
        assert_refused(&arguments, 125, output);
    }
    assert!(!marker.exists());

    let result = run(&["--json", "--output", "/dev/stdout", "true"]);
    let document: Value = serde_json::from_slice(&result.stdout).expect("it is JSON");
    assert_eq!(document["exit_status"], 0);
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    let directory = tempfile::tempdir().expect("there is room for temporary files");
    for script in ["exit 3", "kill -TERM $$"] {
        let result = allot()
            .args(["run", "--stats", "sh", "-c", script])
            .env("TMPDIR", directory.path())
            .output()
            .expect("allot starts");
        assert!(!result.status.success());
        assert_eq!(
            std::fs::read_dir(directory.path())
                .expect("it exists")
                .count(),
            0
        );
    }
}
