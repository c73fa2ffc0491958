//! Kinds as Rust programs use them.

use core::alloc::Layout;
use core::ptr::NonNull;
use std::os::unix::fs::MetadataExt;
use std::thread;

use super::*;

const MIB: usize = 1 << 20;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
}

/// Bytes that the files take which this process has open without a name in the directory's file system.
fn file_space(kind: &Kind) -> u64 {
    let arena = kind.arena().expect("a pool");
    let start = format!("{:x}-", arena.mapping().start().addr());
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
    let line = maps
        .lines()
        .find(|line| line.starts_with(&start))
        .expect("the kind's mapping");
    let inode: u64 = line
        .split_ascii_whitespace()
        .nth(4)
        .and_then(|inode| inode.parse().ok())
        .expect("an inode");
    std::fs::read_dir("/proc/self/fd")
        .expect("the descriptors")
        .filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok())
        .find(|status| status.ino() == inode)
        .map(|status| status.blocks() * 512)
        .expect("the kind's file")
}

fn region(len: usize) -> &'static mut [MaybeUninit<u8>] {
    Box::leak(vec![MaybeUninit::new(0xa5u8); len].into_boxed_slice())
}

fn fill(kind: &Kind, size: usize) -> Vec<NonNull<u8>> {
    let mut blocks = Vec::new();
    while let Some(block) = kind.allocate(layout(size)) {
        // SAFETY: the block is that large.
        unsafe { block.write_bytes(blocks.len() as u8, size) };
        blocks.push(block);
    }
    blocks
}

fn free_all(kind: &Kind, blocks: Vec<NonNull<u8>>) {
    for block in blocks {
        // SAFETY: each is a block of this kind, and is freed once.
        unsafe { kind.free(block) };
    }
}

#[test]
fn fixed_kinds_use_the_callers_memory() {
    let memory = region(4 * MIB);
    let (start, end) = (memory.as_ptr().addr(), memory.as_ptr_range().end.addr());
    let kind = Kind::fixed(memory).expect("a kind");
    let block = kind.allocate_zeroed(layout(100_000)).expect("a block");
    assert!(start <= block.addr().get() && block.addr().get() + 100_000 <= end);
    // SAFETY: allocated just now, with zeros.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), 100_000) };
    assert!(bytes.iter().all(|&byte| byte == 0), "dirty memory");
    assert_eq!(detect(block.as_ptr()), Some(kind.id()));
    assert_eq!(detect(&raw const kind), None);
    assert_eq!(kind.purge(), 0);
    drop(kind);
    assert_eq!(detect(block.as_ptr()), None);
}

#[test]
fn live_memory_is_not_taken_twice() {
    let memory = region(4 * MIB);
    let start = NonNull::new(memory.as_mut_ptr().cast::<u8>()).expect("memory");
    let options = KindOptions::new();
    // SAFETY: the memory lives for ever, and nobody else uses it.
    unsafe {
        let first = options.fixed_raw(start, 2 * MIB).expect("a kind");
        let overlapping = options.fixed_raw(start.add(MIB), 2 * MIB);
        assert_eq!(overlapping.err(), Some(KindError::Overlaps));
        let behind = options
            .fixed_raw(start.add(2 * MIB), 2 * MIB)
            .expect("a kind");
        assert!(behind.allocate(layout(1000)).is_some());
        drop(first);
        let again = options.fixed_raw(start, 2 * MIB).expect("a kind");
        assert!(again.allocate(layout(MIB)).is_some());
    }
}

#[test]
fn too_small_a_region_is_refused_or_has_no_blocks() {
    assert!(matches!(Kind::fixed(region(16)), Err(KindError::Pool(_))));
    let memory = region(16);
    let start = NonNull::new(memory.as_mut_ptr().cast::<u8>()).expect("memory");
    // SAFETY: as above.
    let kind = unsafe { KindOptions::new().fixed_raw(start, 16) }.expect("a kind");
    assert_eq!(kind.allocate(layout(1)), None);
    assert_eq!(kind.capacity(), 16);
}

#[test]
fn a_pmem_kind_grows_and_gives_its_space_back() {
    let directory = directory();
    for policy in [Policy::Decay, Policy::Conservative, Policy::Never] {
        let options = KindOptions::new().policy(policy);
        let kind = options.pmem(directory.path(), 64 * MIB).expect("a kind");
        assert_eq!(kind.space().committed, 0);
        let sizes = [100, 2196, 5000, 64 << 10, MIB, 100];
        for size in sizes {
            let blocks = fill(&kind, size);
            let first = blocks.len();
            let usable = kind.usable_size(blocks[0]).expect("a block");
            assert!(usable <= size + size / 4 + 16, "{usable} for {size}");
            assert!(
                first * usable > 64 * MIB / 100 * 92,
                "{policy:?}: {first} blocks of {size}"
            );
            for (number, block) in blocks.iter().enumerate() {
                // SAFETY: the block is in use, and written to its end.
                let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
                assert!(bytes.iter().all(|&byte| byte == number as u8));
            }
            free_all(&kind, blocks);
            let purged = kind.purge();
            // Under the others the background thread may have been there first.
            if policy == Policy::Never {
                assert!(purged > 32 * MIB, "{purged} bytes after {size}");
            }
            assert!(file_space(&kind) < 4 * MIB as u64, "{}", file_space(&kind));
            let blocks = fill(&kind, size);
            assert!(
                blocks.len() * 100 >= first * 98,
                "{policy:?}: {} of {first} blocks of {size} at the second filling",
                blocks.len()
            );
            free_all(&kind, blocks);
        }
        let arena = kind.arena().expect("a pool");
        arena.pool().check().expect("an intact pool");
    }
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("the directory")
            .count(),
        0
    );
}

#[test]
fn policies_give_back_by_themselves() {
    let directory = directory();
    let conservative = KindOptions::new().policy(Policy::Conservative);
    let kind = conservative
        .pmem(directory.path(), 32 * MIB)
        .expect("a kind");
    let never = KindOptions::new().policy(Policy::Never);
    let hog = never.pmem(directory.path(), 32 * MIB).expect("a kind");
    for kind in [&kind, &hog] {
        let blocks = fill(kind, 10_000);
        free_all(kind, blocks);
    }
    let mut patience = 1000;
    while file_space(&kind) > 4 * MIB as u64 {
        patience -= 1;
        assert!(patience > 0, "{} bytes stay", file_space(&kind));
        thread::sleep(core::time::Duration::from_millis(20));
    }
    assert!(file_space(&hog) > 28 * MIB as u64);
    assert!(hog.purge() > 16 * MIB);
    assert!(file_space(&hog) < 4 * MIB as u64);
}

#[test]
fn the_largest_block_can_be_had() {
    let directory = directory();
    let kind = Kind::pmem(directory.path(), 32 * MIB).expect("a kind");
    let largest = kind.space().largest;
    assert!(largest > 31 * MIB, "{largest}");
    let block = kind.allocate(layout(largest)).expect("it was promised");
    // SAFETY: allocated above, of that size.
    unsafe {
        block.write_bytes(1, largest);
        kind.free(block);
    }
    kind.purge();
    let largest = kind.space().largest;
    let block = kind.allocate(layout(largest)).expect("it was promised");
    // SAFETY: as above.
    unsafe { kind.free(block) };
}

#[test]
fn large_alignments_hold_or_are_refused() {
    let directory = directory();
    let kind = Kind::pmem(directory.path(), 64 * MIB).expect("a kind");
    for shift in 4..=25 {
        let wanted = Layout::from_size_align(64 << 10, 1 << shift).expect("a layout");
        let block = kind.allocate(wanted).expect("room");
        assert_eq!(block.addr().get() % (1 << shift), 0);
        // SAFETY: allocated above.
        unsafe { kind.free(block) };
    }
    let wanted = Layout::from_size_align(1, 1 << 30).expect("a layout");
    if let Some(block) = kind.allocate(wanted) {
        assert_eq!(block.addr().get() % (1 << 30), 0);
    }
}

#[test]
fn any_thread_frees_without_a_kind() {
    let directory = directory();
    let kinds: Vec<Kind> = (0..4)
        .map(|_| Kind::pmem(directory.path(), 32 * MIB).expect("a kind"))
        .collect();
    thread::scope(|threads| {
        for number in 0..16 {
            let kinds = &kinds;
            threads.spawn(move || {
                for round in 0..2000 {
                    let kind = &kinds[(number + round) % kinds.len()];
                    let block = kind.allocate(layout(16 + round)).expect("room");
                    assert_eq!(detect(block.as_ptr()), Some(kind.id()));
                    // SAFETY: the block is this thread's.
                    assert!(unsafe { free(block) });
                }
            });
        }
    });
    let mut foreign = Box::new(1u8);
    // SAFETY: it is no kind's, so nothing is done.
    assert!(!unsafe { free(NonNull::from(&mut *foreign)) });
    for kind in &kinds {
        assert_eq!(kind.space().used, 0);
    }
}

#[test]
fn a_defragmentation_makes_the_file_shrink() {
    const SIZE: usize = 100;
    let directory = directory();
    let kind = Kind::pmem(directory.path(), 32 * MIB).expect("a kind");
    let mut blocks = fill(&kind, SIZE);
    let all = blocks.len();
    let pass = |blocks: &mut [NonNull<u8>]| {
        let mut moved = 0;
        for block in blocks {
            // SAFETY: the block is ours, and replaced.
            if let Some(other) = unsafe { kind.defrag_reallocate(*block) } {
                *block = other;
                moved += 1;
            }
        }
        moved
    };
    assert_eq!(pass(&mut blocks), 0, "there is no room in any slab");
    let mut kept = Vec::new();
    for (number, block) in blocks.drain(..).enumerate() {
        if number % 4 == 0 {
            kept.push(block);
        } else {
            // SAFETY: each is freed once.
            unsafe { kind.free(block) };
        }
    }
    kind.purge();
    let before = file_space(&kind);
    let moved = pass(&mut kept);
    assert!(moved > kept.len() / 2, "{moved} of {}", kept.len());
    pass(&mut kept);
    assert_eq!(pass(&mut kept), 0, "it comes to an end");
    for (number, block) in kept.iter().enumerate() {
        // SAFETY: in use, and its content moved with it.
        assert_eq!(unsafe { block.read() }, (number * 4) as u8);
    }
    kind.purge();
    let left = file_space(&kind);
    let payload = (kept.len() * SIZE) as u64;
    assert!(
        left < 2 * payload && left < before / 2,
        "{moved} of {} blocks moved, {all} before; {left} of {before} bytes are left",
        kept.len()
    );
}

#[test]
fn regular_memory_is_apart_from_the_programs_heap() {
    let kind = Kind::regular().expect("a kind");
    let block = kind.allocate(layout(1000)).expect("memory");
    assert_eq!(detect(block.as_ptr()), Some(kind.id()));
    let own = Box::new(0u8);
    assert_eq!(detect(&raw const *own), None);
    let none = KindOptions::new().anonymous(&Placement::Bind(Nodes::default()));
    assert_eq!(none.err(), Some(KindError::Unavailable));
}

#[test]
fn anonymous_pages_go_back_by_themselves() {
    const PAGE: usize = 4096;
    let options = KindOptions::new().policy(Policy::Conservative);
    let kind = options.anonymous(&Placement::Any).expect("a kind");
    let block = kind.allocate(layout(8 * MIB)).expect("memory");
    let inside = (block.addr().get() + 4 * MIB) & !(PAGE - 1);
    let is_resident = || {
        let mut answer = 0u8;
        let page = core::ptr::with_exposed_provenance_mut(inside);
        // SAFETY: only asks for one page, which the kind keeps mapped.
        assert_eq!(unsafe { libc::mincore(page, PAGE, &raw mut answer) }, 0);
        answer & 1 == 1
    };
    // SAFETY: the block is that large, and freed once.
    unsafe {
        block.write_bytes(1, 8 * MIB);
        assert!(is_resident());
        kind.free(block);
    }
    let mut patience = 1000;
    while is_resident() {
        patience -= 1;
        assert!(patience > 0, "the pages stay");
        thread::sleep(core::time::Duration::from_millis(20));
    }
    let again = kind.allocate_zeroed(layout(8 * MIB)).expect("memory");
    // SAFETY: allocated just now, with zeros.
    let bytes = unsafe { core::slice::from_raw_parts(again.as_ptr(), 8 * MIB) };
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn collections_live_in_a_kind() {
    use allocator_api2::vec::Vec;
    let directory = directory();
    let kind = Kind::pmem(directory.path(), 16 * MIB).expect("a kind");
    let mut vec = Vec::new_in(&kind);
    vec.extend(0..100_000u32);
    assert!(kind.contains(vec.as_ptr().addr()));
    assert!(vec.iter().copied().eq(0..100_000));
}

#[test]
fn no_directory_is_an_error() {
    let error = |path: &str| {
        Kind::pmem(Path::new(path), 16 * MIB)
            .err()
            .map(|error| error.os_error().0)
    };
    assert_eq!(error("/nonexistent"), Some(libc::ENOENT));
    assert_eq!(error("/proc/self/status"), Some(libc::ENOTDIR));
    assert_eq!(error(&"x".repeat(300)), Some(libc::ENAMETOOLONG));
    assert_eq!(error(&"x".repeat(5000)), Some(0));
}

#[test]
fn what_was_given_back_is_not_in_use() {
    let directory = directory();
    let options = KindOptions::new().policy(Policy::Never);
    let kind = options.pmem(directory.path(), 32 * MIB).expect("a kind");
    for size in [96, 1000, 100_000] {
        // Every hole is another piece.
        let (kept, freed): (Vec<_>, Vec<_>) = fill(&kind, size)
            .into_iter()
            .enumerate()
            .partition(|(number, _)| number % (MIB / size) == 0);
        let blocks = |part: Vec<(usize, NonNull<u8>)>| part.into_iter().map(|(_, block)| block);
        free_all(&kind, blocks(freed).collect());
        assert!(kind.purge() > 8 * MIB);
        let used: usize = kept
            .iter()
            .filter_map(|(_, block)| kind.usable_size(*block))
            .sum();
        assert!(kind.space().used.abs_diff(used) <= 8 * kept.len(), "{size}");
        // Some of it is had again, from the ends of pieces.
        let more = kind.allocate(layout(300_000)).expect("room");
        // SAFETY: allocated just now.
        unsafe { kind.free(more) };
        free_all(&kind, blocks(kept).collect());
        kind.purge();
        assert_eq!(kind.space().used, 0, "{size}");
    }
}
