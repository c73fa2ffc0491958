//! Takes bytes as calls that map files: any flags, lengths and states of the path. Each has the outcome that
//! the flags and the state demand, and leaves nothing behind.
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none map_file -- -max_total_time=60
//! ```
#![no_main]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use allotment::map::{FileMap, Flags, MapFileError, is_pmem, map_file};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Longer files than this are made only sparse, so that the disk survives.
const MOST: usize = 1 << 22;

/// What is at the path before the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Missing,
    Regular(usize),
    Directory,
    Socket,
    /// A symbolic link to a regular file.
    Link(usize),
    Dangling,
    Loop,
    /// Below something that is no directory.
    Below,
}

fn state(input: &mut Unstructured) -> Result<State> {
    let size = |input: &mut Unstructured| input.int_in_range(0..=20_000_usize);
    Ok(match input.int_in_range(0..=9_u8)? {
        0 | 1 => State::Missing,
        2 | 3 => State::Regular(size(input)?),
        4 => State::Directory,
        5 => State::Socket,
        6 => State::Link(size(input)?),
        7 => State::Dangling,
        8 => State::Loop,
        _ => State::Below,
    })
}

fn length(input: &mut Unstructured) -> Result<usize> {
    Ok(match input.int_in_range(0..=5_u8)? {
        0 => 0,
        1 => input.int_in_range(1..=4096)?,
        2 => input.int_in_range(1..=MOST)?,
        3 => input.int_in_range(usize::MAX - 4096..=usize::MAX)?,
        _ => input.arbitrary()?,
    })
}

/// Makes the state in an empty directory; answers the path to map.
fn make(directory: &Path, state: State) -> PathBuf {
    let (path, target) = (directory.join("path"), directory.join("target"));
    match state {
        State::Missing => {}
        State::Regular(size) => fs::write(&path, vec![0xaa; size]).unwrap(),
        State::Directory => fs::create_dir(&path).unwrap(),
        State::Socket => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        State::Link(size) => {
            fs::write(&target, vec![0xaa; size]).unwrap();
            symlink(&target, &path).unwrap();
        }
        State::Dangling => symlink(&target, &path).unwrap(),
        State::Loop => symlink(&path, &path).unwrap(),
        State::Below => {
            fs::write(&path, [1]).unwrap();
            return path.join("below");
        }
    }
    path
}

/// What libpmem's documentation demands: the length that is mapped, or the error number.
fn demanded(state: State, flags: Flags, len: usize) -> std::result::Result<usize, i32> {
    let has = |flag| flags.contains(flag);
    match state {
        State::Socket => return Err(libc::EINVAL),
        State::Loop => return Err(libc::ELOOP),
        State::Below => return Err(libc::ENOTDIR),
        _ => {}
    }
    if flags.unknown() != Flags::NONE {
        return Err(libc::EINVAL);
    }
    let (create, temporary) = (has(Flags::CREATE), has(Flags::TEMPORARY));
    if create == (len == 0) || isize::try_from(len).is_err() || temporary && !create {
        return Err(libc::EINVAL);
    }
    if temporary {
        return match state {
            State::Missing | State::Dangling => Err(libc::ENOENT),
            State::Directory => Ok(len),
            _ => Err(libc::ENOTDIR),
        };
    }
    if create && has(Flags::EXCLUSIVE) && state != State::Missing {
        return Err(libc::EEXIST);
    }
    match state {
        State::Directory => Err(libc::EISDIR),
        _ if create => Ok(len),
        State::Regular(0) | State::Link(0) => Err(libc::EINVAL),
        State::Regular(size) | State::Link(size) => Ok(size),
        _ => Err(libc::ENOENT),
    }
}

/// Whether the system may refuse a length that the flags allow.
fn is_refusal(errno: i32, len: usize) -> bool {
    len > MOST && [libc::EFBIG, libc::ENOMEM, libc::ENOSPC, libc::EINVAL].contains(&errno)
}

fn check(
    result: std::result::Result<FileMap, MapFileError>,
    demanded: std::result::Result<usize, i32>,
    len: usize,
) -> Option<FileMap> {
    match (result, demanded) {
        (Ok(map), Ok(len)) => {
            assert_eq!(map.len(), len);
            assert_eq!(map.start().addr().get() % (2 << 20), 0);
            Some(map)
        }
        (Err(error), Ok(_)) => {
            assert!(is_refusal(error.os_error().0, len), "{error}");
            None
        }
        (Err(error), Err(errno)) => {
            assert_eq!(error.os_error().0, errno, "{error}");
            assert!(!error.to_string().is_empty());
            None
        }
        (Ok(_), Err(errno)) => panic!("mapped, not refused with {errno}"),
    }
}

fn run(input: &mut Unstructured) -> Result<()> {
    let root = tempfile::Builder::new()
        .prefix("map-file-")
        .tempdir_in("/dev/shm");
    let root = root.expect("a directory in memory");
    let mut calls = 0;
    while !input.is_empty() && calls < 20 {
        calls += 1;
        let directory = root.path().join(calls.to_string());
        fs::create_dir(&directory).unwrap();
        let state = state(input)?;
        let path = make(&directory, state);
        let mut flags = Flags::from_bits(match input.int_in_range(0..=7_u8)? {
            0 => input.arbitrary()?,
            _ => input.int_in_range(0..=15)?,
        });
        let len = length(input)?;
        if len > MOST {
            flags |= Flags::SPARSE;
        }
        let before = fs::metadata(&path).ok();
        let result = map_file(&path, len, flags, 0o600);
        let map = check(result, demanded(state, flags, len), len);
        let exclusive = flags.contains(Flags::CREATE | Flags::EXCLUSIVE);
        if let (None, true, State::Missing) = (&map, exclusive, state) {
            assert!(!path.exists());
        }
        if let (None, Some(before)) = (&map, &before) {
            let after = fs::metadata(&path).unwrap();
            assert_eq!(after.ino(), before.ino());
        }
        if let Some(mut map) = map {
            let address = map.start().as_ptr();
            let (first, last) = (0, map.len() - 1);
            // SAFETY: inside the map; nobody else knows of the file.
            unsafe {
                address.add(last).write(0x55);
                address.add(first).write(0x66);
                map.persist(first..1).unwrap();
                let unmapped = input.int_in_range(0..=last)?;
                let _ = map.unmap_range(unmapped & !4095..map.len());
            }
            assert!(!is_pmem(address, usize::MAX));
            drop(map);
            // SAFETY: without flags it writes nothing, and refuses what is not mapped.
            let is_mapped = unsafe { libc::msync(address.cast(), 1, libc::MS_ASYNC) } == 0;
            assert!(!is_mapped);
        }
        fs::remove_dir_all(&directory).unwrap();
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Input that ends in the middle of a call is as good as any.
    let _ = run(&mut Unstructured::new(bytes));
});
