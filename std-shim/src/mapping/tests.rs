use super::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A directory of its own for a test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir =
            std::env::temp_dir().join(format!("allotment-mapping-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Scratch(dir)
    }

    fn path(&self, name: &str) -> PathBuffer {
        buffer(&self.0.join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn buffer(path: &std::path::Path) -> PathBuffer {
    PathBuffer::from_bytes(path.as_os_str().as_encoded_bytes()).unwrap()
}

pub(super) fn bytes(mapping: &mut Mapping) -> &mut [u8] {
    // SAFETY: the committed part is mapped, and borrowed with the mapping.
    unsafe { core::slice::from_raw_parts_mut(mapping.start().as_ptr(), mapping.committed()) }
}

/// The status of a child in which a mapping is a copy of the parent's; 0 if `is_good` says that it is as it
/// should be. The child then writes to all of it. `is_good` uses only the mapping and system calls.
pub(super) fn status_of_child(
    mapping: &mut Mapping,
    used: usize,
    is_good: impl FnOnce(&mut Mapping) -> bool,
) -> i32 {
    // SAFETY: the child uses only this mapping and system calls, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: the child has one thread, whose stack is elsewhere.
        let detached = unsafe { mapping.detach_from_parent(used, CopyPlace::FileOrMemory) };
        let good = detached.is_ok() && is_good(mapping);
        bytes(mapping).fill(9);
        // SAFETY: ends the child without running the test harness's handlers.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: `status` is writable.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}

#[test]
fn anonymous_memory_is_generous_zero_and_aligned() {
    let mut mapping = Mapping::anonymous(None).unwrap();
    assert_eq!(mapping.start().addr().get() % ALIGNMENT, 0);
    assert_eq!(mapping.file_kind(), None);
    mapping.commit(1 << 20).unwrap();
    assert!(mapping.capacity() >= 1 << 30);
    let last = mapping.committed() - 1;
    let bytes = bytes(&mut mapping);
    assert_eq!(bytes[last], 0);
    bytes[0] = 1;
    bytes[last] = 1;
}

#[test]
fn huge_pages_are_asked_for_beyond_the_first_memory() {
    let has_them = fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap();
    let mapping = Mapping::anonymous(Some(64 << 20)).unwrap();
    assert_eq!(mapping.prefer_huge_pages(), has_them);
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let flags_at = |offset: usize| {
        let start = format!("{:x}-", mapping.start().addr().get() + offset);
        let entry = maps.split_once(&start)?.1;
        let flags = entry.lines().find(|line| line.starts_with("VmFlags:"))?;
        Some(flags.split_whitespace().any(|flag| flag == "hg"))
    };
    if has_them {
        assert_eq!(flags_at(0), Some(false));
        // The map of 64 MiB takes 64 KiB, so a huge page.
        assert_eq!(flags_at(34 << 20), Some(true));
        assert_eq!(flags_at(62 << 20), Some(false));
    }
    let small = Mapping::anonymous(Some(36 << 20)).unwrap();
    assert!(!small.prefer_huge_pages());
}

#[test]
fn an_explicit_size_is_kept_or_refused() {
    let mapping = Mapping::anonymous(Some((1 << 20) + 1)).unwrap();
    assert!(mapping.capacity() > 1 << 20 && mapping.capacity() < (1 << 20) + (64 << 10));
    assert!(mapping.contains(mapping.start().addr().get() + (1 << 20)));
    assert!(!mapping.contains(mapping.start().addr().get() + mapping.capacity()));
    let error = Mapping::anonymous(Some(usize::MAX / 2)).unwrap_err();
    assert_eq!(error.error.0, libc::ENOMEM);
    let error = Mapping::anonymous(Some(usize::MAX)).unwrap_err();
    assert_eq!(error.error.0, libc::ENOMEM);
}

#[test]
fn released_memory_reads_as_zero() {
    let mut mapping = Mapping::anonymous(Some(1 << 20)).unwrap();
    mapping.commit(1 << 20).unwrap();
    bytes(&mut mapping).fill(7);
    let start = mapping.start().addr().get();
    // SAFETY: nobody else uses the mapping.
    unsafe {
        assert_eq!(mapping.release(start + 1, 4096), 0);
        assert!(mapping.release(start + 1, 1 << 19) >= (1 << 19) - (128 << 10));
        assert_eq!(mapping.release(start + (1 << 20) - 4096, 1 << 20), 0);
    }
    let bytes = bytes(&mut mapping);
    assert_eq!((bytes[0], bytes[1 << 18], bytes[(1 << 20) - 1]), (7, 0, 7));
}

#[test]
fn a_temporary_file_has_no_name_and_grows() {
    let scratch = Scratch::new("temporary");
    for dir in [scratch.0.as_path(), std::path::Path::new("/dev/shm")] {
        let mut mapping = Mapping::temporary_file(&buffer(dir), Some(8 << 20)).unwrap();
        assert_eq!(mapping.file_kind(), Some(FileKind::Temporary));
        assert_eq!(mapping.committed(), 0);
        mapping.commit(1 << 20).unwrap();
        bytes(&mut mapping).fill(1);
        mapping.commit(2 << 20).unwrap();
        assert_eq!(mapping.committed(), 2 << 20);
        let all = bytes(&mut mapping);
        assert_eq!((all[0], all[(1 << 20) - 1], all[1 << 20]), (1, 1, 0));
        assert_eq!(mapping.commit((8 << 20) + 1), Err(OsError(libc::ENOMEM)));
        mapping.commit(8 << 20).unwrap();
        let Backing::File(file) = &mapping.backing else {
            panic!("no file")
        };
        let link = fs::metadata(format!("/proc/self/fd/{}", file.descriptor().unwrap())).unwrap();
        assert_eq!(
            (link.nlink(), link.mode() & 0o777, link.blocks() * 512),
            (0, 0o600, 8 << 20)
        );
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn a_lost_descriptor_is_noticed_and_does_not_stop_growth() {
    let scratch = Scratch::new("lost");
    let mut mapping = Mapping::temporary_file(&buffer(&scratch.0), Some(4 << 20)).unwrap();
    mapping.commit(1 << 20).unwrap();
    let Backing::File(file) = &mapping.backing else {
        panic!("no file")
    };
    let number = file.descriptor().unwrap();
    let other = fs::File::open("/dev/null").unwrap();
    // SAFETY: makes the number another file's, as a program might.
    unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&other), number) };
    assert_eq!(file.descriptor(), None);
    match mapping.commit(2 << 20) {
        Ok(()) => bytes(&mut mapping).fill(3),
        // Before Linux 5.14.
        Err(error) => assert_eq!(error.0, libc::EINVAL),
    }
    drop(mapping);
    // SAFETY: the number is still open: the mapping must not have closed another's file.
    unsafe {
        assert!(libc::fcntl(number, libc::F_GETFD) >= 0);
        libc::close(number);
    }
}

#[test]
fn a_named_file_is_made_locked_and_reused() {
    let scratch = Scratch::new("named");
    let path = scratch.path("heap");
    let mut mapping = Mapping::file(&path, Some(1 << 20)).unwrap();
    assert_eq!(mapping.file_kind(), Some(FileKind::Named));
    mapping.commit(1 << 20).unwrap();
    bytes(&mut mapping)[..8].copy_from_slice(b"ALLOTPL\0");
    let status = fs::metadata(scratch.0.join("heap")).unwrap();
    assert_eq!(
        (status.len(), status.permissions().mode() & 0o777),
        (1 << 20, 0o600)
    );

    let second = Mapping::file(&path, Some(1 << 20)).unwrap();
    assert_eq!(second.file_kind(), Some(FileKind::InsteadOfNamed));
    drop((mapping, second));

    let mut again = Mapping::file(&path, Some(2 << 20)).unwrap();
    assert_eq!(again.file_kind(), Some(FileKind::Named));
    again.commit(1 << 20).unwrap();
    assert!(bytes(&mut again).iter().all(|&b| b == 0));
}

#[test]
fn what_is_no_pool_is_refused() {
    let scratch = Scratch::new("refused");
    fs::write(scratch.0.join("thesis"), "years of work").unwrap();
    fs::write(scratch.0.join("blank"), [0; 5000]).unwrap();
    let refused = |path: &PathBuffer| Mapping::file(path, None).unwrap_err().to_string();
    assert_eq!(
        refused(&scratch.path("thesis")),
        "the file holds something other than a pool: remove it first"
    );
    assert_eq!(
        fs::read(scratch.0.join("thesis")).unwrap(),
        b"years of work"
    );
    assert!(Mapping::file(&scratch.path("blank"), Some(1 << 20)).is_ok());
    assert_eq!(
        refused(&buffer(&scratch.0)),
        "cannot open the file: Is a directory"
    );
    for other in ["/dev/null", "/dev/zero", "/dev/loop0"] {
        let other = std::path::Path::new(other);
        if other.exists() {
            assert_eq!(
                refused(&buffer(other)),
                "neither a regular file nor a Device DAX"
            );
        }
    }
    let pipe = scratch.path("pipe");
    // SAFETY: the path is a string.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_c_str().as_ptr(), 0o600) }, 0);
    assert_eq!(refused(&pipe), "neither a regular file nor a Device DAX");
    assert_eq!(
        refused(&scratch.path("no/file")),
        "cannot open the file: No such file or directory"
    );
    let error = Mapping::temporary_file(&scratch.path("no"), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make a temporary file there: No such file or directory"
    );
    let error = Mapping::temporary_file(&scratch.path("thesis"), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make a temporary file there: Not a directory"
    );
}

#[test]
fn a_child_gets_its_own_copy() {
    let scratch = Scratch::new("child");
    let used = 1 << 20;
    for (lost, withheld) in [(false, false), (false, true), (true, false)] {
        let mut mapping = Mapping::temporary_file(&buffer(&scratch.0), Some(4 << 20)).unwrap();
        mapping.commit(2 * used).unwrap();
        for i in (0..used).step_by(3 * 4096) {
            bytes(&mut mapping)[i] = 5;
        }
        if lost {
            let Backing::File(file) = &mapping.backing else {
                panic!("no file")
            };
            // SAFETY: the descriptor is closed as a program might do it.
            unsafe { libc::close(file.descriptor().unwrap()) };
        }
        assert_eq!(mapping.withhold_from_children(withheld), !lost || !withheld);
        let status = status_of_child(&mut mapping, used, |copy| {
            let is_copied = copy.committed() == used
                && (0..used).all(|i| bytes(copy)[i] == if i % (3 * 4096) == 0 { 5 } else { 0 });
            bytes(copy).fill(9);
            is_copied && copy.commit(used + 4096).is_ok() && bytes(copy)[used] == 0
        });
        assert_eq!(status, 0, "lost descriptor: {lost}, withheld: {withheld}");
        assert_eq!((bytes(&mut mapping)[0], bytes(&mut mapping)[1]), (5, 0));
    }
}

#[test]
fn a_snapshot_keeps_what_was_there() {
    let scratch = Scratch::new("snapshot");
    let mut mapping = Mapping::temporary_file(&buffer(&scratch.0), Some(4 << 20)).unwrap();
    mapping.commit(2 << 20).unwrap();
    bytes(&mut mapping)[5000] = 1;
    let snapshot = mapping.snapshot(1 << 20).unwrap().unwrap();
    bytes(&mut mapping)[5000] = 2;
    // SAFETY: nobody else uses the mapping.
    unsafe { mapping.put(snapshot).unwrap() };
    assert_eq!(mapping.file_kind(), Some(FileKind::Temporary));
    assert_eq!(mapping.committed(), 1 << 20);
    assert_eq!((bytes(&mut mapping)[5000], bytes(&mut mapping)[0]), (1, 0));
    mapping.commit(3 << 20).unwrap();
    assert_eq!(bytes(&mut mapping)[2 << 20], 0);
}

#[test]
fn a_snapshot_without_a_directory_is_anonymous() {
    let scratch = Scratch::new("homeless");
    let mut mapping = Mapping::temporary_file(&buffer(&scratch.0), Some(4 << 20)).unwrap();
    mapping.commit(2 << 20).unwrap();
    bytes(&mut mapping)[5000] = 1;
    drop(scratch);
    let given_up = mapping.snapshot(2 << 20).unwrap().unwrap();
    drop(given_up);
    let snapshot = mapping.snapshot(2 << 20).unwrap().unwrap();
    bytes(&mut mapping)[5000] = 2;
    // SAFETY: nobody else uses the mapping.
    unsafe { mapping.put(snapshot).unwrap() };
    assert_eq!(mapping.file_kind(), None);
    assert_eq!(mapping.committed(), 2 << 20);
    assert_eq!((bytes(&mut mapping)[5000], bytes(&mut mapping)[0]), (1, 0));
    mapping.commit(4 << 20).unwrap();
    bytes(&mut mapping).fill(1);
}

#[test]
fn a_region_is_used_as_it_is() {
    let region: &'static mut [MaybeUninit<u8>] = vec![MaybeUninit::new(7); 100_001].leak();
    let start = region.as_ptr().addr();
    {
        let mut mapping = Mapping::region(&mut region[1..]);
        assert_eq!(mapping.start().addr().get(), start + 1);
        assert_eq!(
            (mapping.capacity(), mapping.committed()),
            (100_000, 100_000)
        );
        assert!(mapping.contains(start + 1) && mapping.contains(start + 100_000));
        assert!(!mapping.contains(start) && !mapping.contains(start + 100_001));
        assert!(!mapping.is_zeroed());
        assert_eq!(mapping.commit(100_000), Ok(()));
        assert_eq!(mapping.commit(100_001), Err(OsError(libc::ENOMEM)));
        // SAFETY: nobody else uses the mapping.
        assert_eq!(unsafe { mapping.release(start, 100_000) }, 0);
        assert!(mapping.snapshot(100_000).unwrap().is_none());
        assert!(!mapping.withhold_from_children(true));
        assert!(bytes(&mut mapping).iter().all(|&b| b == 7));
    }
    let left: *const u8 = core::ptr::with_exposed_provenance(start + 100_000);
    // SAFETY: the region was leaked.
    assert_eq!(unsafe { left.read() }, 7);
}
