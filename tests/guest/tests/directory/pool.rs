//! Pools in files.

use std::alloc::Layout;
use std::fs::{File, remove_file};
use std::os::fd::AsFd;
use std::ptr::NonNull;

use allotment::map::MapOptions;
use allotment::reservation::{self, Reservation};
use allotment::source::Source;
use allotment_core::{Options, Pool};
use allotment_guest::bytes::{is_marked, mark, memory};
use allotment_guest::place::Directory;
use allotment_guest::pool_workload;

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_pool_fills_a_file() {
    let directory = Directory::from_environment();
    let path = directory.path.join("pool");
    let map = MapOptions::new().create(64 << 20).open(&path).unwrap();
    // SAFETY: mapped until the end, and only this test knows of the file.
    pool_workload::run(unsafe { memory(map.start(), map.len()) }, 3000);
    map.persist(0..1 << 20).unwrap();
    drop(map);
    remove_file(&path).unwrap();
}

#[test]
#[ignore = "runs in the guest: tests/guest/check"]
fn a_pool_grows_with_its_file() {
    let directory = Directory::from_environment();
    let path = directory.path.join("growing");
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    remove_file(path).unwrap();
    let piece = 4 << 20;
    let reservation = Reservation::new(8 * piece).unwrap();
    let add = |number: usize| {
        let at = number * piece;
        file.set_len((at + piece) as u64).unwrap();
        let source = Source::from_fd(file.as_fd()).unwrap();
        let options = reservation::MapOptions::new().offset(at).len(piece);
        options.map_into(&reservation, at, &source).unwrap()
    };
    let mut maps = vec![add(0)];
    let options = Options {
        capacity: reservation.size(),
        ..Options::default()
    };
    let start = reservation.start().as_ptr();
    // SAFETY: mapped until the end, and used only by the pool.
    let pool: Pool<'_> = unsafe { Pool::create_in_raw(start, piece, options).unwrap() };
    let layout = Layout::from_size_align(100_000, 64).unwrap();
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    loop {
        match pool.allocate(layout) {
            Some(block) => {
                // SAFETY: the block was just allocated.
                unsafe { mark(block, layout.size(), blocks.len() as u8) };
                blocks.push(block);
            }
            None if maps.len() < 8 => {
                maps.push(add(maps.len()));
                // SAFETY: the piece is mapped right behind the others.
                unsafe { pool.extend(piece).unwrap() };
            }
            None => break,
        }
    }
    assert!(blocks.len() * layout.size() > 7 * piece);
    pool.check().unwrap_or_else(|damage| panic!("{damage:?}"));
    for (number, block) in blocks.into_iter().enumerate() {
        // SAFETY: the block is live until it is freed here.
        unsafe {
            assert!(is_marked(block, layout.size(), number as u8));
            pool.deallocate(block, layout);
        }
    }
    assert_eq!(pool.stats().live_blocks, 0);
}
