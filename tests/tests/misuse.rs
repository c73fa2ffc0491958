//! What must end in a clean abort: double frees, frees of what was never allocated, sizes
//! that do not match, overflows into the heap's own words. Each program dies of SIGABRT in
//! the very call, and says in one line which address was wrong.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use allotment_tests::backing::Backing;
use allotment_tests::process::Outcome;
use allotment_tests::{c_source, preload};

const SIZES: [usize; 13] = [
    8,
    16,
    24,
    64,
    100,
    512,
    1000,
    4096,
    16384,
    65536,
    1 << 18,
    1 << 20,
    4 << 20,
];

/// The largest size that slabs serve; what is larger is a block of its own.
const LARGEST_OBJECT: usize = 1 << 20;

/// The cases of `c/misuse.c`, with the least size that they make sense for.
const DOUBLE_FREE: [(&str, usize); 11] = [
    ("double_free", 8),
    ("double_free_alone", 8),
    ("double_free_other_between", 8),
    ("double_free_merged_before", 8),
    ("double_free_merged_around", 8),
    ("double_free_many_between", 8),
    ("double_free_other_thread", 8),
    ("double_free_in_thread", 8),
    ("double_free_calloc", 8),
    ("double_free_aligned", 8),
    ("double_free_by_realloc", 8),
];
const USE_OF_FREED: [(&str, usize); 6] = [
    ("realloc_freed", 8),
    ("realloc_freed_smaller", 8),
    ("stale_in_larger", 8),
    ("stale_in_larger_filled", 8),
    ("usable_size_freed", 8),
    ("sized_freed", 8),
];
const FOREIGN: [(&str, usize); 23] = [
    ("free_mapping", 8),
    ("free_in_mapping", 8),
    ("free_unreadable", 8),
    ("free_mapping_filled", 8),
    ("realloc_mapping", 8),
    ("usable_size_mapping", 8),
    ("free_plus_1g", 8),
    ("free_plus_1t", 8),
    ("free_minus_1g", 8),
    ("free_one", 8),
    ("free_sixteen", 8),
    ("free_top", 8),
    ("free_noncanonical", 8),
    ("realloc_one", 8),
    ("realloc_sixteen", 8),
    ("usable_size_one", 8),
    ("free_stack", 8),
    ("free_stack_filled", 8),
    ("free_static", 8),
    ("free_constant", 8),
    ("free_code", 8),
    ("free_plus_16k", 8),
    ("free_plus_1", 8),
];
const INTERIOR: [(&str, usize); 8] = [
    ("free_plus_8", 8),
    ("free_minus_16", 24),
    ("free_plus_half", 64),
    ("free_plus_half_filled", 64),
    ("realloc_plus_16", 64),
    ("realloc_plus_1", 8),
    ("usable_size_plus_1", 8),
    ("usable_size_plus_16", 64),
];
const SIZE_MISMATCH: [(&str, usize); 5] = [
    ("sized_too_large", 8),
    ("sized_too_small", 512),
    ("sized_far_too_large", 8),
    ("sized_aligned_wrong_size", 8),
    ("sized_aligned_wrong_alignment", 8),
];
const OVERFLOW: [(&str, usize); 9] = [
    ("overflow_8_ones", 8),
    ("overflow_8_letters", 8),
    ("overflow_8_zeros", 8),
    ("overflow_64_letters", 8),
    ("overflow_into_free_ones", 8),
    ("overflow_into_free_letters", 8),
    ("overflow_into_free_zeros", 8),
    ("overflow_into_free_then_malloc", 8),
    ("write_after_free", 8),
];

#[test]
fn double_free() {
    all_abort(&DOUBLE_FREE, &[]);
}

#[test]
fn use_of_freed_memory() {
    all_abort(&USE_OF_FREED, &[]);
}

#[test]
fn foreign_pointer() {
    all_abort(&FOREIGN, &[]);
}

/// A pointer that is not ours may be libc's, once libc's own malloc was in use.
#[test]
fn foreign_pointer_beside_libcs_heap() {
    all_abort(&FOREIGN, &["libc"]);
}

#[test]
fn pointer_into_a_block() {
    all_abort(&INTERIOR, &[]);
}

#[test]
fn size_mismatch() {
    all_abort(&SIZE_MISMATCH, &[]);
}

/// What is written over a block's end or into a free one damages headers and links, which is found.
#[test]
fn overflow() {
    all_abort_from(LARGEST_OBJECT + 1, &OVERFLOW, &[]);
}

/// In slabs there is nothing near objects that could be damaged: the program goes on as if nothing
/// had happened.
#[test]
fn overflow_among_objects_is_harmless() {
    let mut wrong = String::new();
    for (case, least) in OVERFLOW {
        for size in SIZES {
            if size < least || size > LARGEST_OBJECT {
                continue;
            }
            for backing in [Backing::Anonymous, Backing::File] {
                let mut command = Command::new(program());
                command.arg(case).arg(size.to_string());
                let outcome = preload::run(backing, &mut command).outcome;
                let survived = outcome.stdout_text().ends_with("survived\n");
                if !outcome.status.success() || !survived || !outcome.stderr_text().is_empty() {
                    let _ = writeln!(wrong, "{case} {size} on {backing}: {outcome:?}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_case_is_forgotten() {
    let listed = preload::run(Backing::Anonymous, &mut Command::new(program()));
    let listed = listed.outcome.stdout_text();
    let groups: [&[(&str, usize)]; 6] = [
        &DOUBLE_FREE,
        &USE_OF_FREED,
        &FOREIGN,
        &INTERIOR,
        &SIZE_MISMATCH,
        &OVERFLOW,
    ];
    let mut ours: Vec<&str> = groups
        .into_iter()
        .flatten()
        .map(|(name, _)| *name)
        .collect();
    let mut theirs: Vec<&str> = listed.lines().collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| c_source::program("misuse.c"))
}

/// Runs every case with every size on memory and on a file, and reports all that went wrong
/// at once.
fn all_abort(cases: &[(&str, usize)], more: &[&str]) {
    all_abort_from(0, cases, more);
}

/// The same for sizes from `least` on.
fn all_abort_from(from: usize, cases: &[(&str, usize)], more: &[&str]) {
    let mut wrong = String::new();
    let mut runs = 0;
    for &(case, least) in cases {
        for size in SIZES.into_iter().filter(|&size| size >= least.max(from)) {
            for backing in [Backing::Anonymous, Backing::File] {
                let mut command = Command::new(program());
                command.arg(case).arg(size.to_string()).args(more);
                let outcome = preload::run(backing, &mut command).outcome;
                runs += 1;
                if let Err(why) = aborts_cleanly(&outcome) {
                    let _ = writeln!(wrong, "{case} {size} on {backing}: {why}");
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {runs} runs:\n{wrong}",
        wrong.lines().count()
    );
}

fn aborts_cleanly(outcome: &Outcome) -> Result<(), String> {
    let (stdout, stderr) = (outcome.stdout_text(), outcome.stderr_text());
    if stdout == "elsewhere\n" && outcome.status.success() {
        return Ok(()); // the heap was laid out in another way: no misuse took place
    }
    if outcome.signal() != Some(libc::SIGABRT) {
        return Err(format!("{}, {stdout:?}, {stderr:?}", outcome.status));
    }
    let mut words = stdout.split_ascii_whitespace();
    let (Some("faulting"), Some(low), Some(high), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("aborted elsewhere: {stdout:?}, {stderr:?}"));
    };
    let address = |text| usize::from_str_radix(text, 16).map_err(|e| format!("{text}: {e}"));
    let range = address(low)?..=address(high)?;
    let one_line =
        stderr.starts_with("allotment: ") && stderr.ends_with('\n') && stderr.lines().count() == 1;
    if !one_line {
        return Err(format!("not one line of ours: {stderr:?}"));
    }
    let named = stderr.split("0x").skip(1).filter_map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len());
        usize::from_str_radix(&rest[..end], 16).ok()
    });
    if named.into_iter().any(|address| range.contains(&address)) {
        Ok(())
    } else {
        Err(format!("names no address in {range:x?}: {stderr:?}"))
    }
}
