//! Nothing is left of mappings that are gone. One test only: other threads would map in between.

mod map_support;

use std::fs;

use allotment::map::{Flags, MapOptions, map_file};
use map_support::{descriptors, maps, names_in};

#[test]
fn a_thousand_mappings_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, [7; 8192]).unwrap();
    let round = |number: usize| {
        let map = MapOptions::new().open(&path).unwrap();
        // SAFETY: inside the map.
        assert_eq!(unsafe { map.start().read() }, 7);
        drop(map);
        let temporary = MapOptions::new().create(1 + number * 100).temporary(true);
        let mut map = temporary.open(directory.path()).unwrap();
        // SAFETY: nobody uses the page.
        unsafe { map.unmap_range(0..1) }.unwrap();
        drop(map);
        let failed = Flags::CREATE | Flags::EXCLUSIVE;
        assert!(map_file(&path, 4096, failed, 0o600).is_err());
        assert!(map_file(directory.path(), 0, Flags::NONE, 0o600).is_err());
    };
    // What the library and the C library allocate once.
    (0..100).for_each(round);
    let before = (descriptors(), maps());
    (0..1000).for_each(round);
    let after = (descriptors(), maps());
    assert_eq!(before.0, after.0);
    let lines = |maps: &str| {
        // The heap may grow a little, in its place.
        let named = maps.lines().filter(|line| !line.ends_with("[heap]"));
        named.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&before.1), lines(&after.1));
    assert_eq!(names_in(directory.path()), ["file"]);
}
