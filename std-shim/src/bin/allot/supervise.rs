//! Runs the program as a child and stands between it and whoever started `allot`.

use crate::signals::{Awaited, Inherited, die_of};
use std::ffi::c_int;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this status.
    Exited(u8),
    /// This signal killed it.
    Killed(c_int),
}

impl End {
    /// Ends `allot` in the same way.
    pub(crate) fn pass_on(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => die_of(signal),
        }
    }
}

/// The program's process, and its end.
pub(crate) struct Finished {
    pub(crate) pid: u32,
    pub(crate) end: End,
}

/// Makes the program start with the signal state that `allot` was started with.
pub(crate) fn keep_signal_state(command: &mut Command, inherited: Inherited) {
    // SAFETY: the closure only makes async-signal-safe calls and owns what it reads.
    unsafe {
        command.pre_exec(move || inherited.restore());
    }
}

/// Starts the program and waits for its end. Signals for `allot` are passed on to it, and when it
/// stops, `allot` stops too, so that a shell's job control works on both as one.
///
/// # Errors
/// What `Command::spawn` and the signal calls say.
pub(crate) fn run(command: &mut Command) -> io::Result<Finished> {
    // Before the child exists, so that no signal falls between the two.
    let awaited = Awaited::block()?;
    let pid = command.spawn()?.id();
    let child = pid as libc::pid_t;
    loop {
        let received = match awaited.wait() {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if received.signal != libc::SIGCHLD {
            // The child has the kernel's already, and its own when it signals its whole group.
            if received.sender.is_some_and(|sender| sender != child) {
                send(child, received.signal);
            }
            continue;
        }
        while let Some(status) = poll(child)? {
            if status.stopped_signal().is_some() {
                send(std::process::id() as libc::pid_t, libc::SIGSTOP);
                // Whoever continued this process meant the program.
                send(child, libc::SIGCONT);
            } else if let Some(code) = status.code() {
                return Ok(Finished {
                    pid,
                    end: End::Exited(code as u8),
                });
            } else if let Some(signal) = status.signal() {
                return Ok(Finished {
                    pid,
                    end: End::Killed(signal),
                });
            }
        }
    }
}

/// The child's change of state, if there is one.
fn poll(child: libc::pid_t) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: `status` has room for the answer.
    match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG | libc::WUNTRACED) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some(ExitStatus::from_raw(status))),
    }
}

/// Sends a signal. The child is not yet waited for, so its number cannot be another process's; that
/// it has changed its user is its own affair.
fn send(process: libc::pid_t, signal: c_int) {
    // SAFETY: kill has no preconditions on memory.
    unsafe {
        libc::kill(process, signal);
    }
}
