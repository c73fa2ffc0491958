//! Runs a driver process.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long a driver may take. Hundreds of times what it should; it is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `driver` on a task, its only argument, with `library` preloaded, and returns its answer.
///
/// # Errors
/// When the process cannot be started, fails, hangs or answers nonsense; with what it has said itself.
pub fn run<A: DeserializeOwned>(
    driver: &Path,
    task: &impl Serialize,
    library: Option<&Path>,
) -> Result<A, String> {
    let argument = serde_json::to_string(task).map_err(|error| error.to_string())?;
    let mut command = Command::new(driver);
    command.arg(argument).env_remove("LD_PRELOAD");
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    answer(command, PATIENCE)
}

fn answer<A: DeserializeOwned>(mut command: Command, patience: Duration) -> Result<A, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{:?} cannot be run: {error}", command.get_program()))?;
    // Neither output fills a pipe, so both can be read when all is over.
    let status = wait(&mut child, patience)?;
    let text = |pipe: Option<&mut dyn Read>| {
        let mut text = String::new();
        pipe.map(|pipe| pipe.read_to_string(&mut text));
        text
    };
    let output = text(child.stdout.as_mut().map(|pipe| pipe as &mut dyn Read));
    let messages = text(child.stderr.as_mut().map(|pipe| pipe as &mut dyn Read));
    let last = messages.lines().last().unwrap_or("it said nothing");
    if !status.success() {
        return Err(format!("{status}: {last}"));
    }
    serde_json::from_str(&output).map_err(|error| format!("no answer ({error}): {last}"))
}

/// Looks now and then whether the process is over, and ends it when `patience` is at an end.
fn wait(child: &mut Child, patience: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        let status = child.try_wait().map_err(|error| format!("wait: {error}"))?;
        if let Some(status) = status {
            return Ok(status);
        }
        if start.elapsed() > patience {
            child.kill().map_err(|error| format!("kill: {error}"))?;
            child.wait().map_err(|error| format!("wait: {error}"))?;
            return Err(format!("hangs: no answer after {patience:?}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preload::task::Answer;

    /// What becomes of a driver that is this shell script.
    fn outcome(script: &str, patience: Duration) -> Result<Answer, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        answer(command, patience)
    }

    #[test]
    fn an_answer_is_read() {
        let script = r#"echo '{"library":"/l.so","rows":[{"nanoseconds":10.0,"operations":5}],"peak_rss_kib":7}'"#;
        let answer = outcome(script, PATIENCE).unwrap();
        assert_eq!(answer.rows[0].per_operation(), 2.0);
        assert_eq!(answer.peak_rss_kib, 7);
    }

    #[test]
    fn failures_are_told_apart() {
        let failed = outcome("echo broken >&2; exit 3", PATIENCE).unwrap_err();
        assert!(
            failed.contains('3') && failed.contains("broken"),
            "{failed}"
        );
        let killed = outcome("kill -SEGV $$", PATIENCE).unwrap_err();
        assert!(killed.contains("SIGSEGV"), "{killed}");
        let nonsense = outcome("echo hello", PATIENCE).unwrap_err();
        assert!(nonsense.contains("no answer"), "{nonsense}");
        let hanging = outcome("exec sleep 100", Duration::from_millis(20)).unwrap_err();
        assert!(hanging.contains("hangs"), "{hanging}");
    }
}
