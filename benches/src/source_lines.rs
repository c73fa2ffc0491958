//! The source lines behind instruction addresses of this program, from its debug information.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, thread};

/// The `file:line` of each address, in the same order; the bare address where nothing is known. For code that was inlined
/// from the standard library, the line of ours that it was inlined into. Asks the program `addr2line` of GNU binutils.
///
/// # Errors
/// When `addr2line` cannot be run, or `/proc/self/maps` not read.
pub fn source_lines(addresses: &[usize]) -> io::Result<Vec<String>> {
    let program = env::current_exe()?;
    let base = load_address(&program)?;
    let mut distinct = addresses.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let question: String = distinct
        .iter()
        .map(|address| format!("{:#x}\n", address - base))
        .collect();
    let mut child = Command::new("addr2line")
        .args(["--addresses", "--inlines", "--exe"])
        .arg(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("addr2line (GNU binutils): {error}"))
        })?;
    let mut stdin = child.stdin.take().expect("the child's input is a pipe");
    // A thread of its own, lest both pipes be full.
    let writer = thread::spawn(move || stdin.write_all(question.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().expect("the writer does not panic")?;
    let known = parse(&String::from_utf8_lossy(&output.stdout), base);
    let line = |address| {
        known
            .get(address)
            .cloned()
            .unwrap_or_else(|| format!("{address:#x}"))
    };
    Ok(addresses.iter().map(line).collect())
}

/// The line of each address in an answer of `addr2line --addresses --inlines`: an address, then a line per inlined frame
/// from the innermost outwards.
fn parse(answer: &str, base: usize) -> HashMap<usize, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace");
    let mut known = HashMap::new();
    let mut address = 0;
    let mut ours = false;
    for line in answer.lines() {
        if let Some(digits) = line.strip_prefix("0x") {
            address = usize::from_str_radix(digits, 16).map_or(0, |offset| offset + base);
            ours = false;
            continue;
        }
        let line = line.split(" (discriminator").next().unwrap_or(line);
        match Path::new(line).strip_prefix(workspace) {
            Ok(path) if !ours => {
                ours = true;
                known.insert(address, path.display().to_string());
            }
            Err(_) if !line.starts_with("??") => {
                known.entry(address).or_insert_with(|| line.to_owned());
            }
            _ => {}
        }
    }
    known
}

/// Where the program's first byte is mapped.
fn load_address(program: &Path) -> io::Result<usize> {
    let program = program.to_string_lossy();
    let maps = fs::read_to_string("/proc/self/maps")?;
    maps.lines()
        .find(|line| line.ends_with(&*program))
        .and_then(|line| usize::from_str_radix(line.split('-').next()?, 16).ok())
        .ok_or_else(|| io::Error::other("this program is not in /proc/self/maps"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_line_of_ours_is_taken() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .display();
        let answer = format!(
            "0x0010\n/rustc/library/core/src/num.rs:7\n{workspace}/core/src/a.rs:1 (discriminator 2)\n\
             {workspace}/core/src/b.rs:2\n0x0020\n/rustc/library/core/src/num.rs:9\n0x0030\n??:0\n"
        );
        let known = parse(&answer, 0x1000);
        assert_eq!(known[&0x1010], "core/src/a.rs:1");
        assert_eq!(known[&0x1020], "/rustc/library/core/src/num.rs:9");
        assert!(!known.contains_key(&0x1030));
    }
}
