//! One run of a program, measured by a process of its own: that counts what has been reaped since it began, and its
//! own memory, which falls into the peak of what it starts, is small.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem};

use serde::{Deserialize, Serialize};

use super::program::Found;

/// How long a server may take until it listens.
const SERVER_PATIENCE: Duration = Duration::from_secs(20);

/// A run: the only argument of a `program-driver` process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The program's file and its arguments.
    pub command: Vec<String>,
    /// Its environment, complete.
    pub environment: Vec<(String, String)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// What it reads on standard input.
    pub input: Option<String>,
    /// What is preloaded into the program and whatever it starts; nothing for the C library.
    pub library: Option<PathBuf>,
    /// For a server: who talks to it.
    pub client: Option<Visit>,
}

/// Who talks to a server: command lines, all of the same program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Succeeds as soon as the server listens.
    pub greeting: Vec<String>,
    /// The work.
    pub work: Vec<String>,
    /// What the work reads on standard input.
    pub input: String,
    /// Ends the server.
    pub farewell: Vec<String>,
}

/// What a run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// User and system time of the program and all that it has started and waited for, in milliseconds.
    pub milliseconds: f64,
    /// The most memory that one of these processes had resident, in KiB.
    pub peak_rss_kib: u64,
    /// How many bytes the program (or the client) has printed, and their checksum.
    pub printed: (usize, u64),
}

impl Run {
    /// A run of a program in `directory`, where it has been prepared, with `library` preloaded.
    pub fn new(found: &Found, directory: &Path, library: Option<&Path>) -> Self {
        let program = found.program;
        let line = |path: &Path, arguments: &[&str]| {
            let arguments = arguments.iter().map(|&argument| argument.to_owned());
            [path.display().to_string()]
                .into_iter()
                .chain(arguments)
                .collect::<Vec<_>>()
        };
        let mut environment = vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), directory.display().to_string()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
        ];
        environment.extend(
            program
                .environment
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned())),
        );
        let client = program.client.zip(found.client.as_ref());
        Self {
            command: line(&found.path, program.arguments),
            environment,
            directory: directory.to_owned(),
            input: program.input.map(str::to_owned),
            library: library.map(Path::to_owned),
            client: client.map(|(client, path)| Visit {
                greeting: line(path, client.greeting),
                work: line(path, client.arguments),
                input: client.input.to_owned(),
                farewell: line(path, client.farewell),
            }),
        }
    }

    /// Runs it in this process, which has started nothing else.
    ///
    /// # Errors
    /// When the program cannot be started, fails, or is not started with the library.
    pub fn measure(&self) -> Result<Outcome, String> {
        let library = match &self.library {
            Some(library) => library.clone(),
            None => c_library()?,
        };
        let output = self.directory.join("printed");
        let messages = self.directory.join("messages");
        // What a server prints has times and process numbers in it; what its client prints counts.
        let own_output = match &self.client {
            Some(_) => self.directory.join("printed-by-server"),
            None => output.clone(),
        };
        let mut child = self
            .start(&self.command, self.input.as_deref(), &own_output, &messages)
            // Also when it is the C library: a program may be linked with another allocator.
            .and_then(|mut command| {
                command.env("LD_PRELOAD", &library);
                end_with_parent(&mut command);
                spawn(command)
            })?;
        let loaded = wait_until_loaded(&child, &library);
        if let Some(client) = &self.client {
            let visited = self.visit(client, &output);
            if visited.is_err() {
                // Nothing else would end it.
                let _ = child.kill();
            }
            visited?;
        }
        let (status, usage) = reap(&child)?;
        mem::forget(child);
        let said = fs::read_to_string(&messages).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it said nothing");
        if libc::WIFSIGNALED(status) {
            return Err(format!("signal {}: {last}", libc::WTERMSIG(status)));
        }
        if libc::WEXITSTATUS(status) != 0 {
            return Err(format!("exit {}: {last}", libc::WEXITSTATUS(status)));
        }
        if !loaded {
            return Err(format!("{} was not loaded: {last}", library.display()));
        }
        let printed = fs::read(&output).map_err(|error| error.to_string())?;
        Ok(Outcome {
            milliseconds: milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
            peak_rss_kib: usage.ru_maxrss as u64,
            printed: (printed.len(), checksum(&printed)),
        })
    }

    /// A command in the run's folder and environment.
    fn start(
        &self,
        line: &[String],
        input: Option<&str>,
        output: &Path,
        messages: &Path,
    ) -> Result<Command, String> {
        let (program, arguments) = line.split_first().ok_or("an empty command line")?;
        let create = |path: &Path| {
            File::create(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let stdin = match input {
            Some(name) => File::open(self.directory.join(name))
                .map_err(|error| format!("{name}: {error}"))?
                .into(),
            None => Stdio::null(),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(stdin)
            .stdout(create(output)?)
            .stderr(create(messages)?);
        Ok(command)
    }

    /// Talks to the server, and sends it home.
    fn visit(&self, client: &Visit, output: &Path) -> Result<(), String> {
        let messages = self.directory.join("client-messages");
        let call = |line: &[String], input: Option<&str>, output: &Path| {
            let status = self
                .start(line, input, output, &messages)?
                .status()
                .map_err(|error| format!("{}: {error}", line[0]))?;
            if status.success() {
                return Ok(());
            }
            let said = fs::read_to_string(&messages).unwrap_or_default();
            Err(format!("the client: {status}: {}", said.trim()))
        };
        let start = Instant::now();
        while let Err(error) = call(&client.greeting, None, Path::new("/dev/null")) {
            if start.elapsed() > SERVER_PATIENCE {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(10));
        }
        call(&client.work, Some(&client.input), output)?;
        call(&client.farewell, None, Path::new("/dev/null"))
    }
}

/// A program that hangs is killed when this process is.
fn end_with_parent(command: &mut Command) {
    let end = || {
        // SAFETY: a system call on this process itself, allowed between fork and exec.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure makes a system call and allocates nothing.
    unsafe { command.pre_exec(end) };
}

fn spawn(mut command: Command) -> Result<Child, String> {
    command
        .spawn()
        .map_err(|error| format!("{:?} cannot be run: {error}", command.get_program()))
}

/// Whether the library is seen among the process's mappings before it ends.
fn wait_until_loaded(child: &Child, library: &Path) -> bool {
    let maps = format!("/proc/{}/maps", child.id());
    let library = library
        .canonicalize()
        .unwrap_or_else(|_| library.to_owned())
        .display()
        .to_string();
    // A process that has ended has no mappings.
    let mut seen_any = false;
    while let Ok(text) = fs::read_to_string(&maps) {
        if text.contains(&library) {
            return true;
        }
        if text.is_empty() && seen_any {
            return false;
        }
        seen_any |= !text.is_empty();
        thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Waits for the process, see [`wait4(2)`](https://man7.org/linux/man-pages/man2/wait4.2.html): its usage has that of
/// its own children in it.
fn reap(child: &Child) -> Result<(i32, libc::rusage), String> {
    let mut status = 0;
    // SAFETY: plain data, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both are valid for writes.
    let reaped = unsafe {
        libc::wait4(
            child.id() as libc::pid_t,
            &raw mut status,
            0,
            &raw mut usage,
        )
    };
    if reaped < 0 {
        return Err(format!("wait4: {}", io::Error::last_os_error()));
    }
    Ok((status, usage))
}

fn milliseconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3
}

/// The C library that this process has.
fn c_library() -> Result<PathBuf, String> {
    let maps = fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    maps.lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .map(PathBuf::from)
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("libc."))
        })
        .ok_or_else(|| "this process has no C library".to_owned())
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, library: Option<&Path>) -> Result<Outcome, String> {
        let directory = std::env::temp_dir().join(format!(
            "allotment-bench-run-{}-{:?}",
            std::process::id(),
            thread::current().id()
        ));
        fs::create_dir_all(&directory).unwrap();
        let outcome = Run {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            directory: directory.clone(),
            input: None,
            library: library.map(Path::to_owned),
            client: None,
        }
        .measure();
        fs::remove_dir_all(&directory).unwrap();
        outcome
    }

    #[test]
    fn children_count() {
        let outcome = run(
            "sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; sleep 0.05; echo done",
            None,
        )
        .unwrap();
        assert_eq!(outcome.printed, (5, checksum(b"done\n")));
        assert!(outcome.milliseconds > 0.0 && outcome.peak_rss_kib > 0);
    }

    #[test]
    fn failures_are_told_apart() {
        let failed = run("sleep 0.05; echo broken >&2; exit 3", None).unwrap_err();
        assert_eq!(failed, "exit 3: broken");
        let killed = run("sleep 0.05; kill -SEGV $$", None).unwrap_err();
        assert!(killed.starts_with("signal 11"), "{killed}");
        let missing = run("sleep 0.05", Some(Path::new("/nowhere/libours.so"))).unwrap_err();
        assert!(missing.contains("was not loaded"), "{missing}");
    }
}
