//! Every set of flags on every state of a path, and the order in which errors win.

mod map_support;

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use allotment::map::{Flags, MapFileFailure, MapOptions, map_file};
use libc::{EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR};

const C: u32 = Flags::CREATE.bits();
const E: u32 = Flags::EXCLUSIVE.bits();
const S: u32 = Flags::SPARSE.bits();
const T: u32 = Flags::TEMPORARY.bits();

/// What is at the path.
#[derive(Clone, Copy, Debug)]
enum State {
    Missing,
    Regular,
    Empty,
    Directory,
}

const STATES: [State; 4] = [
    State::Missing,
    State::Regular,
    State::Empty,
    State::Directory,
];

/// What has to come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Error(i32),
    /// The file as it is.
    Whole,
    /// A file of the length asked for, which keeps what it had.
    Created,
    /// A file that nobody finds.
    Unnamed,
}

use Outcome::{Created, Error, Unnamed, Whole};

/// Flags, whether there is a length, and the outcome for each state.
type Row = (&'static [u32], bool, [Outcome; 4]);

const TABLE: &[Row] = &[
    (
        &[0, E, S, E | S],
        false,
        [Error(ENOENT), Whole, Error(EINVAL), Error(EISDIR)],
    ),
    (&[0, E, S, E | S], true, [Error(EINVAL); 4]),
    (
        &[
            C,
            C | E,
            C | S,
            C | E | S,
            C | T,
            C | E | T,
            C | S | T,
            C | E | S | T,
        ],
        false,
        [Error(EINVAL); 4],
    ),
    (
        &[C, C | S],
        true,
        [Created, Created, Created, Error(EISDIR)],
    ),
    (
        &[C | E, C | E | S],
        true,
        [Created, Error(EEXIST), Error(EEXIST), Error(EEXIST)],
    ),
    (&[T, E | T, S | T, E | S | T], false, [Error(EINVAL); 4]),
    (&[T, E | T, S | T, E | S | T], true, [Error(EINVAL); 4]),
    (
        &[C | T, C | E | T, C | S | T, C | E | S | T],
        true,
        [Error(ENOENT), Error(ENOTDIR), Error(ENOTDIR), Unnamed],
    ),
];

const CONTENT: &[u8; 8192] = &[0x5c; 8192];

fn prepare(directory: &Path, state: State) -> PathBuf {
    let path = directory.join("path");
    match state {
        State::Missing => {}
        State::Regular => fs::write(&path, CONTENT).unwrap(),
        State::Empty => fs::write(&path, []).unwrap(),
        State::Directory => fs::create_dir(&path).unwrap(),
    }
    path
}

fn check(flags: u32, len: usize, state: State, outcome: Outcome) {
    let case = format!("flags {}, length {len}, {state:?}", Flags::from_bits(flags));
    let directory = tempfile::tempdir().unwrap();
    let path = prepare(directory.path(), state);
    let before = fs::metadata(&path).ok();
    let result = map_file(&path, len, Flags::from_bits(flags), 0o640);
    let size = || fs::metadata(&path).unwrap().len();

    let map = match (result, outcome) {
        (Err(error), Error(errno)) => {
            assert_eq!(error.os_error().0, errno, "{case}: {error}");
            assert_eq!(error.path(), Some(path.as_path()));
            match before {
                None => assert!(!path.exists(), "{case}"),
                Some(before) => {
                    let after = fs::metadata(&path).unwrap();
                    assert_eq!(after.len(), before.len(), "{case}");
                    assert_eq!(after.ino(), before.ino(), "{case}");
                }
            }
            return;
        }
        (Err(error), _) => panic!("{case}: {error}"),
        (Ok(_), Error(_)) => panic!("{case}: mapped"),
        (Ok(map), _) => map,
    };
    assert_eq!(map.start().addr().get() % (2 << 20), 0, "{case}");
    // SAFETY: nobody changes the file meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts(map.start().as_ptr(), map.len()) };
    let kept = match state {
        State::Regular => CONTENT.len().min(map.len()),
        _ => 0,
    };
    assert_eq!(bytes[..kept], CONTENT[..kept], "{case}");
    assert!(bytes[kept..].iter().all(|&byte| byte == 0), "{case}");
    match outcome {
        Whole => assert_eq!((map.len(), size()), (8192, 8192), "{case}"),
        Created => {
            assert_eq!((map.len(), size()), (len, len as u64), "{case}");
            let status = fs::metadata(&path).unwrap();
            if flags & S == 0 {
                assert!(status.blocks() * 512 >= len as u64, "{case}");
            } else if matches!(state, State::Missing) {
                assert_eq!(status.blocks(), 0, "{case}");
            }
            if matches!(state, State::Missing) {
                assert_eq!(status.mode() & 0o777 & !0o640, 0, "{case}");
            }
        }
        _ => {
            assert_eq!(map.len(), len, "{case}");
            assert!(map_support::names_in(&path).is_empty(), "{case}");
        }
    }
    // What is stored reaches the file.
    // SAFETY: inside the map.
    unsafe { map.start().write(0xe1) };
    map.persist(0..map.len()).unwrap();
    drop(map);
    if outcome != Unnamed {
        assert_eq!(fs::read(&path).unwrap()[0], 0xe1, "{case}");
    }
}

#[test]
fn every_row_of_the_table() {
    let mut rows = [[0; 2]; 16];
    for &(sets, has_length, outcomes) in TABLE {
        for &flags in sets {
            rows[flags as usize][usize::from(has_length)] += 1;
            let lengths: &[usize] = if has_length { &[1, 4096, 5000] } else { &[0] };
            for &len in lengths {
                for (state, outcome) in STATES.into_iter().zip(outcomes) {
                    check(flags, len, state, outcome);
                }
            }
        }
    }
    assert_eq!(rows, [[1; 2]; 16], "the table has each case once");
}

#[test]
fn existing_files_of_odd_sizes() {
    let directory = tempfile::tempdir().unwrap();
    for size in [1, 4095, 4096, 5000] {
        let path = directory.path().join(size.to_string());
        fs::write(&path, vec![1; size]).unwrap();
        assert_eq!(MapOptions::new().open(&path).unwrap().len(), size);
    }
}

#[test]
fn the_path_comes_before_the_flags() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), [1]).unwrap();
    symlink("loop", at("loop")).unwrap();
    let errno = |path: &Path, flags, len| {
        let error = map_file(path, len, Flags::from_bits(flags), 0o600).unwrap_err();
        error.os_error().0
    };
    let unknown = 1 << 4;
    for (path, error) in [
        (at("file/below"), ENOTDIR),
        (at("loop"), ELOOP),
        (at(&"x".repeat(256)), ENAMETOOLONG),
    ] {
        assert_eq!(errno(&path, unknown, 1), error);
        assert_eq!(errno(&path, C, 4096), error);
    }
    assert_eq!(errno(&at("file"), unknown, 0), EINVAL);
    assert_eq!(errno(&at("missing"), unknown | C, 4096), EINVAL);
    assert_eq!(errno(Path::new(""), 0, 0), ENOENT);
    assert_eq!(errno(Path::new("a\0b"), 0, 0), EINVAL);
    for negative in [usize::MAX, usize::MAX / 2 + 1] {
        assert_eq!(errno(&at("missing"), C, negative), EINVAL);
        assert!(!at("missing").exists());
    }
}

#[test]
fn neither_files_nor_devices() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    for path in [&socket, Path::new("/dev/zero"), Path::new("/dev/null")] {
        let error = map_file(path, 0, Flags::NONE, 0).unwrap_err();
        assert_eq!(error.failure(), MapFileFailure::NotMappable, "{error}");
        assert_eq!(error.os_error().0, EINVAL);
    }
}

#[test]
fn symbolic_links_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    symlink("target", at("link")).unwrap();
    let errno = |flags| {
        let error = map_file(&at("link"), 4096, flags, 0o600).unwrap_err();
        error.os_error().0
    };
    assert_eq!(errno(Flags::CREATE | Flags::EXCLUSIVE), EEXIST);
    assert!(!at("target").exists());
    drop(map_file(&at("link"), 4096, Flags::CREATE, 0o600).unwrap());
    assert_eq!(fs::metadata(at("target")).unwrap().len(), 4096);
    assert_eq!(MapOptions::new().open(at("link")).unwrap().len(), 4096);
}

#[test]
fn a_mode_without_permissions_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let map = MapOptions::new().create(4096).mode(0).open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0);
    map.persist(0..4096).unwrap();
}

#[test]
fn the_builder_truncates_only_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, CONTENT).unwrap();
    let options = MapOptions::new().create(4096);
    let error = options.open(&path).unwrap_err();
    let expected = MapFileFailure::WouldTruncate {
        len: 4096,
        size: 8192,
    };
    assert_eq!(error.failure(), expected);
    assert!(error.to_string().contains("8192 bytes"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(
        options.clone().truncate(true).open(&path).unwrap().len(),
        4096
    );
    assert_eq!(File::open(&path).unwrap().metadata().unwrap().len(), 4096);
    let longer = MapOptions::new().create(10_000).open(&path).unwrap();
    assert_eq!(longer.len(), 10_000);
}

#[test]
fn special_files_without_a_size_are_empty() {
    let error = MapOptions::new().open("/proc/self/maps");
    // Not writable for everybody.
    let errno = error.unwrap_err().os_error().0;
    assert!([EINVAL, libc::EACCES].contains(&errno), "{errno}");
    let error = MapOptions::new().open("/proc/self/comm").unwrap_err();
    assert_eq!(error.failure(), MapFileFailure::Empty, "{error}");
    assert_eq!(error.os_error().0, EINVAL);
}
