//! Where a library of ours answers otherwise than the one that it stands in for, on purpose.
//!
//! Programs print lines `case: answer`. A file `differences.txt` lists the cases whose answers
//! differ, in sections that begin with the reason:
//!
//! ```text
//! # a comment
//! reason: why ours is better
//! program: reservation
//! case: name of the case
//! theirs: answer of the other library, or nothing where it does not print the case
//! ours: our answer
//! ```
//!
//! Reason and program hold until the next of their kind.

use std::collections::BTreeMap;

/// One case that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// The name of the program, without `.c`.
    pub program: String,
    /// The case, as the program prints it before the colon.
    pub case: String,
    /// What the other library answers; empty where it does not print the case.
    pub theirs: String,
    /// What ours answers.
    pub ours: String,
}

/// Reads a list of differences.
///
/// # Errors
///
/// The line that cannot be understood, and why.
pub fn parse(text: &str) -> Result<Vec<Difference>, String> {
    let mut found: Vec<Difference> = Vec::new();
    let (mut reason, mut program) = ("", "");
    let mut open: Option<Difference> = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}: {line}", number + 1));
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            return wrong("no key");
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (key, &mut open) {
            ("reason", None) => reason = value,
            ("program", None) => program = value,
            ("case", None) if reason.is_empty() || program.is_empty() => {
                return wrong("no reason or no program before it");
            }
            ("case", None) => {
                open = Some(Difference {
                    program: program.to_owned(),
                    case: value.to_owned(),
                    ..Difference::default()
                });
            }
            ("theirs", Some(difference)) => difference.theirs = value.to_owned(),
            ("ours", Some(difference)) => {
                difference.ours = value.to_owned();
                found.extend(open.take());
            }
            _ => return wrong("not expected here"),
        }
    }
    match open {
        Some(difference) => Err(format!("the case {} has no end", difference.case)),
        None => Ok(found),
    }
}

/// The cases of an output and their answers.
///
/// # Errors
///
/// A line without a colon, or a case that comes twice.
pub fn cases(output: &str) -> Result<BTreeMap<&str, &str>, String> {
    let mut cases = BTreeMap::new();
    for line in output.lines() {
        let (case, answer) = line
            .split_once(": ")
            .ok_or_else(|| format!("not a case and an answer: {line}"))?;
        if cases.insert(case, answer).is_some() {
            return Err(format!("the case {case} comes twice"));
        }
    }
    Ok(cases)
}

/// Compares the outputs of a program on two libraries. Everything in which they differ must be
/// listed, with exactly these answers, and everything that is listed must differ.
///
/// # Errors
///
/// What is not listed, and what is listed without need: a line each.
pub fn compare(
    program: &str,
    theirs: &str,
    ours: &str,
    listed: &[Difference],
) -> Result<(), String> {
    let (theirs, ours) = (cases(theirs)?, cases(ours)?);
    let mut wrong = Vec::new();
    let mut listed: BTreeMap<&str, &Difference> = listed
        .iter()
        .filter(|difference| difference.program == program)
        .map(|difference| (difference.case.as_str(), difference))
        .collect();
    let mut names: Vec<&str> = theirs.keys().chain(ours.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    for case in names {
        let their = theirs.get(case).copied().unwrap_or_default();
        let our = ours.get(case).copied().unwrap_or_default();
        match listed.remove(case) {
            None if their == our => {}
            Some(difference) if their == our => {
                wrong.push(format!(
                    "listed, but no longer different: {}",
                    difference.case
                ));
            }
            Some(difference) if difference.theirs == their && difference.ours == our => {}
            Some(_) => wrong.push(format!(
                "listed otherwise:\ncase: {case}\ntheirs: {their}\nours: {our}"
            )),
            None => wrong.push(format!(
                "not listed:\ncase: {case}\ntheirs: {their}\nours: {our}"
            )),
        }
    }
    wrong.extend(
        listed
            .keys()
            .map(|case| format!("listed, but neither prints it: {case}")),
    );
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# why
reason: better
program: p
case: a
theirs: 1
ours: 2
case: only ours
theirs:
ours: 3: yes
";

    #[test]
    fn what_is_listed_may_differ() {
        let listed = parse(LIST).expect("a list");
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1].theirs, "");
        assert_eq!(listed[1].ours, "3: yes");
        let ours = "a: 2\nsame: x\nonly ours: 3: yes\n";
        assert_eq!(compare("p", "a: 1\nsame: x\n", ours, &listed), Ok(()));
    }

    #[test]
    fn what_is_not_listed_or_stale_is_told() {
        let listed = parse(LIST).expect("a list");
        let error = compare("p", "a: 2\nb: 1\n", "a: 2\nb: 2\n", &listed).expect_err("wrong");
        assert!(error.contains("no longer different: a"), "{error}");
        assert!(
            error.contains("not listed:\ncase: b\ntheirs: 1\nours: 2"),
            "{error}"
        );
        assert!(error.contains("neither prints it: only ours"), "{error}");
        // Another program's list does not matter.
        assert_eq!(compare("q", "a: 2\n", "a: 2\n", &listed), Ok(()));
        let error = compare("p", "a: 5\n", "a: 2\nonly ours: 3: yes\n", &listed);
        assert!(error.expect_err("wrong").contains("listed otherwise"));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "case: a\n",
            "reason: r\nprogram: p\nours: x\n",
            "reason: r\nprogram: p\ncase: a\ncase: b\n",
            "reason: r\nprogram: p\ncase: a\ntheirs: 1\n",
            "words\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(cases("a: 1\na: 2\n").is_err());
        assert!(cases("no colon\n").is_err());
    }
}
