//! What a global allocator refuses, each in a process of its own, whose other allocations are the
//! system's.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::slice::from_raw_parts_mut;

use allotment::Allotment;

const LAYOUT: Layout = Layout::new::<[u64; 4]>();

/// Runs `child` in a child process. Answers its wait status and what it wrote to standard error.
fn in_child(child: impl FnOnce()) -> (i32, String) {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors, and they are nobody else's.
    let (mut reader, writer) = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    // SAFETY: the child does not return, and takes no lock that another thread may hold.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        // SAFETY: both descriptors are open; no core file is wanted.
        unsafe {
            libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO);
            libc::prctl(libc::PR_SET_DUMPABLE, 0);
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the child.
        unsafe { libc::_exit(if result.is_ok() { 0 } else { 1 }) };
    }
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("a line of text");
    let mut status = 0;
    // SAFETY: the status is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    (status, text)
}

/// Runs `child`, which has to end by `SIGABRT` after one line that begins and ends like this.
fn expect_abort(begin: &str, end: &str, child: impl FnOnce()) {
    let (status, text) = in_child(child);
    assert_eq!(status, libc::SIGABRT, "{text}");
    assert!(text.starts_with(begin) && text.ends_with(end), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

fn allocate(allotment: &Allotment) -> *mut u8 {
    // SAFETY: the layout has a size.
    unsafe { allotment.alloc(LAYOUT) }
}

#[test]
fn a_directory_that_is_missing() {
    static ALLOTMENT: Allotment = Allotment::in_directory("/nowhere/at/all");
    expect_abort(
        "allotment: no global allocator in directory /nowhere/at/all: ",
        ": No such file or directory\n",
        || {
            allocate(&ALLOTMENT);
        },
    );
}

#[test]
fn a_device_that_is_no_device_dax() {
    static ALLOTMENT: Allotment = Allotment::in_file("/dev/null");
    expect_abort(
        "allotment: no global allocator in file /dev/null: ",
        ": neither a regular file nor a Device DAX\n",
        || {
            allocate(&ALLOTMENT);
        },
    );
}

#[test]
fn a_file_that_is_something_else() {
    static ALLOTMENT: Allotment = Allotment::in_file("/proc/self/exe");
    expect_abort(
        "allotment: no global allocator in file /proc/self/exe: ",
        "\n",
        || {
            allocate(&ALLOTMENT);
        },
    );
}

#[test]
fn a_region_that_is_too_small() {
    static mut MEMORY: [MaybeUninit<u8>; 100] = [MaybeUninit::uninit(); 100];
    static ALLOTMENT: Allotment = Allotment::in_region(
        // SAFETY: nothing else uses `MEMORY`.
        unsafe { from_raw_parts_mut((&raw mut MEMORY).cast(), 100) },
    );
    expect_abort(
        "allotment: no global allocator in region of 100 bytes: ",
        "\n",
        || {
            allocate(&ALLOTMENT);
        },
    );
}

#[test]
fn a_second_allotment() {
    static FIRST: Allotment = Allotment::new();
    static SECOND: Allotment = Allotment::new();
    expect_abort(
        "allotment: a second Allotment is used: a process has one",
        "\n",
        || {
            assert!(!allocate(&FIRST).is_null());
            assert!(!allocate(&FIRST).is_null());
            allocate(&SECOND);
        },
    );
}

#[test]
fn a_double_free() {
    static ALLOTMENT: Allotment = Allotment::new();
    for layout in [LAYOUT, Layout::new::<[u8; 300_000]>()] {
        expect_abort("allotment: ", "\n", || {
            // SAFETY: none: this is the misuse that is to be found.
            unsafe {
                let block = ALLOTMENT.alloc(layout);
                ALLOTMENT.dealloc(block, layout);
                ALLOTMENT.dealloc(block, layout);
            }
        });
    }
}

#[test]
fn a_block_of_another_allocator() {
    static ALLOTMENT: Allotment = Allotment::new();
    expect_abort("allotment: ", "\n", || {
        let _ = allocate(&ALLOTMENT);
        // SAFETY: none: this is the misuse that is to be found.
        unsafe { ALLOTMENT.dealloc(Box::into_raw(Box::new([0u64; 4])).cast(), LAYOUT) };
    });
}

#[test]
fn a_handler_is_told_instead() {
    static ALLOTMENT: Allotment = Allotment::new().on_fault(|_| {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"told\n");
    });
    let (status, text) = in_child(|| {
        let block = allocate(&ALLOTMENT);
        // SAFETY: the second is the misuse that is to be found.
        unsafe {
            ALLOTMENT.dealloc(block, LAYOUT);
            ALLOTMENT.dealloc(block, LAYOUT);
        }
        assert!(ALLOTMENT.check().is_ok());
    });
    assert_eq!((status, text.as_str()), (0, "told\n"));
}

#[test]
fn a_handler_that_unwinds() {
    static ALLOTMENT: Allotment =
        Allotment::new().on_fault(|_| std::panic::resume_unwind(Box::new(())));
    expect_abort("allotment: a fault handler must not unwind\n", "\n", || {
        let block = allocate(&ALLOTMENT);
        // SAFETY: the second is the misuse that is to be found.
        unsafe {
            ALLOTMENT.dealloc(block, LAYOUT);
            ALLOTMENT.dealloc(block, LAYOUT);
        }
    });
}

#[test]
fn a_full_region_answers_null_and_serves_again() {
    const SIZE: usize = 8 << 20;
    fn find() -> &'static mut [MaybeUninit<u8>] {
        static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];
        // SAFETY: nothing else uses `MEMORY`, and this is called once.
        unsafe { from_raw_parts_mut((&raw mut MEMORY).cast(), SIZE) }
    }
    static ALLOTMENT: Allotment = Allotment::in_region_of(find);
    let (status, text) = in_child(|| {
        let fill = || {
            let mut blocks = Vec::new();
            loop {
                match allocate(&ALLOTMENT) {
                    block if block.is_null() => break blocks,
                    block => blocks.push(block),
                }
            }
        };
        let first = fill();
        let count = first.len();
        assert!(count * LAYOUT.size() > SIZE * 9 / 10, "{count} blocks");
        for block in first {
            // SAFETY: allocated above with this layout.
            unsafe { ALLOTMENT.dealloc(block, LAYOUT) };
        }
        let again = fill().len();
        assert!(again >= count * 98 / 100, "{again} of {count} blocks");
        assert!(ALLOTMENT.check().is_ok());
    });
    assert_eq!((status, text.as_str()), (0, ""));
}

#[test]
fn a_size_is_a_limit() {
    static ALLOTMENT: Allotment = Allotment::new().size(16 << 20);
    let (status, text) = in_child(|| {
        let quarter = Layout::new::<[u8; 4 << 20]>();
        // SAFETY: the layout has a size.
        let blocks: Vec<_> = (0..4)
            .map(|_| unsafe { ALLOTMENT.alloc(quarter) })
            .collect();
        assert!(blocks[..3].iter().all(|block| !block.is_null()));
        assert!(blocks[3].is_null());
        assert_eq!(ALLOTMENT.stats().region_bytes.div_ceil(1 << 20), 16);
    });
    assert_eq!((status, text.as_str()), (0, ""));
}
