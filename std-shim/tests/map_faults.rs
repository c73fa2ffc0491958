//! What the system refuses: the documented error each time, and nothing left behind.

mod map_support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use allotment::map::{FileMap, Flags, MapFileError, MapFileFailure, MapOptions, map_file};
use libc::{EACCES, EFBIG, ENOENT, ENOMEM, ENOSPC};
use map_support::{
    descriptors, is_second_run, maps, names_in, run_again, run_again_after_mounting, set_limit,
};

const MIB: usize = 1 << 20;

/// The error, after which descriptors and mappings are as before.
fn refused(map: impl Fn() -> Result<FileMap, MapFileError>) -> MapFileError {
    // The first call may read the environment and so on.
    drop(map());
    let before = (descriptors(), maps().lines().count());
    let error = map().unwrap_err();
    assert_eq!(before, (descriptors(), maps().lines().count()), "{error}");
    error
}

#[test]
fn a_full_disk() {
    const NAME: &str = "a_full_disk";
    const VARIABLE: &str = "MAP_TEST_DISK";
    if !is_second_run() {
        let disk = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size=1M none \"${VARIABLE}\"");
        let disk = disk.path().to_str().unwrap();
        run_again_after_mounting(NAME, &mount, &[(VARIABLE, disk)]);
        return;
    }
    let disk = PathBuf::from(std::env::var_os(VARIABLE).unwrap());
    let disk = disk.as_path();
    let path = disk.join("file");
    let create = MapOptions::new().create(4 * MIB);
    let error = refused(|| create.clone().exclusive(true).open(&path));
    assert_eq!(
        error.failure(),
        MapFileFailure::Allocate(4 * MIB, allotment::os_error::OsError(ENOSPC))
    );
    assert!(error.to_string().contains("PMEM_FILE_SPARSE"), "{error}");
    assert!(names_in(disk).is_empty());

    let error = refused(|| create.clone().temporary(true).open(disk));
    assert_eq!(error.os_error().0, ENOSPC);
    assert!(names_in(disk).is_empty());

    // Without EXCL the file stays, as libpmem leaves it; its space does not.
    let error = refused(|| map_file(&path, 4 * MIB, Flags::CREATE, 0o600));
    assert_eq!(error.os_error().0, ENOSPC);
    assert_eq!(names_in(disk), ["file"]);
    fs::remove_file(&path).unwrap();

    // Holes cost nothing.
    let map = create.clone().sparse(true).open(&path).unwrap();
    assert_eq!(map.len(), 4 * MIB);
}

#[test]
fn a_limit_on_file_sizes() {
    const NAME: &str = "a_limit_on_file_sizes";
    if !is_second_run() {
        run_again(NAME, &[]);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    // SAFETY: a disposition without a handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    set_limit(libc::RLIMIT_FSIZE, MIB as u64);
    for sparse in [false, true] {
        let create = MapOptions::new().create(2 * MIB).sparse(sparse);
        let error = refused(|| create.clone().exclusive(true).open(&path));
        assert_eq!(error.os_error().0, EFBIG);
        assert!(error.to_string().contains("ulimit -f"), "{error}");
        assert!(names_in(directory.path()).is_empty());
        let error = refused(|| create.clone().temporary(true).open(directory.path()));
        assert_eq!(error.os_error().0, EFBIG);
        assert!(names_in(directory.path()).is_empty());
    }
    assert!(MapOptions::new().create(MIB).open(&path).is_ok());
}

#[test]
fn a_limit_on_addresses() {
    const NAME: &str = "a_limit_on_addresses";
    if !is_second_run() {
        run_again(NAME, &[]);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    set_limit(libc::RLIMIT_AS, 1 << 30);
    let create = MapOptions::new().create(1 << 30).sparse(true);
    let error = refused(|| create.clone().exclusive(true).open(&path));
    assert_eq!(error.os_error().0, ENOMEM);
    assert!(matches!(error.failure(), MapFileFailure::NoRoom(_, _)));
    assert!(error.to_string().contains("ulimit -v"), "{error}");
    assert!(names_in(directory.path()).is_empty());
    // Smaller ones go on working.
    let map = MapOptions::new().create(MIB).open(&path).unwrap();
    map.persist(0..MIB).unwrap();
}

#[test]
fn too_many_open_files() {
    const NAME: &str = "too_many_open_files";
    if !is_second_run() {
        run_again(NAME, &[]);
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    let held: Vec<File> = {
        set_limit(libc::RLIMIT_NOFILE, 64);
        std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
    };
    let error = MapOptions::new().open(file.path()).unwrap_err();
    assert_eq!(error.os_error().0, libc::EMFILE, "{error}");
    drop(held);
    assert!(MapOptions::new().open(file.path()).is_ok());
}

#[test]
fn directories_without_permission() {
    const NAME: &str = "directories_without_permission";
    if !is_second_run() {
        run_again(NAME, &[]);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::write(locked.join("file"), [1]).unwrap();
    fs::write(directory.path().join("read-only"), [1]).unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let read_only = directory.path().join("read-only");
    fs::set_permissions(&read_only, PermissionsExt::from_mode(0o444)).unwrap();
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o600)).unwrap();
    // SAFETY: only takes rights away, and this process has no other use for them.
    let is_root = unsafe { libc::geteuid() } == 0;
    if is_root {
        // Root may do everything; `nobody` may not. `access(2)` looks at the real user.
        let nobody = 65534;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setresuid(nobody, nobody, 0) }, 0);
    }
    let errno = |path: &Path, flags| {
        let len = if flags == Flags::NONE { 0 } else { 4096 };
        refused(|| map_file(path, len, flags, 0o600)).os_error().0
    };
    for flags in [Flags::NONE, Flags::CREATE, Flags::CREATE | Flags::EXCLUSIVE] {
        assert_eq!(errno(&locked.join("file"), flags), EACCES);
        assert_eq!(errno(&locked.join("missing"), flags), EACCES);
    }
    assert_eq!(errno(&read_only, Flags::NONE), EACCES);
    assert_eq!(errno(&read_only, Flags::CREATE), EACCES);
    let temporary = Flags::CREATE | Flags::TEMPORARY;
    if is_root {
        // The directory is another user's.
        assert_eq!(errno(directory.path(), temporary), EACCES);
        assert_eq!(errno(&directory.path().join("new"), Flags::CREATE), EACCES);
        // SAFETY: back to what it was.
        assert_eq!(unsafe { libc::setresuid(0, 0, 0) }, 0);
    }
    fs::set_permissions(&locked, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(names_in(directory.path()), ["locked", "read-only"]);
    assert_eq!(names_in(&locked), ["file"]);
}

#[test]
fn a_file_that_shrinks() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4 * 4096).unwrap();
    let map = MapOptions::new().open(file.path()).unwrap();
    file.as_file().set_len(4096).unwrap();
    assert_eq!(map.len(), 4 * 4096);
    map.persist(0..4096).unwrap();
    // What is behind the end can't be touched, but neither msync nor unmapping does.
    map.msync(0..4 * 4096).unwrap();
    let mut map = map;
    // SAFETY: nobody uses the page.
    unsafe { map.unmap_range(2 * 4096..3 * 4096) }.unwrap();
    let address = map.start().addr().get();
    drop(map);
    assert!(!map_support::is_mapped(address, 1));
    assert_eq!(MapOptions::new().open(file.path()).unwrap().len(), 4096);
}

#[test]
fn without_proc() {
    const NAME: &str = "without_proc";
    if !is_second_run() {
        run_again_after_mounting(
            NAME,
            "mount -t tmpfs none /proc",
            &[("PMEM_MMAP_HINT", "10000000000")],
        );
        return;
    }
    assert!(fs::metadata("/proc/self").is_err());
    let map = MapOptions::new()
        .create(4096)
        .temporary(true)
        .open(std::env::temp_dir())
        .unwrap();
    let address = map.start().addr().get();
    assert_eq!(address % (2 * MIB), 0);
    assert_ne!(address, 0x100_0000_0000, "the hint is ignored");
    map.persist(0..4096).unwrap();
}

#[test]
fn without_sysfs() {
    const NAME: &str = "without_sysfs";
    if !is_second_run() {
        run_again_after_mounting(NAME, "mount -t tmpfs none /sys", &[]);
        return;
    }
    let map = MapOptions::new()
        .create(4096)
        .temporary(true)
        .open(std::env::temp_dir())
        .unwrap();
    map.deep_persist(0..4096).unwrap();
    assert_eq!(allotment::persist::auto_flush::detect(), Ok(false));
    // Nobody knows that this is no Device DAX.
    let error = refused(|| MapOptions::new().open("/dev/zero"));
    assert_eq!(error.os_error().0, ENOENT);
    assert!(error.to_string().contains("/sys"), "{error}");
}
