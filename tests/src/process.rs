//! Runs a program to its end. One that hangs is killed and fails the test.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than any program here takes, even on a busy machine: who is still running
/// then hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// All that it wrote on standard output.
    pub stdout: Vec<u8>,
    /// All that it wrote on standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    /// Standard output as text.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The signal that ended it, if one did (`signal(7)`).
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n--- standard output\n{}\n--- standard error\n{}",
            self.status,
            tail(&self.stdout_text()),
            tail(&self.stderr_text())
        )
    }
}

/// The end of a long output: enough to see what went wrong.
fn tail(text: &str) -> &str {
    const LINES: usize = 40;
    match text.trim_end().rmatch_indices('\n').nth(LINES) {
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

/// Runs `command` with an empty standard input and waits for its end and for the end
/// of all who hold its output.
///
/// # Panics
///
/// When the program does not start, or hangs: then its whole process group is killed.
pub fn run(command: &mut Command) -> Outcome {
    forbid_core_dumps(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let stdout = collect(child.stdout.take().expect("stdout is piped"));
    let stderr = collect(child.stderr.take().expect("stderr is piped"));
    let deadline = Instant::now() + PATIENCE;

    let Some(status) = wait_until(&mut child, deadline) else {
        kill_group(&child);
        let outcome = Outcome {
            status: child.wait().expect("a killed child can be waited for"),
            stdout: stdout.recv().unwrap_or_default(),
            stderr: stderr.recv().unwrap_or_default(),
        };
        panic!("{command:?} hangs; killed after {PATIENCE:?}: {outcome}");
    };
    let end = |output: Receiver<Vec<u8>>| {
        let rest = deadline.saturating_duration_since(Instant::now());
        output.recv_timeout(rest).unwrap_or_else(|_| {
            kill_group(&child);
            panic!("{command:?} ended ({status}), but a process that it started hangs")
        })
    };
    Outcome {
        status,
        stdout: end(stdout),
        stderr: end(stderr),
    }
}

/// A dump of a large pool takes so long that it looks like a hang.
fn forbid_core_dumps(command: &mut Command) {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let forbid = move || {
        // SAFETY: setrlimit only reads the structure.
        match unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec, the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(forbid) };
}

fn collect(mut source: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing; nobody listens after a panic.
        let _ = source.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() >= deadline => return None,
            Ok(None) => thread::sleep(pause),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => panic!("cannot wait for a child: {e}"),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn kill_group(child: &Child) {
    let group = i32::try_from(child.id()).expect("a process id fits");
    // SAFETY: kill takes no pointers; the group is the child's own, made at its start,
    // and no other process has the number as long as one of the group holds our pipe.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}
