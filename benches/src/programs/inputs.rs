//! What some of the programs read, made from numbers: the same on every machine.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::program::{find, write};
use crate::random::Random;

/// 150 C functions with loops and switches.
pub(super) fn c_program(directory: &Path) -> Result<(), String> {
    write(directory, "functions.c", &functions(150))
}

fn functions(count: usize) -> String {
    let mut text = String::new();
    for f in 0..count {
        let (length, letter, factor) = (f % 7 + 1, f % 96 + 32, f * 3 + 1);
        let before = match f.checked_sub(1) {
            Some(before) => format!(" + f{before}(0, t, n / 2)"),
            None => String::new(),
        };
        let _ = write!(
            text,
            "struct s{f} {{ int a[{length}]; struct s{f} *next; double d; }};
int f{f}(struct s{f} *s, const char *t, int n) {{
    int r = {f};
    for (int i = 0; i < n; i++) {{
        if (t[i] == {letter}) r += s->a[i % {length}] * {factor};
        else switch (t[i] & 7) {{
            case 0: r ^= i; break;
            case 3: r -= n; break;
            case 5: s->d *= {length}.5; break;
            default: r++;
        }}
    }}
    while (s) {{ r += (int) s->d; s = s->next; }}
    return r{before};
}}
"
        );
    }
    text
}

/// Commands that fill a database with strings, lists, hashes and sets, change them and remove some.
pub(super) fn redis_commands(directory: &Path) -> Result<(), String> {
    let mut random = Random::new(1);
    let mut text = String::new();
    for number in 0..200_000_u32 {
        let key = random.below(20_000);
        let value = "v".repeat(random.log_between(8, 800) as usize);
        let _ = match number % 10 {
            0..=3 => writeln!(text, "SET s{key} {value}"),
            4 => writeln!(text, "HSET h{} f{} {value}", key % 2000, key % 31),
            5 => writeln!(text, "RPUSH l{} {value}", key % 500),
            6 => writeln!(text, "SADD m{} {number} {key}", key % 1000),
            7 => writeln!(text, "ZADD z{} {key} {number}", key % 500),
            8 => writeln!(text, "APPEND s{key} {number}"),
            _ => writeln!(text, "DEL s{key} l{}", key % 50_000),
        };
    }
    write(directory, "redis.commands", &text)
}

/// A grammar of 120 kinds of expressions.
pub(super) fn grammar(directory: &Path) -> Result<(), String> {
    let mut text = String::from("%define lr.type lalr\n%token END\n");
    let levels = 120;
    for level in 0..levels {
        let _ = writeln!(
            text,
            "%token OPEN{level} CLOSE{level} PLUS{level} NAME{level}"
        );
    }
    text.push_str("%%\nstart: e0 END;\n");
    for level in 0..levels {
        let next = (level + 1) % levels;
        let _ = writeln!(
            text,
            "e{level}: e{level} PLUS{level} t{level} | t{level};
t{level}: NAME{level} | OPEN{level} e{next} CLOSE{level} | OPEN{level} l{level} PLUS{next} CLOSE{level};
l{level}: e{level} | l{level} NAME{next} t{next} | l{level} OPEN{next} l{next} CLOSE{next};"
        );
    }
    text.push_str("%%\n");
    write(directory, "grammar.y", &text)
}

/// Two factors of a product, among numbers of 15 bits; it has no others.
pub(super) fn problem(directory: &Path) -> Result<(), String> {
    let text = "(set-logic QF_BV)
(declare-const x (_ BitVec 32))
(declare-const y (_ BitVec 32))
(assert (= (bvmul x y) (_ bv536813567 32)))
(assert (bvult x (_ bv32768 32)))
(assert (bvult y (_ bv32768 32)))
(assert (bvugt x (_ bv1 32)))
(assert (bvule x y))
(check-sat)
";
    write(directory, "problem.smt2", text)
}

/// A repository with a thousand commits that change some lines of thirty files.
pub(super) fn git_repository(directory: &Path) -> Result<(), String> {
    let git = find("git").ok_or("there is no git")?;
    let repository = directory.join("repository.git");
    if repository.exists() {
        fs::remove_dir_all(&repository)
            .map_err(|error| format!("{}: {error}", repository.display()))?;
    }
    write(directory, "git.stream", &history(1000))?;
    let stream = directory.join("git.stream");
    let stream = fs::File::open(&stream).map_err(|error| error.to_string())?;
    let mut command = Command::new(&git);
    command.args(["init", "--quiet", "--bare"]).arg(&repository);
    succeed(&mut command)?;
    let mut command = Command::new(&git);
    command
        .arg("--git-dir")
        .arg(&repository)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::from(stream));
    succeed(&mut command)?;
    let mut command = Command::new(&git);
    command
        .arg("--git-dir")
        .arg(&repository)
        .args(["symbolic-ref", "HEAD", "refs/heads/main"]);
    succeed(&mut command)
}

fn history(commits: u32) -> String {
    let mut random = Random::new(1);
    let mut files = vec![(0..120).map(|line| line * 7919).collect::<Vec<u32>>(); 30];
    let mut text = String::new();
    for commit in 0..commits {
        let _ = write!(
            text,
            "commit refs/heads/main\ncommitter A U Thor <author@example.com> {} +0000\ndata <<END\nchange {commit}\nEND\n",
            1_600_000_000 + commit * 60
        );
        for _ in 0..3 {
            let name = random.below(files.len() as u32);
            let lines = &mut files[name as usize];
            for _ in 0..5 {
                let place = random.below(lines.len() as u32) as usize;
                lines[place] = random.below(1_000_000);
            }
            lines.push(commit);
            let content: String = lines
                .iter()
                .map(|line| format!("a line about number {line}\n"))
                .collect();
            let _ = write!(
                text,
                "M 100644 inline file{name}.txt\ndata {}\n{content}\n",
                content.len()
            );
        }
    }
    text
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .map_err(|error| format!("{:?} cannot be run: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_every_time() {
        assert_eq!(history(20), history(20));
        assert!(history(20).starts_with("commit refs/heads/main"));
        assert_eq!(functions(3).matches("switch").count(), 3);
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_message() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        assert!(succeed(&mut command).unwrap_err().contains("broken"));
    }
}
